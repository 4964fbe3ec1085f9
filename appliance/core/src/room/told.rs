//! What students tell beside the lesson's own business: that they came upon a bad site (R-POL-19).

use classroom_protocol::{Millis, ProblemCode, view::SiteReport};

use super::{Pass, Room};
use crate::{
    alarm::{Alarm, SAME},
    usage::{Event, Fact, Place, Subject},
};

impl Room {
    /// The report of the student with this pass. A second tap tells of the same thing and counts once.
    ///
    /// # Errors
    /// `no-lesson`, `signed-out` when the pass is void.
    pub fn site_report(&self, pass: &Pass, now: Millis) -> Result<Event, ProblemCode> {
        self.place(pass)?;
        let lesson = self.lesson.as_ref().ok_or(ProblemCode::NoLesson)?;
        Ok(Event {
            at: now,
            who: Subject::seat(lesson.class, pass.seat),
            place: Place::School,
            lesson: Some(lesson.id.clone()),
            fact: Fact::ReportedSite {},
            origin: Some(format!("report/{}/{}/{}", lesson.id, pass.seat, now / SAME)),
        })
    }

    /// Whether this teacher may take note of this report: it stands on the own page.
    ///
    /// # Errors
    /// `not-holder`, `not-found`.
    pub fn may_note_report(&self, teacher: i64, report: i64) -> Result<(), ProblemCode> {
        if !self.is_holder(teacher) {
            return Err(ProblemCode::NotHolder);
        }
        let stands = self.reports_for(teacher).iter().any(|one| one.id == report);
        if stands { Ok(()) } else { Err(ProblemCode::NotFound) }
    }

    /// The reports of the lesson's class, for who holds the lesson and for nobody else.
    pub(super) fn reports_for(&self, teacher: i64) -> Vec<SiteReport> {
        let class = self.lesson.as_ref().filter(|_| self.is_holder(teacher)).map(|lesson| lesson.class);
        class.map(|class| self.reports.iter().filter_map(|report| report.of_class(class)).collect()).unwrap_or_default()
    }

    /// What is told now: of it stays what teachers are to hear of.
    pub(super) fn hear(&mut self, told: Vec<Alarm>, now: Millis) {
        self.reports = told;
        self.reports.retain(|report| report.is_fresh(now));
    }
}
