//! Everything that goes out: UDP in runs of equal datagrams, TCP in frames.

use str0m::net::Protocol;

use super::{socket::UdpSender, tcp::Tcp, viewer::Path};

/// Room for one run: the most that one UDP_SEGMENT call can carry.
const RUN: usize = 65_000;

/// The sockets.
pub(super) struct Net {
    pub(super) udp: UdpSender,
    pub(super) tcp: Option<Tcp>,
    buffer: Box<[u8]>,
}

impl Net {
    pub(super) fn new(udp: UdpSender, tcp: Option<Tcp>) -> Self {
        Self { udp, tcp, buffer: vec![0; RUN].into() }
    }

    /// Sends one datagram.
    pub(super) fn send(&mut self, path: Path, contents: &[u8]) {
        match path.protocol {
            Protocol::Udp => self.udp.send(path.local, path.remote, contents, None),
            Protocol::Tcp => {
                if let Some(tcp) = &mut self.tcp {
                    tcp.send(path.remote, contents, false);
                }
            }
            Protocol::SslTcp | Protocol::Tls => {}
        }
    }

    /// Begins to collect packets for one receiver.
    pub(super) fn batch(&mut self, path: Path) -> Batch<'_> {
        let max_run = self.udp.max_run();
        Batch { net: self, path, used: 0, segment: 0, count: 0, closed: false, max_run, dropped: 0 }
    }
}

/// Packets for one receiver that leave together.
pub(super) struct Batch<'a> {
    net: &'a mut Net,
    path: Path,
    used: usize,
    /// Size of all datagrams of the run but the last.
    segment: usize,
    count: usize,
    /// A shorter datagram ended the run.
    closed: bool,
    max_run: usize,
    dropped: u64,
}

impl Batch<'_> {
    /// Room for the next packet; `None` when it is too large for a datagram.
    pub(super) fn reserve(&mut self, size: usize) -> Option<&mut [u8]> {
        let fits = !self.closed
            && (self.count == 0 || size <= self.segment)
            && self.count < self.max_run
            && self.used + size <= self.net.buffer.len();
        if !fits {
            self.flush();
        }
        self.net.buffer.get_mut(self.used..self.used + size)
    }

    /// The packet that was written into the room is to be sent.
    pub(super) fn commit(&mut self, size: usize) {
        if self.count == 0 {
            self.segment = size;
        }
        self.closed = size < self.segment;
        self.used += size;
        self.count += 1;
        if self.path.protocol != Protocol::Udp {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.count > 0 {
            let contents = &self.net.buffer[..self.used];
            match (self.path.protocol, &mut self.net.tcp) {
                (Protocol::Udp, _) => {
                    let segment = (self.count > 1).then_some(self.segment);
                    self.net.udp.send(self.path.local, self.path.remote, contents, segment);
                }
                (Protocol::Tcp, Some(tcp)) => self.dropped += u64::from(!tcp.send(self.path.remote, contents, true)),
                _ => self.dropped += 1,
            }
        }
        (self.used, self.segment, self.count, self.closed) = (0, 0, 0, false);
    }

    /// Sends what is left. Gives the number of packets that a slow TCP connection made us drop.
    pub(super) fn finish(mut self) -> u64 {
        self.flush();
        self.dropped
    }
}
