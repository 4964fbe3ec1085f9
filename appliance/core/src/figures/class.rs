//! The part of one class: its records, devices and lessons by what the records themselves name. Students move up every
//! year, so today's register does not tell whose use of the past it was.

use std::collections::BTreeMap;

use classroom_protocol::Millis;

use super::{
    Day,
    facts::{Activity, Device, Facts},
    school_days::Days,
};

/// The class of a device in the course of time: since when (`None` = from the beginning) it is of which; `None` = of none.
struct Turns(Vec<(Option<Day>, Option<i64>)>);

impl Turns {
    /// `named`: the days of the records that name this device and a class, with that class, in the order of time.
    fn of(device: &Device, named: &[(Day, i64)]) -> Self {
        let mut turns = Vec::new();
        if device.class.is_none() && device.loans.is_empty() {
            return Self(turns);
        }
        // Who had it before does not tell the class of who has it now.
        for n in 0..device.loans.len().max(1) {
            let begins = device.loans.get(n).filter(|_| n > 0).map(|loan| loan.days.from);
            let next = device.loans.get(n + 1).map(|loan| loan.days.from);
            let inside = |day: Day| begins.is_none_or(|first| first <= day) && next.is_none_or(|next| day < next);
            let own = || named.iter().filter(|(day, _)| inside(*day));
            turns.push((begins, own().next().map(|(_, class)| *class).or(device.class)));
            turns.extend(own().map(|(day, class)| (Some(*day), Some(*class))));
        }
        Self(turns)
    }

    fn on(&self, day: Day) -> Option<i64> {
        let turn = self.0.iter().rev().find(|(from, _)| from.is_none_or(|from| from <= day));
        turn.and_then(|(_, class)| *class)
    }

    /// The parts of `days` on which the device is of this class.
    fn within(&self, days: Days, class: i64) -> impl Iterator<Item = Days> {
        let own = self.0.iter().enumerate().filter(move |(_, (_, of))| *of == Some(class));
        own.filter_map(move |(n, (from, _))| {
            let from = from.map_or(days.from, |from| from.max(days.from));
            let next = self.0.get(n + 1).and_then(|(next, _)| *next);
            let to = next.map_or(days.to, |next| next.plus(-1).min(days.to));
            (from <= to).then_some(Days { from, to })
        })
    }
}

/// The turns of each device that these records and the register tell of, by its code.
fn turns<'a>(devices: &'a [Device], records: &[Activity]) -> BTreeMap<&'a str, Turns> {
    let mut named: BTreeMap<&str, Vec<(Millis, i64)>> = BTreeMap::new();
    for record in records {
        if let (Some(device), Some(class)) = (&record.device, record.class) {
            named.entry(device).or_default().push((record.at, class));
        }
    }
    let of = |device: &'a Device| {
        let mut named = named.get(device.id.as_str()).cloned().unwrap_or_default();
        named.sort_by_key(|(at, _)| *at);
        let named: Vec<(Day, i64)> = named.into_iter().map(|(at, class)| (Day::of(at), class)).collect();
        (device.id.as_str(), Turns::of(device, &named))
    };
    devices.iter().map(of).collect()
}

