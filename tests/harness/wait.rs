//! Bounded waiting. The only place of the tests that lets time pass.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again and again until `look` gives a value; an error after `deadline` says what was waited for and what was
/// seen last. `look` itself should return within milliseconds.
pub async fn wait_for<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let start = Instant::now();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match look().await {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= deadline => bail!("waited {deadline:?} for {what}; last seen: {seen:#}"),
            Err(_) => {}
        }
    }
}

/// [`wait_for`] for code without a runtime.
pub fn wait_for_blocking<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= deadline => bail!("waited {deadline:?} for {what}; last seen: {seen:#}"),
            Err(_) => thread::park_timeout(LOOK),
        }
    }
}
