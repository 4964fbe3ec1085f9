//! Which device is at which address now: gathers what requests and the kernel tell, lets the core judge, and hands the
//! outcome to whoever has the narrow [`Known`]: the policy's snapshot, the teacher's page.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use appliance_core::{
    access::Who,
    policy,
    register::{
        self, ClassId, Register, StudentFacts, StudentId,
        presence::{self, Alert, Place, Seen, What, Whereabouts},
    },
    room::{Input, Pass, Room},
};
use classroom_protocol::{
    Millis, Seat,
    view::{DeviceAlert, DeviceTrouble},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{clock, neighbours::Neighbours, room::RoomHandle, store::Registers};

/// Addresses that are remembered; a classroom has some hundred. When it is full the one seen longest ago goes.
const MOST: usize = 1024;
/// An address from which staff or a panel spoke is no student's for this long.
const TRUSTED_FOR: Millis = 3_600_000;
/// Changes of one moment are judged together.
const TOGETHER: Duration = Duration::from_millis(150);
/// Loans become overdue by the clock alone.
const AT_LEAST: Duration = Duration::from_millis(AT_LEAST_MS);
const AT_LEAST_MS: Millis = 30_000;

/// What is known of the network's devices, for others to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The register as it is now.
    pub register: Arc<Register>,
    /// What is at each address.
    pub whereabouts: Whereabouts,
    /// Consent and loan of everyone in the register.
    pub students: Arc<BTreeMap<StudentId, StudentFacts>>,
    /// The devices as the policy's snapshot takes them.
    pub devices: Vec<policy::Known>,
}

impl Known {
    /// 學號 of the student on this seat of a class, and the code of the device in use there.
    pub fn subject(&self, class: ClassId, seat: Seat) -> (Option<String>, Option<String>) {
        register::known::subject(&self.register, &self.whereabouts, class, seat)
    }

    /// What is at an address, and the facts of who uses it: the student who is signed in there, else the borrower.
    pub fn at(&self, address: IpAddr) -> Option<(&Place, Option<StudentFacts>)> {
        let place = self.whereabouts.places.get(&address.to_canonical())?;
        let student = place.student.or(place.borrower);
        Some((place, student.and_then(|student| self.students.get(&student)).copied()))
    }
}

#[derive(Debug, Clone)]
enum Spoke {
    Student(Pass),
    Staff,
}

/// Is told from where each request came. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Presence {
    spoke: Arc<Mutex<BTreeMap<IpAddr, (Spoke, Millis)>>>,
    news: watch::Sender<u64>,
}

impl Default for Presence {
    fn default() -> Self {
        Self { spoke: Arc::default(), news: watch::Sender::new(0) }
    }
}

impl Presence {
    /// `who` spoke from `address` just now.
    pub fn spoke(&self, address: IpAddr, who: &Who) {
        let address = address.to_canonical();
        let what = match who {
            Who::Student(pass) | Who::SeatKey(pass) => Spoke::Student(pass.clone()),
            Who::Staff { .. } | Who::Display { .. } | Who::Ops => Spoke::Staff,
            // Home students are not in the room: their address is no device's of it.
            Who::Nobody
            | Who::Ticket { .. }
            | Who::Source(_)
            | Who::Agent { .. }
            | Who::HomeLink { .. }
            | Who::Home(_) => return,
        };
        // The box's own browser: no device of the room.
        if address.is_loopback() {
            return;
        }
        let now = clock::now();
        let mut spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match (spoke.get(&address), &what) {
            (Some((Spoke::Student(old), _)), Spoke::Student(new)) => old != new,
            // A student's tab on a machine of the room that staff use, too: the student counts.
            (Some((Spoke::Staff, _)), Spoke::Staff) => false,
            (Some((Spoke::Student(_), at)), Spoke::Staff) if now.saturating_sub(*at) < TRUSTED_FOR => return,
            _ => true,
        };
        spoke.insert(address, (what, now));
        if spoke.len() > MOST {
            let oldest = spoke.iter().min_by_key(|(_, (_, at))| *at).map(|(address, _)| *address);
            oldest.map(|address| spoke.remove(&address));
        }
        drop(spoke);
        if news {
            self.news.send_modify(|count| *count += 1);
        }
    }

