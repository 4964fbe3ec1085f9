//! Slows down who guesses: passwords of one account, the room code from one address, pairing codes.
//!
//! A try counts as failed from the moment it is made until [`Throttle::succeeded`] takes it back. So a hundred tries
//! sent at the same instant are a hundred tries, however long the check of each one takes.

use std::collections::BTreeMap;

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

/// One minute in milliseconds.
const MINUTE: Millis = 60_000;

/// How many failures lead to which pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Failures within `window` that lead to a pause. At least 1.
    pub tries: u32,
    /// Failures older than this do not count.
    pub window: Millis,
    /// The first pause. Each further one is twice as long.
    pub first_pause: Millis,
    /// No pause is longer than this.
    pub longest_pause: Millis,
}

impl Rule {
    /// Sign-in of staff: 5 failures, then 15 minutes (R-DATA-6). Failures are remembered for a day, so that four
    /// guesses every quarter of an hour do not go on for ever unnoticed.
    pub const SIGN_IN: Self =
        Self { tries: 5, window: 24 * 60 * MINUTE, first_pause: 15 * MINUTE, longest_pause: 15 * MINUTE };

    /// Sign-in of staff to one account from all addresses together: who borrows further addresses gets further, but not
    /// far. Ten addresses have to guess at once before it is locked for its owner too; one alone never locks it.
    pub const SIGN_IN_ALL: Self =
        Self { tries: 50, window: 15 * MINUTE, first_pause: 15 * MINUTE, longest_pause: 15 * MINUTE };

    /// Panels of one address that ask to be paired: one that nobody pairs asks anew every 10 minutes, a person who
    /// loads its page again and again a few times more.
    pub const PAIR: Self = Self { tries: 30, window: 10 * MINUTE, first_pause: MINUTE, longest_pause: 15 * MINUTE };

    /// Room and pairing codes from one address: children mistype, so the first pause is short.
    pub const CODE: Self = Self { tries: 5, window: 15 * MINUTE, first_pause: MINUTE / 2, longest_pause: 15 * MINUTE };

    /// Room and pairing codes from all addresses together: a class of 40 that mistypes twice each gets through, and
    /// who changes addresses has at most about 100 of 1,000,000 codes a minute.
    pub const CODE_ALL: Self = Self { tries: 100, window: MINUTE, first_pause: MINUTE / 2, longest_pause: 15 * MINUTE };
}

/// What one key, or all of them together, has on the slate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Failures since `since`.
    pub failures: u32,
    /// When the first of them happened.
    pub since: Millis,
    /// Pauses so far, which make the next one longer.
    pub pauses: u32,
    /// No try is let through before this moment.
    pub until: Millis,
}

/// Whether a try may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Check it. It counts as failed until [`Throttle::succeeded`] is called.
    Allow,
    /// Do not even check it.
    Deny {
        /// Wait this many whole seconds, at least 1.
        retry_after: u32,
    },
}

impl Tally {
    /// Brings the slate to `now`: forgets what is too old. A pause that ends later than a pause can end was made
    /// under a clock that ran ahead (a box without a battery clock): it is cut to what it may be.
    fn advance(&mut self, rule: &Rule, now: Millis) {
        self.until = self.until.min(now.saturating_add(rule.longest_pause));
        if now < self.since || now - self.since >= rule.window {
            self.failures = 0;
        }
        if now >= self.until.saturating_add(rule.window) {
            self.pauses = 0;
        }
    }

    fn wait(&self, now: Millis) -> Option<u32> {
        let left = self.until.checked_sub(now).filter(|left| *left > 0)?;
        Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    fn fail(&mut self, rule: &Rule, now: Millis) {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures += 1;
        if self.failures >= rule.tries {
            let doubled = rule.first_pause.saturating_mul(1u64.checked_shl(self.pauses).unwrap_or(u64::MAX));
            self.until = now.saturating_add(doubled.min(rule.longest_pause));
            self.pauses = self.pauses.saturating_add(1).min(32);
            self.failures = 0;
        }
    }

    fn is_blank(&self, now: Millis) -> bool {
        self.failures == 0 && self.pauses == 0 && self.until <= now
    }
}

/// Counts tries by key (an account, an address) and, if wanted, of all keys together.
#[derive(Debug, Clone)]
pub struct Throttle<K> {
    each: Rule,
    all: Option<Rule>,
    tallies: BTreeMap<K, Tally>,
    together: Tally,
    capacity: usize,
}

impl<K: Ord + Clone> Throttle<K> {
    /// A throttle with a rule for each key and, if wanted, one for all together. It remembers at most `capacity` keys;
    /// when there are more, the one whose failures are the oldest is forgotten (the rule for all still counts).
    pub fn new(each: Rule, all: Option<Rule>, capacity: usize) -> Self {
        Self { each, all, tallies: BTreeMap::new(), together: Tally::default(), capacity: capacity.max(1) }
    }

