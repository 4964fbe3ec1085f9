//! The figures of one month, of the school or of a class.

use std::collections::{BTreeMap, BTreeSet};

use classroom_protocol::Millis;
use serde::Serialize;

use super::{
    Day, YearMonth,
    active::{Owner, Stretches, by_owner},
    facts::{Activity, Device, Facts},
    params::{Counting, Parameters, Views},
    rate::{Figure, Rate, Use},
    school_days::{Days, SchoolCalendar},
};

/// One day of a month, for the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayFigures {
    /// Which.
    pub day: Day,
    /// Whether there was school.
    pub school: bool,
    /// Devices of that day by m alone (plain view).
    pub rate: Rate,
}

/// One teaching week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeekFigures {
    /// Its Monday.
    pub monday: Day,
    /// Devices used in it.
    pub rate: Views<Rate>,
}

/// Time on one platform (R-USE-5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformHours {
    /// Its id in the bundle.
    pub platform: String,
    /// Active seconds.
    pub seconds: u64,
    /// Devices and students that were on it.
    pub users: u32,
    /// `false`: at least so much; with no seconds at all it is unknown, not zero.
    pub complete: bool,
}

/// A teacher's days with device activities (R-USE-4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TeacherDays {
    /// Account.
    pub teacher: String,
    /// Days that count.
    pub days: u32,
    /// School days on which the box did not run: they might have counted.
    pub unseen: u32,
    /// Days to be reached.
    pub goal: u32,
    /// Whether it is reached; `None` when the unseen days decide it.
    pub reached: Option<bool>,
}

/// One device, for the teacher's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFigures {
    /// Opaque code.
    pub device: String,
    /// How it did in the month.
    pub used: Views<Use>,
    /// Days on which it was active for at least m minutes (plain view).
    pub active_days: u32,
    /// Active time of the month.
    pub seconds: u64,
    /// Days of the month on which it counted and the box did not see it; 0 = the figures above are exact, so far.
    pub unseen_days: u32,
}

/// The figures of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MonthFigures {
    /// Which.
    pub month: YearMonth,
    /// Days of it that have happened.
    pub until: Option<Day>,
    /// The numbers that it was counted by.
    pub parameters: Parameters,
    /// 月使用率.
    pub used: Views<Rate>,
    /// The same as a share.
    pub used_share: Views<Figure>,
    /// 課後使用率.
    pub after_class: Views<Rate>,
    /// The same as a share.
    pub after_class_share: Views<Figure>,
    /// Teaching weeks.
    pub weeks: Vec<WeekFigures>,
    /// 週平均使用率.
    pub week_mean: Views<Figure>,
    /// Days.
    pub days: Vec<DayFigures>,
    /// Platforms: those of the bundle in its order, then others that were seen.
    pub platforms: Vec<PlatformHours>,
    /// Teachers who held a lesson, by account.
    pub teachers: Vec<TeacherDays>,
    /// School days of the teaching weeks on which the box did not run: they might have counted for any teacher.
    pub unseen_days: u32,
    /// Devices that count in the month, in the register's order.
    pub devices: Vec<DeviceFigures>,
}

/// Counts a month. `today` is the last day that counts; days after it have not happened.
pub fn month(
    facts: &Facts,
    calendar: &SchoolCalendar,
    parameters: &Parameters,
    month: YearMonth,
    today: Day,
) -> MonthFigures {
    let whole = Days { from: month.first(), to: month.last() };
    let period = Period::until(whole, today);
    let days = period.days;
    let counted = Counted::new(facts, calendar);
    let used = parameters.month.each(|rule| counted.rate(period, *rule, Part::AllDay));
    let after_class = parameters.month.each(|rule| counted.rate(period, *rule, Part::AfterClass));
    let teaching = calendar.teaching_weeks(whole, today);
    let weeks = counted.weeks(&teaching, parameters);
    let of_day = |day: Day| {
        let rule = Counting { days: 1, ..parameters.month.plain };
        let rate = counted.rate(Period::until(Days { from: day, to: day }, day), rule, Part::AllDay);
        DayFigures { day, school: calendar.is_school_day(day), rate }
    };
    let goal = u32::try_from(teaching.len()).unwrap_or(u32::MAX);
    MonthFigures {
        month,
        until: (days.from <= days.to).then_some(days.to),
        parameters: parameters.clone(),
        used_share: used.each(Rate::figure),
        used,
        after_class_share: after_class.each(Rate::figure),
        after_class,
        week_mean: mean_of_weeks(&weeks),
        weeks,
        days: days.each().map(of_day).collect(),
        platforms: counted.platforms(days),
        teachers: counted.teachers(&teaching, parameters.month.plain.minutes, goal),
        unseen_days: counted.unseen(&teaching),
        devices: counted.list(period, parameters),
    }
}

