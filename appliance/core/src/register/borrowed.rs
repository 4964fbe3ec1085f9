//! One device, wherever it is: what its agent is told and what its records are kept under.

use super::{ConsentState, Kind, Register, State, consent};
use crate::policy::{Consent, DeviceState};

/// What the register says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrowed {
    /// Its state.
    pub state: DeviceState,
    /// The consent of its borrower; none when it has no borrower or the school does not keep consents here.
    pub consent: Option<Consent>,
    /// 學號 of its borrower, if it has one.
    pub student: Option<String>,
}

/// The device with this code; none when there is none, or it is out of use or no student's. A loan that was stopped is
/// one no more (R-POL-23).
pub fn of_device(register: &Register, code: &str) -> Option<Borrowed> {
    let device = register.devices.values().find(|device| device.facts.code == code)?;
    let loan = register.loan_of_device(device.id).map(|(_, loan)| loan);
    let state = match (device.facts.state, device.facts.kind) {
        (State::Retired, _) | (_, Kind::Other) => return None,
        (State::Lost, _) => DeviceState::Lost,
        (State::Repair, _) => DeviceState::Repair,
        _ if loan.is_some_and(|loan| loan.stopped_at.is_none()) => DeviceState::Lent,
        _ => DeviceState::Shared,
    };
    let student = loan.and_then(|loan| register.students.get(&loan.student));
    let number = student.and_then(|student| student.number.as_ref()).map(ToString::to_string);
    // A school that has published no text does not keep its consents here.
    let consent =
        student.filter(|_| !register.texts.is_empty()).map(|student| match consent::state(register, student.id) {
            ConsentState::Both => Consent::Given,
            ConsentState::Withdrawn => Consent::Withdrawn,
            ConsentState::Missing | ConsentState::StudentOnly | ConsentState::GuardianOnly => Consent::Missing,
        });
    Some(Borrowed { state, consent, student: number })
}
