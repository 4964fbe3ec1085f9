//! One unbroken RTP stream for a viewer, made of whatever stream is its source at the time.

use std::time::{Duration, Instant};

/// Sequence number and timestamp as the viewer gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Extended sequence number: the low 16 bits go into the header, the rest is the rollover counter of SRTP.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// This is the first packet after the source changed.
    pub switched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Input {
    stream: u64,
    first: u64,
    newest: u64,
    sequence_offset: i64,
    timestamp_offset: u32,
}

/// Rewrites sequence numbers and timestamps of a viewer's track across changes of publisher, layer and source.
///
/// Gaps and reordering within one source stay as they are, so the viewer's NACKs mean what they say. A change of source looks
/// like the next packet, its timestamp moved on by the time that passed.
#[derive(Debug)]
pub struct Rewriter {
    clock_rate: u32,
    next: u64,
    last: Option<(u32, Instant)>,
    input: Option<Input>,
}

impl Rewriter {
    /// A gap within a stream larger than this is taken for a new start: about 8 seconds at 3 Mbit/s.
    pub const MAX_GAP: u64 = 3000;

    /// `start` is the first sequence number; below 2^15, so that a viewer can't miss the first rollover.
    pub fn new(clock_rate: u32, start: u16) -> Self {
        Self { clock_rate, next: u64::from(start & 0x7fff), last: None, input: None }
    }

    /// The input stream of the last packet.
    pub fn stream(&self) -> Option<u64> {
        self.input.map(|input| input.stream)
    }

    /// The next packet: from `stream`, with its extended sequence number and its timestamp. `None` for a packet from before the
    /// change to this stream, which must not be sent.
    pub fn push(&mut self, stream: u64, sequence: u64, timestamp: u32, now: Instant) -> Option<Rewritten> {
        let continues = |input: &Input| input.stream == stream && sequence.abs_diff(input.newest) <= Self::MAX_GAP;
        let (input, switched) = match self.input {
            Some(input) if continues(&input) => (input, false),
            _ => (self.switch(stream, sequence, timestamp, now), true),
        };
        if sequence < input.first {
            return None;
        }
        let rewritten = Rewritten {
            sequence: sequence.wrapping_add_signed(input.sequence_offset),
            timestamp: timestamp.wrapping_add(input.timestamp_offset),
            switched,
        };
        if switched || sequence > input.newest {
            self.last = Some((rewritten.timestamp, now));
            self.next = rewritten.sequence + 1;
        }
        self.input = Some(Input { newest: input.newest.max(sequence), ..input });
        Some(rewritten)
    }

    /// The viewer's timestamp for a timestamp of the present source, for sender reports.
    pub fn map_timestamp(&self, stream: u64, timestamp: u32) -> Option<u32> {
        self.input.filter(|input| input.stream == stream).map(|input| timestamp.wrapping_add(input.timestamp_offset))
    }

    /// The last timestamp sent, and when.
    pub fn last(&self) -> Option<(u32, Instant)> {
        self.last
    }

    fn switch(&mut self, stream: u64, sequence: u64, timestamp: u32, now: Instant) -> Input {
        let start = match self.last {
            None => timestamp,
            Some((last, at)) => {
                let passed = now.saturating_duration_since(at).max(Duration::from_millis(1));
                let ticks = passed.as_micros() * u128::from(self.clock_rate) / 1_000_000;
                last.wrapping_add(ticks as u32)
            }
        };
        Input {
            stream,
            first: sequence,
            newest: sequence,
            sequence_offset: self.next.wrapping_sub(sequence) as i64,
            timestamp_offset: start.wrapping_sub(timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_and_reordering_stay() {
        let now = Instant::now();
        let mut r = Rewriter::new(90_000, 100);
        let sent: Vec<_> =
            [1000, 1001, 1004, 1003, 1005].iter().filter_map(|&s| r.push(1, s, 5, now)).map(|p| p.sequence).collect();
        assert_eq!(sent, [100, 101, 104, 103, 105]);
    }

    #[test]
    fn another_source_goes_on_where_the_first_ended() {
        let now = Instant::now();
        let mut r = Rewriter::new(90_000, 0);
        r.push(1, 70_000, 9000, now);
        r.push(1, 70_001, 12_000, now);
        let later = now + Duration::from_millis(100);
        let first = r.push(2, 5, 4_000_000_000, later);
        assert_eq!(first, Some(Rewritten { sequence: 2, timestamp: 21_000, switched: true }));
        assert_eq!(r.push(2, 4, 4_000_000_000, later), None, "older than the change");
        assert_eq!(r.push(2, 6, 4_000_003_000, later).map(|p| (p.sequence, p.timestamp)), Some((3, 24_000)));
        assert_eq!(r.map_timestamp(2, 4_000_003_000), Some(24_000));
        assert_eq!(r.map_timestamp(1, 0), None);
    }

    #[test]
    fn a_publisher_that_starts_anew_is_followed() {
        let now = Instant::now();
        let mut r = Rewriter::new(90_000, 0);
        r.push(1, 50_000, 0, now);
        assert_eq!(r.push(1, 7, 0, now).map(|p| (p.sequence, p.switched)), Some((1, true)));
    }

    proptest! {
        #[test]
        fn no_sequence_number_is_used_for_two_packets(
            packets in prop::collection::vec((0..3u64, 0..40u64, any::<u32>(), 0..200u64), 1..300)
        ) {
            let mut now = Instant::now();
            let mut r = Rewriter::new(90_000, 0x7fff);
            let mut used: HashMap<u64, (u64, u64, usize)> = HashMap::new();
            let mut epoch = 0;
            for (stream, sequence, timestamp, wait) in packets {
                now += Duration::from_millis(wait);
                if let Some(out) = r.push(stream, 1000 + sequence, timestamp, now) {
                    epoch += usize::from(out.switched);
                    let was = used.insert(out.sequence, (stream, sequence, epoch));
                    prop_assert!(was.is_none_or(|was| was == (stream, sequence, epoch)), "number {} used twice", out.sequence);
                }
            }
        }
    }
}
