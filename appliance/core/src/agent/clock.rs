//! A clock that was set, told from a clock that ran: the wall clock against one that nobody can set.

use classroom_protocol::Millis;

/// Slower than this a clock is set by itself, by its time server. Milliseconds.
const OWN: u64 = 2 * 60_000;

/// The wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// By so many milliseconds, forwards or backwards.
    pub by: i64,
}

/// Compares the two clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct JumpWatch {
    last: Option<(Millis, Millis)>,
}

impl JumpWatch {
    /// The wall clock reads `wall`, the one that only runs (also while the device sleeps) reads `steady`.
    pub fn look(&mut self, wall: Millis, steady: Millis) -> Option<Jump> {
        let (wall_before, steady_before) = self.last.replace((wall, steady))?;
        let ran = steady.saturating_sub(steady_before);
        let expected = wall_before.saturating_add(ran);
        if wall.abs_diff(expected) <= OWN {
            return None;
        }
        let by = i64::try_from(wall.abs_diff(expected)).unwrap_or(i64::MAX);
        Some(Jump { by: if wall < expected { -by } else { by } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_and_sleeping_is_no_jump_setting_is() {
        let mut watch = JumpWatch::default();
        assert_eq!(watch.look(1_000_000_000, 50), None);
        assert_eq!(watch.look(1_000_060_000, 60_050), None);
        assert_eq!(watch.look(1_036_060_000, 36_060_050), None, "slept for ten hours");
        assert_eq!(watch.look(1_036_000_000, 36_060_150), None, "a minute back by the time server");
        assert_eq!(watch.look(1_036_000_000 - 3_600_000, 36_060_150), Some(Jump { by: -3_600_000 }));
        assert_eq!(watch.look(1_036_000_000, 36_060_150), Some(Jump { by: 3_600_000 }));
        assert_eq!(watch.look(1_036_000_000, 36_060_150), None, "told once");
    }
}
