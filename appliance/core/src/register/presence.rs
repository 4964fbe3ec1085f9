//! Which device is at which address now, who is signed in on it, and what a teacher must be told (R-POL-1, -2, -8).
//!
//! Two sources: the kernel's table of neighbours gives the card of an address, a student who joined gives the seat of
//! an address. The card counts where it is known; behind a router there is none, then the seat's loan tells the device.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use classroom_protocol::Seat;
use serde::{Deserialize, Serialize};

use super::{DeviceId, Kind, Mac, Register, State, StudentId};

/// What is known from the network, as the shell saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Cards of the neighbours.
    pub cards: BTreeMap<IpAddr, Mac>,
    /// Seats of the running lesson by the address from which the student's page talks.
    pub seats: BTreeMap<IpAddr, Seat>,
    /// Addresses that are no student's device: the box's own, its router, those of signed-in staff and of panels.
    pub trusted: BTreeSet<IpAddr>,
}

/// How a device was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// By its card.
    Card,
    /// By the loan of who sits there; nothing speaks against it.
    Loan,
}

/// What is at an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The registered device, and how it was told.
    pub device: Option<(DeviceId, By)>,
    /// The student who is signed in there.
    pub student: Option<StudentId>,
    /// Their seat.
    pub seat: Option<Seat>,
    /// The student to whom the device is lent.
    pub borrower: Option<StudentId>,
    /// The box's own, its router, a teacher's or a panel's machine.
    pub trusted: bool,
}

impl Place {
    /// Whether the device may use the school's network (R-POL-2).
    pub fn registered(&self) -> bool {
        self.device.is_some() || self.trusted
    }
}

/// What a teacher is told of a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// No such device in the register (R-POL-1, -2).
    Unknown,
    /// It is lent to another student (R-POL-8).
    NotBorrower,
    /// It was reported as lost (R-POL-13).
    Lost,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alert {
    /// What.
    pub what: What,
    /// Where.
    pub address: IpAddr,
    /// The card, if known.
    pub mac: Option<Mac>,
    /// Who is signed in there.
    pub seat: Option<Seat>,
    /// The device, if known.
    pub device: Option<DeviceId>,
    /// To whom it is lent.
    pub borrower: Option<StudentId>,
}

/// Everything that is known of the addresses of the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// What is at each address.
    pub places: BTreeMap<IpAddr, Place>,
    /// What the teacher is told, in a fixed order.
    pub alerts: Vec<Alert>,
    /// Whether the school keeps its devices in the register at all. While there is none in it nothing is unknown.
    pub in_use: bool,
}

/// Puts together what is known. `class` is the class of the running lesson.
pub fn whereabouts(register: &Register, seen: &Seen, class: Option<super::ClassId>) -> Whereabouts {
    let in_use = register.devices.values().any(|device| device.facts.state != State::Retired);
    let by_card: BTreeMap<Mac, DeviceId> = register
        .devices
        .values()
        .filter(|device| device.facts.state != State::Retired)
        .filter_map(|device| Some((device.facts.mac?, device.id)))
        .collect();
    // A trusted machine has several addresses (IPv4, IPv6); its card tells them all.
    let trusted_cards: BTreeSet<Mac> = seen
        .trusted
        .iter()
        .filter(|address| !seen.seats.contains_key(*address))
        .filter_map(|a| seen.cards.get(a))
        .copied()
        .collect();
    let students = class.map(|class| register.class(class)).unwrap_or_default();
    let mut result = Whereabouts { in_use, ..Whereabouts::default() };
    let addresses: BTreeSet<IpAddr> =
        seen.cards.keys().chain(seen.seats.keys()).chain(&seen.trusted).copied().collect();
    for address in addresses {
        let card = seen.cards.get(&address).copied();
        let seat = seen.seats.get(&address).copied();
        let student = seat.and_then(|seat| students.get(&seat)).map(|student| student.id);
        let device = match card.map(|card| (card, by_card.get(&card))) {
            Some((_, Some(device))) => Some((*device, By::Card)),
            // A card of its own that the register does not know: the lent device only if its card was never noted.
            Some((_, None)) => lent_to(register, student, true),
            None => lent_to(register, student, false),
        };
        let loan = device.and_then(|(device, _)| register.loan_of_device(device));
        let borrower = loan.map(|(_, loan)| loan.student);
        let known_card = card.is_some_and(|card| trusted_cards.contains(&card));
        let trusted = (known_card || seen.trusted.contains(&address)) && seat.is_none();
        let facts = device.and_then(|(device, _)| register.devices.get(&device)).map(|device| &device.facts);
        let what = match facts {
            None if in_use && !trusted => Some(What::Unknown),
            None => None,
            Some(facts) if facts.state == State::Lost => Some(What::Lost),
            Some(facts) if facts.kind == Kind::Other => None,
            Some(_) => (student.is_some() && borrower.is_some() && borrower != student).then_some(What::NotBorrower),
        };
        let known = device.map(|(device, _)| device);
        result.alerts.extend(what.map(|what| Alert { what, address, mac: card, seat, device: known, borrower }));
        result.places.insert(address, Place { device, student, seat, borrower, trusted });
    }
    // One device has several addresses (IPv4, IPv6): it is told once.
    let mut told = BTreeSet::new();
    result.alerts.sort();
    result.alerts.retain(|alert| {
        told.insert(match (alert.device, alert.mac, alert.seat) {
            (Some(device), _, seat) => (alert.what.clone(), format!("device {device} {seat:?}")),
            (None, Some(mac), seat) => (alert.what.clone(), format!("card {mac} {seat:?}")),
            (None, None, Some(seat)) => (alert.what.clone(), format!("seat {seat}")),
            (None, None, None) => (alert.what.clone(), alert.address.to_string()),
        })
    });
    result
}

fn lent_to(register: &Register, student: Option<StudentId>, unnoted: bool) -> Option<(DeviceId, By)> {
    let (_, loan) = register.loan_of(student?)?;
    let device = register.devices.get(&loan.device)?;
    (!unnoted || device.facts.mac.is_none()).then_some((device.id, By::Loan))
}
