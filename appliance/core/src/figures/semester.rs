//! The figures of a semester: the means that the plan's gates ask for (R-USE-1 to -4).

use serde::Serialize;

use super::{
    Day, YearMonth,
    facts::Facts,
    month::{Counted, Part, Period, TeacherDays, mean_of_weeks},
    params::{Parameters, Views},
    rate::{Figure, Rate},
    school_days::{Days, SchoolCalendar},
};
use crate::calendar::{self, month as year_month};

/// Days with device activities that a teacher has to reach in a semester, which counts as 16 weeks (004 柒三(三)).
const TEACHER_DAYS: u32 = 16;

/// One month within a semester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MonthRates {
    /// Which.
    pub month: YearMonth,
    /// 月使用率.
    pub used: Views<Rate>,
    /// 課後使用率.
    pub after_class: Views<Rate>,
}

/// The figures of a semester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SemesterFigures {
    /// Its days.
    pub days: Days,
    /// The last day that has happened.
    pub until: Day,
    /// The numbers that it was counted by.
    pub parameters: Parameters,
    /// Its months that have begun.
    pub months: Vec<MonthRates>,
    /// 月平均使用率.
    pub month_mean: Views<Figure>,
    /// Points of the self-assessment for it (plain view); `None` when unknown.
    pub points: Option<u32>,
    /// 課後使用率: the mean of the months.
    pub after_class_mean: Views<Figure>,
    /// 週平均使用率.
    pub week_mean: Views<Figure>,
    /// Teaching weeks that have begun.
    pub weeks: u32,
    /// School days of the teaching weeks on which the box did not run: what teachers did on them is unknown.
    pub unseen_days: u32,
    /// Teachers who held a lesson.
    pub teachers: Vec<TeacherDays>,
}

/// The semester in which a day lies: 1 August to 31 January, 1 February to 31 July.
pub fn semester_of(day: Day) -> Days {
    let mut first = day.month().first();
    // Back to February or August.
    while !["02", "08"].iter().any(|begins| first.to_string().get(5..7) == Some(begins)) {
        first = first.plus(-1).month().first();
    }
    let mut last = first.month();
    (0..5).for_each(|_| last = last.next());
    Days { from: first, to: last.last() }
}

/// How many semesters a report is offered for: the present one and those before it.
const OFFERED: usize = 4;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The days of the semester.
    pub semester: Days,
    /// A month of it.
    pub month: YearMonth,
}

impl Asked {
    /// Reads the semester's name, e.g. `115-1`, and the month, e.g. `2026-11`. Without a month it is the last one of the
    /// semester that has begun; without a semester that of the month; without both the present ones.
    ///
    /// # Errors
    /// Which of both is no such time, has not begun yet, or does not go with the other: `semester` or `month`.
    pub fn read(semester: Option<&str>, month: Option<&str>, today: Day) -> Result<Self, &'static str> {
        let begun = |days: &Days| days.from <= today;
        let named = semester.map(|name| semester_named(name).filter(begun).ok_or("semester")).transpose()?;
        let month =
            month.map(|text| year_month(text).filter(|month| month.first() <= today).ok_or("month")).transpose()?;
        let semester = named.unwrap_or_else(|| semester_of(month.map_or(today, YearMonth::first)));
        let month = month.unwrap_or_else(|| semester.to.min(today).month());
        if semester.has(month.first()) { Ok(Self { semester, month }) } else { Err("month") }
    }

    /// The semester's name.
    pub fn name(&self) -> String {
        calendar::semester(self.semester.from.begins())
    }
}

/// A semester that a report can be had for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Its name, e.g. `115-1`.
    pub semester: String,
    /// Its months that have begun.
    pub months: Vec<YearMonth>,
}

/// The semesters that reports are offered for, the present one first.
pub fn offered(today: Day) -> Vec<Offered> {
    let before = |days: &Days| Some(semester_of(days.from.plus(-1)));
    std::iter::successors(Some(semester_of(today)), before)
        .take(OFFERED)
        .map(|days| Offered {
            semester: calendar::semester(days.from.begins()),
            months: months_of(days, today).collect(),
        })
        .collect()
}

/// The months of a semester that have begun.
fn months_of(days: Days, today: Day) -> impl Iterator<Item = YearMonth> {
    std::iter::successors(Some(days.from.month()), |month| Some(month.next()))
        .take_while(move |month| month.first() <= days.to.min(today))
}

/// The days of the semester with this name; written as it is told, without a sign or zeros in front.
fn semester_named(name: &str) -> Option<Days> {
    let (year, half) = name.split_once('-')?;
    let begins = 1911_i32.checked_add(year.parse().ok()?)?;
    let first = match half {
        "1" => year_month(&format!("{begins:04}-08"))?,
        "2" => year_month(&format!("{:04}-02", begins.checked_add(1)?))?,
        _ => return None,
    };
    let days = semester_of(first.first());
    (calendar::semester(days.from.begins()) == name).then_some(days)
}

/// Counts a semester up to `today`.
pub fn semester(
    facts: &Facts,
    calendar: &SchoolCalendar,
    parameters: &Parameters,
    days: Days,
    today: Day,
) -> SemesterFigures {
    let counted = Counted::new(facts, calendar);
    let months: Vec<MonthRates> = months_of(days, today)
        .map(|month| {
            let period = Period::until(Days { from: month.first(), to: month.last() }, today);
            MonthRates {
                month,
                used: parameters.month.each(|rule| counted.rate(period, *rule, Part::AllDay)),
                after_class: parameters.month.each(|rule| counted.rate(period, *rule, Part::AfterClass)),
            }
        })
        .collect();
    let teaching = calendar.teaching_weeks(days, today);
    let weeks = counted.weeks(&teaching, parameters);
    let mean = |of: fn(&MonthRates) -> &Views<Rate>| Views {
        plain: Figure::mean(months.iter().map(|month| of(month).plain.figure())),
        strict: Figure::mean(months.iter().map(|month| of(month).strict.figure())),
    };
    let month_mean = mean(|month| &month.used);
    SemesterFigures {
        days,
        until: days.to.min(today),
        parameters: parameters.clone(),
        points: month_mean.plain.points(),
        month_mean,
        after_class_mean: mean(|month| &month.after_class),
        week_mean: mean_of_weeks(&weeks),
        weeks: u32::try_from(weeks.len()).unwrap_or(u32::MAX),
        unseen_days: counted.unseen(&teaching),
        teachers: counted.teachers(&teaching, parameters.month.plain.minutes, TEACHER_DAYS),
        months,
    }
}
