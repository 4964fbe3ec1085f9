//! External programs that may publish with a WHIP key of their own.

use classroom_protocol::{Millis, SourceId};
use rusqlite::{OptionalExtension, params};

use super::{Db, Hash, StoreError};

/// Reads and changes external sources.
#[derive(Debug, Clone)]
pub struct Sources(pub(super) Db);

/// An external source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in addresses, `ext-3`.
    pub source: SourceId,
    /// Its name for people.
    pub label: String,
    /// When a teacher made it.
    pub created_at: Millis,
}

impl Sources {
    /// Makes a source; `key` is the hash of its WHIP key.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn add(&self, label: String, key: Hash, now: Millis) -> Result<SourceId, StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO source (label, key_hash, created_at) VALUES (?1, ?2, ?3)",
                    params![label, key, now],
                )?;
                name(db.last_insert_rowid())
            })
            .await
    }

    /// All sources in the order they were made.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn list(&self) -> Result<Vec<Source>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare_cached("SELECT id, label, created_at FROM source ORDER BY id")?;
                let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                rows.map(|row| {
                    let (id, label, created_at) = row?;
                    Ok(Source { source: name(id)?, label, created_at })
                })
                .collect()
            })
            .await
    }

    /// The source with this key.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn by_key(&self, key: Hash) -> Result<Option<Source>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached("SELECT id, label, created_at FROM source WHERE key_hash = ?1")?;
                let row = query.query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
                row.map(|(id, label, created_at)| Ok(Source { source: name(id)?, label, created_at })).transpose()
            })
            .await
    }

    /// Its key is no longer good. Says whether it was there.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn remove(&self, source: SourceId) -> Result<bool, StoreError> {
        let Some(id) = source.as_str().strip_prefix("ext-").and_then(|id| id.parse::<i64>().ok()) else {
            return Ok(false);
        };
        self.0.write(move |db| Ok(db.execute("DELETE FROM source WHERE id = ?1", [id])? > 0)).await
    }
}

fn name(id: i64) -> Result<SourceId, StoreError> {
    format!("ext-{id}").parse().map_err(|e| StoreError::Sql(format!("source {id}: {e}")))
}
