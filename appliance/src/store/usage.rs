//! Usage events, and what of them is still to be delivered upstream.

use appliance_core::usage::Event;
use classroom_protocol::{Millis, Seat};
use rusqlite::{Connection, params};

use super::{Db, StoreError};

/// Keeps usage events. Only ever adds.
#[derive(Debug, Clone)]
pub struct UsageLog(pub(super) Db);

/// An event and the id that its identity gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvent {
    /// UUIDv5.
    pub id: String,
    /// The event.
    pub event: Event,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is kept now.
    New,
    /// It was kept before; nothing changed.
    Known,
}

impl UsageLog {
    /// Keeps all of `events`, or none: on the disk when this returns. Waits for its turn, is never refused for want of
    /// room in the queue. Answers for each event whether it is new.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and what else a disk can refuse.
    pub async fn append(&self, events: Vec<KeptEvent>, now: Millis) -> Result<Vec<Recorded>, StoreError> {
        self.0.write_patiently(move |db| events.iter().map(|kept| insert(db, kept, now)).collect()).await
    }

    /// When the latest event was kept, on the clock of that time: later than now when the clock was set back since.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn latest(&self) -> Result<Option<Millis>, StoreError> {
        let sql = "SELECT recorded_at FROM usage_event ORDER BY seq DESC LIMIT 1";
        match self.0.read(move |db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await {
            Err(StoreError::Missing) => Ok(None),
            other => other.map(Some),
        }
    }
}

fn insert(db: &Connection, kept: &KeptEvent, now: Millis) -> Result<Recorded, StoreError> {
    let Event { at, who, place, lesson, fact, origin: _ } = &kept.event;
    // Who sits on a seat changes with the years: the register's number of today is noted with the event.
    let mut insert = db.prepare_cached(
        "INSERT INTO usage_event (id, at, recorded_at, kind, student, device, class, seat, staff, place, lesson,
                                  platform, seconds, object, category, times)
         VALUES (?1, ?2, ?3, ?4, coalesce(?5, (SELECT number FROM student WHERE class_id = ?7 AND seat = ?8)), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO NOTHING",
    )?;
    let new = insert.execute(params![
        kept.id,
        at,
        now,
        fact.kind().as_str(),
        who.student,
        who.device,
        who.class,
        who.seat.map(Seat::number),
        who.staff,
        place.as_str(),
        lesson,
        fact.platform(),
        fact.seconds(),
        fact.object(),
        fact.category(),
        fact.times()
    ])?;
    if new == 0 {
        return Ok(Recorded::Known);
    }
    db.prepare_cached("INSERT INTO outbox (seq) VALUES (?1)")?.execute([db.last_insert_rowid()])?;
    Ok(Recorded::New)
}
