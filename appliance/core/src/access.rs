//! Who may do what: one rule for each route, declared where the route is.

use classroom_protocol::{Seat, SourceId};

use crate::{home::HomePass, room::Pass};

/// What a member of staff may do. One person may have both roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Holds lessons.
    #[serde(default)]
    pub teacher: bool,
    /// Keeps the register: students, devices, consents, loans.
    #[serde(default)]
    pub office: bool,
}

impl Roles {
    /// Both roles: the first account of a box, and those that were there before the office had its own.
    pub const BOTH: Self = Self { teacher: true, office: true };
    /// A teacher.
    pub const TEACHER: Self = Self { teacher: true, office: false };
    /// The school office.
    pub const OFFICE: Self = Self { teacher: false, office: true };
}

/// Who is asking, as the credentials prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// No credentials, or void ones.
    Nobody,
    /// Typed the room code and has not chosen a seat yet.
    Ticket {
        /// The lesson that the code belonged to.
        lesson: String,
    },
    /// A student on a seat.
    Student(Pass),
    /// A program that publishes for a student's seat.
    SeatKey(Pass),
    /// Holds a personal link and has not opened the lesson with it yet (R-LIVE-1).
    HomeLink {
        /// The lesson of the link.
        lesson: String,
        /// The seat of the link.
        seat: Seat,
        /// Number of the link.
        link: u32,
    },
    /// A student at home.
    Home(HomePass),
    /// A signed-in member of staff.
    Staff {
        /// Account.
        id: i64,
        /// Name for people.
        name: String,
        /// What they may do.
        roles: Roles,
    },
    /// A paired panel.
    Display {
        /// Which panel.
        id: i64,
    },
    /// A program that publishes one source.
    Source(SourceId),
    /// A take-home device, by its certificate.
    Agent {
        /// The device's code in the register.
        device: String,
        /// Name of the enrolment.
        enrolment: String,
    },
    /// Who runs the box: on the box itself, or with the operator's token.
    Ops,
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anyone.
    Public,
    /// A join ticket.
    Ticket,
    /// A student on a seat.
    Student,
    /// A personal link for a student at home.
    HomeLink,
    /// A student at home.
    Home,
    /// A signed-in teacher.
    Staff,
    /// Someone of the school office, signed in.
    Office,
    /// Anyone who is signed in with an account, whatever the role.
    Account,
    /// A paired panel.
    Display,
    /// Whoever belongs to the room: student, student at home, teacher, panel.
    Member,
    /// Whoever publishes something; [`Rule::publishes`] says what.
    Publisher,
    /// Whoever may watch something: teacher and panel the sources, students at home the program; [`Who::views`] says what.
    /// Students in the room look at the panel (R-CAST-3).
    Viewer,
    /// An enrolled take-home device.
    Agent,
    /// Who runs the box.
    Ops,
}

impl Rule {
    /// The rule's name, as `appliance routes` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Ticket => "ticket",
            Self::Student => "student",
            Self::HomeLink => "home-link",
            Self::Home => "home",
            Self::Staff => "staff",
            Self::Office => "office",
            Self::Account => "account",
            Self::Display => "display",
            Self::Member => "member",
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Ops => "ops",
        }
    }

    /// Whether this caller may pass. What is not listed is denied.
    pub fn admits(self, who: &Who) -> bool {
        use Who::{Display, Home, HomeLink, Ops, SeatKey, Source, Staff, Student, Ticket};
        match self {
            Self::Public => true,
            Self::Ticket => matches!(who, Ticket { .. }),
            Self::Student => matches!(who, Student(_)),
            Self::HomeLink => matches!(who, HomeLink { .. }),
            Self::Home => matches!(who, Home(_)),
            Self::Staff => teaches(who),
            Self::Office => matches!(who, Staff { roles, .. } if roles.office),
            Self::Account => matches!(who, Staff { .. }),
            Self::Display => matches!(who, Display { .. }),
            Self::Member => matches!(who, Student(_) | Home(_) | Display { .. }) || teaches(who),
            Self::Publisher => matches!(who, Student(_) | SeatKey(_) | Home(_) | Source(_)) || teaches(who),
            Self::Viewer => matches!(who, Home(_) | Display { .. }) || teaches(who),
            Self::Agent => matches!(who, Who::Agent { .. }),
            Self::Ops => matches!(who, Ops),
        }
    }
}

