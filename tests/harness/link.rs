//! A bad link between two machines: delay, jitter, loss and rate, at will and while traffic flows.
//!
//! The kernel of small test machines has no `netem`, so the link is two threads between two TUN devices. What it does to
//! a packet is decided by [`Queue`], which has no clock and no device.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tun::Device;

use crate::netns::Ns;

/// What a link does to the packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Every packet arrives this much later.
    pub delay: Duration,
    /// Up to this much more, evenly spread. Order is kept, as on Wi-Fi: a late packet holds up those behind it.
    pub jitter: Duration,
    /// Share of the packets that never arrive, 0.0 to 1.0.
    pub loss: f64,
    /// Bits a second; `None` is as fast as the machine can.
    pub rate: Option<u64>,
    /// Bytes that may wait for their turn when `rate` is set; what comes on top is dropped.
    pub queue: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, rate: None, queue: 128 * 1024 }
    }
}

impl Shape {
    /// A link on which nothing arrives.
    pub fn cut() -> Self {
        Self { loss: 1.0, ..Self::default() }
    }

    /// A link with this delay and nothing else.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// The same link, losing this share of its packets.
    #[must_use]
    pub fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }
}

/// One direction of a link. Times are since any fixed beginning. Holds at most [`Queue::PACKETS`] packets, then drops
/// the newest.
#[derive(Debug)]
pub struct Queue {
    shape: Shape,
    random: u64,
    /// When the last accepted packet has left the sender's card.
    sent: Duration,
    /// When each waiting packet has left the sender's card, when it arrives, and the packet. In order of both times.
    waiting: VecDeque<(Duration, Duration, Vec<u8>)>,
}

impl Queue {
    /// The most packets on the way at once.
    pub const PACKETS: usize = 20_000;

