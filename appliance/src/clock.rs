//! The only place that reads the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use classroom_protocol::Millis;

/// Now, in milliseconds since 1970. A clock before 1970 reads as 0.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// How long until `at`; nothing when it is past.
pub fn until(at: Millis) -> Duration {
    Duration::from_millis(at.saturating_sub(now()))
}
