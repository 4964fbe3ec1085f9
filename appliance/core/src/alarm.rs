//! What a student or a device has told and people are to hear of: a student came upon a bad site and says so (R-POL-19),
//! something was done to an agent (R-POL-13). Who hears of it is decided here; what follows is a person's word.

use classroom_protocol::{Millis, Seat, view::SiteReport};
use serde::Serialize;

use crate::usage::{Fact, Place};

/// For so long after it reached the box a report stands on the page of the class's teacher: a report of Friday evening is
/// still there on Monday, also after a long weekend.
pub const FRESH: Millis = 7 * 86_400_000;
/// A student who taps again in the same minute tells of the same thing. Milliseconds.
pub const SAME: Millis = 60_000;

/// Something told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Number of its record.
    pub id: i64,
    /// When it happened, on the clock of who told.
    pub at: Millis,
    /// When the box learned it.
    pub told_at: Millis,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
    /// Where.
    pub place: Place,
    /// Code of the device.
    pub device: Option<String>,
    /// Id of the student's class; none when no student is known, or one who has left.
    pub class: Option<i64>,
    /// Its name.
    pub class_name: Option<String>,
    /// The student's seat.
    pub seat: Option<Seat>,
    /// The student's name.
    pub name: Option<String>,
    /// Who has taken note of it, and when.
    pub seen: Option<Noted>,
}

/// Someone has taken note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// When.
    pub at: Millis,
    /// Name of who.
    pub by: String,
}

impl Alarm {
    /// Whether teachers are to hear of it now: a student's own report that nobody has taken note of yet. What was done to
    /// an agent is the office's to look at.
    pub fn is_fresh(&self, now: Millis) -> bool {
        self.fact == Fact::ReportedSite {} && self.seen.is_none() && now.saturating_sub(self.told_at) < FRESH
    }

    /// As the teacher of `class` is told; none of other classes.
    pub fn of_class(&self, class: i64) -> Option<SiteReport> {
        let (seat, name) = (self.seat?, self.name.clone()?);
        let home = self.place == Place::Home;
        (self.class == Some(class)).then_some(SiteReport { id: self.id, at: self.at, seat, name, home })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report() -> Alarm {
        Alarm {
            id: 4,
            at: 900,
            told_at: 1000,
            fact: Fact::ReportedSite {},
            place: Place::Home,
            device: Some("K7Q".into()),
            class: Some(1),
            class_name: Some("三年二班".into()),
            seat: Some(Seat::try_from(7).unwrap()),
            name: Some("學生7".into()),
            seen: None,
        }
    }

    #[test]
    fn a_teacher_hears_of_reports_of_the_own_class_while_they_are_fresh() {
        let told = report().of_class(1).unwrap();
        assert_eq!((told.id, told.at, told.seat.number(), told.home), (4, 900, 7, true));
        assert_eq!(report().of_class(2), None, "another class's");
        assert_eq!(Alarm { name: None, ..report() }.of_class(1), None, "nobody's");
        assert!(report().is_fresh(1000) && report().is_fresh(999 + FRESH) && !report().is_fresh(1000 + FRESH));
        assert!(report().is_fresh(0), "a clock set back hides nothing");
        let noted = Alarm { seen: Some(Noted { at: 1, by: "王老師".into() }), ..report() };
        let tampered = Alarm { fact: Fact::Tampered { what: "clock".into() }, ..report() };
        assert!(!noted.is_fresh(1000) && !tampered.is_fresh(1000));
    }
}
