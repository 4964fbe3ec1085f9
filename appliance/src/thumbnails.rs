//! The newest small picture of each seat, in memory only: nothing of a student's screen is kept (R-DATA-4).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use classroom_protocol::Seat;

/// One picture a seat: at most 99 of at most 64 KiB. A newer one replaces the older.
#[derive(Clone, Default)]
pub struct Thumbnails {
    pictures: Arc<Mutex<Pictures>>,
    version: Arc<AtomicU64>,
}

type Pictures = HashMap<Seat, (u64, Bytes)>;

impl Thumbnails {
    /// Keeps a picture and gives its version. Whether anyone may look at it is for the room to say.
    pub fn keep(&self, seat: Seat, picture: Bytes) -> u64 {
        let mut pictures = self.lock();
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        pictures.insert(seat, (version, picture));
        version
    }

    /// The newest picture of a seat.
    pub fn get(&self, seat: Seat) -> Option<Bytes> {
        self.lock().get(&seat).map(|(_, picture)| picture.clone())
    }

    /// Forgets a seat's picture if it is this version or an older one.
    pub fn forget(&self, seat: Seat, version: u64) {
        let mut pictures = self.lock();
        if pictures.get(&seat).is_some_and(|(newest, _)| *newest <= version) {
            pictures.remove(&seat);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pictures> {
        // A map of pictures is whole after any panic.
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_late_order_to_forget_spares_a_newer_picture() {
        let thumbnails = Thumbnails::default();
        let seat = Seat::try_from(7).unwrap();
        let old = thumbnails.keep(seat, Bytes::from_static(b"old"));
        let new = thumbnails.keep(seat, Bytes::from_static(b"new"));
        thumbnails.forget(seat, old);
        assert_eq!(thumbnails.get(seat).unwrap(), "new");
        thumbnails.forget(seat, new);
        assert!(thumbnails.get(seat).is_none());
    }
}
