//! When a keyframe is asked of a publisher.

use std::time::{Duration, Instant};

/// Merges the keyframe wishes of all viewers of one encoding: the first goes out at once, further ones at most every
/// [`KeyframeThrottle::INTERVAL`], and an unanswered one is repeated.
#[derive(Debug, Default)]
pub struct KeyframeThrottle {
    wanted: bool,
    asked: Option<Instant>,
}

impl KeyframeThrottle {
    /// Shortest time between two requests. A keyframe costs as much as ten other frames.
    pub const INTERVAL: Duration = Duration::from_millis(500);

    /// A viewer needs a keyframe.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A keyframe came.
    pub fn came(&mut self) {
        self.wanted = false;
    }

    /// Someone still waits.
    pub fn waiting(&self) -> bool {
        self.wanted
    }

    /// Whether to ask now. A wish stays until a keyframe comes.
    pub fn poll(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|at| now.saturating_duration_since(at) >= Self::INTERVAL);
        if self.wanted && due {
            self.asked = Some(now);
        }
        self.wanted && due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_at_once_then_every_interval_until_it_comes() {
        let start = Instant::now();
        let mut throttle = KeyframeThrottle::default();
        assert!(!throttle.poll(start));
        throttle.want();
        assert!(throttle.poll(start));
        throttle.want();
        assert!(!throttle.poll(start + Duration::from_millis(499)));
        assert!(throttle.poll(start + Duration::from_millis(500)));
        throttle.came();
        assert!(!throttle.poll(start + Duration::from_secs(2)));
    }
}
