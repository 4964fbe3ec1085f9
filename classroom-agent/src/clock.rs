//! The only place that reads clocks.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use classroom_protocol::Millis;
use nix::time::{ClockId, clock_gettime};

/// The wall clock, or a file with the time for tests.
#[derive(Debug, Clone)]
pub(crate) struct Clock(pub(crate) Option<PathBuf>);

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> Millis {
        let told = || std::fs::read_to_string(self.0.as_ref()?).ok()?.trim().parse().ok();
        told().unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
        })
    }
}

/// Milliseconds since the device was switched on, also while it slept: nobody can set this clock.
pub(crate) fn steady() -> Millis {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Milliseconds since the device was switched on, without its sleep: the clock that services of the system tell times by.
pub(crate) fn awake() -> Millis {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> Millis {
    let time = clock_gettime(clock);
    time.map_or(0, |time| {
        let whole = u64::try_from(time.tv_sec()).unwrap_or(0) * 1000;
        whole + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
    })
}
