//! Active time as unions of stretches, so that nothing counts twice.

use std::collections::BTreeMap;

use classroom_protocol::Millis;

use super::facts::Activity;

/// Stretches of time in order, none touching another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stretches(Vec<(Millis, Millis)>);

impl Stretches {
    /// The union of stretches in any order.
    pub(super) fn of(mut parts: Vec<(Millis, Millis)>) -> Self {
        parts.retain(|(from, to)| from < to);
        parts.sort_unstable();
        let mut union: Vec<(Millis, Millis)> = Vec::with_capacity(parts.len());
        for (from, to) in parts {
            match union.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => union.push((from, to)),
            }
        }
        Self(union)
    }

    /// Its parts between two moments.
    pub(super) fn parts_within(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, Millis)> {
        let first = self.0.partition_point(|stretch| stretch.1 <= from);
        let inside = self.0[first..].iter().take_while(move |stretch| stretch.0 < to);
        inside.map(move |stretch| (stretch.0.max(from), stretch.1.min(to))).filter(|(from, to)| from < to)
    }

    /// Milliseconds of it between two moments.
    pub(super) fn within(&self, from: Millis, to: Millis) -> Millis {
        self.parts_within(from, to).map(|(from, to)| to - from).sum()
    }
}

/// Whose time a record is: the device's; without one the student's; without either its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// A device.
    Device(String),
    /// A student on a device that the box does not know.
    Student(String),
    /// The record with this number.
    Record(usize),
}

/// Beginning and end of a record.
pub(super) fn stretch(record: &Activity) -> (Millis, Millis) {
    (record.at, record.at.saturating_add(Millis::from(record.seconds) * 1000))
}

/// The active time of each owner, of those records that `wanted` picks.
pub(super) fn by_owner(records: &[Activity], wanted: impl Fn(&Activity) -> bool) -> BTreeMap<Owner, Stretches> {
    let mut parts: BTreeMap<Owner, Vec<(Millis, Millis)>> = BTreeMap::new();
    for (number, record) in records.iter().enumerate().filter(|(_, record)| wanted(record)) {
        let owner = match (&record.device, &record.student) {
            (Some(device), _) => Owner::Device(device.clone()),
            (None, Some(student)) => Owner::Student(student.clone()),
            (None, None) => Owner::Record(number),
        };
        parts.entry(owner).or_default().push(stretch(record));
    }
    parts.into_iter().map(|(owner, parts)| (owner, Stretches::of(parts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        let union = Stretches::of(vec![(50, 60), (0, 10), (5, 20), (20, 30), (7, 7)]);
        assert_eq!(union, Stretches(vec![(0, 30), (50, 60)]));
        assert_eq!(
            (union.within(0, 99), union.within(10, 55), union.within(30, 50), union.within(0, 0)),
            (40, 25, 0, 0)
        );
    }
}
