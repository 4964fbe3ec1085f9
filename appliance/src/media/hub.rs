//! The media thread: waits for packets, commands and the time, and hands each to the [`Switchboard`].

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use str0m::net::Protocol;
use tokio::sync::mpsc;

use super::{
    Limits, MediaConfig, MediaEvent, cert, handle::Command, keys, net::Net, socket::Bound, switchboard::Switchboard,
    tcp::Tcp,
};

const WAKE: Token = Token(0);
const UDP: Token = Token(1);
const LISTEN: Token = Token(2);
const FIRST_CONNECTION: usize = 3;
/// Batches received before what they brought is sent on, so that a flood does not starve the viewers.
const BATCHES: usize = 4;
/// Commands carried out between two looks at the sockets.
const COMMANDS: usize = 16;

/// The thread before it runs: everything that can fail has not failed.
pub(super) struct Hub {
    poll: Poll,
    udp: Bound,
    tcp: Option<Tcp>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<MediaEvent>,
    addresses: Vec<IpAddr>,
    limits: Limits,
    crypto: Arc<str0m::config::CryptoProvider>,
    cert: str0m::config::DtlsCert,
}

impl Hub {
    pub(super) fn new(
        config: MediaConfig,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<MediaEvent>,
    ) -> io::Result<(Self, Waker)> {
        let crypto = Arc::new(keys::provider());
        let MediaConfig { udp, tcp, addresses, data_dir, limits } = config;
        let cert = cert::load_or_create(&data_dir, &crypto)?;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let udp = Bound::new(udp)?;
        poll.registry().register(&mut SourceFd(&udp.fd()), UDP, Interest::READABLE)?;
        let open = |door| Tcp::open(door, poll.registry(), LISTEN, FIRST_CONNECTION, limits.tcp_connections);
        let tcp = tcp.map(open).transpose()?;
        tracing::info!(udp = %udp.local(), tcp = ?tcp.as_ref().map(Tcp::local), "media sockets are bound");
        Ok((Self { poll, udp, tcp, commands, events, addresses, limits, crypto, cert }, waker))
    }

    /// Runs until all handles are gone or [`super::MediaHandle::stop`] is called.
    pub(super) fn run(self) {
        let Self { mut poll, udp, tcp, mut commands, events, addresses, limits, crypto, cert } = self;
        let local = udp.local();
        let (mut receiver, sender) = udp.split();
        let net = Net::new(sender, tcp);
        let now = Instant::now();
        let mut board = Switchboard::new(now, net, crypto, cert, limits, local, addresses, events);
        let mut ready = Events::with_capacity(256);
        let mut readable = true;
        let mut more_commands = true;
        loop {
            let now = Instant::now();
            let wait = board.next_due().saturating_duration_since(now);
            let wait = if readable || more_commands { Duration::ZERO } else { wait };
            if let Err(error) = poll.poll(&mut ready, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the media thread can't wait for its sockets");
                return;
            }
            let now = Instant::now();
            for event in &ready {
                match event.token() {
                    WAKE => more_commands = true,
                    UDP => readable = true,
                    LISTEN => {
                        if let Some(tcp) = &mut board.net.tcp {
                            tcp.accept(now);
                        }
                    }
                    connection => {
                        let packets = board.net.tcp.as_mut().map(|tcp| tcp.ready(connection)).unwrap_or_default();
                        for (from, to, packet) in packets {
                            if board.datagram(now, Protocol::Tcp, from, to, &packet)
                                && let Some(tcp) = &mut board.net.tcp
                            {
                                tcp.prove(from);
                            }
                        }
                    }
                }
            }
            for _ in 0..BATCHES {
                if !readable {
                    break;
                }
                let received = receiver.receive(|packet| {
                    board.datagram(now, Protocol::Udp, packet.source, packet.destination, packet.contents);
                });
                readable = received.unwrap_or_else(|error| {
                    tracing::warn!(%error, "the media socket could not be read");
                    false
                });
            }
            board.forward(now);
            board.run_timers(now);
            if more_commands {
                more_commands = false;
                for done in 1..=COMMANDS {
                    let command = match commands.try_recv() {
                        Ok(command) => command,
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) => return,
                    };
                    if !board.command(now, command) {
                        return;
                    }
                    more_commands = done == COMMANDS;
                }
            }
        }
    }
}
