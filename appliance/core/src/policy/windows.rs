//! The hours that a guardian allows at home (R-POL-12). They only tighten: outside of them a rule refuses, inside of
//! them the school's rules go on.

use std::fmt;

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use crate::calendar;

const DAY_MINUTES: u32 = 24 * 60;

/// Hours of some days of the week. Past midnight they belong to the day on which they began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days, 1 is Monday, 7 is Sunday.
    pub days: Vec<u8>,
    /// First minute of the day, 0 to 1439.
    pub from: u16,
    /// Minute at which it ends, 1 to 1440. Not after `from`: on the next day.
    pub to: u16,
}

/// Why a window can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadWindow {
    /// A day is not 1 to 7, or there is none.
    Days,
    /// `from` is not 0 to 1439.
    From,
    /// `to` is not 1 to 1440, or is `from`.
    To,
}

impl fmt::Display for BadWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Days => "days: name at least one day, 1 (Monday) to 7 (Sunday)",
            Self::From => "from: a minute of the day, 0 to 1439",
            Self::To => "to: a minute of the day, 1 to 1440, and not the same as from",
        })
    }
}

impl std::error::Error for BadWindow {}

impl Window {
    /// Whether it can be used.
    ///
    /// # Errors
    /// [`BadWindow`] with the field and the mend.
    pub fn check(&self) -> Result<(), BadWindow> {
        if self.days.is_empty() || self.days.iter().any(|day| !(1..=7).contains(day)) {
            return Err(BadWindow::Days);
        }
        if u32::from(self.from) >= DAY_MINUTES {
            return Err(BadWindow::From);
        }
        if self.to == 0 || u32::from(self.to) > DAY_MINUTES || self.to == self.from {
            return Err(BadWindow::To);
        }
        Ok(())
    }

    /// Minutes until it ends, if `minute` of `day` is in it.
    fn remaining(&self, day: u8, minute: u32) -> Option<u32> {
        let (from, to) = (u32::from(self.from), u32::from(self.to));
        let yesterday = if day == 1 { 7 } else { day.wrapping_sub(1) };
        if from < to {
            return (self.days.contains(&day) && (from..to).contains(&minute)).then(|| to - minute);
        }
        if self.days.contains(&day) && minute >= from {
            return Some(DAY_MINUTES - minute + to);
        }
        (self.days.contains(&yesterday) && minute < to).then(|| to - minute)
    }
}

/// Whether `now` is in one of the windows, and when that changes next (at the latest after a day).
pub(super) fn inside(windows: &[Window], now: Millis) -> (bool, Millis) {
    let (day, minute) = calendar::weekday_and_minute(now);
    let this_minute = now - now % 60_000;
    let after = |minutes: u32| this_minute + Millis::from(minutes) * 60_000;
    if let Some(longest) = windows.iter().filter_map(|window| window.remaining(day, minute)).max() {
        return (true, after(longest));
    }
    let tomorrow = if day == 7 { 1 } else { day + 1 };
    let begins = windows.iter().filter_map(|window| {
        let from = u32::from(window.from);
        let today = (window.days.contains(&day) && from > minute).then(|| from - minute);
        today.or_else(|| window.days.contains(&tomorrow).then(|| DAY_MINUTES - minute + from))
    });
    (false, after(begins.min().unwrap_or(DAY_MINUTES).clamp(1, DAY_MINUTES)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Monday 2026-11-23, so many minutes after midnight in Taipei.
    fn monday(minute: u64) -> Millis {
        calendar::day("2026-11-23").unwrap().begins() + minute * 60_000
    }

    #[test]
    fn hours_begin_and_end_to_the_minute() {
        let evening = [Window { days: vec![1, 2, 3, 4, 5], from: 19 * 60, to: 21 * 60 }];
        assert!(!inside(&evening, monday(19 * 60) - 1).0);
        assert_eq!(inside(&evening, monday(19 * 60) - 1).1, monday(19 * 60));
        assert_eq!(inside(&evening, monday(19 * 60)), (true, monday(21 * 60)));
        assert_eq!(inside(&evening, monday(21 * 60) - 1), (true, monday(21 * 60)));
        assert!(!inside(&evening, monday(21 * 60)).0);
        let saturday = calendar::day("2026-11-28").unwrap().begins() + 20 * 3_600_000;
        assert!(!inside(&evening, saturday).0);
    }

    #[test]
    fn past_midnight_belongs_to_the_day_of_the_beginning() {
        let late = [Window { days: vec![7], from: 22 * 60, to: 60 }];
        assert!(inside(&late, monday(59)).0, "Sunday's hours reach into Monday");
        assert_eq!(inside(&late, monday(30)).1, monday(60));
        assert!(!inside(&late, monday(60)).0);
        assert!(!inside(&late, monday(23 * 60)).0, "Monday evening is not named");
        let whole = [Window { days: vec![1], from: 0, to: 1440 }];
        assert_eq!(inside(&whole, monday(0)), (true, monday(1440)));
        assert!(!inside(&whole, monday(1440)).0);
    }

    #[test]
    fn wrong_windows_name_their_field() {
        let window = |days: &[u8], from, to| Window { days: days.into(), from, to }.check();
        assert_eq!(window(&[], 0, 60), Err(BadWindow::Days));
        assert_eq!(window(&[8], 0, 60), Err(BadWindow::Days));
        assert_eq!(window(&[1], 1440, 60), Err(BadWindow::From));
        assert_eq!(window(&[1], 0, 1441), Err(BadWindow::To));
        assert_eq!(window(&[1], 60, 60), Err(BadWindow::To));
        assert_eq!(window(&[1], 1320, 60), Ok(()));
    }
}
