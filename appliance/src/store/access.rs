//! The school's record of network access (R-POL-6, R-POL-20): kept at least six months, then erased.

use appliance_core::calendar::Day;
use classroom_protocol::{Millis, policy::AccessLine};
use rusqlite::{params, params_from_iter, types::Value};

use super::{Db, StoreError};

/// Which lines are wanted. Without a word all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those before the line with this number.
    pub before: Option<i64>,
    /// Those of this day on the school's clock.
    pub day: Option<Day>,
    /// Those of the device with this code.
    pub device: Option<String>,
}

impl Wanted {
    /// As a condition of SQL, with its values, and the most lines as the last of them. `number` is the column of the lines'
    /// numbers.
    pub(super) fn condition(self, number: &str, most: u32) -> (String, Vec<Value>) {
        let integer = |at: Millis| Value::from(i64::try_from(at).unwrap_or(i64::MAX));
        let (mut parts, mut values) = (vec!["TRUE".to_owned()], Vec::new());
        if let Some(before) = self.before {
            parts.push(format!("{number} < ?"));
            values.push(Value::from(before));
        }
        if let Some(day) = self.day {
            parts.push("at >= ? AND at < ?".to_owned());
            values.extend([integer(day.begins()), integer(day.ends())]);
        }
        if let Some(device) = self.device {
            parts.push("device = ?".to_owned());
            values.push(Value::from(device));
        }
        values.push(Value::from(i64::from(most)));
        (format!("WHERE {} ORDER BY {number} DESC LIMIT ?", parts.join(" AND ")), values)
    }
}

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

    /// The newest `most` of the wanted lines with their numbers, the newest first.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn page(&self, wanted: Wanted, most: u32) -> Result<Vec<(i64, AccessLine)>, StoreError> {
        self.0
            .read(move |db| {
                let (condition, values) = wanted.condition("seq", most);
                let mut query = db.prepare_cached(&format!(
                    "SELECT at, device, address, lesson, name, allowed, rule, seq FROM network_access {condition}"
                ))?;
                let line = |row: &rusqlite::Row<'_>| {
                    let line = AccessLine {
                        at: row.get(0)?,
                        device: row.get(1)?,
                        address: row.get(2)?,
                        lesson: row.get(3)?,
                        name: row.get(4)?,
                        allow: row.get(5)?,
                        rule: row.get(6)?,
                    };
                    Ok((row.get(7)?, line))
                };
                let lines = query.query_map(params_from_iter(values), line)?.collect::<Result<_, _>>()?;
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
