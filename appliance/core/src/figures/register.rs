//! The register's rows as facts of the figures.

use classroom_protocol::Millis;

use super::{
    Day,
    facts::{Device, Duty, Loan},
    school_days::Days,
};

/// A device with its history, as the store has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceRow {
    /// Opaque code.
    pub code: String,
    /// Since when it was what, in the order of time; `None` = not enrolled (lost, or out of use).
    pub duties: Vec<(Millis, Option<Duty>)>,
    /// Loans in the order of time.
    pub loans: Vec<LoanRow>,
    /// Whole days that its agent has delivered.
    pub seen: Vec<Days>,
}

/// A loan, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoanRow {
    /// Name of the student in the figures.
    pub student: String,
    /// The student's class today.
    pub class: Option<i64>,
    /// When it was handed out.
    pub from: Millis,
    /// When it came back or consent was withdrawn; `None` while it is out.
    pub to: Option<Millis>,
}

/// The device's facts as they stand on `today`. What changed in the course of a day holds for that day.
pub fn device(row: DeviceRow, today: Day) -> Device {
    let mut duties = Vec::new();
    for (n, (since, duty)) in row.duties.iter().enumerate() {
        let to = row.duties.get(n + 1).map_or(today, |(next, _)| Day::of(*next).plus(-1));
        let days = Days { from: Day::of(*since), to };
        duties.extend(duty.filter(|_| days.from <= days.to).map(|duty| (days, duty)));
    }
    let begun = row.loans.iter().filter(|loan| Day::of(loan.from) <= today);
    Device {
        // The class of who has or had it last, as it is today.
        class: begun.clone().next_back().and_then(|loan| loan.class),
        loans: begun
            .map(|loan| Loan {
                days: Days { from: Day::of(loan.from), to: loan.to.map_or(today, Day::of) },
                student: loan.student.clone(),
            })
            .collect(),
        id: row.code,
        duties,
        seen: row.seen,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::calendar::day;

    #[test]
    fn what_changed_in_the_course_of_a_day_holds_for_that_day() {
        let at = |text: &str| day(text).unwrap();
        let noon = |text: &str| at(text).begins() + 43_200_000;
        let row = DeviceRow {
            code: "T1".into(),
            duties: vec![
                (noon("2026-11-02"), Some(Duty::Spare)),
                (noon("2026-11-05"), Some(Duty::InUse)),
                (noon("2026-11-05") + 1, Some(Duty::Repair)),
                (noon("2026-11-09"), None),
                (noon("2026-11-12"), Some(Duty::InUse)),
            ],
            loans: vec![
                LoanRow {
                    student: "s1".into(),
                    class: Some(1),
                    from: noon("2026-11-03"),
                    to: Some(noon("2026-11-04")),
                },
                LoanRow { student: "s2".into(), class: Some(2), from: noon("2026-11-12"), to: None },
                LoanRow { student: "s3".into(), class: Some(3), from: noon("2026-12-01"), to: None },
            ],
            seen: vec![],
        };
        let device = device(row, at("2026-11-30"));
        let counts = ["2026-11-05", "2026-11-11", "2026-11-12", "2026-11-30"].map(|day| device.counts(at(day)));
        assert_eq!(counts, [false, false, true, true]);
        assert_eq!(device.duties.len(), 3);
        assert_eq!((device.class, device.loans.len()), (Some(2), 2));
        assert!(device.on_loan(at("2026-11-04")) && !device.on_loan(at("2026-11-05")));
    }
}
