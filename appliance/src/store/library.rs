//! The list of what is in the library. The bytes lie elsewhere.

use classroom_protocol::Millis;
use rusqlite::{OptionalExtension, Row, params};

use super::{Db, StoreError};

/// Reads and changes the list.
#[derive(Debug, Clone)]
pub struct LibraryItems(pub(super) Db);

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryItem {
    /// Its number; 0 for one that is not kept yet.
    pub id: i64,
    /// Its folder and address.
    pub key: String,
    /// Name for people.
    pub title: String,
    /// What it is, in the core's word.
    pub kind: String,
    /// Name of the part that is opened first.
    pub main: String,
    /// Where it comes from; none for an upload.
    pub origin: Option<String>,
    /// Never makes room for other content.
    pub pinned: bool,
    /// Fetched at night only, unless someone opens it.
    pub tonight: bool,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last opened.
    pub used_at: Millis,
    /// Name of the teacher.
    pub created_by: String,
}

const COLUMNS: &str = "id, key, title, kind, main, origin, pinned, tonight, created_at, used_at, created_by";

fn item(row: &Row<'_>) -> rusqlite::Result<LibraryItem> {
    Ok(LibraryItem {
        id: row.get(0)?,
        key: row.get(1)?,
        title: row.get(2)?,
        kind: row.get(3)?,
        main: row.get(4)?,
        origin: row.get(5)?,
        pinned: row.get(6)?,
        tonight: row.get(7)?,
        created_at: row.get(8)?,
        used_at: row.get(9)?,
        created_by: row.get(10)?,
    })
}

impl LibraryItems {
    /// Keeps a new item and gives its number.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn add(&self, item: LibraryItem) -> Result<i64, StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO library_item (key, title, kind, main, origin, pinned, tonight, created_at, used_at, created_by) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        item.key,
                        item.title,
                        item.kind,
                        item.main,
                        item.origin,
                        item.pinned,
                        item.tonight,
                        item.created_at,
                        item.used_at,
                        item.created_by
                    ],
                )?;
                Ok(db.last_insert_rowid())
            })
            .await
    }

    /// All items, the newest first.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn list(&self) -> Result<Vec<LibraryItem>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM library_item ORDER BY id DESC"))?;
                Ok(query.query_map([], item)?.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// One item.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn get(&self, key: String) -> Result<Option<LibraryItem>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM library_item WHERE key = ?1"))?;
                Ok(query.query_row([key], item).optional()?)
            })
            .await
    }

    /// Changes what a teacher may change: title, pinned, tonight.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such item.
    pub async fn change(&self, item: LibraryItem) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                let changed = db.execute(
                    "UPDATE library_item SET title = ?2, pinned = ?3, tonight = ?4 WHERE key = ?1",
                    params![item.key, item.title, item.pinned, item.tonight],
                )?;
                if changed == 0 { Err(StoreError::Missing) } else { Ok(()) }
            })
            .await
    }

    /// Notes that an item was opened.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn used(&self, key: String, at: Millis) -> Result<(), StoreError> {
        let sql = "UPDATE library_item SET used_at = max(used_at, ?2) WHERE key = ?1";
        self.0.write(move |db| Ok(db.execute(sql, params![key, at]).map(drop)?)).await
    }

    /// Removes an item. Says whether it was there.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn remove(&self, key: String) -> Result<bool, StoreError> {
        self.0.write(move |db| Ok(db.execute("DELETE FROM library_item WHERE key = ?1", [key])? > 0)).await
    }
}
