//! Where the device is and what applies to it there.

use classroom_protocol::{
    Millis,
    policy::{Link, Place},
};

use super::Orders;
use crate::policy::{Context, Decision, Lesson, LessonContext, Policy, Query, decide};

/// How the box was met last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Not now.
    None,
    /// In the room: the device is at school.
    Room,
    /// By its address on the internet: the device is at home.
    Internet,
}

/// All that a decision needs but the question and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// How the box was met last.
    pub contact: Contact,
    /// The device's network (R-POL-14).
    pub link: Option<Link>,
    /// The running lesson, as the box told it last.
    pub lesson: Option<Lesson>,
}

impl Situation {
    /// Nothing is known yet: as strict as at home.
    pub fn unknown() -> Self {
        Self { contact: Contact::None, link: None, lesson: None }
    }

    /// At school is where the box is met in the room, at home is everywhere else (requirements §3).
    pub fn place(&self) -> Place {
        if self.contact == Contact::Room { Place::School } else { Place::Home }
    }

    /// What the core is to decide with.
    pub fn context<'a>(&'a self, orders: &'a Orders) -> Context<'a> {
        let met = self.contact != Contact::None;
        let lesson = self.lesson.as_ref().filter(|_| met && self.place() == Place::School);
        Context {
            place: self.place(),
            lesson: lesson.map(|lesson| LessonContext { permits: &lesson.permits, attention: lesson.attention }),
            device: orders.state,
            consent: orders.consent,
            link: self.link,
            trouble: &[],
            guardian: &orders.guardian,
            exceptions: &orders.exceptions,
        }
    }

    /// May this host be opened? At school the room's resolver decides, which knows the lesson to the second: `None`.
    pub fn host(&self, policy: &Policy, orders: &Orders, name: &str, now: Millis) -> Option<Decision> {
        let query = Query::Host { name, listed: crate::policy::Marks::NONE };
        (self.place() == Place::Home).then(|| decide(policy, &query, &self.context(orders), now))
    }
}
