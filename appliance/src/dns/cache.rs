//! Answers that were given before: fresh while their time lasts, and stale when nothing better is to be had (RFC 8767).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hickory_server::proto::{
    op::ResponseCode,
    rr::{LowerName, Record, RecordType},
};

/// Answers of one generation. When it is full the older generation goes, so at most twice as many are kept; what is
/// asked for again moves on to the younger one.
const GENERATION: usize = 8_192;
/// An answer is kept at most so long while it is fresh, whatever its owner says.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// An answer may be given so long after its time, when the uplink is dead (RFC 8767 §5 suggests one to three days).
const STALE: Duration = Duration::from_secs(3 * 24 * 3600);
/// TTL of a stale answer, in seconds (RFC 8767 §5).
pub(super) const STALE_TTL: u32 = 30;

/// What the upstream said.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// `NOERROR` or `NXDOMAIN`.
    pub(super) code: ResponseCode,
    /// The answer section.
    pub(super) answers: Arc<[Record]>,
    /// The SOA of a negative answer.
    pub(super) authorities: Arc<[Record]>,
    /// For how long it is fresh.
    pub(super) ttl: Duration,
}

/// A kept answer.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    since: Instant,
}

/// What is kept of a name.
#[derive(Debug)]
pub(super) enum Found {
    /// Good, for so many seconds.
    Fresh(Entry, u32),
    /// Past its time.
    Stale(Entry),
    /// Nothing.
    Nothing,
}

type Key = (LowerName, RecordType);

/// The cache. One lock for all: it is held for a look-up, never across anything that waits.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<(HashMap<Key, Kept>, HashMap<Key, Kept>)>);

impl Cache {
    /// What is kept of this question.
    pub(super) fn get(&self, name: &LowerName, kind: RecordType, now: Instant) -> Found {
        let key = (name.clone(), kind);
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *generations;
        let kept = match young.get(&key) {
            Some(kept) => kept.clone(),
            None => match old.remove(&key) {
                Some(kept) => {
                    insert(young, old, key, kept.clone());
                    kept
                }
                None => return Found::Nothing,
            },
        };
        let age = now.saturating_duration_since(kept.since);
        let fresh = kept.entry.ttl.min(LONGEST);
        if age < fresh {
            let left = u32::try_from((fresh - age).as_secs()).unwrap_or(u32::MAX).max(1);
            Found::Fresh(kept.entry, left)
        } else if age < fresh + STALE {
            Found::Stale(kept.entry)
        } else {
            Found::Nothing
        }
    }

    /// Keeps an answer.
    pub(super) fn put(&self, name: LowerName, kind: RecordType, entry: Entry, now: Instant) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *generations;
        insert(young, old, (name, kind), Kept { entry, since: now });
    }
}

fn insert(young: &mut HashMap<Key, Kept>, old: &mut HashMap<Key, Kept>, key: Key, kept: Kept) {
    if young.len() >= GENERATION && !young.contains_key(&key) {
        *old = std::mem::take(young);
    }
    young.insert(key, kept);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(n: usize) -> LowerName {
        LowerName::new(&format!("host-{n}.example.").parse().unwrap())
    }

    fn entry(ttl: u64) -> Entry {
        let none: Arc<[Record]> = Arc::from(Vec::new());
        Entry { code: ResponseCode::NoError, answers: none.clone(), authorities: none, ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn fresh_then_stale_then_gone() {
        let (cache, start) = (Cache::default(), Instant::now());
        cache.put(name(1), RecordType::A, entry(60), start);
        let at = |seconds| cache.get(&name(1), RecordType::A, start + Duration::from_secs(seconds));
        assert!(matches!(at(0), Found::Fresh(_, 60)));
        assert!(matches!(at(59), Found::Fresh(_, 1)));
        assert!(matches!(at(60), Found::Stale(_)));
        assert!(matches!(at(60 + 3 * 86_400 - 1), Found::Stale(_)));
        assert!(matches!(at(60 + 3 * 86_400), Found::Nothing));
        assert!(matches!(cache.get(&name(1), RecordType::AAAA, start), Found::Nothing));
    }

    #[test]
    fn it_stays_small_and_keeps_what_is_asked_for() {
        let (cache, now) = (Cache::default(), Instant::now());
        for n in 0..GENERATION * 4 {
            cache.put(name(n), RecordType::A, entry(60), now);
            assert!(matches!(cache.get(&name(0), RecordType::A, now), Found::Fresh(..)), "after {n}");
        }
        let held = cache.0.lock().unwrap();
        assert!(held.0.len() + held.1.len() <= 2 * GENERATION);
    }
}
