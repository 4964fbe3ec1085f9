//! Which usage events are activity, and whose.

use std::collections::BTreeMap;

use classroom_protocol::{Millis, Seat};

use super::facts::Activity;
use crate::usage::{Event, Fact};

/// Numbers (學號) of the students by class and seat.
pub type Roster = BTreeMap<(i64, Seat), String>;

/// The name of a student in the figures: the number if there is one, else class and seat.
pub fn student_name(number: Option<&str>, class: i64, seat: Seat) -> String {
    number.map_or_else(|| format!("{class}/{}", seat.number()), str::to_owned)
}

/// The activity that an event tells of, if it is one. Platforms and devices say themselves that they were in use; in a lesson a
/// student is active from joining to leaving, at home while taking part.
pub fn activity(event: &Event, roster: &Roster) -> Option<Activity> {
    let (at, seconds) = match &event.fact {
        Fact::Used { seconds, .. } | Fact::Active { seconds } | Fact::AttendedLive { seconds } => (event.at, *seconds),
        // Told at the end.
        Fact::Left { seconds } => (event.at.saturating_sub(Millis::from(*seconds) * 1000), *seconds),
        _ => return None,
    };
    let who = &event.who;
    let of_seat = || {
        let (class, seat) = who.class.zip(who.seat)?;
        Some(student_name(roster.get(&(class, seat)).map(String::as_str), class, seat))
    };
    Some(Activity {
        device: who.device.clone(),
        student: who.student.clone().or_else(of_seat),
        class: who.class,
        platform: event.fact.platform().map(str::to_owned),
        at,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::usage::Subject;

    fn event(who: Subject, fact: Fact) -> Event {
        Event { at: 100_000, who, place: Default::default(), lesson: None, fact, origin: None }
    }

    #[test]
    fn leaving_tells_of_the_time_before_it() {
        let seat = Seat::try_from(7).unwrap();
        let left = event(Subject::seat(3, seat), Fact::Left { seconds: 40 });
        let known = activity(&left, &Roster::from([((3, seat), "1101234".into())])).unwrap();
        assert_eq!((known.at, known.seconds, known.student.as_deref()), (60_000, 40, Some("1101234")));
        assert_eq!(activity(&left, &Roster::new()).unwrap().student.as_deref(), Some("3/7"));
    }

    #[test]
    fn what_takes_no_time_is_no_activity() {
        assert_eq!(activity(&event(Subject::default(), Fact::Joined {}), &Roster::new()), None);
        let used = Fact::Used { platform: "adl".into(), seconds: 90 };
        let used = activity(&event(Subject::device("T1", None), used), &Roster::new()).unwrap();
        assert_eq!((used.platform.as_deref(), used.device.as_deref(), used.at), (Some("adl"), Some("T1"), 100_000));
    }
}
