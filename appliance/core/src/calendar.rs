//! Days and times of the school: Taiwan's, which is UTC+8 all year.

use std::fmt;

use classroom_protocol::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset, format_description::BorrowedFormatItem, macros};

const TAIPEI: UtcOffset = macros::offset!(+8);
const DAY: &[BorrowedFormatItem<'_>] = macros::format_description!("[year]-[month]-[day]");
const SECOND: &[BorrowedFormatItem<'_>] = macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

const UTC: &[BorrowedFormatItem<'_>] =
    macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The first millisecond of the day.
    pub fn begins(self) -> Millis {
        let midnight = self.0.with_time(Time::MIDNIGHT).assume_offset(TAIPEI);
        Millis::try_from(midnight.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
    }

    /// `YYYY-MM-DD`.
    pub fn text(self) -> String {
        self.0.format(DAY).unwrap_or_default()
    }

    /// The last day of the school year that the day is in: 31 July.
    #[must_use]
    pub fn school_year_ends(self) -> Self {
        let year = self.0.year() + i32::from(u8::from(self.0.month()) > 7);
        Self(Date::from_calendar_date(year, Month::July, 31).unwrap_or(self.0))
    }

    /// The first millisecond after the day.
    pub fn ends(self) -> Millis {
        self.0.checked_add(Duration::DAY).map_or(Millis::MAX, |next| Self(next).begins())
    }

    /// The day in which this moment lies; the calendar's last day for a time beyond it.
    pub fn of(at: Millis) -> Self {
        let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
        let local = utc.ok().and_then(|utc| utc.checked_to_offset(TAIPEI));
        Self(local.map_or(Date::MAX, OffsetDateTime::date))
    }

    /// So many days later, or earlier when negative. Stays within the calendar.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        let end = if days < 0 { Date::MIN } else { Date::MAX };
        Self(self.0.checked_add(Duration::days(days.into())).unwrap_or(end))
    }

    /// 1 is Monday, 7 is Sunday.
    pub fn weekday(self) -> u8 {
        self.0.weekday().number_from_monday()
    }

    /// The Monday of its week.
    #[must_use]
    pub fn monday(self) -> Self {
        self.plus(1 - i32::from(self.weekday()))
    }

    /// Its month.
    pub fn month(self) -> YearMonth {
        YearMonth { year: self.0.year(), month: self.0.month().into() }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(DAY).unwrap_or_default())
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        day(&text).ok_or_else(|| de::Error::custom(format!("\"{text}\" is no day; write YYYY-MM-DD")))
    }
}

/// A month of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct YearMonth {
    year: i32,
    month: u8,
}

impl YearMonth {
    /// Its first day.
    pub fn first(self) -> Day {
        let month = Month::try_from(self.month).unwrap_or(Month::January);
        Day(Date::from_calendar_date(self.year, month, 1).unwrap_or(Date::MAX))
    }

    /// Its last day.
    pub fn last(self) -> Day {
        self.next().first().plus(-1)
    }

    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { year: self.year, month: month + 1 },
        }
    }
}

impl fmt::Display for YearMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Serialize for YearMonth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads `YYYY-MM`. `None` when it is no such month of the years 1970 to 9998.
pub fn month(text: &str) -> Option<YearMonth> {
    let first = day(&format!("{text}-01"))?;
    ((1970..9999).contains(&first.0.year())).then(|| first.month())
}

/// Reads `YYYY-MM-DD`. `None` when it is no such day.
pub fn day(text: &str) -> Option<Day> {
    Date::parse(text, DAY).ok().map(Day)
}

/// The day on the school's clock; `None` for a time beyond the calendar.
pub fn day_of(at: Millis) -> Option<Day> {
    local(at).map(|local| Day(local.date()))
}

/// Day of the month, 1 to 31, and hour, 0 to 23, on the school's clock; 1 and 0 for a time beyond the calendar.
pub fn day_and_hour(at: Millis) -> (u8, u8) {
    local(at).map_or((1, 0), |local| (local.day(), local.hour()))
}

/// The school semester as it is written in Taiwan, e.g. `115-1`: year of the Republic in which the school year began, and
/// which half. The first is from August to January, the second from February to July.
pub fn semester(at: Millis) -> String {
    let Some(local) = local(at) else { return String::new() };
    let (year, month) = (local.year() - 1911, u8::from(local.month()));
    match month {
        8.. => format!("{year}-1"),
        1 => format!("{}-1", year - 1),
        _ => format!("{}-2", year - 1),
    }
}