    fn seen(&self, room: &Room, neighbours: &Neighbours, own: &[IpAddr], now: Millis) -> Seen {
        let spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Seen {
            cards: neighbours.cards.clone(),
            trusted: neighbours.routers.iter().chain(own).copied().collect(),
            ..Seen::default()
        };
        for (address, (what, at)) in &*spoke {
            match what {
                Spoke::Student(pass) if room.holds(pass) => drop(seen.seats.insert(*address, pass.seat)),
                Spoke::Staff if now.saturating_sub(*at) < TRUSTED_FOR => drop(seen.trusted.insert(*address)),
                Spoke::Student(_) | Spoke::Staff => {}
            }
        }
        seen
    }
}

/// What the task needs.
pub struct Sources {
    /// Where requests came from.
    pub presence: Presence,
    /// The register.
    pub registers: Registers,
    /// The room: who sits where, and who is told.
    pub room: RoomHandle,
    /// Cards of addresses.
    pub neighbours: watch::Receiver<Neighbours>,
    /// The box's own addresses.
    pub own: watch::Receiver<Vec<IpAddr>>,
}

/// Judges whenever something changes and tells those who watch. Runs until it is aborted.
pub async fn follow(sources: Sources, sender: watch::Sender<Arc<Known>>) {
    let Sources { presence, registers, room, mut neighbours, mut own } = sources;
    let mut changed = registers.changed();
    let mut news = presence.news.subscribe();
    let mut state = room.watch();
    let mut register: Option<Arc<Register>> = None;
    let mut alerts: Vec<DeviceAlert> = Vec::new();
    let (mut students, mut counted_at) = (Arc::default(), 0);
    loop {
        let stale = register.is_none() || changed.has_changed().unwrap_or(false);
        if stale {
            changed.mark_unchanged();
            match registers.load().await {
                Ok(loaded) => register = Some(Arc::new(loaded)),
                Err(error) => tracing::error!(%error, "the register can't be read; what was known stays"),
            }
        }
        let now = clock::now();
        if let Some(register) = &register {
            let current = state.borrow_and_update().clone();
            let seen = presence.seen(&current, &neighbours.borrow_and_update(), &own.borrow_and_update(), now);
            let whereabouts = presence::whereabouts(register, &seen, current.class_id());
            let told: Vec<DeviceAlert> =
                whereabouts.alerts.iter().map(|alert| words(register, alert, &current)).collect();
            let devices = register::known::devices(register, &whereabouts);
            // Only the register and the calendar change it, not each of the room's many news.
            if stale || now.saturating_sub(counted_at) >= AT_LEAST_MS {
                counted_at = now;
                students = Arc::new(register::all_facts(register, now));
            }
            let known = Known { register: register.clone(), whereabouts, students: students.clone(), devices };
            sender.send_if_modified(|old| {
                let changed = **old != known;
                if changed {
                    *old = Arc::new(known);
                }
                changed
            });
            if told != alerts {
                for alert in told.iter().filter(|alert| !alerts.contains(alert)) {
                    tracing::info!(what = ?alert.what, address = alert.address, rule = alert.rule, "a device needs a look");
                }
                alerts.clone_from(&told);
                if room.apply(Input::DeviceAlerts(told)).await.is_err() {
                    return;
                }
            }
        }
        sleep(TOGETHER).await;
        let next = async {
            tokio::select! {
                told = news.changed() => told.is_ok(),
                told = changed.changed() => { changed.mark_changed(); told.is_ok() }
                told = state.changed() => told.is_ok(),
                Ok(()) = neighbours.changed() => true,
                Ok(()) = own.changed() => true,
                else => false,
            }
        };
        // A source that ended: the box is stopping, or the kernel tells nothing; the clock still counts.
        if timeout(AT_LEAST, next).await == Ok(false) {
            return;
        }
    }
}

/// An alert as the teacher's page is told it.
fn words(register: &Register, alert: &Alert, room: &Room) -> DeviceAlert {
    let student = |id| register.students.get(&id).map(|student| student.name.clone());
    let sitting = alert.seat.and_then(|seat| Some(register.class(room.class_id()?).get(&seat)?.name.clone()));
    let (what, rule) = match alert.what {
        What::Unknown => (DeviceTrouble::Unknown, "R-POL-2"),
        What::NotBorrower => (DeviceTrouble::NotBorrower, "R-POL-8"),
        What::Lost => (DeviceTrouble::Lost, "R-POL-13"),
    };
    DeviceAlert {
        what,
        rule: rule.to_owned(),
        address: alert.address.to_string(),
        mac: alert.mac.map(String::from),
        seat: alert.seat,
        name: sitting,
        device: alert.device.and_then(|id| register.devices.get(&id)).map(|device| device.facts.code.clone()),
        borrower: alert.borrower.and_then(student),
    }
}
