//! Enrolled take-home devices, codes to enrol them, and the hours that guardians have set.

use classroom_protocol::{Millis, policy::Link};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Db, Hash, StoreError};

/// Reads and changes the agents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agents(pub(super) Db);

/// An enrolled device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// The device's code in the register.
    pub device: String,
    /// Name of this enrolment.
    pub enrolment: String,
    /// When.
    pub enrolled_at: Millis,
    /// When it was here last.
    pub seen_at: Option<Millis>,
    /// Its network then.
    pub link: Option<Link>,
    /// Version of its program.
    pub version: Option<String>,
    /// The orders that it was given last.
    pub given: GivenOrders,
    /// Records that it has lost and told of, in all.
    pub dropped: u64,
    /// When it told so last.
    pub dropped_at: Option<Millis>,
}

/// Which orders a device was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenOrders {
    /// Their version; 0 for none yet.
    pub version: u64,
    /// When they were made.
    pub at: Millis,
    /// SHA-256 of what they say.
    pub hash: Hash,
}

/// A contact of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Millis,
    /// Its network.
    pub link: Option<Link>,
    /// Version of its program.
    pub version: String,
    /// The orders that it is given.
    pub given: GivenOrders,
    /// Records that it has lost since the last contact.
    pub dropped: u64,
}

const LINKS: [(Link, &str); 3] = [(Link::Wifi, "wifi"), (Link::Wired, "wired"), (Link::Mobile, "mobile")];
const ROW: &str = "device, enrolment, enrolled_at, seen_at, link, version, orders_version, orders_at, orders_hash, dropped, \
                   dropped_at";

impl Agents {
    /// Keeps a code for a device; earlier ones of the device are void.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn issue(&self, code: Hash, device: String, now: Millis, expires_at: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM agent_code WHERE expires_at <= ?1 OR device = ?2", params![now, device])?;
                db.execute(
                    "INSERT INTO agent_code (hash, device, expires_at) VALUES (?1, ?2, ?3)",
                    params![code, device, expires_at],
                )?;
                Ok(())
            })
            .await
    }

    /// Uses a code up and enrols its device under this certificate, in one transaction. An earlier enrolment of the
    /// device ends. `None`: the code is unknown, used or too old.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn enrol(
        &self,
        code: Hash,
        enrolment: String,
        certificate: Hash,
        now: Millis,
    ) -> Result<Option<AgentRow>, StoreError> {
        self.0
            .write(move |db| {
                let device: Option<String> = db
                    .query_row(
                        "DELETE FROM agent_code WHERE hash = ?1 AND expires_at > ?2 RETURNING device",
                        params![code, now],
                        |row| row.get(0),
                    )
                    .optional()?;
                let Some(device) = device else { return Ok(None) };
                db.execute("DELETE FROM agent WHERE device = ?1", [&device])?;
                db.execute(
                    "INSERT INTO agent (device, enrolment, certificate, enrolled_at, orders_version, orders_at, orders_hash)
                     VALUES (?1, ?2, ?3, ?4, 0, 0, zeroblob(32))",
                    params![device, enrolment, certificate, now],
                )?;
                by_device(db, &device)
            })
            .await
    }

    /// The device with this certificate.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn by_certificate(&self, certificate: Hash) -> Result<Option<AgentRow>, StoreError> {
        self.0.read(move |db| one(db, "certificate = ?1", params![certificate])).await
    }

    /// The agent of a device.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn of(&self, device: String) -> Result<Option<AgentRow>, StoreError> {
        self.0.read(move |db| by_device(db, &device)).await
    }

    /// All of them, by code of device.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn list(&self) -> Result<Vec<AgentRow>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare_cached(&format!("SELECT {ROW} FROM agent ORDER BY device"))?;
                let rows = query.query_map([], row)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// The device was here.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn seen(&self, enrolment: String, seen: Seen) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                let Seen { at, link, version, given, dropped } = seen;
                let link = link.and_then(|link| LINKS.iter().find(|(known, _)| *known == link)).map(|(_, word)| *word);
                db.prepare_cached(
                    "UPDATE agent SET seen_at = ?2, link = ?3, version = ?4, orders_version = ?5, orders_at = ?6,
                     orders_hash = ?7, dropped = dropped + ?8, dropped_at = iif(?8 > 0, ?2, dropped_at) WHERE enrolment = ?1",
                )?
                .execute(params![
                    enrolment,
                    at,
                    link,
                    version,
                    given.version,
                    given.at,
                    given.hash,
                    dropped
                ])?;
                Ok(())
            })
            .await
    }

    /// The device is no longer enrolled. Says whether it was.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn remove(&self, device: String) -> Result<bool, StoreError> {
        self.0.write(move |db| Ok(db.execute("DELETE FROM agent WHERE device = ?1", [device])? > 0)).await
    }

    /// The hours that the guardian of the device's student allows at home, as JSON; none when none are set.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn hours(&self, device: String) -> Result<Option<String>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached("SELECT hours FROM guardian_hours WHERE device = ?1")?;
                Ok(query.query_row([device], |row| row.get(0)).optional()?)
            })
            .await
    }

    /// Sets the guardian's hours; an empty text removes them.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn set_hours(&self, device: String, hours: String, by: String, now: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM guardian_hours WHERE device = ?1", [&device])?;
                if !hours.is_empty() {
                    db.execute(
                        "INSERT INTO guardian_hours (device, hours, set_at, set_by) VALUES (?1, ?2, ?3, ?4)",
                        params![device, hours, now, by],
                    )?;
                }
                Ok(())
            })
            .await
    }
}

fn by_device(db: &Connection, device: &str) -> Result<Option<AgentRow>, StoreError> {
    one(db, "device = ?1", params![device])
}

fn one(db: &Connection, which: &str, values: impl rusqlite::Params) -> Result<Option<AgentRow>, StoreError> {
    let mut query = db.prepare_cached(&format!("SELECT {ROW} FROM agent WHERE {which}"))?;
    Ok(query.query_row(values, row).optional()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<AgentRow> {
    let link: Option<String> = row.get(4)?;
    Ok(AgentRow {
        device: row.get(0)?,
        enrolment: row.get(1)?,
        enrolled_at: row.get(2)?,
        seen_at: row.get(3)?,
        link: link.and_then(|link| LINKS.iter().find(|(_, word)| *word == link)).map(|(link, _)| *link),
        version: row.get(5)?,
        given: GivenOrders { version: row.get(6)?, at: row.get(7)?, hash: row.get(8)? },
        dropped: row.get(9)?,
        dropped_at: row.get(10)?,
    })
}
