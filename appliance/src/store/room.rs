//! The room as the core last described it.

use classroom_protocol::Millis;
use rusqlite::{OptionalExtension, params};

use super::{Db, StoreError};

/// Saves and loads the room. What is in it is the core's business.
#[derive(Debug, Clone)]
pub struct Rooms(pub(super) Db);

/// What was saved last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRoom {
    /// Number of the newest change.
    pub seq: u64,
    /// The core's own form.
    pub snapshot: String,
    /// When it was saved.
    pub saved_at: Millis,
}

impl Rooms {
    /// The room as saved last, `None` in a new box.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn load(&self) -> Result<Option<SavedRoom>, StoreError> {
        self.0
            .read(|db| {
                Ok(db
                    .query_row("SELECT seq, snapshot, saved_at FROM room_state", [], |row| {
                        Ok(SavedRoom { seq: row.get(0)?, snapshot: row.get(1)?, saved_at: row.get(2)? })
                    })
                    .optional()?)
            })
            .await
    }

    /// Saves the room in place of what was there.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn save(&self, room: SavedRoom) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.prepare_cached(
                    "INSERT INTO room_state (only, seq, snapshot, saved_at) VALUES (1, ?1, ?2, ?3)
                     ON CONFLICT (only) DO UPDATE SET seq = ?1, snapshot = ?2, saved_at = ?3",
                )?
                .execute(params![room.seq, room.snapshot, room.saved_at])?;
                Ok(())
            })
            .await
    }
}
