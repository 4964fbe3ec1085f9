//! Panels that a teacher has paired with the room.

use classroom_protocol::Millis;
use rusqlite::{OptionalExtension, Row, params};

use super::{Db, Hash, StoreError};

/// Number of a panel; not used again.
pub type PanelId = i64;

/// Reads and changes panels.
#[derive(Debug, Clone)]
pub struct Panels(pub(super) Db);

/// A paired panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    /// Its number.
    pub id: PanelId,
    /// The name it gave itself.
    pub name: String,
    /// When it was paired.
    pub created_at: Millis,
}

impl Panels {
    /// A panel is paired; `token` is the hash of its bearer token.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn add(&self, name: String, token: Hash, now: Millis) -> Result<PanelId, StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO panel (name, token_hash, created_at) VALUES (?1, ?2, ?3)",
                    params![name, token, now],
                )?;
                Ok(db.last_insert_rowid())
            })
            .await
    }

    /// All panels in the order they were paired.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn list(&self) -> Result<Vec<Panel>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare_cached("SELECT id, name, created_at FROM panel ORDER BY id")?;
                Ok(query.query_map([], panel)?.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// The panel with this token.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn by_token(&self, token: Hash) -> Result<Option<Panel>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached("SELECT id, name, created_at FROM panel WHERE token_hash = ?1")?;
                Ok(query.query_row([token], panel).optional()?)
            })
            .await
    }

    /// The panel may no longer show anything. Says whether it was there.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn remove(&self, id: PanelId) -> Result<bool, StoreError> {
        self.0.write(move |db| Ok(db.execute("DELETE FROM panel WHERE id = ?1", [id])? > 0)).await
    }
}

fn panel(row: &Row<'_>) -> rusqlite::Result<Panel> {
    Ok(Panel { id: row.get(0)?, name: row.get(1)?, created_at: row.get(2)? })
}
