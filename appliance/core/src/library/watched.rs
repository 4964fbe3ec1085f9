//! How many pieces of watching are kept. Pages tell one each half minute and what is left when the item is closed; a program
//! that tells without a rest would fill the disk with records.

use std::collections::BTreeMap;

use classroom_protocol::Millis;

/// One piece in this time is kept, of each pass and item.
pub const EACH: Millis = 20_000;
/// So much of it may be owed: what is left when an item is closed may follow right behind a piece.
const AHEAD: Millis = EACH;

/// Counts the pieces of each pass and item.
#[derive(Debug, Clone)]
pub struct Pieces<K> {
    /// When what was kept so far is paid off. One that is not here owes nothing.
    paid: BTreeMap<K, Millis>,
    capacity: usize,
}

impl<K: Ord + Clone> Pieces<K> {
    /// Remembers at most `capacity` passes with their items; with more, the one that owes least is forgotten.
    pub fn new(capacity: usize) -> Self {
        Self { paid: BTreeMap::new(), capacity: capacity.max(1) }
    }

    /// Counts a piece of `key`.
    ///
    /// # Errors
    /// When it is one too many, with the whole seconds to wait, at least 1. Then it does not count.
    pub fn keep(&mut self, key: &K, now: Millis) -> Result<(), u32> {
        let most = now.saturating_add(EACH + AHEAD);
        let paid = match self.paid.get_mut(key) {
            // One that owes more than that has told under a clock that ran ahead.
            Some(paid) => {
                *paid = (*paid).clamp(now, most);
                paid.saturating_add(EACH)
            }
            None => now.saturating_add(EACH),
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

    const T0: Millis = 1_700_000_000_000;

    #[test]
    fn one_in_twenty_seconds_and_what_is_left_at_the_end() {
        let mut pieces = Pieces::new(8);
        for half_minute in 0..10 {
            assert_eq!(pieces.keep(&"a", T0 + half_minute * 30_000), Ok(()));
        }
        assert_eq!(pieces.keep(&"a", T0 + 270_001), Ok(()), "what is left when it is closed");
        assert!(pieces.keep(&"a", T0 + 270_002).is_err());
        assert_eq!(pieces.keep(&"b", T0 + 270_002), Ok(()), "another item is not concerned");
    }

    #[test]
    fn a_program_that_never_rests_is_kept_once_in_twenty_seconds() {
        let mut pieces = Pieces::new(8);
        let kept = (0..100_000).filter(|ms| pieces.keep(&"a", T0 + ms * 10).is_ok()).count();
        assert_eq!(kept, 51, "in 1000 seconds");
        assert_eq!(pieces.keep(&"b", T0), Ok(()));
        assert_eq!(pieces.keep(&"b", T0), Ok(()));
        assert_eq!(pieces.keep(&"b", T0), Err(20));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_clock_set_back_locks_nobody_out() {
        let mut pieces = Pieces::new(4);
        for n in 0..1000 {
            assert_eq!(pieces.keep(&n, T0), Ok(()));
            assert!(pieces.paid.len() <= 4);
        }
        let mut pieces = Pieces::new(4);
        while pieces.keep(&1, T0 + 1_000_000_000).is_ok() {}
        assert_eq!(pieces.keep(&1, T0), Err(20));
        assert_eq!(pieces.keep(&1, T0 + EACH), Ok(()));
    }
}