/// `YYYY-MM-DDThh:mm:ss.mmmZ` (RFC 3339); empty for a time beyond the calendar.
pub fn utc(at: Millis) -> String {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
    utc.ok().and_then(|utc| utc.format(UTC).ok()).unwrap_or_default()
}

fn local(at: Millis) -> Option<OffsetDateTime> {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
    utc.ok().map(|utc| utc.to_offset(TAIPEI))
}

/// `YYYY-MM-DD hh:mm:ss` on the school's clock; empty for a time beyond the calendar.
pub fn local_time(at: Millis) -> String {
    local(at).and_then(|local| local.format(SECOND).ok()).unwrap_or_default()
}

/// The day of the week (1 is Monday, 7 is Sunday) and the minute of the day on the school's clock.
pub fn weekday_and_minute(at: Millis) -> (u8, u32) {
    const MINUTE: Millis = 60_000;
    const DAY_MINUTES: Millis = 24 * 60;
    let minutes = at / MINUTE + 8 * 60;
    // 1970-01-01 was a Thursday.
    let day = (minutes / DAY_MINUTES + 3) % 7 + 1;
    (u8::try_from(day).unwrap_or(1), u32::try_from(minutes % DAY_MINUTES).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_taipei() {
        assert_eq!(day("1970-01-01").unwrap().ends(), 57_600_000);
        assert_eq!(local_time(day("2024-02-29").unwrap().begins()), "2024-02-29 00:00:00");
        assert_eq!(local_time(day("2024-12-31").unwrap().ends() - 1), "2024-12-31 23:59:59");
        assert_eq!(local_time(1_700_000_000_000), "2023-11-15 06:13:20");
    }

    #[test]
    fn days_of_the_week_are_taipei_s() {
        assert_eq!(weekday_and_minute(0), (4, 480), "Thursday 08:00");
        assert_eq!(weekday_and_minute(day("2026-11-23").unwrap().begins()), (1, 0));
        assert_eq!(weekday_and_minute(day("2026-11-22").unwrap().ends() - 1), (7, 1439));
    }

    #[test]
    fn a_school_year_ends_in_july() {
        for (day_, end) in [("2026-11-21", "2027-07-31"), ("2027-07-31", "2027-07-31"), ("2027-08-01", "2028-07-31")] {
            let day = day(day_).unwrap();
            assert_eq!(day.school_year_ends().text(), end);
            assert_eq!(day_of(day.begins()).unwrap().text(), day_);
            assert_eq!(day_of(day.ends() - 1).unwrap().text(), day_);
        }
    }

    #[test]
    fn days_know_their_week_and_month() {
        let sunday = day("2026-11-01").unwrap();
        assert_eq!((sunday.weekday(), sunday.monday().to_string()), (7, "2026-10-26".into()));
        assert_eq!(Day::of(sunday.begins()), sunday);
        assert_eq!(Day::of(sunday.begins() - 1).to_string(), "2026-10-31");
        let month = sunday.month();
        assert_eq!((month.first(), month.last().to_string()), (sunday, "2026-11-30".into()));
        assert_eq!(super::month("2026-12").unwrap().next().to_string(), "2027-01");
        assert_eq!(super::month("2024-02").unwrap().last().to_string(), "2024-02-29");
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "2026-11-01", "0001-01", "9999-12", "二〇二六-11"]
        {
            assert_eq!(super::month(text), None, "{text}");
        }
        assert_eq!(Day(Date::MAX).plus(1), Day(Date::MAX));
        for at in [253_402_300_799_999, 253_402_300_800_000, Millis::MAX] {
            assert_eq!(Day::of(at), Day(Date::MAX));
        }
    }

    #[test]
    fn semesters_begin_in_august_and_february() {
        let of = |text| semester(day(text).unwrap().begins());
        assert_eq!(
            [of("2026-07-31"), of("2026-08-01"), of("2027-01-31"), of("2027-02-01")],
            ["114-2", "115-1", "115-1", "115-2"]
        );
        assert_eq!(utc(1_700_000_000_007), "2023-11-14T22:13:20.007Z");
        assert_eq!(day_and_hour(day("2026-11-21").unwrap().begins() + 82_800_000), (21, 23));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2023-02-29", "2024-13-01", "2024-00-10", "24-01-01", "2024-01-01-01", "二〇二四-01-01"] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
