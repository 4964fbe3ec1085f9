//! Where the device is and what applies to it there.

use classroom_protocol::{
    Millis,
    policy::{Link, Place},
};

use super::Orders;
use crate::policy::{Context, Decision, Lesson, LessonContext, Marks, Policy, Query, decide};

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

impl Contact {
    /// Whether the box is to be looked for in the room: its address on the internet leads to it from the school, too.
    pub fn looks_for_the_room(self) -> bool {
        self != Self::Room
    }
}

/// Why the box was not met. Of several tries the greatest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// Nobody answered who is to answer there.
    Nobody,
    /// Someone else answers where the box was met before.
    Impostor,
    /// The box does not know this device any more.
    Forgotten,
}

impl Missed {
    /// Someone answered whose certificate is not the box's. That is worth a warning where the box itself was `met_before`;
    /// elsewhere it may well be another room's box or a device of the home.
    pub fn stranger(met_before: bool) -> Self {
        if met_before { Self::Impostor } else { Self::Nobody }
    }
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
        let query = Query::Host { name, listed: Marks::NONE };
        (self.place() == Place::Home).then(|| decide(policy, &query, &self.context(orders), now))
    }
}

/// What the rules say of the device's network here (R-POL-14), if they say anything of it. At school the room's resolver
/// decides which hosts open; this is one sentence beside it.
pub fn by_network(policy: &Policy, context: &Context<'_>, now: Millis) -> Option<Decision> {
    context.link?;
    let any = Query::Host { name: "", listed: Marks::NONE };
    let here = decide(policy, &any, context, now);
    (here != decide(policy, &any, &without_link(context), now)).then_some(here)
}

/// What the rules say of programs that they don't name.
pub fn programs_now(policy: &Policy, context: &Context<'_>, now: Millis) -> Decision {
    decide(policy, &Query::App(""), &without_link(context), now)
}

fn without_link<'a>(context: &Context<'a>) -> Context<'a> {
    Context { link: None, ..*context }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy::{Consent, DeviceState, Document};

    #[test]
    fn another_rooms_box_is_no_impostor_and_the_room_is_looked_for_from_everywhere_else() {
        let tries = |met_before: &[bool]| met_before.iter().map(|met| Missed::stranger(*met)).max();
        assert_eq!(tries(&[false, false]), Some(Missed::Nobody), "two boxes of other rooms");
        assert_eq!(tries(&[true, false]), Some(Missed::Impostor));
        assert!(Missed::Forgotten > Missed::Impostor, "the box itself has answered");
        let looking = [Contact::None, Contact::Internet, Contact::Room].map(Contact::looks_for_the_room);
        assert_eq!(looking, [true, true, false]);
    }

    #[test]
    fn a_cable_at_school_is_one_sentence_and_the_room_decides_the_hosts() {
        let policy = Policy::new(Document::standard().unwrap()).unwrap();
        let context = |place, link| Context {
            device: DeviceState::Lent,
            consent: Some(Consent::Given),
            link,
            ..Context::unknown(place)
        };
        let rule = |place, link| by_network(&policy, &context(place, link), 5).map(|said| said.rule.to_string());
        assert_eq!(rule(Place::School, Some(Link::Wired)).as_deref(), Some("R-POL-14"));
        assert_eq!(rule(Place::School, Some(Link::Mobile)).as_deref(), Some("R-POL-14"));
        assert_eq!(rule(Place::School, Some(Link::Wifi)), None);
        assert_eq!(rule(Place::School, None), None);
        assert_eq!(rule(Place::Home, Some(Link::Wired)), None);
        let programs = programs_now(&policy, &context(Place::School, Some(Link::Wired)), 5);
        assert_eq!(programs.rule.to_string(), "R-POL-3");
    }
}
