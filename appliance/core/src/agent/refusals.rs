//! Refusals, counted: what asks a thousand times in a minute is one record of that minute with the number, not a thousand
//! records that push others out. The rule is kept, never the name (R-DATA-4).

use std::collections::BTreeMap;

use classroom_protocol::Millis;

use crate::usage::Fact;

const MINUTE: Millis = 60_000;

/// Counts by rule and minute. There are as many open counts as rules that refuse.
#[derive(Debug, Default)]
pub struct RefusalCount {
    open: BTreeMap<String, (Millis, u32)>,
}

impl RefusalCount {
    /// `rule` has refused something at `at`. Answers what is to be kept: the count of an earlier minute.
    pub fn refused(&mut self, rule: &str, at: Millis) -> Option<(Millis, Fact)> {
        if let Some((first, times)) = self.open.get_mut(rule)
            && *first / MINUTE == at / MINUTE
        {
            *times = times.saturating_add(1);
            return None;
        }
        let before = self.open.insert(rule.to_owned(), (at, 1));
        before.map(|(first, times)| kept(rule, first, times))
    }

    /// The counts of minutes that are over at `now`; also of later ones, when the clock was set back.
    pub fn look(&mut self, now: Millis) -> Vec<(Millis, Fact)> {
        let mut over = Vec::new();
        self.open.retain(|rule, (first, times)| {
            let open = *first / MINUTE == now / MINUTE;
            if !open {
                over.push(kept(rule, *first, *times));
            }
            open
        });
        over
    }

    /// All that is open: the device goes off, or to another place.
    pub fn close(&mut self) -> Vec<(Millis, Fact)> {
        std::mem::take(&mut self.open).iter().map(|(rule, (first, times))| kept(rule, *first, *times)).collect()
    }
}

fn kept(rule: &str, first: Millis, times: u32) -> (Millis, Fact) {
    (first, Fact::Blocked { rule: rule.to_owned(), category: None, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Millis = 1_790_000_040_000;

    #[test]
    fn a_minute_has_one_record_of_each_rule_with_the_number() {
        let mut count = RefusalCount::default();
        let mut all = Vec::new();
        for n in 0..10_200 {
            // 43 seconds.
            all.extend(count.refused("R-POL-3", T + n * 4));
            all.extend(count.look(T + n * 4));
        }
        all.extend(count.refused("R-POL-9", T));
        assert!(all.len() <= 1, "{all:?}");
        all.extend(count.close());
        let times = |all: &[(Millis, Fact)], of: &str| -> u32 {
            all.iter()
                .map(|(_, fact)| match fact {
                    Fact::Blocked { rule, times, .. } if rule == of => *times,
                    _ => 0,
                })
                .sum()
        };
        assert_eq!((times(&all, "R-POL-3"), times(&all, "R-POL-9")), (10_200, 1), "none is forgotten");
        assert!(all.len() <= 3 && count.close().is_empty());
    }

    #[test]
    fn a_minute_that_is_over_is_told_also_when_the_clock_was_set_back() {
        let mut count = RefusalCount::default();
        assert_eq!(count.refused("R-POL-3", T), None);
        assert!(count.look(T + 1).is_empty());
        assert_eq!(count.look(T - 3_600_000).len(), 1);
        assert_eq!(count.refused("R-POL-3", T), None);
        assert!(matches!(count.refused("R-POL-3", T + MINUTE), Some((at, Fact::Blocked { times: 1, .. })) if at == T));
    }
}
