//! The figures of a semester: the means that the plan's gates ask for (R-USE-1 to -4).

use serde::Serialize;

use super::{
    Day, YearMonth,
    facts::Facts,
    month::{Counted, Part, TeacherDays, WeekFigures, mean_of_weeks},
    params::{Parameters, Views},
    rate::{Figure, Rate},
    school_days::{Days, SchoolCalendar},
};

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

/// Counts a semester up to `today`.
pub fn semester(
    facts: &Facts,
    calendar: &SchoolCalendar,
    parameters: &Parameters,
    days: Days,
    today: Day,
) -> SemesterFigures {
    let counted = Counted::new(facts, calendar);
    let begun = std::iter::successors(Some(days.from.month()), |month| Some(month.next()))
        .take_while(|month| month.first() <= days.to.min(today));
    let months: Vec<MonthRates> = begun
        .map(|month| {
            let days = Days { from: month.first(), to: month.last().min(today) };
            MonthRates {
                month,
                used: parameters.month.each(|rule| counted.rate(days, *rule, Part::AllDay)),
                after_class: parameters.month.each(|rule| counted.rate(days, *rule, Part::AfterClass)),
            }
        })
        .collect();
    let teaching = calendar.teaching_weeks(days, today);
    let weeks: Vec<WeekFigures> = teaching
        .iter()
        .map(|week| WeekFigures {
            monday: week.from,
            rate: parameters.week.each(|rule| counted.rate(*week, *rule, Part::AllDay)),
        })
        .collect();
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
        teachers: counted.teachers(&teaching, parameters.month.plain.minutes, TEACHER_DAYS),
        months,
    }
}
