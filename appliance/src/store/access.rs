//! The school's record of network access (R-POL-6, R-POL-20): kept at least six months, then erased.

use classroom_protocol::{Millis, policy::AccessLine};
use rusqlite::params;

use super::{Db, StoreError};

/// Appends to the record, reads it, erases what is old.
#[derive(Debug, Clone)]
pub struct AccessLog(pub(super) Db);

impl AccessLog {
    /// Keeps all of `lines`, or none.
    ///
    /// # Errors
    /// What a disk can refuse. Waits for its turn, is never refused for want of room in the queue.
    pub async fn keep(&self, lines: Vec<AccessLine>) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.0
            .write_patiently(move |db| {
                let mut insert = db.prepare_cached(
                    "INSERT INTO network_access (at, device, address, lesson, name, allowed, rule)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?;
                for line in &lines {
                    insert.execute(params![
                        line.at,
                        line.device,
                        line.address,
                        line.lesson,
                        line.name,
                        line.allow,
                        line.rule
                    ])?;
                }
                Ok(())
            })
            .await
    }

    /// The latest lines, the newest first.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn latest(&self, most: u32) -> Result<Vec<AccessLine>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT at, device, address, lesson, name, allowed, rule FROM network_access
                     ORDER BY seq DESC LIMIT ?1",
                )?;
                let line = |row: &rusqlite::Row<'_>| {
                    Ok(AccessLine {
                        at: row.get(0)?,
                        device: row.get(1)?,
                        address: row.get(2)?,
                        lesson: row.get(3)?,
                        name: row.get(4)?,
                        allow: row.get(5)?,
                        rule: row.get(6)?,
                    })
                };
                let lines = query.query_map([most], line)?.collect::<Result<_, _>>()?;
                Ok(lines)
            })
            .await
    }

    /// Erases what is older; says how many lines.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn erase_before(&self, at: Millis) -> Result<usize, StoreError> {
        self.0.write(move |db| Ok(db.execute("DELETE FROM network_access WHERE at < ?1", [at])?)).await
    }
}
