//! Which key of the school the records are under. The key itself is never in the store.

use std::path::Path;

use appliance_core::usage::key::Fingerprint;
use classroom_protocol::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Db, FILE, StoreError, cipher};

/// Notes the key's fingerprint.
#[derive(Debug, Clone)]
pub struct SchoolKeys(pub(super) Db);

/// What the store knows of the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotedKey {
    /// Its fingerprint; `None` when a version of the software that noted none made the records.
    pub fingerprint: Option<Fingerprint>,
    /// Whether there are records under it.
    pub records: bool,
}

impl SchoolKeys {
    /// What is noted.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn noted(&self) -> Result<NotedKey, StoreError> {
        self.0.read(noted).await
    }

    /// This is the school's key from now on.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn note(&self, fingerprint: Fingerprint, now: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO school_key (one, fingerprint, noted_at) VALUES (1, ?1, ?2)
                     ON CONFLICT (one) DO UPDATE SET fingerprint = ?1, noted_at = ?2",
                    params![fingerprint, now],
                )?;
                Ok(())
            })
            .await
    }
}

/// What the database in `folder` knows of the key; `None` when there is no database. Works beside a running hub.
///
/// # Errors
/// When it can't be read.
pub fn noted_key(folder: &Path) -> Result<Option<NotedKey>, StoreError> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let key = if cipher::is_plain(&path)? { None } else { cipher::load(folder)? };
    noted(&cipher::open_to_read(&path, key.as_ref())?).map(Some)
}

fn noted(db: &Connection) -> Result<NotedKey, StoreError> {
    let records = db.query_row("SELECT EXISTS (SELECT 1 FROM usage_event)", [], |row| row.get(0))?;
    // A database of an earlier version has no such table until the hub opens it.
    let known = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'school_key')";
    let fingerprint = match db.query_row(known, [], |row| row.get(0))? {
        true => db.query_row("SELECT fingerprint FROM school_key", [], |row| row.get(0)).optional()?,
        false => None,
    };
    Ok(NotedKey { fingerprint, records })
}
