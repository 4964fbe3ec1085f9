//! What is still to be delivered upstream (R-USE-6): nothing leaves the outbox but by being confirmed or set aside.

use appliance_core::usage::{Event, Fact, Kind, Place, Subject, outbox::is_not_there};
use classroom_protocol::{Millis, Seat};
use rusqlite::{Row, params};

use super::{Db, StoreError};

/// Reads and clears the outbox.
#[derive(Debug, Clone)]
pub struct Outbox(pub(super) Db);

/// An event that waits for its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub seq: i64,
    /// Its id (UUIDv5).
    pub id: String,
    /// The event; `None` when a later version of the software wrote a kind that this one does not know.
    pub event: Option<Event>,
    /// The statement as it was first sent.
    pub body: Option<Vec<u8>>,
}

/// A statement that the upstream refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number.
    pub seq: i64,
    /// HTTP status.
    pub status: u16,
    /// What the upstream said.
    pub reason: String,
    /// The statement as it was sent.
    pub body: Vec<u8>,
}

/// A statement that was set aside, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// What was refused and why.
    pub refused: Refused,
    /// When it was set aside.
    pub at: Millis,
    /// Word of the event's kind.
    pub kind: String,
}

/// How the delivery stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// Events that wait.
    pub waiting: u64,
    /// When the oldest of them happened.
    pub oldest: Option<Millis>,
    /// Statements that were set aside.
    pub refused: u64,
    /// Statements that were confirmed.
    pub delivered: u64,
    /// When the last ones were.
    pub delivered_at: Option<Millis>,
}

