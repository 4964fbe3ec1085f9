//! What an agent tells the box, and what of it the box takes.

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use crate::{
    calendar::Day,
    figures::Days,
    usage::{BadEvent, Event, Fact, Place, Subject},
};

/// One record of an agent. The box knows from the certificate whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Its number on the device; each number is used once.
    pub id: u64,
    /// When, on the device's clock.
    pub at: Millis,
    /// Where.
    pub place: Place,
    /// What: used, active, blocked, reported-site, tampered.
    pub fact: Fact,
}

/// The event of a report by the agent `enrolment` on the device of `who`. Equal reports give equal origins, so each is
/// kept once however often it is delivered.
///
/// # Errors
/// The field that can't be taken: also of kinds that no agent tells.
pub fn told(report: &Report, enrolment: &str, who: &Subject) -> Result<Event, BadEvent> {
    let own = matches!(
        report.fact,
        Fact::Used { .. } | Fact::Active { .. } | Fact::Blocked { .. } | Fact::ReportedSite {} | Fact::Tampered { .. }
    );
    if !own {
        return Err(BadEvent { field: "fact.kind", must: "be one that an agent tells" });
    }
    let event = Event {
        at: report.at,
        who: who.clone(),
        place: report.place,
        lesson: None,
        fact: report.fact.clone(),
        origin: Some(format!("agent/{enrolment}/{}", report.id)),
    };
    event.check()?;
    Ok(event)
}

/// The whole days of which the box knows everything that the device tells, so that what it did not tell did not happen
/// (R-USE-5): since it was enrolled and since a record was dropped, until yesterday. `None` while records wait.
pub fn told_days(enrolled_at: Millis, dropped_at: Millis, waiting: u64, now: Millis) -> Option<Days> {
    let (from, to) = (Day::of(enrolled_at.max(dropped_at)).plus(1), Day::of(now).plus(-1));
    (waiting == 0 && from <= to).then_some(Days { from, to })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_agent_tells_its_own_kinds_and_each_once() {
        let report = |fact| Report { id: 3, at: 9, place: Place::Home, fact };
        let who = Subject::device("K7Q", None);
        let event = told(&report(Fact::ReportedSite {}), "e1", &who).unwrap();
        assert_eq!(event.identity(), told(&report(Fact::ReportedSite {}), "e1", &who).unwrap().identity());
        assert_ne!(event.identity(), told(&report(Fact::ReportedSite {}), "e2", &who).unwrap().identity());
        assert_eq!(told(&report(Fact::Joined {}), "e1", &who).unwrap_err().field, "fact.kind");
        let address = Fact::Tampered { what: "https://x/".into() };
        assert_eq!(told(&report(address), "e1", &who).unwrap_err().field, "fact.what");
    }

    #[test]
    fn only_whole_days_are_told_and_none_while_records_wait_or_were_dropped() {
        const DAY: Millis = 86_400_000;
        let (enrolled, now) = (20_000 * DAY, 20_005 * DAY);
        let days = |dropped, waiting, now| told_days(enrolled, dropped, waiting, now).map(|days| (days.from, days.to));
        let day = |n| Day::of(n * DAY);
        assert_eq!(days(0, 0, now), Some((day(20_001), day(20_004))));
        assert_eq!(days(20_002 * DAY + 5, 0, now), Some((day(20_003), day(20_004))));
        assert_eq!(days(0, 1, now), None);
        assert_eq!(days(0, 0, enrolled + DAY), None, "the day of the enrolment is no whole day");
    }
}
