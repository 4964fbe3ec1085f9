//! How much a viewer's path can carry, from what the viewer tells about the packets it got.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    number: u16,
    size: u16,
    /// Microseconds since the start of the estimator, wrapping.
    at: u32,
}

/// Send-side estimate of one viewer's path.
///
/// Two signs of congestion: the packets' way takes longer than the shortest of the last 20 seconds by more than
/// [`Estimator::MAX_QUEUE`] (a queue stands somewhere), or more than a tenth of them is lost. Then the estimate falls to 85 %
/// of what arrived. Without a sign it grows by a tenth each second, so that a better layer gets its try; loss between 2 %
/// and a tenth keeps it as it is.
/// The arrival times come from transport-wide feedback; viewers without it are judged by their receiver reports alone.
#[derive(Debug)]
pub struct Estimator {
    start: Instant,
    sent: Box<[Sent]>,
    estimate: f64,
    /// Shortest way per 5-second slot, newest last: (slot, microseconds), at most 4.
    shortest: VecDeque<(u64, i64)>,
    queue: f64,
    /// Bytes that arrived, lost and all packets in the present window, and its start.
    window: (u64, u32, u32, Instant),
    /// First and last arrival in the window, on the viewer's clock.
    arrivals: Option<(i64, i64)>,
    congested_at: Option<Instant>,
    fell_at: Option<Instant>,
    grew_at: Instant,
    arrived: f64,
}

impl Estimator {
    /// Packets remembered for feedback: 2.8 seconds at 3 Mbit/s.
    const REMEMBERED: usize = 1024;
    /// A standing queue longer than this is congestion; Wi-Fi makes shorter ones all the time.
    pub const MAX_QUEUE: Duration = Duration::from_millis(120);
    const WINDOW: Duration = Duration::from_millis(400);
    const MIN: f64 = 50_000.0;
    const MAX: f64 = 50_000_000.0;

    /// Begins with `initial` bits per second.
    pub fn new(now: Instant, initial: u64) -> Self {
        Self {
            start: now,
            sent: vec![Sent::default(); Self::REMEMBERED].into_boxed_slice(),
            estimate: initial as f64,
            shortest: VecDeque::new(),
            queue: 0.0,
            window: (0, 0, 0, now),
            arrivals: None,
            congested_at: None,
            fell_at: None,
            grew_at: now,
            arrived: 0.0,
        }
    }

    /// Bits per second that the path can carry.
    pub fn bits_per_second(&self) -> u64 {
        self.estimate as u64
    }

