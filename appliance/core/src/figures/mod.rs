//! The usage figures (R-USE-1 to -5): how many devices were used, on which platforms, with which teachers.
#![doc = include_str!("RULES.md")]

mod active;
pub mod annex;
mod class;
pub mod events;
mod facts;
mod month;
mod params;
mod rate;
pub mod register;
mod school_days;
mod semester;
pub mod table;

use crate::calendar::{Day, YearMonth};

pub use facts::{Activity, Device, Duty, Facts, Lesson, Loan};
pub use month::{
    DayFigures, DeviceFigures, MonthFigures, PlatformHours, TeacherDays, WeekFigures, month, month_of_class,
};
pub use params::{Counting, Parameters, Views};
pub use rate::{Figure, Rate, Share, Use, WHOLE, Why};
pub use school_days::{Days, Minute, SchoolCalendar, Window};
pub use semester::{Asked, Offered, SemesterFigures, offered, semester, semester_of};
