//! Freezes: gaps between a stream's frames that a viewer sees as a picture that stands still although it should not.

use std::time::{Duration, Instant};

/// So many gaps make the usual one. Few, so that a screen that comes to rest counts as resting after some frames.
const GAPS: usize = 8;
/// A shorter gap is no freeze that anyone minds, however quick the stream.
const SHORTEST: Duration = Duration::from_millis(500);
/// However long a freeze was, it does not make those that follow usual.
const LONGEST_USUAL: Duration = Duration::from_secs(5);

/// Counts the freezes of one stream while someone is to be given it. A gap counts, however long, when it is well above the
/// usual one: longer than three times the average and than the average and 150 ms, as `freezeCount` of WebRTC's statistics.
/// Pages send 15 frames a second also of a still screen; another program's that sends one each second freezes never.
#[derive(Debug, Clone, Default)]
pub struct Freezes {
    /// When the newest frame came.
    last: Option<Instant>,
    gaps: [Duration; GAPS],
    /// Gaps seen since the stream began anew.
    seen: usize,
    count: u64,
}

impl Freezes {
    /// A frame came.
    pub fn frame(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            self.gap(now.saturating_duration_since(last));
        }
    }

    /// Nobody is given the stream now, so that its publisher may well send nothing. What comes later begins it anew.
    pub fn rest(&mut self) {
        *self = Self { count: self.count, ..Self::default() };
    }

    fn gap(&mut self, gap: Duration) {
        if self.seen >= GAPS {
            let usual = self.gaps.iter().sum::<Duration>() / GAPS as u32;
            let most = (usual * 3).max(usual + Duration::from_millis(150)).max(SHORTEST);
            self.count += u64::from(gap > most);
        }
        self.gaps[self.seen % GAPS] = gap.min(LONGEST_USUAL);
        // Stays below the number at which it would begin anew.
        self.seen = if self.seen + 1 >= 2 * GAPS { GAPS } else { self.seen + 1 };
    }

    /// Freezes so far.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose frames come with these gaps.
    struct Stream(Freezes, Instant);

    impl Stream {
        fn new() -> Self {
            let (mut freezes, now) = (Freezes::default(), Instant::now());
            freezes.frame(now);
            Self(freezes, now)
        }

        fn frames(mut self, gaps: &[(usize, u64)]) -> Self {
            for ms in gaps.iter().flat_map(|(times, ms)| std::iter::repeat_n(*ms, *times)) {
                self.1 += Duration::from_millis(ms);
                self.0.frame(self.1);
            }
            self
        }

        fn rest(mut self) -> Self {
            self.0.rest();
            self
        }
    }

    fn after(gaps: &[(usize, u64)]) -> u64 {
        Stream::new().frames(gaps).0.count()
    }

    #[test]
    fn a_still_screen_does_not_freeze() {
        assert_eq!(after(&[(1000, 1000)]), 0);
        assert_eq!(after(&[(50, 950), (50, 1150), (50, 1000)]), 0);
    }

    #[test]
    fn a_gap_in_a_running_picture_is_one_freeze() {
        assert_eq!(after(&[(300, 33), (1, 700), (300, 33)]), 1);
        assert_eq!(after(&[(300, 33), (1, 700), (30, 33), (1, 2000), (300, 33)]), 2);
        assert_eq!(after(&[(300, 33), (1, 400), (300, 33)]), 0, "hardly seen");
        assert_eq!(after(&[(100, 1000), (1, 4000), (100, 1000)]), 1, "a still screen's too");
    }

    #[test]
    fn a_freeze_is_one_however_long_it_lasts() {
        assert_eq!(after(&[(300, 33), (1, 5_500), (300, 33)]), 1);
        assert_eq!(after(&[(300, 33), (1, 60_000), (300, 33)]), 1);
        assert_eq!(after(&[(300, 33), (1, 60_000), (4, 33), (1, 4_000), (300, 33)]), 2, "and hides no other");
    }

    #[test]
    fn what_nobody_wanted_is_no_freeze() {
        let paused = || Stream::new().frames(&[(300, 33)]).rest();
        assert_eq!(paused().frames(&[(1, 1_000), (300, 33)]).0.count(), 0);
        assert_eq!(paused().frames(&[(1, 600_000), (300, 33)]).0.count(), 0);
        assert_eq!(paused().frames(&[(1, 600_000), (300, 33), (1, 700), (9, 33)]).0.count(), 1, "it is watched again");
        assert_eq!(Stream::new().frames(&[(300, 33), (1, 700), (9, 33)]).rest().0.count(), 1, "what was stays");
    }

    #[test]
    fn what_has_come_to_rest_is_no_string_of_freezes() {
        // The video on the screen was stopped.
        assert!(after(&[(300, 33), (600, 1000)]) <= 3);
        assert_eq!(after(&[(7, 33), (1, 900)]), 0, "nothing is usual yet");
    }
}
