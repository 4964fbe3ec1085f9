//! When there is school: terms, holidays, make-up days and the timetable's windows.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::calendar::Day;

/// Terms, holidays and make-up days that a calendar may name. A school year has two terms and about 120 days off.
const MOST_ENTRIES: usize = 400;
/// Windows of one weekday.
const MOST_WINDOWS: usize = 20;

/// From a day to a day, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// The first.
    pub from: Day,
    /// The last.
    pub to: Day,
}

impl Days {
    /// Whether the day is one of them.
    pub fn has(&self, day: Day) -> bool {
        self.from <= day && day <= self.to
    }

    /// Each of them, in order.
    pub fn each(self) -> impl Iterator<Item = Day> {
        std::iter::successors(Some(self.from), |day| Some(day.plus(1))).take_while(move |day| *day <= self.to)
    }
}

/// A time of day in minutes after midnight, `HH:MM` in JSON; up to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

impl Minute {
    /// Hour and minute; `None` beyond 24:00.
    pub const fn at(hour: u16, minute: u16) -> Option<Self> {
        if minute < 60 && (hour < 24 || (hour == 24 && minute == 0)) { Some(Self(hour * 60 + minute)) } else { None }
    }
}

impl Serialize for Minute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

impl<'de> Deserialize<'de> for Minute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let two =
            |part: &str| part.parse().ok().filter(|_| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()));
        let minute = text.split_once(':').and_then(|(hour, minute)| Self::at(two(hour)?, two(minute)?));
        minute.ok_or_else(|| de::Error::custom(format!("\"{text}\" is no time of day; write HH:MM")))
    }
}

/// A stretch of a school day in which there are lessons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first bell.
    pub from: Minute,
    /// The last bell.
    pub to: Minute,
}

/// The school's calendar and timetable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchoolCalendar {
    /// In which school is held.
    pub terms: Vec<Days>,
    /// On which it is not, although a term runs.
    pub holidays: BTreeSet<Day>,
    /// Days on which school is held after the timetable of another weekday (補課): 1 is Monday.
    pub make_up: BTreeMap<Day, u8>,
    /// Windows of each weekday, 1 is Monday; a weekday without windows has no school.
    pub timetable: BTreeMap<u8, Vec<Window>>,
}

impl SchoolCalendar {
    /// What is assumed as long as the office has typed no calendar; pages and files say so. Monday to Friday, 8:00 to
    /// 16:00, in the terms that public schools have in the years around `day`: 30 August to 20 January and 11 February to
    /// 30 June, without holidays.
    pub fn assumed(day: Day) -> Self {
        let year = day.month().first().to_string().get(..4).and_then(|year| year.parse::<i32>().ok()).unwrap_or(1970);
        let date = |year: i32, rest: &str| crate::calendar::day(&format!("{year:04}-{rest}"));
        let terms = (year - 1..=year + 1).flat_map(|year| {
            let autumn = date(year, "08-30").zip(date(year + 1, "01-20"));
            let spring = date(year, "02-11").zip(date(year, "06-30"));
            [spring, autumn].into_iter().flatten().map(|(from, to)| Days { from, to })
        });
        let window = Window { from: Minute(8 * 60), to: Minute(16 * 60) };
        Self {
            terms: terms.collect(),
            holidays: BTreeSet::new(),
            make_up: BTreeMap::new(),
            timetable: (1..=5).map(|weekday| (weekday, vec![window])).collect(),
        }
    }

