//! The school's record of network access (R-POL-6, R-POL-20): kept at least six months, then erased.

use appliance_core::{
    calendar::Day,
    lived::{self, Line},
};
use classroom_protocol::{Millis, policy::AccessLine};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

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

    /// Erases what was written more than `age` ago, says how many lines. A line's own time alone is no proof, its clock may
    /// have been wrong: the order of the lines has to prove it too. What was written under a wrong clock stays longer.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn erase_older(&self, age: Millis, now: Millis) -> Result<usize, StoreError> {
        let lines = self.0.read(some_lines).await?;
        let Some(last) = lived::older_than(&lines, age, now) else { return Ok(0) };
        let before = now.saturating_sub(age);
        let erase = "DELETE FROM network_access WHERE seq <= ?1 AND (at < ?2 OR at > ?3)";
        self.0.write(move |db| Ok(db.execute(erase, params![last, before, now])?)).await
    }
}

/// A line of each hour that has some, in the record's order: one look into the index for each, however many lines there
/// are.
fn some_lines(db: &Connection) -> Result<Vec<Line>, StoreError> {
    const HOUR: Millis = 3_600_000;
    let sql = "SELECT seq, at FROM network_access WHERE at < ?1 ORDER BY at DESC, seq DESC LIMIT 1";
    let mut query = db.prepare_cached(sql)?;
    let (mut lines, mut before) = (Vec::new(), Millis::MAX >> 1);
    let line = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Line> { Ok((row.get(0)?, row.get(1)?)) };
    while let Some((seq, at)) = query.query_row([before], line).optional()? {
        lines.push((seq, at));
        before = at - at % HOUR;
    }
    lines.sort_unstable();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store;

    const DAY: Millis = 86_400_000;
    const FIRST: Millis = 20_000 * DAY;
    const AGE: Millis = 190 * DAY;

    fn line(at: Millis) -> AccessLine {
        AccessLine {
            at,
            device: None,
            address: "10.1.2.3".into(),
            lesson: None,
            name: "site.example".into(),
            allow: false,
            rule: "R-POL-3".into(),
        }
    }

    #[tokio::test]
    async fn a_line_is_erased_when_it_is_old_and_not_when_its_clock_was_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store::open(folder.path(), 1).unwrap();
        let record = opened.store.access();
        assert_eq!(record.erase_older(AGE, FIRST).await, Ok(0));
        // The clock had lost the time, then found it.
        record.keep(vec![line(1_000), line(2_000), line(1_500)]).await.unwrap();
        assert_eq!(record.erase_older(AGE, FIRST).await, Ok(0), "seconds after they were made");
        let days = |from: u64, to: u64| -> Vec<AccessLine> {
            (from..to).flat_map(|day| [0, 1].map(|n| line(FIRST + day * DAY + n))).collect()
        };
        record.keep(days(0, 10)).await.unwrap();
        record.keep(vec![line(FIRST + 400 * DAY)]).await.unwrap();
        record.keep(days(10, 190)).await.unwrap();
        assert_eq!(record.erase_older(AGE, FIRST + 190 * DAY - 1).await, Ok(0));
        assert_eq!(record.erase_older(AGE, FIRST + 190 * DAY + 2).await, Ok(3 + 2), "with the first day's");
        record.keep(days(190, 205)).await.unwrap();
        assert_eq!(record.erase_older(AGE, FIRST + 204 * DAY + 2).await, Ok(28 + 1), "and the one dated ahead");
        tokio::task::spawn_blocking(|| opened.keeper.close()).await.unwrap();
    }
}