    /// Whether `key` may try now. When allowed, the try is on the slate as failed.
    pub fn attempt(&mut self, key: &K, now: Millis) -> Verdict {
        let mut tally = self.tallies.get(key).copied().unwrap_or_default();
        tally.advance(&self.each, now);
        let mut together = self.together;
        if let Some(rule) = &self.all {
            together.advance(rule, now);
        }
        if let Some(retry_after) = tally.wait(now).max(together.wait(now)) {
            return Verdict::Deny { retry_after };
        }
        tally.fail(&self.each, now);
        self.make_room(key, now);
        self.tallies.insert(key.clone(), tally);
        if let Some(rule) = &self.all {
            together.fail(rule, now);
            self.together = together;
        }
        Verdict::Allow
    }

    /// The latest allowed try of `key` was right: its slate is clean, and the one for all has one failure less.
    pub fn succeeded(&mut self, key: &K) {
        self.tallies.remove(key);
        self.together.failures = self.together.failures.saturating_sub(1);
    }

    /// What is guessed at has changed: the slate of all together is clean, so that who has locked it for everyone has to
    /// begin anew. That of each key stays.
    pub fn begin_anew(&mut self) {
        self.together = Tally::default();
    }

    /// What `key` has on the slate, to be kept across a restart.
    pub fn tally(&self, key: &K) -> Option<Tally> {
        self.tallies.get(key).copied()
    }

    /// Puts a kept slate back.
    pub fn restore(&mut self, key: K, tally: Tally) {
        if self.tallies.len() < self.capacity || self.tallies.contains_key(&key) {
            self.tallies.insert(key, tally);
        }
    }