    /// Says what can't be used, as `(field, reason)`.
    ///
    /// # Errors
    /// The first wrong entry.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        if self.terms.is_empty() || self.terms.len() > MOST_ENTRIES {
            return Err(("terms".into(), "name 1 to 400 terms"));
        }
        if let Some(at) = self.terms.iter().position(|term| term.from > term.to || term.from.plus(400) < term.to) {
            return Err((format!("terms[{at}]"), "a term ends after it begins, within 400 days"));
        }
        if self.holidays.len() > MOST_ENTRIES {
            return Err(("holidays".into(), "name at most 400 days"));
        }
        if self.make_up.len() > MOST_ENTRIES || self.make_up.values().any(|weekday| !(1..=7).contains(weekday)) {
            return Err(("make_up".into(), "name at most 400 days, each with a weekday of 1 (Monday) to 7"));
        }
        for (weekday, windows) in &self.timetable {
            let field = || format!("timetable.{weekday}");
            if !(1..=7).contains(weekday) || windows.len() > MOST_WINDOWS {
                return Err((field(), "weekdays are 1 (Monday) to 7, with at most 20 windows each"));
            }
            let ordered = windows.windows(2).all(|two| two[0].to <= two[1].from);
            if !ordered || windows.iter().any(|window| window.from >= window.to) {
                return Err((field(), "windows end after they begin and follow each other in order"));
            }
        }
        Ok(())
    }

    /// The windows with lessons on a day; empty on a day without school.
    pub fn windows(&self, day: Day) -> &[Window] {
        let weekday = match self.make_up.get(&day) {
            Some(weekday) => *weekday,
            None if self.holidays.contains(&day) || !self.terms.iter().any(|term| term.has(day)) => return &[],
            None => day.weekday(),
        };
        self.timetable.get(&weekday).map_or(&[], Vec::as_slice)
    }

    /// Whether there is school.
    pub fn is_school_day(&self, day: Day) -> bool {
        self.make_up.contains_key(&day) || !self.windows(day).is_empty()
    }

    /// The time of the day that is not class: all of it on a day without school.
    pub fn after_class(&self, day: Day) -> Vec<(Millis, Millis)> {
        let at = |minute: Minute| day.begins() + Millis::from(minute.0) * 60_000;
        let mut free = Vec::new();
        let mut from = day.begins();
        for window in self.windows(day) {
            free.push((from, at(window.from)));
            from = at(window.to);
        }
        free.push((from, day.ends()));
        free.retain(|(from, to)| from < to);
        free
    }

    /// The teaching weeks whose Thursday lies in `days`, each clipped to `until`: those with a school day that has
    /// happened.
    pub fn teaching_weeks(&self, days: Days, until: Day) -> Vec<Days> {
        let mut monday = days.from.monday();
        let mut weeks = Vec::new();
        while monday <= days.to && monday <= until {
            let week = Days { from: monday, to: monday.plus(6).min(until) };
            if days.has(monday.plus(3)) && week.each().any(|day| self.is_school_day(day)) {
                weeks.push(week);
            }
            monday = monday.plus(7);
        }
        weeks
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::calendar::day;

    fn at(text: &str) -> Day {
        day(text).unwrap()
    }

    fn calendar() -> SchoolCalendar {
        serde_json::from_str(
            r#"{"terms":[{"from":"2026-08-30","to":"2027-01-20"}],"holidays":["2026-10-09"],
                "make_up":{"2026-10-17":5},"timetable":{"1":[{"from":"08:00","to":"12:00"},{"from":"13:00","to":"16:00"}],
                "2":[{"from":"08:00","to":"16:00"}],"3":[{"from":"08:00","to":"12:00"}],
                "4":[{"from":"08:00","to":"16:00"}],"5":[{"from":"08:00","to":"16:00"}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn holidays_and_make_up_days_change_the_week() {
        let calendar = calendar();
        calendar.check().unwrap();
        for (day, school) in [
            ("2026-10-08", true),
            ("2026-10-09", false),
            ("2026-10-10", false),
            ("2026-10-17", true),
            ("2026-08-28", false),
            ("2026-10-05", true),
        ] {
            assert_eq!(calendar.is_school_day(at(day)), school, "{day}");
        }
        let hours =
            |day: &str| calendar.after_class(at(day)).iter().map(|(from, to)| to - from).sum::<Millis>() / 3_600_000;
        assert_eq!(
            (hours("2026-10-05"), hours("2026-10-07"), hours("2026-10-10"), hours("2026-10-17")),
            (17, 20, 24, 16)
        );
    }

    #[test]
    fn a_week_belongs_to_the_month_of_its_thursday() {
        let weeks = |month: &str, until: &str| {
            let month = crate::calendar::month(month).unwrap();
            let weeks = calendar().teaching_weeks(Days { from: month.first(), to: month.last() }, at(until));
            weeks.iter().map(|week| week.from.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            weeks("2026-10", "2026-12-31"),
            ["2026-09-28", "2026-10-05", "2026-10-12", "2026-10-19", "2026-10-26"]
        );
        assert_eq!(weeks("2026-11", "2026-11-09"), ["2026-11-02", "2026-11-09"]);
        assert_eq!(weeks("2026-11", "2026-11-08"), ["2026-11-02"]);
        assert_eq!(weeks("2026-08", "2026-12-31"), [] as [&str; 0]);
        assert_eq!(weeks("2026-09", "2026-12-31").first().map(String::as_str), Some("2026-08-31"));
    }

    #[test]
    fn a_wrong_calendar_is_told_with_its_place() {
        let wrong = |change: &dyn Fn(&mut SchoolCalendar)| {
            let mut calendar = calendar();
            change(&mut calendar);
            calendar.check().unwrap_err().0
        };
        assert_eq!(wrong(&|c| c.terms.clear()), "terms");
        assert_eq!(wrong(&|c| c.terms[0].to = at("2026-01-01")), "terms[0]");
        assert_eq!(wrong(&|c| c.terms[0].to = at("2030-01-01")), "terms[0]");
        assert_eq!(wrong(&|c| assert_eq!(c.make_up.insert(at("2026-10-18"), 8), None)), "make_up");
        assert_eq!(wrong(&|c| drop(c.timetable.insert(0, vec![]))), "timetable.0");
        assert_eq!(wrong(&|c| c.timetable.get_mut(&1).unwrap().reverse()), "timetable.1");
        for text in [r#""8:00""#, r#""24:01""#, r#""08:60""#, r#""+8:00""#, r#""0800""#, "800"] {
            assert!(serde_json::from_str::<Minute>(text).is_err(), "{text}");
        }
        SchoolCalendar::assumed(at("2026-11-21")).check().unwrap();
        assert!(SchoolCalendar::assumed(at("2027-01-10")).is_school_day(at("2027-01-11")));
    }
}