impl Facts {
    /// The part of one class: what names it, and what names none but is of a device that was of this class then. Its
    /// devices have their duties only on the days on which they were of it.
    #[must_use]
    pub fn of_class(&self, class: i64) -> Self {
        let records = self.records();
        let turns = turns(&self.devices, &records);
        let then = |record: &Activity| turns.get(record.device.as_deref()?)?.on(Day::of(record.at));
        let activities: Vec<Activity> =
            records.iter().filter(|record| record.class.or_else(|| then(record)) == Some(class)).cloned().collect();
        let own = |device: &Device| {
            let turns = turns.get(device.id.as_str())?;
            let duties = device.duties.iter();
            let duties: Vec<_> =
                duties.flat_map(|(days, duty)| turns.within(*days, class).map(|days| (days, *duty))).collect();
            (!duties.is_empty()).then(|| Device { duties, ..device.clone() })
        };
        Self {
            devices: self.devices.iter().filter_map(own).collect(),
            lessons: self.lessons.iter().filter(|lesson| lesson.class == Some(class)).cloned().collect(),
            platforms: self.platforms.clone(),
            box_ran: self.box_ran.clone(),
            activities,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        calendar::{day, month as year_month},
        figures::{Duty, Loan, MonthFigures, Parameters, SchoolCalendar, month_of_class},
    };

    const FIFTH: i64 = 1;
    const SIXTH: i64 = 2;

    fn at(text: &str) -> Day {
        day(text).unwrap()
    }

    fn span(from: &str, to: &str) -> Days {
        Days { from: at(from), to: at(to) }
    }

    /// A device that was seen all year, with loans; its borrower is in the sixth year today.
    fn device(loans: &[(&str, &str)]) -> Device {
        let year = span("2026-08-01", "2027-10-31");
        let loan = |(from, to): &(&str, &str)| Loan { days: span(from, to), student: (*from).into() };
        Device {
            id: "T1".into(),
            class: Some(SIXTH),
            duties: vec![(year, Duty::InUse)],
            loans: loans.iter().map(loan).collect(),
            seen: vec![year],
        }
    }

    fn used(on: &str, class: Option<i64>) -> Activity {
        Activity {
            device: Some("T1".into()),
            student: None,
            class,
            platform: Some("adl".into()),
            at: at(on).begins() + 36_000_000,
            seconds: 1800,
        }
    }

    fn of(facts: &Facts, class: i64, month: &str) -> MonthFigures {
        let (today, parameters) = (at("2027-10-31"), Parameters::default());
        month_of_class(facts, class, &SchoolCalendar::assumed(today), &parameters, year_month(month).unwrap(), today)
    }

    /// Devices that count, how many of them were used, and active seconds on platforms.
    fn told(facts: &Facts, class: i64, month: &str) -> (usize, u32, u64) {
        let figures = of(facts, class, month);
        let seconds = figures.platforms.iter().map(|line| line.seconds).sum();
        (figures.devices.len(), figures.used.plain.used, seconds)
    }

    #[test]
    fn use_stays_with_the_class_of_then_when_students_move_up() {
        let facts = Facts {
            devices: vec![device(&[("2026-09-01", "2027-10-31")])],
            activities: vec![
                used("2027-06-07", Some(FIFTH)),
                // At home: names no class.
                used("2027-06-08", None),
                used("2027-09-06", Some(SIXTH)),
            ],
            ..Facts::default()
        };
        assert_eq!(told(&facts, FIFTH, "2027-06"), (1, 1, 3600));
        assert_eq!(told(&facts, SIXTH, "2027-06"), (0, 0, 0), "no second class has the same use");
        assert_eq!(told(&facts, FIFTH, "2027-10"), (0, 0, 0));
        assert_eq!(told(&facts, SIXTH, "2027-09"), (1, 1, 1800));
        let sum: u64 = [FIFTH, SIXTH].iter().map(|class| told(&facts, *class, "2027-06").2).sum();
        assert_eq!(sum, 3600, "the classes together have what was used");
    }

    #[test]
    fn before_the_first_record_the_first_one_tells_and_without_one_the_register() {
        let device = device(&[("2026-09-01", "2027-10-31")]);
        let turns = |named: &[(&str, i64)]| {
            let named: Vec<(Day, i64)> = named.iter().map(|(day, class)| (at(day), *class)).collect();
            Turns::of(&device, &named)
        };
        assert_eq!(turns(&[("2026-11-10", FIFTH)]).on(at("2026-11-02")), Some(FIFTH));
        assert_eq!(turns(&[]).on(at("2026-11-02")), Some(SIXTH));
        let moved =
            turns(&[("2026-11-10", FIFTH), ("2026-11-20", SIXTH), ("2026-11-20", FIFTH), ("2026-11-25", SIXTH)]);
        let days = |class| moved.within(span("2026-11-05", "2026-11-30"), class).collect::<Vec<_>>();
        // Of two records of one day the later one tells.
        assert_eq!(days(SIXTH), [span("2026-11-25", "2026-11-30")]);
        assert_eq!(
            days(FIFTH),
            [span("2026-11-05", "2026-11-09"), span("2026-11-10", "2026-11-19"), span("2026-11-20", "2026-11-24")]
        );
    }

    #[test]
    fn another_borrower_has_another_class() {
        let device = device(&[("2026-09-01", "2026-11-12"), ("2026-11-16", "2027-06-30")]);
        let turns = Turns::of(&device, &[(at("2026-11-10"), FIFTH)]);
        let on = ["2026-08-15", "2026-11-15", "2026-11-16"].map(|day| turns.on(at(day)));
        assert_eq!(on, [Some(FIFTH), Some(FIFTH), Some(SIXTH)]);
    }

    #[test]
    fn what_nobody_has_is_of_no_class_whatever_lesson_it_was_in() {
        let facts = Facts {
            devices: vec![Device { class: None, ..device(&[]) }],
            activities: vec![used("2027-06-07", Some(FIFTH)), used("2027-06-08", None)],
            ..Facts::default()
        };
        assert_eq!(told(&facts, FIFTH, "2027-06"), (0, 0, 1800));
        assert_eq!(told(&facts, SIXTH, "2027-06"), (0, 0, 0));
    }
}