/// Counts a month of one class. The teachers' days are those with all their classes: their goal is not one of each class.
pub fn month_of_class(
    facts: &Facts,
    class: i64,
    calendar: &SchoolCalendar,
    parameters: &Parameters,
    of: YearMonth,
    today: Day,
) -> MonthFigures {
    let teachers = month(facts, calendar, parameters, of, today).teachers;
    MonthFigures { teachers, ..month(&facts.of_class(class), calendar, parameters, of, today) }
}

impl MonthFigures {
    /// The figures as this teacher may see them: of the teachers' days only the own ones. Those of others are the office's
    /// business.
    #[must_use]
    pub fn for_teacher(mut self, account: &str) -> Self {
        self.teachers.retain(|line| line.teacher == account);
        self
    }
}

/// 週平均使用率 of these weeks.
pub(super) fn mean_of_weeks(weeks: &[WeekFigures]) -> Views<Figure> {
    Views {
        plain: Figure::mean(weeks.iter().map(|week| week.rate.plain.figure())),
        strict: Figure::mean(weeks.iter().map(|week| week.rate.strict.figure())),
    }
}

/// Which part of a day is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    AllDay,
    /// What is not class, of devices on loan.
    AfterClass,
}

/// A month or a week of which not all days need to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// The days that have happened.
    days: Days,
    /// How many are still to come: what they will bring is as unknown as what was not seen.
    to_come: u32,
}

impl Period {
    pub(super) fn until(whole: Days, today: Day) -> Self {
        let days = Days { to: whole.to.min(today), ..whole };
        Self { days, to_come: number(whole.each().filter(|day| *day > today).count()) }
    }
}

/// The facts with each owner's active time laid out.
pub(super) struct Counted<'a> {
    facts: &'a Facts,
    calendar: &'a SchoolCalendar,
    records: Vec<Activity>,
    active: BTreeMap<String, Stretches>,
}

impl<'a> Counted<'a> {
    pub(super) fn new(facts: &'a Facts, calendar: &'a SchoolCalendar) -> Self {
        let records = facts.records();
        let of_device = |(owner, time)| if let Owner::Device(device) = owner { Some((device, time)) } else { None };
        let active = by_owner(&records, |_| true).into_iter().filter_map(of_device).collect();
        Self { facts, calendar, records, active }
    }

    fn active_on(&self, device: &Device, day: Day, part: Part) -> Millis {
        let Some(active) = self.active.get(&device.id) else { return 0 };
        match part {
            Part::AllDay => active.within(day.begins(), day.ends()),
            Part::AfterClass => {
                self.calendar.after_class(day).into_iter().map(|(from, to)| active.within(from, to)).sum()
            }
        }
    }

    fn counts(&self, device: &Device, days: Days, part: Part) -> bool {
        let (mut all, mut good) = (0_u32, 0_u32);
        for day in days.each() {
            all += 1;
            good += u32::from(device.counts(day) && (part == Part::AllDay || device.on_loan(day)));
        }
        good * 2 > all
    }

    fn used(&self, device: &Device, period: Period, rule: Counting, part: Part) -> Use {
        let enough = Millis::from(rule.minutes) * 60_000;
        let (mut active, mut unseen) = (0_u32, period.to_come);
        for day in period.days.each() {
            if self.active_on(device, day, part) >= enough {
                active += 1;
            } else if !device.seen(day) {
                unseen += 1;
            }
        }
        if active >= rule.days {
            Use::Used
        } else if active + unseen < rule.days {
            Use::Unused
        } else {
            Use::Unknown
        }
    }

    pub(super) fn rate(&self, period: Period, rule: Counting, part: Part) -> Rate {
        let devices = self.facts.devices.iter().filter(|device| self.counts(device, period.days, part));
        Rate::of(devices.map(|device| self.used(device, period, rule, part)))
    }

    /// The rates of teaching weeks; the last one may still run.
    pub(super) fn weeks(&self, weeks: &[Days], parameters: &Parameters) -> Vec<WeekFigures> {
        let figures = |week: &Days| {
            let period = Period::until(Days { to: week.from.plus(6), ..*week }, week.to);
            let rate = parameters.week.each(|rule| self.rate(period, *rule, Part::AllDay));
            WeekFigures { monday: week.from, rate }
        };
        weeks.iter().map(figures).collect()
    }

