//! Records on their way to the box, and which of them goes when there is no room. What people look at, minutes of use and
//! refusals have shelves of their own: however many there are of one, they push out nothing of another.

use std::collections::{BTreeSet, VecDeque};

use super::Report;
use crate::usage::Fact;

/// Records of one kind that may wait. When a shelf is full its oldest goes, and the box is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Reports of the student and what was done to the agent: 1,000.
    Told,
    /// Minutes of use: 10,000, forty days with ten hours of use each.
    Minutes,
    /// Refusals, at most one a minute and rule: 2,000.
    Refusals,
}

impl Shelf {
    /// Where a record of this fact stands.
    pub fn of(fact: &Fact) -> Self {
        match fact {
            Fact::Blocked { .. } => Self::Refusals,
            Fact::ReportedSite {} | Fact::Tampered { .. } => Self::Told,
            _ => Self::Minutes,
        }
    }

    /// Records that it holds.
    pub fn capacity(self) -> usize {
        match self {
            Self::Told => 1_000,
            Self::Minutes => 10_000,
            Self::Refusals => 2_000,
        }
    }
}

/// The records that wait, in the order in which they came.
#[derive(Debug, Default)]
pub struct Waiting(VecDeque<Report>);

impl Waiting {
    /// Takes a record in. Answers the one that had to go for it.
    pub fn push(&mut self, report: Report) -> Option<Report> {
        let shelf = Shelf::of(&report.fact);
        let on_it = |one: &Report| Shelf::of(&one.fact) == shelf;
        let full = self.0.iter().filter(|one| on_it(one)).count() >= shelf.capacity();
        let gone = full.then(|| self.0.iter().position(on_it)).flatten().and_then(|at| self.0.remove(at));
        self.0.push_back(report);
        gone
    }

    /// The next to be delivered, at most `most`: first what people are to look at, then the oldest.
    pub fn batch(&self, most: usize) -> Vec<Report> {
        let told = |one: &&Report| Shelf::of(&one.fact) == Shelf::Told;
        let rest = self.0.iter().filter(|one| !told(one));
        self.0.iter().filter(told).chain(rest).take(most).cloned().collect()
    }

    /// The box has these.
    pub fn done(&mut self, ids: &BTreeSet<u64>) {
        self.0.retain(|report| !ids.contains(&report.id));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Report> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::usage::Place;

    fn report(id: u64, fact: Fact) -> Report {
        Report { id, at: id, place: Place::Home, fact }
    }

    fn refusal() -> Fact {
        Fact::Blocked { rule: "R-POL-3".into(), category: None, times: 1 }
    }

    #[test]
    fn refusals_push_out_refusals_only() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.push(report(0, Fact::ReportedSite {})), None);
        assert_eq!(waiting.push(report(1, Fact::Active { seconds: 60 })), None);
        let gone: Vec<u64> =
            (2..10_202).filter_map(|id| waiting.push(report(id, refusal()))).map(|gone| gone.id).collect();
        assert_eq!(gone, (2..8_202).collect::<Vec<u64>>(), "the oldest refusals, and nothing else");
        assert_eq!(waiting.len(), 2 + Shelf::Refusals.capacity());
        let first: Vec<u64> = waiting.batch(3).iter().map(|report| report.id).collect();
        assert_eq!(first, [0, 1, 8_202]);
    }

    #[test]
    fn what_people_look_at_goes_first_and_what_was_delivered_goes() {
        let mut waiting = Waiting::default();
        for (id, fact) in [(9, Fact::Active { seconds: 60 }), (4, refusal()), (7, Fact::ReportedSite {})] {
            waiting.push(report(id, fact));
        }
        let ids = |waiting: &Waiting| waiting.batch(2).iter().map(|report| report.id).collect::<Vec<_>>();
        assert_eq!(ids(&waiting), [7, 9]);
        waiting.done(&BTreeSet::from([7, 9]));
        assert_eq!(ids(&waiting), [4]);
        assert!(!waiting.is_empty());
    }
}
