//! Freezes: gaps between a stream's frames that a viewer sees as a picture that stands still although it should not.

use std::time::Duration;

/// So many gaps make the usual one. Few, so that a screen that comes to rest counts as resting after some frames.
const GAPS: usize = 8;
/// A shorter gap is no freeze that anyone minds, however quick the stream.
const SHORTEST: Duration = Duration::from_millis(500);
/// A longer one is a stream that was switched off on purpose.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts the freezes of one stream. A gap counts when it is well above the usual one: longer than three times the average
/// and than the average and 150 ms, as `freezeCount` of WebRTC's statistics. So a still screen, which sends a frame each
/// second, freezes never.
#[derive(Debug, Clone, Default)]
pub struct Freezes {
    gaps: [Duration; GAPS],
    /// Gaps seen since the stream began anew.
    seen: usize,
    count: u64,
}

impl Freezes {
    /// A frame came this long after the one before.
    pub fn gap(&mut self, gap: Duration) {
        if gap >= LONGEST {
            *self = Self { count: self.count, ..Self::default() };
            return;
        }
        if self.seen >= GAPS {
            let usual = self.gaps.iter().sum::<Duration>() / GAPS as u32;
            let most = (usual * 3).max(usual + Duration::from_millis(150)).max(SHORTEST);
            self.count += u64::from(gap > most);
        }
        self.gaps[self.seen % GAPS] = gap;
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

    fn after(gaps: &[(usize, u64)]) -> u64 {
        let mut freezes = Freezes::default();
        let all = gaps.iter().flat_map(|(times, ms)| std::iter::repeat_n(*ms, *times));
        all.for_each(|ms| freezes.gap(Duration::from_millis(ms)));
        freezes.count()
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
    fn what_was_switched_off_or_has_come_to_rest_is_no_string_of_freezes() {
        assert_eq!(after(&[(300, 33), (1, 60_000), (300, 33)]), 0);
        // The video on the screen was stopped.
        assert!(after(&[(300, 33), (600, 1000)]) <= 3);
        assert_eq!(after(&[(7, 33), (1, 900)]), 0, "nothing is usual yet");
    }
}