fn teaches(who: &Who) -> bool {
    matches!(who, Who::Staff { roles, .. } if roles.teacher)
}

impl Who {
    /// The one source that this caller may publish.
    pub fn publishes(&self) -> Option<SourceId> {
        match self {
            Self::Student(pass) | Self::SeatKey(pass) => Some(pass.seat.source()),
            Self::Home(pass) => Some(pass.seat.home_source()),
            Self::Staff { roles, .. } => roles.teacher.then(SourceId::teacher),
            Self::Source(source) => Some(source.clone()),
            Self::Nobody
            | Self::Ticket { .. }
            | Self::HomeLink { .. }
            | Self::Display { .. }
            | Self::Agent { .. }
            | Self::Ops => None,
        }
    }

    /// Whether this caller may watch that source. A student at home watches the program and nothing beside it: what
    /// stands on the panel is the teacher's choice (R-CAST-3).
    pub fn views(&self, source: &SourceId) -> bool {
        match self {
            Self::Home(_) => *source == SourceId::program(),
            who => Rule::Viewer.admits(who),
        }
    }

    /// The name under which the audit keeps what this caller did. Empty for who is no member of staff: the rules of routes
    /// that keep an audit let in nobody else.
    pub fn staff_name(&self) -> &str {
        if let Self::Staff { name, .. } = self { name } else { "" }
    }

    /// Whose this is, in one word for tables: the same for every request with this pass, account, key or panel, and for no
    /// other. None for who is nobody in the room.
    pub fn key(&self) -> Option<String> {
        Some(match self {
            Self::Student(pass) => format!("student {} {} {}", pass.lesson, pass.seat, pass.epoch),
            Self::SeatKey(pass) => format!("seat-key {} {} {}", pass.lesson, pass.seat, pass.epoch),
            Self::Home(pass) => format!("home {} {} {}", pass.lesson, pass.seat, pass.session),
            Self::Staff { id, .. } => format!("staff {id}"),
            Self::Display { id } => format!("display {id}"),
            Self::Source(source) => format!("source {source}"),
            Self::Nobody | Self::Ticket { .. } | Self::HomeLink { .. } | Self::Agent { .. } | Self::Ops => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn seat(number: u8) -> Seat {
        Seat::try_from(number).unwrap()
    }

    #[test]
    fn no_two_have_one_key() {
        let lesson = |n: u8| format!("0190-{n}");
        let mut all = vec![];
        for n in [1, 11] {
            let id = i64::from(n);
            all.extend([Who::Staff { id, name: String::new(), roles: Roles::BOTH }, Who::Display { id }]);
            all.extend([seat(n).source(), seat(n).home_source()].map(Who::Source));
            for (number, other) in [(1, 11), (11, 1), (1, 1)] {
                let pass = Pass { lesson: lesson(n), seat: seat(number), epoch: other };
                all.extend([Who::Student(pass.clone()), Who::SeatKey(pass)]);
                all.push(Who::Home(HomePass { lesson: lesson(n), seat: seat(number), session: other }));
            }
        }
        let keys: BTreeSet<String> = all.iter().map(|who| who.key().unwrap()).collect();
        assert_eq!(keys.len(), all.len(), "{keys:?}");
    }

    #[test]
    fn a_key_stays_whatever_else_is_known_of_its_owner() {
        let staff = |name: &str, roles| Who::Staff { id: 1, name: name.into(), roles };
        assert_eq!(staff("one", Roles::TEACHER).key(), staff("another", Roles::OFFICE).key());
    }

    #[test]
    fn nobody_has_no_key() {
        let lesson = || "0190".to_owned();
        let link = Who::HomeLink { lesson: lesson(), seat: seat(1), link: 1 };
        assert!([Who::Nobody, Who::Ops, Who::Ticket { lesson: lesson() }, link].iter().all(|who| who.key().is_none()));
    }
}
