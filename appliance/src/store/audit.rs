//! What staff did: identity, place, time, action (R-DATA-6).

use classroom_protocol::Millis;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use sha2::{Digest, Sha256};

use super::{Db, Hash, StoreError, access::Wanted};

/// Appends to the audit and reads it. There is no way to change or delete a row.
#[derive(Debug, Clone)]
pub struct Audit(pub(super) Db);

/// What is put down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Millis,
    /// Account, or what was typed as one.
    pub who: String,
    /// Network address the request came from, or `console`.
    pub place: String,
    /// What was done, e.g. `sign-in`.
    pub action: String,
    /// More about it.
    pub detail: serde_json::Value,
}

/// One row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Number of the row, from 1 without gaps.
    pub id: i64,
    /// What was put down.
    pub entry: AuditEntry,
    /// Seal of the row.
    pub seal: Hash,
}

/// The first row whose seal does not fit: it or the one before it was changed or taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenChain {
    /// Number of that row.
    pub id: i64,
}

impl Audit {
    /// Puts a row at the end, sealed with the one before it. Answers its number and seal (the seal goes to the log,
    /// which is copied to another machine, so that cutting off the end is found too).
    ///
    /// # Errors
    /// As all of the store. The caller must not do what it could not put down.
    pub async fn append(&self, entry: AuditEntry) -> Result<(i64, Hash), StoreError> {
        let detail = entry.detail.to_string();
        self.0
            .write(move |db| {
                let last = db
                    .query_row("SELECT id, this FROM audit ORDER BY id DESC LIMIT 1", [], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?))
                    })
                    .optional()?;
                let (id, prev) = last.map_or((1, [0; 32]), |(id, this)| (id + 1, this));
                let this = seal(&prev, id, &entry, &detail);
                db.prepare_cached(
                    "INSERT INTO audit (id, at, who, place, action, detail, prev, this)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    id,
                    entry.at,
                    entry.who,
                    entry.place,
                    entry.action,
                    detail,
                    prev,
                    this
                ])?;
                Ok((id, this))
            })
            .await
    }

    /// The newest `most` of the wanted rows, newest first. The audit knows no devices.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn page(&self, wanted: Wanted, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.0
            .read(move |db| {
                let (condition, values) = Wanted { device: None, ..wanted }.condition("id", most);
                let mut query = db.prepare_cached(&format!(
                    "SELECT id, at, who, place, action, detail, this FROM audit {condition}"
                ))?;
                let mut rows = query.query(params_from_iter(values))?;
                let mut list = Vec::new();
                while let Some(row) = rows.next()? {
                    let (entry, _) = entry(row)?;
                    list.push(AuditRow { id: row.get(0)?, entry, seal: row.get(6)? });
                }
                Ok(list)
            })
            .await
    }

    /// Checks every seal. Answers the number of rows, or where the chain breaks.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn verify(&self) -> Result<Result<u64, BrokenChain>, StoreError> {
        self.0.read(verify).await
    }
}

fn verify(db: &Connection) -> Result<Result<u64, BrokenChain>, StoreError> {
    let mut query = db.prepare("SELECT id, at, who, place, action, detail, this, prev FROM audit ORDER BY id")?;
    let mut rows = query.query([])?;
    let (mut count, mut before) = (0u64, [0u8; 32]);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let (entry, detail) = entry(row)?;
        let (this, prev): (Hash, Hash) = (row.get(6)?, row.get(7)?);
        let fits =
            prev == before && this == seal(&prev, id, &entry, &detail) && id == i64::try_from(count + 1).unwrap_or(0);
        if !fits {
            return Ok(Err(BrokenChain { id }));
        }
        (count, before) = (count + 1, this);
    }
    Ok(Ok(count))
}

/// The entry of a row that begins with id, at, who, place, action, detail; and the detail as it is written.
fn entry(row: &Row<'_>) -> Result<(AuditEntry, String), StoreError> {
    let written: String = row.get(5)?;
    let detail = serde_json::from_str(&written).unwrap_or(serde_json::Value::Null);
    let entry = AuditEntry { at: row.get(1)?, who: row.get(2)?, place: row.get(3)?, action: row.get(4)?, detail };
    Ok((entry, written))
}

/// Each field goes in with its length before it, so that no two rows have the same bytes.
fn seal(prev: &Hash, id: i64, entry: &AuditEntry, detail: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"classroom audit 1");
    hash.update(prev);
    hash.update(id.to_be_bytes());
    hash.update(entry.at.to_be_bytes());
    for text in [&entry.who, &entry.place, &entry.action, detail] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}