    fn make_room(&mut self, key: &K, now: Millis) {
        if self.tallies.len() < self.capacity || self.tallies.contains_key(key) {
            return;
        }
        let each = self.each;
        self.tallies.retain(|_, tally| {
            tally.advance(&each, now);
            !tally.is_blank(now)
        });
        while self.tallies.len() >= self.capacity {
            let oldest =
                self.tallies.iter().min_by_key(|(_, tally)| tally.since.max(tally.until)).map(|(k, _)| k.clone());
            match oldest {
                Some(key) => self.tallies.remove(&key),
                None => break,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const T0: Millis = 1_760_000_000_000;

    fn denied(verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Deny { retry_after } => retry_after,
            Verdict::Allow => panic!("allowed"),
        }
    }

    #[test]
    fn five_failures_lock_the_account_for_fifteen_minutes() {
        let mut throttle = Throttle::new(Rule::SIGN_IN, None, 100);
        for i in 0..5 {
            assert_eq!(throttle.attempt(&"lin", T0 + i), Verdict::Allow);
        }
        assert_eq!(denied(throttle.attempt(&"lin", T0 + 5)), 15 * 60);
        assert_eq!(throttle.attempt(&"wang", T0 + 5), Verdict::Allow, "another account is not concerned");
        assert_eq!(denied(throttle.attempt(&"lin", T0 + 4 + 15 * MINUTE - 1)), 1);
        assert_eq!(throttle.attempt(&"lin", T0 + 4 + 15 * MINUTE), Verdict::Allow);
    }

    #[test]
    fn one_address_never_locks_an_account_for_its_owner() {
        let (mut each, mut all) =
            (Throttle::new(Rule::SIGN_IN, None, 100), Throttle::new(Rule::SIGN_IN_ALL, None, 100));
        for minute in 0..24 * 60 {
            let now = T0 + minute * MINUTE;
            for _ in 0..20 {
                if each.attempt(&"lin from 10.0.0.9", now) == Verdict::Allow {
                    assert_eq!(all.attempt(&"lin", now), Verdict::Allow, "minute {minute}");
                }
            }
            assert_eq!(each.attempt(&"lin from 10.0.0.1", now), Verdict::Allow, "minute {minute}");
            each.succeeded(&"lin from 10.0.0.1");
        }
        let many = (0..100).filter(|_| all.attempt(&"wang", T0) == Verdict::Allow).count();
        assert_eq!(many, 50);
    }

    #[test]
    fn success_cleans_the_slate() {
        let mut throttle = Throttle::new(Rule::SIGN_IN, None, 100);
        for round in 0..10 {
            for _ in 0..4 {
                assert_eq!(throttle.attempt(&1, T0 + round), Verdict::Allow);
            }
            throttle.succeeded(&1);
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_small_again_after_peace() {
        let mut throttle = Throttle::new(Rule::CODE, None, 100);
        let mut now = T0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            while throttle.attempt(&1, now) == Verdict::Allow {}
            let wait = denied(throttle.attempt(&1, now));
            pauses.push(wait);
            now += Millis::from(wait) * 1000;
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900, 900]);
        now += Rule::CODE.window;
        while throttle.attempt(&1, now) == Verdict::Allow {}
        assert_eq!(denied(throttle.attempt(&1, now)), 30);
    }

    #[test]
    fn many_addresses_together_are_slowed_down() {
        let mut throttle = Throttle::new(Rule::CODE, Some(Rule::CODE_ALL), 10_000);
        let allowed = (0..10_000u32).filter(|i| throttle.attempt(i, T0) == Verdict::Allow).count();
        assert_eq!(allowed, 100);
        assert_eq!(denied(throttle.attempt(&20_000, T0)), 30);
    }

    #[test]
    fn what_all_guessed_at_before_counts_no_more_when_it_has_changed() {
        let mut throttle = Throttle::new(Rule::CODE, Some(Rule::CODE_ALL), 10_000);
        while throttle.attempt(&0u32, T0) == Verdict::Allow {}
        assert!((1..10_000u32).any(|i| throttle.attempt(&i, T0) != Verdict::Allow));
        throttle.begin_anew();
        assert_eq!(throttle.attempt(&20_000, T0), Verdict::Allow, "the class gets through with its new code");
        assert_ne!(throttle.attempt(&0, T0), Verdict::Allow, "who guessed still waits");
    }

    #[test]
    fn a_class_that_joins_is_not_slowed_down() {
        let mut throttle = Throttle::new(Rule::CODE, Some(Rule::CODE_ALL), 10_000);
        for student in 0..400u32 {
            assert_eq!(throttle.attempt(&student, T0), Verdict::Allow);
            throttle.succeeded(&student);
        }
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_lock_for_years() {
        let mut throttle = Throttle::new(Rule::SIGN_IN, None, 100);
        let ahead = T0 + 1_000_000 * MINUTE;
        while throttle.attempt(&1, ahead) == Verdict::Allow {}
        assert!(denied(throttle.attempt(&1, T0)) <= 15 * 60);
    }

    #[test]
    fn a_kept_slate_still_locks() {
        let mut throttle = Throttle::new(Rule::SIGN_IN, None, 100);
        while throttle.attempt(&1, T0) == Verdict::Allow {}
        let kept = throttle.tally(&1).unwrap();
        let mut after_restart = Throttle::new(Rule::SIGN_IN, None, 100);
        after_restart.restore(1, kept);
        assert_eq!(denied(after_restart.attempt(&1, T0 + 1)), 900);
    }

    proptest! {
        #[test]
        fn never_more_tries_than_the_rule_says_and_never_more_keys_than_the_capacity(
            steps in prop::collection::vec((0u8..6, 0u64..120_000), 1..400),
        ) {
            let rule = Rule { tries: 3, window: 60_000, first_pause: 10_000, longest_pause: 40_000 };
            let mut throttle = Throttle::new(rule, None, 4);
            let mut now = T0;
            let mut allowed: Vec<(u8, Millis)> = Vec::new();
            for (key, step) in steps {
                // Four keys at most, so that none is forgotten and the count below is exact.
                let key = key % 4;
                now += step;
                match throttle.attempt(&key, now) {
                    Verdict::Allow => allowed.push((key, now)),
                    Verdict::Deny { retry_after } => {
                        prop_assert!(retry_after >= 1);
                        prop_assert!(u64::from(retry_after) * 1000 <= rule.longest_pause);
                    }
                }
                prop_assert!(throttle.tallies.len() <= 4);
                // No `first_pause` long stretch holds more than `tries` tries twice over.
                let recent = allowed.iter().filter(|(k, at)| *k == key && now - at < rule.first_pause).count();
                prop_assert!(recent <= 2 * rule.tries as usize);
            }
        }

        #[test]
        fn capacity_holds_for_any_keys(keys in prop::collection::vec(any::<u16>(), 1..300)) {
            let mut throttle = Throttle::new(Rule::CODE, Some(Rule::CODE_ALL), 8);
            for (i, key) in keys.into_iter().enumerate() {
                let _ = throttle.attempt(&key, T0 + i as u64 * 1000);
                prop_assert!(throttle.tallies.len() <= 8);
            }
        }
    }
}