    /// Whether there was a sign of congestion within the last second.
    pub fn congested(&self, now: Instant) -> bool {
        self.congested_at.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1))
    }

    /// A packet with this transport-wide number was sent.
    pub fn on_sent(&mut self, number: u16, size: usize, now: Instant) {
        let at = now.saturating_duration_since(self.start).as_micros() as u32;
        let slot = usize::from(number) % Self::REMEMBERED;
        self.sent[slot] = Sent { number, size: size.min(usize::from(u16::MAX)) as u16, at };
    }

    /// Feedback: each number with the microseconds of its arrival on the viewer's clock, `None` for those that did not arrive.
    pub fn on_feedback(&mut self, now: Instant, packets: impl Iterator<Item = (u16, Option<i64>)>) {
        let elapsed = now.saturating_duration_since(self.start);
        let slot = elapsed.as_secs() / 5;
        for (number, arrival) in packets {
            let sent = self.sent[usize::from(number) % Self::REMEMBERED];
            if sent.number != number || sent.size == 0 {
                continue;
            }
            self.window.2 += 1;
            let Some(arrival) = arrival else {
                self.window.1 += 1;
                continue;
            };
            self.sent[usize::from(number) % Self::REMEMBERED].size = 0;
            self.window.0 += u64::from(sent.size);
            let (first, last) = self.arrivals.unwrap_or((arrival, arrival));
            self.arrivals = Some((first.min(arrival), last.max(arrival)));
            let age = (elapsed.as_micros() as u32).wrapping_sub(sent.at);
            let way = arrival - (elapsed.as_micros() as i64 - i64::from(age));
            match self.shortest.back_mut() {
                Some((newest, shortest)) if *newest == slot => *shortest = way.min(*shortest),
                _ => self.shortest.push_back((slot, way)),
            }
            while self.shortest.front().is_some_and(|(old, _)| slot.saturating_sub(*old) >= 4) {
                self.shortest.pop_front();
            }
            let base = self.shortest.iter().map(|(_, way)| *way).min().unwrap_or(way);
            self.queue += ((way - base) as f64 - self.queue) * 0.1;
        }
        let (bytes, lost, all, since) = self.window;
        let length = now.saturating_duration_since(since);
        if length >= Self::WINDOW && all >= 10 {
            self.window = (0, 0, 0, now);
            // A link that is too thin stretches the arrivals; feedback that is late does not.
            let span = self.arrivals.take().map_or(0, |(first, last)| last - first) as f64 / 1e6;
            self.arrived = bytes as f64 * 8.0 / span.max(length.as_secs_f64());
            self.judge(now, f64::from(lost) / f64::from(all));
        }
    }

    /// A receiver report of a viewer that gives no transport-wide feedback, with what was sent since the last one.
    pub fn on_report(&mut self, now: Instant, fraction_lost: f64, sent_bits_per_second: f64) {
        self.arrived = sent_bits_per_second * (1.0 - fraction_lost);
        self.judge(now, fraction_lost);
    }

    /// The viewer's own estimate (REMB): an upper bound.
    pub fn on_remb(&mut self, bits_per_second: f64) {
        if bits_per_second.is_finite() {
            self.estimate = self.estimate.min(bits_per_second).clamp(Self::MIN, Self::MAX);
        }
    }

    fn judge(&mut self, now: Instant, loss: f64) {
        let standing = self.queue > Self::MAX_QUEUE.as_micros() as f64;
        if standing || loss > 0.1 {
            self.congested_at = Some(now);
            let may_fall = self.fell_at.is_none_or(|at| now.saturating_duration_since(at) >= Self::WINDOW);
            if may_fall && self.arrived > 0.0 {
                self.estimate = self.estimate.min(self.arrived * 0.85).clamp(Self::MIN, Self::MAX);
                self.fell_at = Some(now);
            }
            self.grew_at = now;
        } else if loss < 0.02 {
            let seconds = now.saturating_duration_since(self.grew_at).as_secs_f64().min(1.0);
            self.estimate = (self.estimate * (1.0 + 0.1 * seconds)).clamp(Self::MIN, Self::MAX);
            self.grew_at = now;
        } else {
            self.grew_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends `rate` bits a second in 1000-byte packets for `seconds` over a link of `link` bits a second and `delay`;
    /// every `lose`-th packet is lost. The viewer's clock is off by an hour.
    fn run(estimator: &mut Estimator, from: Instant, seconds: u64, rate: u64, link: u64, lose: u64) -> Instant {
        let gap = 8_000_000_000_000 / rate;
        let mut free = 0u64;
        let mut report = Vec::new();
        let mut now = from;
        for n in 0..(seconds * 1_000_000_000 / gap) {
            let at = n * gap;
            now = from + Duration::from_nanos(at);
            let number = n as u16;
            estimator.on_sent(number, 1000, now);
            free = free.max(at) + 8_000_000_000_000 / link;
            let offset = from.duration_since(estimator.start).as_micros() as i64;
            let arrival = (lose == 0 || n % lose != 0).then_some(offset + (free / 1000) as i64 + 3_600_000_000);
            report.push((number, arrival));
            if report.len() >= 40 {
                estimator.on_feedback(now + Duration::from_millis(20), report.drain(..));
            }
        }
        now
    }

    #[test]
    fn grows_on_a_good_path() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start, 1_000_000);
        run(&mut estimator, start, 10, 1_000_000, 100_000_000, 0);
        assert!(estimator.bits_per_second() > 2_000_000, "{}", estimator.bits_per_second());
    }

    #[test]
    fn falls_below_the_bottleneck_and_says_so() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start, 3_000_000);
        let end = run(&mut estimator, start, 4, 2_000_000, 1_000_000, 0);
        assert!(estimator.bits_per_second() < 1_000_000, "{}", estimator.bits_per_second());
        assert!(estimator.congested(end));
    }

    #[test]
    fn five_percent_of_random_loss_is_no_congestion() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start, 3_000_000);
        let end = run(&mut estimator, start, 10, 2_000_000, 100_000_000, 20);
        assert!(estimator.bits_per_second() >= 3_000_000);
        assert!(!estimator.congested(end));
    }

    #[test]
    fn heavy_loss_is() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start, 3_000_000);
        run(&mut estimator, start, 5, 2_000_000, 100_000_000, 4);
        assert!(estimator.bits_per_second() < 2_000_000);
    }

    proptest! {
        #[test]
        fn stays_in_its_bounds(
            feedback in prop::collection::vec((any::<u16>(), any::<Option<i32>>(), 0..500u64), 0..300), remb: f64
        ) {
            let mut now = Instant::now();
            let mut estimator = Estimator::new(now, 1_000_000);
            for (number, arrival, wait) in feedback {
                now += Duration::from_millis(wait);
                estimator.on_sent(number, 1200, now);
                estimator.on_feedback(now, [(number, arrival.map(i64::from))].into_iter());
            }
            estimator.on_remb(remb);
            prop_assert!((50_000..=50_000_000).contains(&estimator.bits_per_second()));
        }
    }
}
