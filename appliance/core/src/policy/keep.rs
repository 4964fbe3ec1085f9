//! How long a device may go by an answer of DNS without asking again.

use classroom_protocol::{Millis, policy::Decision};

/// At most so many seconds, whatever the name's owner says. A lesson ends, a teacher closes what was open, the school
/// changes a rule: no open name is safe from that, and devices that keep answers would go on for as long as its owner
/// likes. The box has the answer at hand, so asking again costs it next to nothing.
const LONGEST: u32 = 15;

/// For how many seconds a decision is good if nobody changes anything: until a permit or the guardian's hours end.
pub fn ends_in(decision: &Decision, now: Millis) -> u32 {
    let left = |until: Millis| u32::try_from(until.saturating_sub(now) / 1000).unwrap_or(u32::MAX);
    decision.until.map_or(u32::MAX, left).max(1)
}

/// For how many seconds a device in the room may keep an answer that was allowed.
pub fn keep_for(decision: &Decision, now: Millis) -> u32 {
    ends_in(decision, now).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Changer, Reason, RuleId};

    #[test]
    fn nothing_is_kept_for_long_and_nothing_beyond_its_end() {
        let (rule, reason, changer) = (RuleId::new(4), Reason::OpenWeb, Changer::School);
        let open = Decision { allow: true, rule, reason, changer, until: None, record: false, alert: None };
        let until = |until| keep_for(&Decision { until: Some(until), ..open }, 100_000);
        assert_eq!(keep_for(&open, 100_000), LONGEST);
        assert_eq!(until(100_000 + 3_600_000), LONGEST);
        assert_eq!(until(107_900), 7);
        assert_eq!(ends_in(&Decision { until: Some(3_700_000), ..open }, 100_000), 3_600);
        assert_eq!((until(100_001), until(0), until(Millis::MAX)), (1, 1, LONGEST));
    }
}
