//! By which door a route is reached: the room's, or the one for homes, which lies open to the whole internet.

use crate::access::{Rule, Who};

/// What a route asks, and whether it is there for homes at all. Without a word it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// What it asks of its caller, by whatever door.
    pub rule: Rule,
    /// Served at the door for homes, too.
    pub homes: bool,
}

impl Rule {
    /// The route is served at the door for homes, too.
    pub const fn also_for_homes(self) -> Reach {
        Reach { rule: self, homes: true }
    }
}

impl From<Rule> for Reach {
    fn from(rule: Rule) -> Self {
        Self { rule, homes: false }
    }
}

impl Who {
    /// Who this is at the door for homes: there personal links and the passes that they open count, and nothing else. A
    /// pass of the room or an account shown from afar is nobody's.
    #[must_use]
    pub fn at_the_door_for_homes(self) -> Self {
        match self {
            Self::HomeLink { .. } | Self::Home(_) => self,
            _ => Self::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use classroom_protocol::{Seat, SourceId};

    use super::*;
    use crate::{access::Roles, home::HomePass, room::Pass};

    #[test]
    fn at_the_door_for_homes_only_links_and_their_passes_count() {
        let (lesson, seat) = ("0190".to_owned(), Seat::try_from(7).unwrap());
        let pass = Pass { lesson: lesson.clone(), seat, epoch: 1 };
        for who in [
            Who::Ticket { lesson: lesson.clone() },
            Who::Student(pass.clone()),
            Who::SeatKey(pass),
            Who::Staff { id: 1, name: "王老師".into(), roles: Roles::BOTH },
            Who::Display { id: 1 },
            Who::Source(SourceId::room()),
            Who::Agent { device: "A-1".into(), enrolment: "1".into() },
            Who::Ops,
            Who::Nobody,
        ] {
            assert_eq!(who.at_the_door_for_homes(), Who::Nobody);
        }
        let link = Who::HomeLink { lesson: lesson.clone(), seat, link: 1 };
        assert_eq!(link.clone().at_the_door_for_homes(), link);
        let home = Who::Home(HomePass { lesson, seat, session: 1 });
        assert_eq!(home.clone().at_the_door_for_homes(), home);
    }

    #[test]
    fn a_route_is_not_for_homes_unless_it_says_so() {
        assert!(!Reach::from(Rule::Public).homes);
        assert_eq!(Rule::Home.also_for_homes(), Reach { rule: Rule::Home, homes: true });
    }
}