impl Outbox {
    /// The first `most` events after number `after`, in their order.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn waiting(&self, after: i64, most: usize) -> Result<Vec<Waiting>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT outbox.seq, id, body, at, kind, student, device, class, seat, staff, place, lesson,
                            platform, seconds, object, category, times
                     FROM outbox JOIN usage_event USING (seq)
                     WHERE outbox.seq > ?1 ORDER BY outbox.seq LIMIT ?2",
                )?;
                let rows = query.query_map(params![after, most], |row| {
                    Ok(Waiting { seq: row.get(0)?, id: row.get(1)?, body: row.get(2)?, event: event(row)? })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Keeps the statements as they are about to be sent, and lets go of the events that have none.
    ///
    /// # Errors
    /// As all of the store; then nothing has changed.
    pub async fn freeze(&self, bodies: Vec<(i64, Vec<u8>)>, without: Vec<i64>) -> Result<(), StoreError> {
        self.0
            .write_patiently(move |db| {
                let mut keep = db.prepare_cached("UPDATE outbox SET body = ?2 WHERE seq = ?1 AND body IS NULL")?;
                for (seq, body) in &bodies {
                    keep.execute(params![seq, body])?;
                }
                let mut gone = db.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?;
                for seq in &without {
                    gone.execute([seq])?;
                }
                Ok(())
            })
            .await
    }

    /// The upstream has confirmed these.
    ///
    /// # Errors
    /// As all of the store; then they are still there and are sent again.
    pub async fn delivered(&self, seqs: Vec<i64>, now: Millis) -> Result<(), StoreError> {
        self.0
            .write_patiently(move |db| {
                let mut gone = db.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?;
                let mut count = 0;
                for seq in &seqs {
                    count += gone.execute([seq])?;
                }
                if let (Some(first), Some(last)) = (seqs.iter().min(), seqs.iter().max()) {
                    db.prepare_cached(
                        "INSERT INTO delivery (at, statements, first_seq, last_seq) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![now, count, first, last])?;
                }
                Ok(())
            })
            .await
    }

    /// The upstream refuses this one for good: it is set aside with the reason.
    ///
    /// # Errors
    /// As all of the store; then it is still in the outbox.
    pub async fn set_aside(&self, refused: Refused, now: Millis) -> Result<(), StoreError> {
        self.0
            .write_patiently(move |db| {
                let Refused { seq, status, reason, body } = &refused;
                db.execute(
                    "INSERT INTO outbox_refused (seq, at, status, reason, body)
                     SELECT seq, ?2, ?3, ?4, ?5 FROM outbox WHERE seq = ?1
                     ON CONFLICT (seq) DO NOTHING",
                    params![seq, now, status, reason, body],
                )?;
                db.execute("DELETE FROM outbox WHERE seq = ?1", [seq])?;
                Ok(())
            })
            .await
    }

    /// The upstream has not got these: their statements are made anew before they are sent again.
    ///
    /// # Errors
    /// As all of the store; then they are sent as they were.
    pub async fn thaw(&self, seqs: Vec<i64>) -> Result<(), StoreError> {
        self.0
            .write_patiently(move |db| {
                let mut thaw = db.prepare_cached("UPDATE outbox SET body = NULL WHERE seq = ?1")?;
                for seq in &seqs {
                    thaw.execute([seq])?;
                }
                Ok(())
            })
            .await
    }

    /// The first `most` statements after number `after` that were set aside, in their order.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn refused(&self, after: i64, most: usize) -> Result<Vec<RefusedRow>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT outbox_refused.seq, status, reason, body, outbox_refused.at, kind
                     FROM outbox_refused JOIN usage_event USING (seq)
                     WHERE outbox_refused.seq > ?1 ORDER BY outbox_refused.seq LIMIT ?2",
                )?;
                let rows = query.query_map(params![after, most], |row| {
                    let refused =
                        Refused { seq: row.get(0)?, status: row.get(1)?, reason: row.get(2)?, body: row.get(3)? };
                    Ok(RefusedRow { refused, at: row.get(4)?, kind: row.get(5)? })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Has statements that were set aside sent once more: these, or all. Their statements are made anew unless the
    /// upstream may hold them. Answers how many there were.
    ///
    /// # Errors
    /// As all of the store; then nothing has changed.
    pub async fn release(&self, only: Option<Vec<i64>>) -> Result<usize, StoreError> {
        self.0
            .write_patiently(move |db| {
                let mut query = db.prepare_cached("SELECT seq, status, body FROM outbox_refused ORDER BY seq")?;
                let rows = query.query_map([], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, u16>(1)?, row.get::<_, Vec<u8>>(2)?))
                })?;
                let mut count = 0;
                for row in rows.collect::<Result<Vec<_>, _>>()? {
                    let (seq, status, body) = row;
                    if only.as_ref().is_some_and(|only| !only.contains(&seq)) {
                        continue;
                    }
                    let body = Some(body).filter(|body| !is_not_there(status) && !body.is_empty());
                    db.prepare_cached("INSERT INTO outbox (seq, body) VALUES (?1, ?2)")?.execute(params![seq, body])?;
                    db.prepare_cached("DELETE FROM outbox_refused WHERE seq = ?1")?.execute([seq])?;
                    count += 1;
                }
                Ok(count)
            })
            .await
    }

    /// How the delivery stands.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn state(&self) -> Result<OutboxState, StoreError> {
        self.0
            .read(|db| {
                Ok(db.query_row(
                    "SELECT (SELECT count(*) FROM outbox),
                            (SELECT at FROM usage_event WHERE seq = (SELECT min(seq) FROM outbox)),
                            (SELECT count(*) FROM outbox_refused),
                            (SELECT coalesce(sum(statements), 0) FROM delivery),
                            (SELECT max(at) FROM delivery)",
                    [],
                    |row| {
                        Ok(OutboxState {
                            waiting: row.get(0)?,
                            oldest: row.get(1)?,
                            refused: row.get(2)?,
                            delivered: row.get(3)?,
                            delivered_at: row.get(4)?,
                        })
                    },
                )?)
            })
            .await
    }
}

/// The event of a row of `waiting`.
fn event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let (kind, place): (String, String) = (row.get(4)?, row.get(10)?);
    let seat: Option<u8> = row.get(8)?;
    let (platform, seconds, object, category) = (row.get(12)?, row.get(13)?, row.get(14)?, row.get(15)?);
    let times = row.get(16)?;
    let fact = Kind::parse(&kind).and_then(|kind| Fact::of(kind, platform, seconds, object, category, times));
    let (Some(fact), Some(place)) = (fact, Place::parse(&place)) else { return Ok(None) };
    let who = Subject {
        student: row.get(5)?,
        device: row.get(6)?,
        class: row.get(7)?,
        seat: seat.and_then(|number| Seat::try_from(number).ok()),
        staff: row.get(9)?,
    };
    Ok(Some(Event { at: row.get(3)?, who, place, lesson: row.get(11)?, fact, origin: None }))
}