    fn list(&self, period: Period, parameters: &Parameters) -> Vec<DeviceFigures> {
        let days = period.days;
        let enough = Millis::from(parameters.month.plain.minutes) * 60_000;
        let devices = self.facts.devices.iter().filter(|device| self.counts(device, days, Part::AllDay));
        devices
            .map(|device| {
                let active = days.each().filter(|day| self.active_on(device, *day, Part::AllDay) >= enough);
                let unseen = days.each().filter(|day| device.counts(*day) && !device.seen(*day));
                let time = self.active.get(&device.id);
                DeviceFigures {
                    device: device.id.clone(),
                    used: parameters.month.each(|rule| self.used(device, period, *rule, Part::AllDay)),
                    active_days: number(active.count()),
                    seconds: time.map_or(0, |time| time.within(days.from.begins(), days.to.ends())) / 1000,
                    unseen_days: number(unseen.count()),
                }
            })
            .collect()
    }

    fn platforms(&self, days: Days) -> Vec<PlatformHours> {
        // Without a day on which some device counted the box can't have seen everything, but only nothing.
        let counted = |day: Day| self.facts.devices.iter().filter(move |device| device.counts(day));
        let complete = days.each().any(|day| counted(day).next().is_some())
            && days.each().all(|day| counted(day).all(|device| device.seen(day)));
        let listed: BTreeSet<&str> = self.facts.platforms.iter().map(String::as_str).collect();
        let seen = self.records.iter().filter_map(|record| record.platform.as_deref());
        let others: BTreeSet<&str> = seen.filter(|platform| !listed.contains(platform)).collect();
        let all = self.facts.platforms.iter().map(String::as_str).chain(others);
        let hours = all.map(|platform| {
            let time = by_owner(&self.records, |record| record.platform.as_deref() == Some(platform));
            let each = time.values().map(|time| time.within(days.from.begins(), days.to.ends()));
            let each: Vec<Millis> = each.filter(|time| *time > 0).collect();
            PlatformHours {
                platform: platform.to_owned(),
                seconds: each.iter().sum::<Millis>() / 1000,
                users: number(each.len()),
                complete,
            }
        });
        // One that is not in the bundle has a line only if it was used in this month.
        hours.filter(|hours| hours.seconds > 0 || listed.contains(hours.platform.as_str())).collect()
    }

    /// School days of these weeks on which the box did not run.
    pub(super) fn unseen(&self, weeks: &[Days]) -> u32 {
        let ran = |day: Day| self.facts.box_ran.iter().any(|days| days.has(day));
        let days = weeks.iter().flat_map(|week| week.each());
        number(days.filter(|day| self.calendar.is_school_day(*day) && !ran(*day)).count())
    }

    /// Days of each teacher over these teaching weeks.
    pub(super) fn teachers(&self, weeks: &[Days], minutes: u32, goal: u32) -> Vec<TeacherDays> {
        let enough = Millis::from(minutes) * 60_000;
        let days: Vec<Day> = weeks.iter().flat_map(|week| week.each()).collect();
        let unseen = self.unseen(weeks);
        let mut classes: BTreeMap<Option<i64>, BTreeMap<Owner, Stretches>> = BTreeMap::new();
        for lesson in &self.facts.lessons {
            let of_class = || by_owner(&self.records, |record| record.class == lesson.class);
            classes.entry(lesson.class).or_insert_with(of_class);
        }
        // A teacher's lessons with each class as one union, so that two entries of the same hour count once.
        type Windows = Vec<(Millis, Millis)>;

        let mut held: BTreeMap<&str, BTreeMap<Option<i64>, Windows>> = BTreeMap::new();
        for lesson in self.facts.lessons.iter().filter(|lesson| lesson.from < lesson.to) {
            let windows = held.entry(&lesson.teacher).or_default().entry(lesson.class).or_default();
            windows.push((lesson.from, lesson.to));
        }
        let counts = |day: Day, (class, lessons): &(Option<i64>, Stretches)| {
            let windows: Vec<(Millis, Millis)> = lessons.parts_within(day.begins(), day.ends()).collect();
            let inside =
                |active: &Stretches| windows.iter().map(|(from, to)| active.within(*from, *to)).sum::<Millis>();
            !windows.is_empty() && classes[class].values().any(|active| inside(active) >= enough)
        };
        held.into_iter()
            .map(|(teacher, by_class)| {
                let by_class: Vec<_> =
                    by_class.into_iter().map(|(class, windows)| (class, Stretches::of(windows))).collect();
                let good = days.iter().filter(|day| by_class.iter().any(|lessons| counts(**day, lessons)));
                let days = number(good.count());
                let reached = if days >= goal { Some(true) } else { (days + unseen < goal).then_some(false) };
                TeacherDays { teacher: teacher.to_owned(), days, unseen, goal, reached }
            })
            .collect()
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
