//! The load of the forward benchmark: one publisher and many viewers, and how long each packet was on its way.
//!
//! The publisher notes the moment just before each packet goes; a viewer takes the kernel's arrival time. Both are the
//! same clock of the same machine. The difference is what the server (and one crossing of loopback each way) took.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use str0m::{
    Event,
    media::{Mid, Pt},
    rtp::RtpWrite,
};

use crate::peer::Peer;

/// Packets in a picture, bytes of payload in a packet, pictures in a second: 3.2 Mbit/s.
pub(crate) const LOAD: (usize, usize, u32) = (12, 1100, 30);

/// Marks our payloads; four bytes of number follow it, at the end of the payload.
const MAGIC: [u8; 4] = *b"beat";

/// What was counted in a time of measuring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    /// Packets the publisher sent.
    pub(crate) sent: u64,
    /// Packets all viewers got.
    pub(crate) received: u64,
    /// Viewers that got something.
    pub(crate) viewers: usize,
    /// Median delay.
    pub p50: Duration,
    /// 99th percentile of the delay.
    pub p99: Duration,
}

impl Report {
    /// Share of the packets that arrived, of those that every viewer should have got.
    pub(crate) fn delivered(&self) -> f64 {
        self.received as f64 / (self.sent * self.viewers.max(1) as u64).max(1) as f64
    }
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    measuring: AtomicBool,
    publishing: AtomicBool,
    sent: AtomicU64,
    /// When packet `n` went, at `n % 65536`; nanoseconds since 1970.
    went: Box<[AtomicU64]>,
    /// Delays in steps of 10 µs; the last one holds all that took longer.
    delays: Box<[AtomicU32]>,
    connected: AtomicU32,
    active: AtomicU32,
    failure: Mutex<Option<String>>,
}

/// The running load. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Swarm {
    shared: Arc<Shared>,
    viewers: mpsc::Sender<Peer>,
    threads: Vec<JoinHandle<()>>,
}

