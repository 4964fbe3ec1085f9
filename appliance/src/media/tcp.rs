//! ICE-TCP: passive candidates on one port (RFC 6544), packets framed by their length (RFC 4571).

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};

use super::types::Door;

/// Bytes that may wait for a slow connection: a quarter of a second at 8 Mbit/s. When they are there, further media packets are
/// dropped (the viewer asks for a keyframe); STUN, DTLS and RTCP still get twice that, and then the connection is closed.
const QUEUE: usize = 256 * 1024;
/// A connection that has not brought anything of a session in this time is closed.
const PROVE_WITHIN: Duration = Duration::from_secs(10);
const LARGEST: usize = 2048;

struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    token: Token,
    since: Instant,
    proven: bool,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    broken: bool,
}

/// The listener and its connections.
pub(super) struct Tcp {
    listener: TcpListener,
    local: SocketAddr,
    registry: Registry,
    connections: HashMap<SocketAddr, Connection>,
    tokens: HashMap<Token, SocketAddr>,
    next_token: usize,
    limit: usize,
}

impl Tcp {
    /// Listens; tokens from `first_token` on are its connections'.
    pub(super) fn open(
        door: Door<std::net::TcpListener>,
        registry: &Registry,
        token: Token,
        first_token: usize,
        limit: usize,
    ) -> io::Result<Self> {
        let mut listener = match door {
            Door::Address(address) => TcpListener::bind(address)?,
            Door::Open(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
        };
        registry.register(&mut listener, token, Interest::READABLE)?;
        let local = listener.local_addr()?;
        Ok(Self {
            listener,
            local,
            registry: registry.try_clone()?,
            connections: HashMap::new(),
            tokens: HashMap::new(),
            next_token: first_token,
            limit,
        })
    }

    /// The bound address, with the port that was really taken.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes all waiting connections; those over the limit are closed at once.
    pub(super) fn accept(&mut self, now: Instant) {
        loop {
            let (mut stream, remote) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        tracing::warn!(%error, "an ICE-TCP connection could not be accepted");
                    }
                    return;
                }
            };
            if self.connections.len() >= self.limit {
                continue;
            }
            let token = Token(self.next_token);
            self.next_token += 1;
            let ready = Interest::READABLE | Interest::WRITABLE;
            let local = stream.local_addr();
            let (Ok(()), Ok(local)) = (self.registry.register(&mut stream, token, ready), local) else { continue };
            // Packets must not wait for each other.
            let _ = stream.set_nodelay(true);
            let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
            let local = SocketAddr::new(local.ip().to_canonical(), local.port());
            let (incoming, outgoing) = (Vec::new(), Vec::new());
            let connection =
                Connection { stream, local, token, since: now, proven: false, incoming, outgoing, broken: false };
            self.tokens.insert(token, remote);
            self.connections.insert(remote, connection);
        }
    }

    /// Reads what came and writes what waits on the connection of a token. Gives the packets with their remote and local address.
    pub(super) fn ready(&mut self, token: Token) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut packets = Vec::new();
        let Some(&remote) = self.tokens.get(&token) else { return packets };
        let Some(connection) = self.connections.get_mut(&remote) else { return packets };
        let mut chunk = [0; 16 * 1024];
        loop {
            match connection.stream.read(&mut chunk) {
                Ok(0) => {
                    connection.broken = true;
                    break;
                }
                Ok(read) => {
                    connection.incoming.extend_from_slice(&chunk[..read]);
                    let mut at = 0;
                    while let [high, low, rest @ ..] = &connection.incoming[at..] {
                        let size = usize::from(u16::from_be_bytes([*high, *low]));
                        if size > LARGEST {
                            connection.broken = true;
                            break;
                        }
                        let Some(packet) = rest.get(..size) else { break };
                        packets.push((remote, connection.local, packet.to_vec()));
                        at += 2 + size;
                    }
                    connection.incoming.drain(..at);
                    if connection.broken {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    connection.broken |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        connection.write();
        packets
    }

    /// The connection brought a packet of a session.
    pub(super) fn prove(&mut self, remote: SocketAddr) {
        if let Some(connection) = self.connections.get_mut(&remote) {
            connection.proven = true;
        }
    }

    /// Sends one packet. False when it was dropped.
    pub(super) fn send(&mut self, remote: SocketAddr, packet: &[u8], media: bool) -> bool {
        let Some(connection) = self.connections.get_mut(&remote).filter(|c| !c.broken) else { return false };
        let Ok(size) = u16::try_from(packet.len()) else { return false };
        if connection.outgoing.len() >= QUEUE {
            connection.broken |= connection.outgoing.len() >= 2 * QUEUE;
            if media || connection.broken {
                return false;
            }
        }
        let idle = connection.outgoing.is_empty();
        connection.outgoing.extend_from_slice(&size.to_be_bytes());
        connection.outgoing.extend_from_slice(packet);
        if idle {
            connection.write();
        }
        true
    }

    /// Closes what is broken or has never been of use.
    pub(super) fn sweep(&mut self, now: Instant) {
        let Self { connections, tokens, registry, .. } = self;
        connections.retain(|_, connection| {
            let idle = !connection.proven && now.saturating_duration_since(connection.since) >= PROVE_WITHIN;
            let keep = !connection.broken && !idle;
            if !keep {
                tokens.remove(&connection.token);
                let _ = registry.deregister(&mut connection.stream);
            }
            keep
        });
    }
}

impl Connection {
    fn write(&mut self) {
        let mut written = 0;
        while written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.outgoing.drain(..written);
    }
}