    /// A link of this shape; the same seed loses the same packets.
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self { shape, random: seed | 1, sent: Duration::ZERO, waiting: VecDeque::new() }
    }

    /// From now on the link is like this. Packets on the way arrive as they would have.
    pub fn set(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// A packet enters. Says whether it will arrive.
    pub fn push(&mut self, now: Duration, packet: Vec<u8>) -> bool {
        if self.chance() < self.shape.loss || self.waiting.len() >= Self::PACKETS {
            return false;
        }
        let start = self.sent.max(now);
        let sent = match self.shape.rate {
            None => now,
            Some(rate) => {
                let backlog: usize = self.waiting.iter().rev().take_while(|w| w.0 > now).map(|w| w.2.len()).sum();
                if backlog + packet.len() > self.shape.queue {
                    return false;
                }
                start + Duration::from_secs_f64(packet.len() as f64 * 8.0 / rate.max(1) as f64)
            }
        };
        let due = sent + self.shape.delay + self.shape.jitter.mul_f64(self.chance());
        let due = self.waiting.back().map_or(due, |last| due.max(last.1));
        self.sent = sent;
        self.waiting.push_back((sent, due, packet));
        true
    }

    /// The next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next()? > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, _, packet)| packet)
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Duration> {
        self.waiting.front().map(|(_, due, _)| *due)
    }

    /// xorshift64*: evenly spread in 0.0..1.0, the same for the same seed.
    fn chance(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A link between two machines, each with a card [`Link::CARD`]. Ends when dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    carriers: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    shapes: Mutex<[Shape; 2]>,
    over: AtomicBool,
}

impl Link {
    /// The card's name at both ends.
    pub const CARD: &str = "tun0";

    /// A new shape takes hold, and a dropped link ends, within this time.
    const LOOK: Duration = Duration::from_millis(10);

    /// Connects `a` with `b`; both addresses are of the same /24. The same shape holds in both directions.
    pub fn between(a: &Ns, a_address: Ipv4Addr, b: &Ns, b_address: Ipv4Addr, shape: Shape) -> Result<Self> {
        let cards = [Arc::new(card(a)?), Arc::new(card(b)?)];
        let shared = Arc::new(Shared { shapes: Mutex::new([shape; 2]), over: AtomicBool::new(false) });
        let mut link = Self { shared, carriers: Vec::new() };
        for direction in 0..2 {
            let (from, to) = (Arc::clone(&cards[direction]), Arc::clone(&cards[1 - direction]));
            let shared = Arc::clone(&link.shared);
            let carrier = thread::Builder::new().name("link".into());
            link.carriers.push(carrier.spawn(move || carry(&from, &to, direction, &shared))?);
        }
        for (ns, address) in [(a, a_address), (b, b_address)] {
            ns.ip(&format!("address add {address}/24 dev {}", Self::CARD))?;
            ns.ip(&format!("link set {} up mtu 1500", Self::CARD))?;
        }
        Ok(link)
    }

    /// From now on the link is like this, from `a` to `b` and back.
    pub fn set(&self, there: Shape, back: Shape) {
        *self.shared.shapes.lock().unwrap_or_else(PoisonError::into_inner) = [there, back];
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for carrier in self.carriers.drain(..) {
            let _ = carrier.join();
        }
    }
}

/// A TUN device inside the namespace.
fn card(ns: &Ns) -> Result<Device> {
    ns.enter(|| {
        let mut config = tun::Configuration::default();
        config.tun_name(Link::CARD).platform_config(|platform| {
            // Only makes the device; its address is set with `ip` like every other card's.
            platform.ensure_root_privileges(false);
        });
        let device = tun::create(&config).context("TUN device")?;
        device.set_nonblock()?;
        Ok(device)
    })?
}

/// Carries one direction until the link is over or a card is gone.
fn carry(from: &Device, to: &Device, direction: usize, shared: &Shared) {
    let start = Instant::now();
    let mut queue = Queue::new(Shape::default(), 0x5eed + direction as u64);
    let mut buffer = [0; 2048];
    while !shared.over.load(Ordering::Relaxed) {
        let wait = queue.next().map_or(Link::LOOK, |due| due.saturating_sub(start.elapsed()).min(Link::LOOK));
        let mut received = from.recv_timeout(&mut buffer, wait);
        queue.set(shared.shapes.lock().unwrap_or_else(PoisonError::into_inner)[direction]);
        loop {
            match received {
                Ok(length) => drop(queue.push(start.elapsed(), buffer[..length].to_vec())),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(_) => return,
            }
            received = from.recv(&mut buffer);
        }
        let now = start.elapsed();
        while let Some(packet) = queue.pop(now) {
            // A card that is full or down drops the packet, as cards do.
            let _ = to.send(&packet);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn drain(queue: &mut Queue, now: Duration) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop(now)).map(|packet| packet[0]).collect()
    }

    #[test]
    fn a_packet_arrives_after_the_delay_and_not_before() {
        let mut queue = Queue::new(Shape::delay(ms(50)), 1);
        assert!(queue.push(ms(100), vec![7]));
        assert_eq!(queue.next(), Some(ms(150)));
        assert_eq!(queue.pop(ms(149)), None);
        assert_eq!(queue.pop(ms(150)), Some(vec![7]));
    }

    #[test]
    fn jitter_spreads_arrivals_but_keeps_the_order() {
        let mut queue = Queue::new(Shape { delay: ms(20), jitter: ms(30), ..Shape::default() }, 1);
        for n in 0..100 {
            queue.push(ms(u64::from(n)), vec![n]);
        }
        assert!(drain(&mut queue, ms(19)).is_empty());
        assert_eq!(drain(&mut queue, ms(150)), (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn loss_is_near_its_share_and_repeats_with_the_seed() {
        let arrived = |seed| {
            let mut queue = Queue::new(Shape::default().losing(0.05), seed);
            (0..10_000).filter(|n| queue.push(ms(*n), vec![0]) && queue.pop(ms(*n)).is_some()).count()
        };
        assert!((9_400..9_600).contains(&arrived(1)), "{}", arrived(1));
        assert_eq!(arrived(1), arrived(1));
    }

    #[test]
    fn nothing_arrives_over_a_cut_link() {
        let mut queue = Queue::new(Shape::cut(), 3);
        assert!((0..1000).all(|n| !queue.push(ms(n), vec![0])));
    }

    #[test]
    fn the_rate_spaces_packets_and_a_full_queue_drops_the_newest() {
        // 1000 bytes at 800 kbit/s take 10 ms each; three of them fit into the queue.
        let mut queue = Queue::new(Shape { rate: Some(800_000), queue: 3000, ..Shape::default() }, 1);
        let taken: Vec<bool> = (0..5u8).map(|n| queue.push(ms(0), vec![n; 1000])).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert!(drain(&mut queue, ms(9)).is_empty());
        assert_eq!(drain(&mut queue, ms(10)), [0]);
        assert_eq!(drain(&mut queue, ms(30)), [1, 2]);
        assert!(queue.push(ms(30), vec![9; 1000]), "there is room again");
    }

    #[test]
    fn a_new_shape_does_not_touch_what_is_on_the_way() {
        let mut queue = Queue::new(Shape::delay(ms(100)), 1);
        queue.push(ms(0), vec![1]);
        queue.set(Shape::cut());
        assert!(!queue.push(ms(1), vec![2]));
        assert_eq!(drain(&mut queue, ms(100)), [1]);
    }
}
