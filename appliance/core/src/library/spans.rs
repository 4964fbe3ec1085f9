//! Which bytes of an object are there: disjoint spans, neighbours joined.

use std::collections::BTreeMap;

use super::{SEGMENT, segment};

/// A set of bytes. Ends are exclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(BTreeMap<u64, u64>);

impl Spans {
    /// Adds `from..to`; what was there already stays.
    pub fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (mut from, mut to) = (from, to);
        // Every span that touches the new one is swallowed by it.
        while let Some((start, end)) = self.0.range(..=to).next_back().map(|(s, e)| (*s, *e)) {
            if end < from {
                break;
            }
            self.0.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    /// Takes `from..to` out.
    pub fn remove(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        while let Some((start, end)) = self.0.range(..to).next_back().map(|(s, e)| (*s, *e)) {
            if end <= from {
                break;
            }
            self.0.remove(&start);
            if end > to {
                self.0.insert(to, end);
            }
            if start < from {
                self.0.insert(start, from);
                break;
            }
        }
    }

    /// Where the bytes that are there from `at` on end; `at` itself when that byte is missing.
    pub fn reach(&self, at: u64) -> u64 {
        self.0.range(..=at).next_back().map_or(at, |(_, end)| at.max(*end))
    }

    /// The first missing byte from `at` on, and where the gap ends: at the next span, or nowhere.
    pub fn gap(&self, at: u64) -> (u64, Option<u64>) {
        let from = self.reach(at);
        (from, self.0.range(from..).next().map(|(start, _)| *start))
    }

    /// Whether all of `from..to` is there.
    pub fn covers(&self, from: u64, to: u64) -> bool {
        self.reach(from) >= to
    }

    /// How many bytes are there.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The segments that touch `from..to` and are whole, of an object of `size` bytes.
    pub fn whole_segments(&self, from: u64, to: u64, size: u64) -> Vec<u64> {
        let (first, last) = (from / SEGMENT, to.div_ceil(SEGMENT));
        (first..last)
            .filter(|index| {
                let (from, to) = segment(*index, size);
                from < to && self.covers(from, to)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_join_and_gaps_are_found() {
        let mut have = Spans::default();
        assert_eq!(have.gap(5), (5, None));
        have.add(10, 20);
        have.add(30, 40);
        assert_eq!((have.gap(0), have.gap(12), have.gap(35)), ((0, Some(10)), (20, Some(30)), (40, None)));
        have.add(20, 30);
        assert!(have.covers(10, 40) && !have.covers(9, 11));
        have.remove(15, 16);
        assert_eq!((have.bytes(), have.reach(10), have.reach(15)), (29, 15, 15));
    }

    #[test]
    fn the_last_segment_is_shorter() {
        let size = SEGMENT * 2 + 7;
        let mut have = Spans::default();
        have.add(5, size);
        assert_eq!(have.whole_segments(0, size, size), [1, 2]);
        have.add(0, 5);
        assert_eq!(have.whole_segments(0, 10, size), [0]);
    }

    proptest! {
        /// Against the plainest thing there is: a list of flags.
        #[test]
        fn spans_are_what_a_list_of_flags_says(steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..60)) {
            let mut have = Spans::default();
            let mut flags = [false; 100];
            for (add, from, length) in steps {
                let to = from + length;
                if add { have.add(from, to) } else { have.remove(from, to) }
                for at in from..to {
                    flags[usize::try_from(at).unwrap_or(0)] = add;
                }
                prop_assert_eq!(have.bytes(), flags.iter().filter(|flag| **flag).count() as u64);
                for at in 0..80u64 {
                    let here = usize::try_from(at).unwrap_or(0);
                    let reach = flags[here..].iter().position(|flag| !flag).unwrap_or(0) as u64 + at;
                    prop_assert_eq!(have.reach(at), reach);
                }
            }
        }
    }
}
