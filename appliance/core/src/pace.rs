//! How often one pass may command. People never come near the bound; a program that never rests would keep the room's task,
//! the disk and every page busy, as each command that is taken makes new views for all.

use std::collections::BTreeMap;

use classroom_protocol::Millis;

/// So many commands at once are let through.
const BURST: u64 = 20;
/// Then one in this time: 10 a second.
const EACH: Millis = 100;

/// Counts the commands of each pass.
#[derive(Debug, Clone)]
pub struct Pace<K> {
    /// When what a pass has commanded so far is paid off. One that is not here owes nothing.
    paid: BTreeMap<K, Millis>,
    capacity: usize,
}

impl<K: Ord + Clone> Pace<K> {
    /// Remembers at most `capacity` passes; with more, the one that owes least is forgotten.
    pub fn new(capacity: usize) -> Self {
        Self { paid: BTreeMap::new(), capacity: capacity.max(1) }
    }

    /// Counts a command of `key`.
    ///
    /// # Errors
    /// When it is one too many, with the whole seconds to wait, at least 1. Then it does not count.
    pub fn command(&mut self, key: &K, now: Millis) -> Result<(), u32> {
        let most = now + BURST * EACH;
        let paid = match self.paid.get_mut(key) {
            // One that owes more than a pass can has commanded under a clock that ran ahead.
            Some(paid) => {
                *paid = (*paid).clamp(now, most);
                *paid + EACH
            }
            None => now + EACH,
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
        let mut pace = Pace::new(100);
        let taken = (0..10_000u64).filter(|ms| pace.command(&"one", T0 + ms).is_ok()).count();
        assert!((100..=120).contains(&taken), "{taken} in ten seconds");
        assert_eq!(pace.command(&"one", T0 + 9_999), Err(1));
        assert_eq!(pace.command(&"two", T0 + 9_999), Ok(()), "another pass is not concerned");
    }

    #[test]
    fn people_are_never_asked_to_wait() {
        let mut pace = Pace::new(100);
        // Nine taps a second for a minute, and a page that sends what it has gathered all at once now and then.
        assert!((0..540u64).all(|tap| pace.command(&"taps", T0 + tap * 111).is_ok()));
        assert!((0..600u64).all(|n| pace.command(&"gathers", T0 + (n / 20) * 2_000).is_ok()));
    }

    #[test]
    fn a_clock_that_was_ahead_locks_nobody_out() {
        let mut pace = Pace::new(100);
        while pace.command(&1, T0 + 1_000_000_000).is_ok() {}
        assert_eq!(pace.command(&1, T0), Err(1));
        assert_eq!(pace.command(&1, T0 + EACH), Ok(()));
    }

    #[test]
    fn no_more_passes_are_remembered_than_there_is_room_for() {
        let mut pace = Pace::new(8);
        for n in 0..1_000u64 {
            assert_eq!(pace.command(&n, T0 + n / 100), Ok(()));
            assert!(pace.paid.len() <= 8);
        }
    }
}
