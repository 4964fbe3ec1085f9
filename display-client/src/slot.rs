//! The newest picture of one cast: a place for exactly one, the next replaces it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gstreamer as gst;

use crate::stage::At;

/// Locks without caring for a thread that died while it held the lock: what these locks guard is whole at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the painter. Any number of wakes before it looks are one.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Wakes whoever waits, or the next one who does.
    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.heard.notify_one();
    }

    /// Waits until the bell was rung since the last time, at most this long.
    pub(crate) fn wait(&self, at_most: Duration) {
        let rung = lock(&self.rung);
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

/// The newest decoded picture of one cast.
#[derive(Debug)]
pub(crate) struct Slot {
    start: Instant,
    bell: Arc<Bell>,
    newest: Mutex<Option<(u64, gst::Sample)>>,
    /// Milliseconds from the start of the program plus one; 0 is never.
    decoded: AtomicU64,
    count: AtomicU64,
    /// Off stage nothing is kept: an old picture must not flash up when the cast comes back.
    kept: AtomicBool,
}

impl Slot {
    /// An empty place. `start` is the program's start.
    pub(crate) fn new(start: Instant, bell: Arc<Bell>) -> Self {
        let (decoded, count) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { start, bell, newest: Mutex::new(None), decoded, count, kept: AtomicBool::new(true) }
    }

    /// A picture has been decoded.
    pub(crate) fn put(&self, sample: gst::Sample) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        {
            let mut newest = lock(&self.newest);
            if !self.kept.load(Ordering::Relaxed) {
                return;
            }
            *newest = Some((count, sample));
            self.decoded.store(now + 1, Ordering::Relaxed);
        }
        self.bell.ring();
    }

    /// The newest picture, if it is another than number `seen`.
    pub(crate) fn newer_than(&self, seen: u64) -> Option<(u64, gst::Sample)> {
        lock(&self.newest).as_ref().filter(|(count, _)| *count != seen).cloned()
    }

    /// When the newest picture was decoded.
    pub(crate) fn decoded(&self) -> Option<At> {
        self.decoded.load(Ordering::Relaxed).checked_sub(1).map(At::from_millis)
    }

    /// Pictures decoded since the program started.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether pictures are kept, because the cast is on the stage. Leaving it forgets the last one.
    pub(crate) fn keep(&self, on: bool) {
        let mut newest = lock(&self.newest);
        self.kept.store(on, Ordering::Relaxed);
        if !on {
            *newest = None;
            self.decoded.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_replaces_the_one_before_and_leaving_the_stage_forgets_it() {
        gst::init().unwrap();
        let slot = Slot::new(Instant::now(), Arc::default());
        assert!(slot.decoded().is_none() && slot.newer_than(0).is_none());
        slot.put(gst::Sample::builder().build());
        slot.put(gst::Sample::builder().build());
        assert_eq!(slot.newer_than(0).unwrap().0, 2);
        assert!(slot.newer_than(2).is_none() && slot.decoded().is_some());
        slot.keep(false);
        slot.put(gst::Sample::builder().build());
        assert!(slot.newer_than(0).is_none() && slot.decoded().is_none());
        slot.keep(true);
        slot.put(gst::Sample::builder().build());
        assert_eq!((slot.newer_than(0).unwrap().0, slot.count()), (4, 4));
    }
}
