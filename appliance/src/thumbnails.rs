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
    pictures: Arc<Mutex<HashMap<Seat, Bytes>>>,
    version: Arc<AtomicU64>,
}

impl Thumbnails {
    /// Keeps a picture and gives its version.
    pub fn keep(&self, seat: Seat, picture: Bytes) -> u64 {
        self.lock().insert(seat, picture);
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The newest picture of a seat.
    pub fn get(&self, seat: Seat) -> Option<Bytes> {
        self.lock().get(&seat).cloned()
    }

    /// Forgets a seat's picture.
    pub fn forget(&self, seat: Seat) {
        self.lock().remove(&seat);
    }

    /// Forgets all pictures.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Seat, Bytes>> {
        // A map of pictures is whole after any panic.
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
