//! ICE-TCP: passive candidates on one port (RFC 6544), packets framed by their length (RFC 4571).

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use appliance_core::crowd::counted;
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
/// So many connections of one address (IPv6: of one /64) may have brought nothing of a session yet; a further one is closed
/// at once, so that nobody holds all places by connecting again and again. A class behind one translator proves itself
/// within a round trip each.
const UNPROVEN_EACH: usize = 16;
const LARGEST: usize = 2048;

/// A frame that is larger than any packet of ours: it is no media client that speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Gives each whole packet of a stream that is framed by RFC 4571 (two bytes of length, then the packet), and says how many
/// bytes of it are done with. The rest is the beginning of a packet, less than 2 + [`LARGEST`] bytes.
///
/// # Errors
/// [`TooLarge`], after the packets before it were given.
pub(super) fn frames<'a>(stream: &'a [u8], mut packet: impl FnMut(&'a [u8])) -> Result<usize, TooLarge> {
    let mut at = 0;
    while let [high, low, rest @ ..] = &stream[at..] {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        if size > LARGEST {
            return Err(TooLarge);
        }
        let Some(whole) = rest.get(..size) else { break };
        packet(whole);
        at += 2 + size;
    }
    Ok(at)
}

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
            if self.connections.len() >= self.limit || self.unproven(remote.ip()) >= UNPROVEN_EACH {
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

    /// How many connections of what counts as this address have not brought anything of a session.
    fn unproven(&self, address: IpAddr) -> usize {
        let own = counted(address);
        self.connections.iter().filter(|(remote, it)| !it.proven && counted(remote.ip()) == own).count()
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
                    let local = connection.local;
                    match frames(&connection.incoming, |packet| packets.push((remote, local, packet.to_vec()))) {
                        Ok(taken) => drop(connection.incoming.drain(..taken)),
                        Err(TooLarge) => connection.broken = true,
                    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
        packets.iter().flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat()).collect()
    }

    #[test]
    fn a_frame_that_is_too_large_ends_the_stream() {
        let mut given = Vec::new();
        assert_eq!(frames(&[0, 1, 7, 0xff, 0xff, 0], |packet| given.push(packet.to_vec())), Err(TooLarge));
        assert_eq!(given, [vec![7]]);
        assert_eq!(frames(&[0, 0, 0], |packet| assert!(packet.is_empty())), Ok(2));
    }

    /// Lets in who waits until so many connections are there, at the latest in 10 seconds.
    fn accept_until(tcp: &mut Tcp, poll: &mut mio::Poll, count: usize) {
        let began = Instant::now();
        let mut events = mio::Events::with_capacity(64);
        while tcp.connections.len() != count {
            assert!(began.elapsed() < PROVE_WITHIN, "{} connections, not {count}", tcp.connections.len());
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            tcp.accept(began);
        }
    }

    #[test]
    fn one_address_has_few_unproven_connections_and_the_proven_keep_their_places() {
        let mut poll = mio::Poll::new().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut tcp = Tcp::open(Door::Address(any), poll.registry(), Token(0), 1, 1000).unwrap();
        let at = tcp.local();
        let connect =
            |count: usize| -> Vec<_> { (0..count).map(|_| std::net::TcpStream::connect(at).unwrap()).collect() };
        // All of them are in the listener's queue once they are connected.
        let crowd = connect(UNPROVEN_EACH + 4);
        accept_until(&mut tcp, &mut poll, UNPROVEN_EACH);
        tcp.accept(Instant::now());
        assert_eq!(tcp.connections.len(), UNPROVEN_EACH);
        let let_in: Vec<SocketAddr> = tcp.connections.keys().copied().collect();
        let_in.iter().for_each(|remote| tcp.prove(*remote));
        let later = connect(3);
        accept_until(&mut tcp, &mut poll, UNPROVEN_EACH + 3);
        tcp.sweep(Instant::now() + PROVE_WITHIN);
        assert_eq!(tcp.connections.len(), UNPROVEN_EACH, "who proves nothing goes, who has proven itself stays");
        drop((crowd, later));
    }

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in_however_the_stream_is_cut(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            step in 1usize..500,
        ) {
            let stream = framed(&packets);
            let (mut waiting, mut given) = (Vec::new(), Vec::new());
            for chunk in stream.chunks(step) {
                waiting.extend_from_slice(chunk);
                let taken = frames(&waiting, |packet| given.push(packet.to_vec())).unwrap();
                waiting.drain(..taken);
                prop_assert!(waiting.len() < 2 + LARGEST);
            }
            prop_assert_eq!(given, packets);
        }
    }
}
