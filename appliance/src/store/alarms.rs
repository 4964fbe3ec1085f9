//! What students and devices have told and people look at (R-POL-13, -19), and who has taken note of it.

use appliance_core::{
    alarm::{Alarm, Noted},
    usage::{Fact, Kind, Place},
};
use classroom_protocol::{Millis, Seat};
use rusqlite::{Connection, Row, params};

use super::{Db, StoreError};

/// Reads them, and keeps who has taken note. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AlarmLog(pub(super) Db);

impl AlarmLog {
    /// Those that the box learned since `since`, the newest first, at most `most`.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn since(&self, since: Millis, most: u32) -> Result<Vec<Alarm>, StoreError> {
        self.0.read(move |db| list(db, since, most)).await
    }

    /// Keeps that `by` has taken note of the alarm `id`; who was first stays. Says whether there is one of this number.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn note(&self, id: i64, at: Millis, by: String) -> Result<bool, StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO alarm_seen (seq, at, by)
                     SELECT seq, ?2, ?3 FROM usage_event WHERE seq = ?1 AND kind IN ('reported-site', 'tampered')
                     ON CONFLICT (seq) DO NOTHING",
                    params![id, at, by],
                )?;
                Ok(db.query_row("SELECT count(*) FROM alarm_seen WHERE seq = ?1", [id], |row| row.get::<_, u32>(0))?
                    > 0)
            })
            .await
    }
}

fn list(db: &Connection, since: Millis, most: u32) -> Result<Vec<Alarm>, StoreError> {
    // The student of the number, wherever they sit now; without a number the student of the seat.
    let mut query = db.prepare_cached(
        "SELECT told.seq, told.at, told.recorded_at, told.kind, told.object, told.place, told.device,
                who.class_id, class.name, who.seat, who.name, seen.at, seen.by
         FROM usage_event AS told
         LEFT JOIN student AS who ON who.id = coalesce(
             (SELECT id FROM student WHERE number = told.student),
             (SELECT id FROM student WHERE told.student IS NULL AND class_id = told.class AND seat = told.seat))
         LEFT JOIN class ON class.id = who.class_id
         LEFT JOIN alarm_seen AS seen ON seen.seq = told.seq
         WHERE told.kind IN ('reported-site', 'tampered') AND told.recorded_at >= ?1
         ORDER BY told.recorded_at DESC, told.seq DESC LIMIT ?2",
    )?;
    let found = query.query_map(params![since, most], alarm)?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// None, and a line in the log, for what a later program has written.
fn alarm(row: &Row<'_>) -> rusqlite::Result<Option<Alarm>> {
    let (kind, object, place): (String, Option<String>, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let fact = Kind::parse(&kind).and_then(|kind| Fact::of(kind, None, None, object, None, None));
    let (Some(fact), Some(place)) = (fact, Place::parse(&place)) else {
        tracing::error!(kind, place, "an alarm that this program does not know");
        return Ok(None);
    };
    let seen: Option<Millis> = row.get(11)?;
    Ok(Some(Alarm {
        id: row.get(0)?,
        at: row.get(1)?,
        told_at: row.get(2)?,
        fact,
        place,
        device: row.get(6)?,
        class: row.get(7)?,
        class_name: row.get(8)?,
        seat: row.get::<_, Option<u8>>(9)?.and_then(|seat| Seat::try_from(seat).ok()),
        name: row.get(10)?,
        seen: seen.map(|at| Ok::<_, rusqlite::Error>(Noted { at, by: row.get(12)? })).transpose()?,
    }))
}
