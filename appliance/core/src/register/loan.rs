//! Loans: one device for one student, returned at the plan's end or at graduation (R-POL-24, 004 捌五(一)).

use classroom_protocol::{Millis, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{Change, ConsentState, DeviceFacts, DeviceId, Kind, LoanId, Register, State, StudentId, consent};

/// A loan that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loan {
    /// What is lent.
    pub device: DeviceId,
    /// To whom.
    pub student: StudentId,
    /// When it was handed out.
    pub lent_at: Millis,
    /// Last moment of the loan.
    pub due: Millis,
    /// Since when it is stopped: consent was withdrawn and the device has not come back yet.
    pub stopped_at: Option<Millis>,
}

/// How a device comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// As it went.
    Good,
    /// To be repaired.
    Repair,
    /// It does not come back: lost or stolen.
    Lost,
}

impl Condition {
    /// The condition's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Repair => "repair",
            Self::Lost => "lost",
        }
    }
}

/// How a student's loan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoanState {
    /// No device is lent to the student.
    None,
    /// A device is lent.
    Active,
    /// The day of return has passed.
    Overdue,
    /// Consent was withdrawn: the device must come back.
    Stopped,
}

/// A loan of one device, running or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// 學號 of the borrower, if the register has one.
    pub student: Option<String>,
    /// When it was handed out.
    pub from: Millis,
    /// When it came back; none while it is out.
    pub to: Option<Millis>,
}

/// 學號 of who had the device at `at`: what a device tells late is still of who had it then. Before its first loan and
/// between two it was nobody's.
pub fn borrower_at(loans: &[Lent], at: Millis) -> Option<&str> {
    let loan = loans.iter().find(|loan| loan.from <= at && loan.to.is_none_or(|to| at < to))?;
    loan.student.as_deref()
}

/// How the loan of a student stands at `now`.
pub fn state(register: &Register, student: StudentId, now: Millis) -> LoanState {
    register.loan_of(student).map_or(LoanState::None, |(_, loan)| state_of(loan, now))
}

/// How a loan stands at `now`.
pub fn state_of(loan: &Loan, now: Millis) -> LoanState {
    match loan {
        Loan { stopped_at: Some(_), .. } => LoanState::Stopped,
        Loan { due, .. } if *due < now => LoanState::Overdue,
        Loan { .. } => LoanState::Active,
    }
}

/// Hands a device out.
///
/// # Errors
/// `not-found`; `no-consent` and `below-quorum` (R-POL-23); `has-device`, `device-lent`, `device-not-ready` (R-POL-24);
/// `bad-input` when `due` is past.
pub fn lend(
    register: &Register,
    student: StudentId,
    device: DeviceId,
    due: Millis,
    at: Millis,
    by: &str,
) -> Result<Vec<Change>, ProblemCode> {
    let who = register.students.get(&student).ok_or(ProblemCode::NotFound)?;
    let what = register.devices.get(&device).ok_or(ProblemCode::NotFound)?;
    // A student who has left the school borrows nothing.
    let (class, _) = who.place.ok_or(ProblemCode::NotFound)?;
    if consent::state(register, student) != ConsentState::Both {
        return Err(ProblemCode::NoConsent);
    }
    if !consent::quorum(register, class).reached {
        return Err(ProblemCode::BelowQuorum);
    }
    if register.loan_of(student).is_some() {
        return Err(ProblemCode::HasDevice);
    }
    if register.loan_of_device(device).is_some() {
        return Err(ProblemCode::DeviceLent);
    }
    if what.facts.state != State::Ready || what.facts.kind == Kind::Other {
        return Err(ProblemCode::DeviceNotReady);
    }
    if due <= at {
        return Err(ProblemCode::BadInput);
    }
    Ok(vec![Change::Lend { device, student, due, at, by: by.to_owned() }])
}

/// A device comes back, or is known not to.
///
/// # Errors
/// `not-found` when the loan has ended already.
pub fn take_back(
    register: &Register,
    loan: LoanId,
    condition: Condition,
    at: Millis,
    by: &str,
) -> Result<Vec<Change>, ProblemCode> {
    let lent = register.loans.get(&loan).ok_or(ProblemCode::NotFound)?;
    let mut changes = vec![Change::TakeBack { loan, condition, at, by: by.to_owned() }];
    let state = match condition {
        Condition::Good => State::Ready,
        Condition::Repair => State::Repair,
        Condition::Lost => State::Lost,
    };
    let device = register.devices.get(&lent.device).filter(|device| device.facts.state != state);
    changes.extend(device.map(|device| Change::PutDevice {
        device: Some(device.id),
        facts: DeviceFacts { state, ..device.facts.clone() },
        at,
    }));
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_tells_late_is_of_who_had_it_then() {
        let lent = |student: &str, from, to| Lent { student: Some(student.into()), from, to };
        let loans = [lent("1100203", 100, Some(200)), lent("1100204", 300, None)];
        assert_eq!(borrower_at(&loans, 99), None, "before any loan");
        assert_eq!(borrower_at(&loans, 100), Some("1100203"));
        assert_eq!(borrower_at(&loans, 199), Some("1100203"), "whoever has it by now");
        assert_eq!(borrower_at(&loans, 200), None, "between two");
        assert_eq!(borrower_at(&loans, 300), Some("1100204"));
        assert_eq!(borrower_at(&loans, u64::MAX), Some("1100204"), "a clock that runs ahead");
        assert_eq!(borrower_at(&[Lent { student: None, from: 0, to: None }], 5), None);
    }
}
