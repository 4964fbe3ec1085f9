//! The register's part of what the policy decides with: each device in the room with its addresses, state and consent.

use std::{collections::BTreeMap, net::IpAddr};

use classroom_protocol::Seat;

use super::{
    ClassId, ConsentState, DeviceId, Kind, Register, State, StudentId, consent,
    presence::{Place, What, Whereabouts},
};
use crate::policy::{Consent, DeviceState, Known, Trouble};

/// Name of the room's own machines, which have no code in the register.
const ROOM: &str = "room";

/// The devices that have an address now, as the policy's snapshot takes them. Nothing of it names a person.
pub fn devices(register: &Register, found: &Whereabouts) -> Vec<Known> {
    let mut by_device: BTreeMap<DeviceId, Vec<(IpAddr, &Place)>> = BTreeMap::new();
    let mut all = Vec::new();
    for (address, place) in &found.places {
        match place.device {
            Some((device, _)) => by_device.entry(device).or_default().push((*address, place)),
            None if place.trusted => all.push(known(ROOM.to_owned(), vec![*address], DeviceState::Staff)),
            None => {}
        }
    }
    for (id, places) in by_device {
        let Some(device) = register.devices.get(&id) else { continue };
        let lent = register.loan_of_device(id);
        let state = match (device.facts.state, device.facts.kind) {
            (State::Lost, _) => DeviceState::Lost,
            (State::Repair, _) => DeviceState::Repair,
            (_, Kind::Other) => DeviceState::Staff,
            _ if lent.is_some() => DeviceState::Lent,
            _ => DeviceState::Shared,
        };
        let signed_in = places.iter().find_map(|(_, place)| place.student);
        let student = signed_in.or(lent.map(|(_, loan)| loan.student));
        let addresses: Vec<IpAddr> = places.iter().map(|(address, _)| *address).collect();
        let anothers = |alert: &super::presence::Alert| alert.what == What::NotBorrower && alert.device == Some(id);
        let trouble = found.alerts.iter().any(anothers).then_some(Trouble::AnotherStudents).into_iter().collect();
        let consent = student.and_then(|student| consent_of(register, student));
        all.push(Known { consent, trouble, ..known(device.facts.code.clone(), addresses, state) });
    }
    all
}

/// 學號 of the student on this seat, and the code of the device in use there: the one that is seen, else the one that is
/// lent to the student. None of what is not known.
pub fn subject(
    register: &Register,
    found: &Whereabouts,
    class: ClassId,
    seat: Seat,
) -> (Option<String>, Option<String>) {
    let Some(student) = register.class(class).get(&seat).copied() else { return (None, None) };
    let here = |place: &&Place| place.student == Some(student.id);
    let seen = found.places.values().filter(here).find_map(|place| place.device).map(|(device, _)| device);
    let device = seen.or_else(|| register.loan_of(student.id).map(|(_, loan)| loan.device));
    let code = device.and_then(|device| register.devices.get(&device)).map(|device| device.facts.code.clone());
    (student.number.as_ref().map(ToString::to_string), code)
}

/// A school that has published no text does not keep its consents here: then nothing is known of them.
fn consent_of(register: &Register, student: StudentId) -> Option<Consent> {
    (!register.texts.is_empty()).then(|| match consent::state(register, student) {
        ConsentState::Both => Consent::Given,
        ConsentState::Withdrawn => Consent::Withdrawn,
        ConsentState::Missing | ConsentState::StudentOnly | ConsentState::GuardianOnly => Consent::Missing,
    })
}

fn known(code: String, addresses: Vec<IpAddr>, device: DeviceState) -> Known {
    Known { code, addresses, device, consent: None, link: None, trouble: vec![], guardian: vec![], exceptions: vec![] }
}