impl Swarm {
    /// Starts publishing on a peer whose offer was answered.
    pub(crate) fn start(publisher: Peer, mid: Mid) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            publishing: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            went: (0..1 << 16).map(|_| AtomicU64::new(0)).collect(),
            delays: (0..100_000).map(|_| AtomicU32::new(0)).collect(),
            connected: AtomicU32::new(0),
            active: AtomicU32::new(0),
            failure: Mutex::new(None),
        });
        let (viewers, new) = mpsc::channel();
        let publish = run(&shared, move |shared| publish(publisher, mid, shared));
        let watch = run(&shared, move |shared| watch(&new, shared));
        Self { shared, viewers, threads: vec![publish, watch] }
    }

    /// Adds a viewer whose negotiation is done.
    pub(crate) fn add(&self, viewer: Peer) -> Result<()> {
        self.viewers.send(viewer).context("the viewers' thread has ended")
    }

    /// Waits until the publisher sends and this many viewers have got packets.
    pub(crate) fn wait_for(&self, viewers: u32, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            self.check()?;
            let (connected, active) = (self.shared.connected.load(Relaxed), self.shared.active.load(Relaxed));
            if self.shared.publishing.load(Relaxed) && active >= viewers {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("of {viewers} viewers {connected} connected and {active} got packets within {within:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Counts for a time.
    pub(crate) fn measure(&self, time: Duration) -> Result<Report> {
        self.shared.delays.iter().for_each(|n| n.store(0, Relaxed));
        let sent = self.shared.sent.load(Relaxed);
        self.shared.measuring.store(true, Relaxed);
        thread::sleep(time);
        self.shared.measuring.store(false, Relaxed);
        let sent = self.shared.sent.load(Relaxed) - sent;
        self.check()?;
        let counts: Vec<u32> = self.shared.delays.iter().map(|n| n.load(Relaxed)).collect();
        let received: u64 = counts.iter().map(|n| u64::from(*n)).sum();
        let at = |share: f64| {
            let mut left = (received as f64 * share) as u64;
            let step = counts.iter().position(|n| match left.checked_sub(u64::from(*n)) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
            Duration::from_micros(10) * u32::try_from(step.unwrap_or(counts.len())).unwrap_or(u32::MAX)
        };
        let viewers = self.shared.active.load(Relaxed) as usize;
        Ok(Report { sent, received, viewers, p50: at(0.5), p99: at(0.99) })
    }

    fn check(&self) -> Result<()> {
        match self.shared.failure.lock().ok().and_then(|failure| failure.clone()) {
            Some(failure) => bail!("the load stopped: {failure}"),
            None => Ok(()),
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> Result<()> + Send + 'static) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        if let (Err(e), Ok(mut failure)) = (work(&shared), shared.failure.lock()) {
            failure.get_or_insert(format!("{e:#}"));
        }
    })
}

/// What the publisher knows of its connection.
struct Flags {
    connected: bool,
    keyframe: bool,
    pt: Option<Pt>,
}

fn publish(mut peer: Peer, mid: Mid, shared: &Shared) -> Result<()> {
    let (packets, size, rate) = LOAD;
    let mut flags = Flags { connected: false, keyframe: true, pt: None };
    let mut number = 0_u32;
    let mut next = Instant::now();
    let picture_time = Duration::from_secs(1) / rate;
    while !shared.stop.load(Relaxed) {
        let now = Instant::now();
        if now >= peer.due {
            peer.tick(now)?;
        }
        while peer.receive()?.is_some() {
            drain(&mut peer, shared, &mut flags)?;
        }
        if flags.connected && now >= next {
            // After a stall the schedule starts anew: no burst to catch up.
            next = if now > next + 3 * picture_time { now + picture_time } else { next + picture_time };
            let pt = peer.payload_type(mid).context("no payload type for H.264 was agreed")?;
            flags.pt = Some(pt);
            let key = std::mem::take(&mut flags.keyframe);
            for packet in 0..packets {
                let payload = payload(number, packet, packets, size, key);
                let sequence = u64::from(number);
                let time = (number / packets as u32).wrapping_mul(90_000 / rate);
                let write = RtpWrite::new(pt, sequence.into(), time, now, payload);
                let write = write.marker(packet + 1 == packets).nackable(true);
                let mut api = peer.rtc().direct_api();
                api.stream_tx_by_mid(mid, None).context("no stream to send")?.write_rtp(write);
                drain(&mut peer, shared, &mut flags)?;
                peer.tick(now)?;
                drain(&mut peer, shared, &mut flags)?;
                number += 1;
            }
            shared.sent.fetch_add(packets as u64, Relaxed);
            shared.publishing.store(true, Relaxed);
        }
        drain(&mut peer, shared, &mut flags)?;
        let until = if flags.connected { next.min(peer.due) } else { peer.due };
        wait(&[&peer], until)?;
    }
    Ok(())
}

fn drain(peer: &mut Peer, shared: &Shared, flags: &mut Flags) -> Result<()> {
    let pt = flags.pt;
    let sent = |datagram: &[u8]| {
        // Repeats have another payload type and numbers of their own.
        if datagram.len() > 1000 && pt.is_some_and(|pt| datagram[1] & 0x7f == *pt) {
            let number = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
            shared.went[number].store(now_nanos(), Relaxed);
        }
    };
    peer.drain(sent, |event| match event {
        Event::Connected => flags.connected = true,
        Event::KeyframeRequest(_) => flags.keyframe = true,
        _ => {}
    })
}

/// A packet of a picture as H.264 is carried (RFC 6184): parameter sets first in a keyframe, then the picture in FU-A.
fn payload(number: u32, packet: usize, packets: usize, size: usize, key: bool) -> Vec<u8> {
    let mut payload = vec![0x5a; size];
    let kind = if key { 5 } else { 1 };
    // Constrained baseline 3.1, 1280×720; a real one, so that whoever looks into it finds what it expects.
    const SPS: [u8; 14] = [0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xba, 0x10, 0x00, 0x00, 0x03, 0x00];
    const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
    if key && packet == 0 {
        payload[0] = 0x78;
        payload[1..3].copy_from_slice(&(SPS.len() as u16).to_be_bytes());
        payload[3..17].copy_from_slice(&SPS);
        payload[17..19].copy_from_slice(&(PPS.len() as u16).to_be_bytes());
        payload[19..23].copy_from_slice(&PPS);
        let rest = size - 25;
        payload[23..25].copy_from_slice(&(rest as u16).to_be_bytes());
        payload[25] = 0x06;
    } else {
        let first = packet == usize::from(key);
        let last = packet + 1 == packets;
        payload[0] = 0x7c;
        payload[1] = kind | if first { 0x80 } else { 0 } | if last { 0x40 } else { 0 };
    }
    payload[size - 8..size - 4].copy_from_slice(&MAGIC);
    payload[size - 4..].copy_from_slice(&number.to_be_bytes());
    payload
}

fn watch(new: &mpsc::Receiver<Peer>, shared: &Shared) -> Result<()> {
    struct Viewer {
        peer: Peer,
        active: bool,
    }
    let mut viewers: Vec<Viewer> = Vec::new();
    while !shared.stop.load(Relaxed) {
        viewers.extend(new.try_iter().map(|peer| Viewer { peer, active: false }));
        let now = Instant::now();
        for viewer in &mut viewers {
            if now >= viewer.peer.due {
                viewer.peer.tick(now)?;
                viewer.peer.drain(|_| {}, |_| {})?;
            }
            while let Some(arrived) = viewer.peer.receive()? {
                let mut got = false;
                viewer.peer.drain(
                    |_| {},
                    |event| match event {
                        Event::Connected => {
                            shared.connected.fetch_add(1, Relaxed);
                        }
                        Event::RtpPacket(packet) => {
                            got = true;
                            note(&packet.payload, arrived, shared);
                        }
                        _ => {}
                    },
                )?;
                if got && !viewer.active {
                    viewer.active = true;
                    shared.active.fetch_add(1, Relaxed);
                }
            }
        }
        let peers: Vec<&Peer> = viewers.iter().map(|viewer| &viewer.peer).collect();
        let due = peers.iter().map(|peer| peer.due).min();
        // New viewers are looked for every 10 ms; with nobody there is nothing else to wait for.
        let soon = Instant::now() + Duration::from_millis(10);
        wait(&peers, due.map_or(soon, |due| due.min(soon)))?;
    }
    Ok(())
}

fn note(payload: &[u8], arrived: u64, shared: &Shared) {
    let Some((_, [m0, m1, m2, m3, n0, n1, n2, n3])) = payload.split_last_chunk::<8>() else { return };
    if !shared.measuring.load(Relaxed) || [*m0, *m1, *m2, *m3] != MAGIC {
        return;
    }
    let number = u32::from_be_bytes([*n0, *n1, *n2, *n3]);
    let went = shared.went[number as usize & 0xffff].load(Relaxed);
    let step = (arrived.saturating_sub(went) / 10_000) as usize;
    shared.delays[step.min(shared.delays.len() - 1)].fetch_add(1, Relaxed);
}

/// Waits until one of the sockets has something or the time has come, whichever is first.
fn wait(peers: &[&Peer], until: Instant) -> Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(());
    }
    let mut sockets: Vec<PollFd> =
        peers.iter().map(|peer| PollFd::new(peer.socket().as_fd(), PollFlags::POLLIN)).collect();
    // Milliseconds, rounded up: a picture may go up to one late, but nothing spins.
    let millis = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
    match poll(&mut sockets, PollTimeout::from(millis)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
