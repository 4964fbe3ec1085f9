//! What is fetched when nobody waits for it: what is pinned, at once or at night (R-CONT-4).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{Library, LibraryError};
use crate::{cache::Object, clock, store::LibraryItem};

/// The keeper looks this often at what has come and what is to come.
const LOOK: Duration = Duration::from_secs(1);
/// Parts that are fetched beside each other when nobody waits: the line is never empty between two small ones.
const BESIDE: usize = 3;
/// Parts that are looked out at once to come next. With more to come, they are looked for again when these have begun.
const COMING: usize = 64;

/// What a night has cost so far. Kept in `night.json`, so that a restart does not double the budget.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Spent {
    night: u64,
    bytes: u64,
}

/// A part that is fetched although nobody waits for it.
#[derive(Debug)]
struct Fetch {
    object: Arc<Object>,
    /// Bytes that it had brought when last looked at.
    counted: u64,
    /// They are of the night's budget.
    tonight: bool,
}

impl Fetch {
    /// Bytes of the night's budget that have come since it was last looked at.
    fn came(&mut self) -> u64 {
        let fetched = self.object.fetched();
        let came = fetched.saturating_sub(self.counted);
        self.counted = fetched;
        if self.tonight { came } else { 0 }
    }
}

/// The item's key and the part's number.
type Of = (String, usize);

/// What is fetched although nobody waits for it.
#[derive(Debug, Default)]
struct Work {
    /// What is being fetched, [`BESIDE`] at most.
    active: BTreeMap<Of, Fetch>,
    /// What comes next, [`COMING`] at most; what finds no place is found when it is looked for again.
    coming: VecDeque<(Of, Fetch)>,
    /// Bytes of the night's budget that came with what is no longer fetched.
    spent: u64,
}

impl Work {
    /// Bytes of the night's budget that have come since this was last asked.
    fn count(&mut self) -> u64 {
        mem::take(&mut self.spent) + self.active.values_mut().map(Fetch::came).sum::<u64>()
    }

    /// No longer wants what `stays` does not hold for.
    fn keep(&mut self, stays: impl Fn(&Of, &Fetch) -> bool) {
        self.active.retain(|of, fetch| {
            let stays = stays(of, fetch);
            if !stays {
                fetch.object.want_all(false);
                self.spent += fetch.came();
            }
            stays
        });
    }

    /// Wants what comes next in the place of what has come or was given up. Says whether a place is left.
    fn refill(&mut self) -> bool {
        self.keep(|_, fetch| fetch.object.status().filling);
        while self.active.len() < BESIDE {
            let Some((of, mut fetch)) = self.coming.pop_front() else { return true };
            if self.active.contains_key(&of) || fetch.object.status().complete {
                continue;
            }
            fetch.counted = fetch.object.fetched();
            fetch.object.want_all(true);
            self.active.insert(of, fetch);
        }
        false
    }
}

impl Library {
    /// Sees to what is fetched when nobody waits for it. Runs until it is aborted.
    pub async fn keep(self) {
        let mut spent: Spent = read_json(&self.inner.folder.join("night.json")).unwrap_or_default();
        let mut work = Work::default();
        let mut kept = spent.bytes;
        let (mut look, mut night_goes_on) = (true, false);
        loop {
            let now = clock::now();
            let (night, _) = self.inner.night.at(now);
            if spent.night != night {
                spent = Spent { night, bytes: 0 };
                kept = 0;
            }
            spent.bytes += work.count();
            if spent.bytes.saturating_sub(kept) > 8 << 20 {
                kept = spent.bytes;
                write_json(self.inner.folder.join("night.json"), spent).await;
            }
            let allowance = self.inner.night.allowance(now, spent.night, spent.bytes);
            let may = allowance > 0;
            if look || may != night_goes_on {
                night_goes_on = may;
                if let Err(error) = self.look(&mut work, may).await {
                    tracing::error!(?error, "the library could not look after its items");
                }
                work.refill();
            } else {
                let busy = work.active.len();
                // A place came free and nothing is looked out for it; fills that only readers want change nothing here.
                if work.refill() && work.active.len() < busy {
                    look = true;
                    continue;
                }
            }
            // A change is seen at once, a part that has come too: the line is not idle between small ones.
            look = tokio::select! {
                () = self.inner.changed.notified() => true,
                () = self.inner.cache.ended() => false,
                () = tokio::time::sleep(LOOK) => true,
            };
        }
    }

    /// Looks out what is to come next, and no longer wants what may not.
    async fn look(&self, work: &mut Work, night: bool) -> Result<(), LibraryError> {
        let items = self.inner.items.list().await?;
        let due = |item: &LibraryItem| item.pinned && item.origin.is_some() && (!item.tonight || night);
        let allowed: BTreeSet<&str> = items.iter().filter(|item| due(item)).map(|item| item.key.as_str()).collect();
        work.keep(|(key, _), _| allowed.contains(key.as_str()));
        work.coming.clear();
        // What was pinned first comes first; what may come at any time before what may only come at night.
        let mut order: Vec<&LibraryItem> = items.iter().rev().filter(|item| due(item)).collect();
        order.sort_by_key(|item| item.tonight);
        // What went wrong just now is tried again when everything else has had its turn.
        let mut again = Vec::new();
        for item in order {
            if work.coming.len() >= COMING {
                break;
            }
            if self.is_whole(&item.key) {
                continue;
            }
            let mut whole = true;
            for (number, object) in self.inner.cache.objects(&item.key).await.into_iter().enumerate() {
                let status = object.status();
                if status.complete {
                    continue;
                }
                whole = false;
                if work.coming.len() >= COMING {
                    break;
                }
                let of = (item.key.clone(), number);
                if work.active.contains_key(&of) {
                    continue;
                }
                let (counted, tonight) = (object.fetched(), item.tonight);
                let fetch = Fetch { object, counted, tonight };
                match status.fault {
                    None => work.coming.push_back((of, fetch)),
                    Some(_) if again.len() < COMING => again.push((of, fetch)),
                    Some(_) => {}
                }
            }
            if whole {
                let mut known = self.inner.whole.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(item.key.clone());
            }
        }
        let room = COMING.saturating_sub(work.coming.len());
        work.coming.extend(again.into_iter().take(room));
        Ok(())
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

async fn write_json(path: PathBuf, value: impl Serialize) {
    let Ok(text) = serde_json::to_vec(&value) else { return };
    let new = path.with_extension("new");
    let written = spawn_blocking(move || std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path))).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("what this night's fetching has cost could not be kept");
    }
}
