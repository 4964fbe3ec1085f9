//! The one UDP socket: batches in, runs of equal datagrams out (UDP_SEGMENT).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::types::Door;

/// Kernel buffers, in bytes: half a second of nine publishers at 8 Mbit/s inwards, a keyframe for each of 80 viewers outwards.
const RECEIVE_BUFFER: usize = 4 << 20;
const SEND_BUFFER: usize = 8 << 20;
/// The largest datagram that means anything to us; GRO hands over several in one buffer.
const LARGEST: usize = 1600;

struct Shared {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// The receiving half with its buffers.
pub(super) struct UdpReceiver {
    shared: Rc<Shared>,
    buffers: Vec<Box<[u8]>>,
    meta: Vec<RecvMeta>,
}

/// The sending half.
pub(super) struct UdpSender {
    shared: Rc<Shared>,
    /// Datagrams that the kernel did not take.
    pub(super) dropped: u64,
}

/// One received datagram.
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) contents: &'a [u8],
}

/// The socket before the thread has it.
pub(super) struct Bound(Shared);

impl Bound {
    pub(super) fn new(door: Door<UdpSocket>) -> io::Result<Self> {
        let socket = match door {
            Door::Address(address) => {
                let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
                if address.is_ipv6() {
                    socket.set_only_v6(false)?;
                }
                socket.bind(&address.into())?;
                socket
            }
            Door::Open(socket) => socket.into(),
        };
        // Best effort: the kernel caps both at its own limits.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self(Shared { socket, state, local }))
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.socket.as_raw_fd()
    }

    /// The bound address, with the port that was really taken.
    pub(super) fn local(&self) -> SocketAddr {
        self.0.local
    }

    pub(super) fn split(self) -> (UdpReceiver, UdpSender) {
        let shared = Rc::new(self.0);
        // A buffer that is never touched costs no memory: GRO may fill one with many datagrams, few batches have any.
        let size = LARGEST * shared.state.gro_segments().min(40);
        let buffers = (0..BATCH_SIZE).map(|_| vec![0; size].into()).collect();
        let receiver = UdpReceiver { shared: shared.clone(), buffers, meta: vec![RecvMeta::default(); BATCH_SIZE] };
        (receiver, UdpSender { shared, dropped: 0 })
    }
}

impl UdpReceiver {
    /// Receives one batch and gives each datagram to `take`. False when there is nothing to receive.
    pub(super) fn receive(&mut self, mut take: impl FnMut(Datagram<'_>)) -> io::Result<bool> {
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = {
            let mut buffers = self.buffers.iter_mut();
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().map_or(&mut [], |b| b)))
        };
        let Shared { socket, state, local } = &*self.shared;
        let count = match state.recv(UdpSockRef::from(socket), &mut slices, &mut self.meta) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // An ICMP error of an earlier send; it says nothing about the socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in self.meta.iter().zip(&self.buffers).take(count) {
            let source = canonical(meta.addr);
            let ip = meta.dst_ip.unwrap_or(local.ip()).to_canonical();
            let destination = SocketAddr::new(ip, local.port());
            let stride = meta.stride.max(1);
            for contents in buffer[..meta.len.min(buffer.len())].chunks(stride) {
                take(Datagram { source, destination, contents });
            }
        }
        Ok(true)
    }
}

impl UdpSender {
    /// Sends `contents`: one datagram, or several of `segment` bytes each (the last may be shorter).
    pub(super) fn send(&mut self, from: IpAddr, to: SocketAddr, contents: &[u8], segment: Option<usize>) {
        let shared = self.shared.clone();
        let Shared { socket, state, local } = &*shared;
        let src_ip = (local.ip().is_unspecified() && !from.is_unspecified()).then(|| self.mapped(from));
        let destination = SocketAddr::new(self.mapped(to.ip()), to.port());
        let transmit = Transmit { destination, ecn: None, contents, segment_size: segment, src_ip };
        let sent = state.try_send(UdpSockRef::from(socket), &transmit);
        if sent.is_ok() {
            return;
        }
        // A device without segmentation, or a run that the path refuses: once more, one by one.
        let segment = segment.unwrap_or(contents.len()).max(1);
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if sent.as_ref().is_err_and(would_block) || segment >= contents.len() {
            self.dropped += contents.len().div_ceil(segment) as u64;
            return;
        }
        for contents in contents.chunks(segment) {
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
            if state.try_send(UdpSockRef::from(socket), &transmit).is_err() {
                self.dropped += 1;
            }
        }
    }

    /// The most datagrams that one call may carry.
    pub(super) fn max_run(&self) -> usize {
        self.shared.state.max_gso_segments().max(1)
    }

    fn mapped(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.shared.local.is_ipv6() => v4.to_ipv6_mapped().into(),
            other => other,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
