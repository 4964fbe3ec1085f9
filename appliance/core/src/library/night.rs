//! Prefetch at night (R-CONT-4): within a window of the school's clock and a budget of bytes, so that the line and its
//! allowance are the lessons' by day.

use std::{fmt, str::FromStr};

use classroom_protocol::Millis;

/// A time of the day, in minutes since midnight on the school's clock (UTC+8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

impl Minute {
    /// A time of the day; hours from 24 on and minutes from 60 on start again.
    pub const fn at(hour: u16, minute: u16) -> Self {
        Self(hour % 24 * 60 + minute % 60)
    }
}

/// `hh:mm` was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMinute;

impl fmt::Display for BadMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no time of the day; write it as \"22:00\"")
    }
}

impl FromStr for Minute {
    type Err = BadMinute;
    fn from_str(text: &str) -> Result<Self, BadMinute> {
        let (hour, minute) = text.split_once(':').ok_or(BadMinute)?;
        let number = |text: &str, below: u16| {
            let fits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|n: &u16| fits && *n < below).ok_or(BadMinute)
        };
        Ok(Self(number(hour, 24)? * 60 + number(minute, 60)?))
    }
}

/// When and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Night {
    /// Fetching begins.
    pub from: Minute,
    /// Fetching ends; before `from` means: on the next day. The same as `from` means: at any time.
    pub until: Minute,
    /// Bytes of one night.
    pub budget: u64,
}

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60;
/// The school's clock is ahead of UTC by so many minutes.
const OFFSET: u64 = 8 * 60;

impl Night {
    /// The night that `now` belongs to: a number that grows by one each noon, and whether fetching is on.
    pub fn at(&self, now: Millis) -> (u64, bool) {
        let minutes = now / MINUTE + OFFSET;
        let of_day = u16::try_from(minutes % DAY).unwrap_or(0);
        let (from, until) = (self.from.0, self.until.0);
        let on = if from < until { (from..until).contains(&of_day) } else { of_day >= from || of_day < until };
        ((minutes + DAY / 2) / DAY, on)
    }

    /// How many bytes may be fetched now, `spent` being what `night` has cost already.
    pub fn allowance(&self, now: Millis, night: u64, spent: u64) -> u64 {
        let (tonight, on) = self.at(now);
        if !on {
            return 0;
        }
        if night == tonight { self.budget.saturating_sub(spent) } else { self.budget }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn night(from: &str, until: &str) -> Night {
        Night { from: from.parse().unwrap(), until: until.parse().unwrap(), budget: 100 }
    }

    fn at(text: &str) -> Millis {
        let (day, clock) = text.split_once(' ').unwrap();
        let (hour, minute) = clock.split_once(':').unwrap();
        let minutes = hour.parse::<u64>().unwrap() * 60 + minute.parse::<u64>().unwrap();
        crate::calendar::day(day).unwrap().begins() + minutes * MINUTE
    }

    #[test]
    fn a_night_goes_over_midnight() {
        let night = night("22:00", "06:00");
        for (when, on) in [
            ("2026-11-21 21:59", false),
            ("2026-11-21 22:00", true),
            ("2026-11-22 00:00", true),
            ("2026-11-22 05:59", true),
            ("2026-11-22 06:00", false),
            ("2026-11-22 12:00", false),
        ] {
            assert_eq!(night.at(at(when)).1, on, "{when}");
        }
        assert_eq!(night.at(at("2026-11-21 22:00")).0, night.at(at("2026-11-22 05:59")).0);
        assert_eq!(night.at(at("2026-11-21 22:00")).0 + 1, night.at(at("2026-11-22 22:00")).0);
    }

    #[test]
    fn the_budget_is_of_one_night() {
        let plan = night("22:00", "06:00");
        let (tonight, _) = plan.at(at("2026-11-21 23:00"));
        assert_eq!(plan.allowance(at("2026-11-21 23:00"), tonight, 30), 70);
        assert_eq!(plan.allowance(at("2026-11-22 03:00"), tonight, 130), 0);
        assert_eq!(plan.allowance(at("2026-11-22 23:00"), tonight, 130), 100);
        assert_eq!(plan.allowance(at("2026-11-22 12:00"), tonight, 0), 0);
    }

    #[test]
    fn windows_by_day_and_always() {
        assert!(night("01:00", "02:00").at(at("2026-11-21 01:30")).1);
        assert!(!night("01:00", "02:00").at(at("2026-11-21 02:00")).1);
        assert!(night("00:00", "00:00").at(at("2026-11-21 15:00")).1);
        for bad in ["", "24:00", "1:00", "01:60", "0100", "aa:bb", "01:00:00"] {
            assert!(bad.parse::<Minute>().is_err(), "{bad}");
        }
    }
}
