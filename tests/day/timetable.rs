//! The day's timetable: what happens when, with a tick for what was seen.

use std::time::Instant;

use anyhow::{Context, Result};

/// Prints the day line by line.
pub(crate) struct Timetable {
    began: Instant,
}

impl Timetable {
    /// The day begins.
    pub(crate) fn begin() -> Self {
        println!("\n一天的課表 · a school day\n");
        Self { began: Instant::now() }
    }

    /// Does what stands in the timetable at this time and ticks it off.
    pub(crate) fn at<T>(&self, time: &str, what: &str, deed: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let done = deed().with_context(|| format!("{time} {what}"));
        let mark = if done.is_ok() { '✓' } else { '✗' };
        println!("{time}  {mark} {what}  [{:.1} s]", began.elapsed().as_secs_f64());
        done
    }

    /// The day is over.
    pub(crate) fn end(&self) {
        println!("\nthe whole day took {:.0} s", self.began.elapsed().as_secs_f64());
    }
}

/// A line under the next tick: what was measured.
pub(crate) fn note(what: &str) {
    println!("         {what}");
}
