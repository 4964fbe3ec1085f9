//! What the figures are made of: records of activity and facts of the register.

use std::collections::BTreeMap;

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use super::{Day, school_days::Days};

/// Something was active. Whoever records has cut idle time after 5 minutes (R-USE-5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// Opaque code of the device; `None` when the box does not know which it was.
    pub device: Option<String>,
    /// Opaque name of the student; `None` when nobody was signed in.
    pub student: Option<String>,
    /// Class.
    pub class: Option<i64>,
    /// Id of the learning platform, as in the platform bundle (R-USE-9); `None` for other use.
    pub platform: Option<String>,
    /// Since when.
    pub at: Millis,
    /// For so many seconds.
    pub seconds: u32,
}

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// In use: it counts.
    InUse,
    /// A spare (備用機): it does not.
    Spare,
    /// In repair: it does not.
    Repair,
}

/// A device on loan to a student.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loan {
    /// From the day it was handed out to the day it came back.
    pub days: Days,
    /// Opaque name of the student, as in [`Activity::student`].
    pub student: String,
}

/// A device as the register knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Opaque code.
    pub id: String,
    /// The class of who has or had it last, in today's register; of another time its records tell (`of_class`).
    pub class: Option<i64>,
    /// Its duties; on other days it is not enrolled.
    pub duties: Vec<(Days, Duty)>,
    /// Its loans (帶回家); none overlap.
    pub loans: Vec<Loan>,
    /// Whole days that the box knows all about, because the device's agent has delivered them.
    pub seen: Vec<Days>,
}

/// A lesson that was held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// Account of the teacher.
    pub teacher: String,
    /// Class.
    pub class: Option<i64>,
    /// When it began.
    pub from: Millis,
    /// When it ended.
    pub to: Millis,
}

/// Everything that a month is made of. Records outside the month do no harm; a week may need up to six days before and
/// after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Records.
    pub activities: Vec<Activity>,
    /// Register.
    pub devices: Vec<Device>,
    /// Lessons.
    pub lessons: Vec<Lesson>,
    /// Ids of the platforms whose hours are asked for (R-USE-5); others that were seen are added.
    pub platforms: Vec<String>,
    /// Days on which the box ran.
    pub box_ran: Vec<Days>,
}

impl Device {
    /// Whether it counts on this day: enrolled, no spare, not in repair. The last entry that covers the day holds.
    pub fn counts(&self, day: Day) -> bool {
        let duty = self.duties.iter().rev().find(|(days, _)| days.has(day));
        duty.is_some_and(|(_, duty)| *duty == Duty::InUse)
    }

    /// Whether it is on loan on this day.
    pub fn on_loan(&self, day: Day) -> bool {
        self.loans.iter().any(|loan| loan.days.has(day))
    }

    /// Whether the box knows all about this day.
    pub fn seen(&self, day: Day) -> bool {
        self.seen.iter().any(|days| days.has(day))
    }
}

impl Facts {
    /// The records, each with its device where that can be told: a record that names a student only is of the device
    /// that is on loan to that student on that day (1 device, 1 student: R-POL-7, R-POL-24).
    pub(super) fn records(&self) -> Vec<Activity> {
        let mut lent: BTreeMap<&str, Vec<(Days, &str)>> = BTreeMap::new();
        for device in &self.devices {
            for loan in &device.loans {
                lent.entry(&loan.student).or_default().push((loan.days, &device.id));
            }
        }
        let own = |record: &Activity| {
            let day = Day::of(record.at);
            let loans = lent.get(record.student.as_deref()?)?;
            loans.iter().find(|(days, _)| days.has(day)).map(|(_, device)| (*device).to_owned())
        };
        let known =
            |record: &Activity| Activity { device: record.device.clone().or_else(|| own(record)), ..record.clone() };
        self.activities.iter().map(known).collect()
    }
}
