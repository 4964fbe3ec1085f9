//! How often one pass may do what costs the box something. People never come near the bounds; a program that never rests
//! would keep the room's task, the disk and every page busy.

use std::collections::BTreeMap;

use classroom_protocol::Millis;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// So many at once are let through, at least 1.
    pub burst: u64,
    /// Then one in this time.
    pub each: Millis,
}

impl Bound {
    /// Commands of one pass, each of which makes new views for all: 20 at once, then 10 a second.
    pub const COMMANDS: Self = Self { burst: 20, each: 100 };
    /// Pieces of watching of one pass and item, each of which is a record: one in 20 seconds, and what is left when the item
    /// is closed may follow right behind. Pages tell one each half minute.
    pub const WATCHED: Self = Self { burst: 2, each: 20_000 };
}

/// Counts what is done under each key.
#[derive(Debug, Clone)]
pub struct Pace<K> {
    bound: Bound,
    /// When what a key has done so far is paid off. One that is not here owes nothing.
    paid: BTreeMap<K, Millis>,
    capacity: usize,
}

impl<K: Ord + Clone> Pace<K> {
    /// Remembers at most `capacity` keys; with more, the one that owes least is forgotten.
    pub fn new(bound: Bound, capacity: usize) -> Self {
        Self { bound, paid: BTreeMap::new(), capacity: capacity.max(1) }
    }

    /// Counts one more of `key`.
    ///
    /// # Errors
    /// When it is one too many, with the whole seconds to wait, at least 1. Then it does not count.
    pub fn count(&mut self, key: &K, now: Millis) -> Result<(), u32> {
        let Bound { burst, each } = self.bound;
        let most = now.saturating_add(burst.saturating_mul(each));
        let paid = match self.paid.get_mut(key) {
            // One that owes more than it can has been counted under a clock that ran ahead.
            Some(paid) => {
                *paid = (*paid).clamp(now, most);
                paid.saturating_add(each)
            }
            None => now.saturating_add(each),
        };
        if paid > most {
            return Err(u32::try_from((paid - most).div_ceil(1000)).unwrap_or(u32::MAX));
        }
        if self.paid.len() >= self.capacity && !self.paid.contains_key(key) {
            self.make_room(now);
        }
        self.paid.insert(key.clone(), paid);
        Ok(())
    }

    fn make_room(&mut self, now: Millis) {
        self.paid.retain(|_, paid| *paid > now);
        while self.paid.len() >= self.capacity {
            let least = self.paid.iter().min_by_key(|(_, paid)| **paid).map(|(key, _)| key.clone());
            match least {
                Some(key) => self.paid.remove(&key),
                None => break,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Millis = 1_760_000_000_000;

    #[test]
    fn a_program_that_never_rests_is_let_through_ten_times_a_second() {
        let mut pace = Pace::new(Bound::COMMANDS, 100);
        let taken = (0..10_000u64).filter(|ms| pace.count(&"one", T0 + ms).is_ok()).count();
        assert!((100..=120).contains(&taken), "{taken} in ten seconds");
        assert_eq!(pace.count(&"one", T0 + 9_999), Err(1));
        assert_eq!(pace.count(&"two", T0 + 9_999), Ok(()), "another pass is not concerned");
    }

    #[test]
    fn people_are_never_asked_to_wait() {
        let mut pace = Pace::new(Bound::COMMANDS, 100);
        // Nine taps a second for a minute, and a page that sends what it has gathered all at once now and then.
        assert!((0..540u64).all(|tap| pace.count(&"taps", T0 + tap * 111).is_ok()));
        assert!((0..600u64).all(|n| pace.count(&"gathers", T0 + (n / 20) * 2_000).is_ok()));
    }

    #[test]
    fn a_clock_that_was_ahead_locks_nobody_out() {
        let mut pace = Pace::new(Bound::COMMANDS, 100);
        while pace.count(&1, T0 + 1_000_000_000).is_ok() {}
        assert_eq!(pace.count(&1, T0), Err(1));
        assert_eq!(pace.count(&1, T0 + Bound::COMMANDS.each), Ok(()));
    }

    #[test]
    fn no_more_passes_are_remembered_than_there_is_room_for() {
        let mut pace = Pace::new(Bound::COMMANDS, 8);
        for n in 0..1_000u64 {
            assert_eq!(pace.count(&n, T0 + n / 100), Ok(()));
            assert!(pace.paid.len() <= 8);
        }
    }

    #[test]
    fn of_watching_one_in_twenty_seconds_and_what_is_left_at_the_end() {
        let mut pieces = Pace::new(Bound::WATCHED, 8);
        for half_minute in 0..10 {
            assert_eq!(pieces.count(&"a", T0 + half_minute * 30_000), Ok(()));
        }
        assert_eq!(pieces.count(&"a", T0 + 270_001), Ok(()), "what is left when it is closed");
        assert!(pieces.count(&"a", T0 + 270_002).is_err());
        assert_eq!(pieces.count(&"b", T0 + 270_002), Ok(()), "another item is not concerned");
    }

    #[test]
    fn of_watching_a_program_that_never_rests_is_kept_once_in_twenty_seconds() {
        let mut pieces = Pace::new(Bound::WATCHED, 8);
        let kept = (0..100_000).filter(|ms| pieces.count(&"a", T0 + ms * 10).is_ok()).count();
        assert_eq!(kept, 51, "in 1000 seconds");
        assert_eq!(pieces.count(&"b", T0), Ok(()));
        assert_eq!(pieces.count(&"b", T0), Ok(()));
        assert_eq!(pieces.count(&"b", T0), Err(20));
    }

    #[test]
    fn of_watching_what_is_remembered_is_bounded_and_a_clock_set_back_locks_nobody_out() {
        let mut pieces = Pace::new(Bound::WATCHED, 4);
        for n in 0..1000 {
            assert_eq!(pieces.count(&n, T0), Ok(()));
            assert!(pieces.paid.len() <= 4);
        }
        let mut pieces = Pace::new(Bound::WATCHED, 4);
        while pieces.count(&1, T0 + 1_000_000_000).is_ok() {}
        assert_eq!(pieces.count(&1, T0), Err(20));
        assert_eq!(pieces.count(&1, T0 + Bound::WATCHED.each), Ok(()));
    }
}
