//! What the usage figures are read from, and what the office has typed for the reports.

use std::collections::BTreeMap;

use appliance_core::{
    calendar::{Day, day},
    figures::{
        Days, Duty, Lesson,
        events::{Roster, student_name},
        register::{DeviceRow, LoanRow},
    },
    usage::{Event, Fact, Kind, Place, Subject},
};
use classroom_protocol::{Millis, Seat};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Db, StoreError};

/// Reads facts; keeps days and settings.
#[derive(Debug, Clone)]
pub struct FigureStore(pub(super) Db);

/// Everything that was read at one moment.
#[derive(Debug, Clone, Default)]
pub struct FigureRows {
    /// Events that took time, in any order.
    pub events: Vec<Event>,
    /// Devices that count or may count, in the register's order.
    pub devices: Vec<DeviceRow>,
    /// Numbers of the students.
    pub roster: Roster,
    /// Lessons; the teacher is the account's id, or the name of that day where it is not known.
    pub lessons: Vec<Lesson>,
    /// Days on which the box ran.
    pub box_ran: Vec<Days>,
    /// Names of the teachers by account id.
    pub teachers: BTreeMap<String, String>,
    /// Who has which device now: seat and name by its code.
    pub holders: BTreeMap<String, (Option<u8>, String)>,
    /// The earliest time of which something is known of consents: a text or a signature; while there is neither, of classes:
    /// a lesson or a loan. The register itself has no dates.
    pub known_since: Option<Millis>,
}

/// A setting of the reports with who changed it when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportSetting {
    /// Calendar and timetable.
    Calendar,
    /// What is typed for 附件6.
    Annex,
}

impl ReportSetting {
    fn as_str(self) -> &'static str {
        match self {
            Self::Calendar => "calendar",
            Self::Annex => "annex",
        }
    }
}

impl FigureStore {
    /// Everything that bears on the time from `from` to `to`. `now` ends what still runs.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn rows(&self, from: Millis, to: Millis, now: Millis) -> Result<FigureRows, StoreError> {
        self.0
            .read(move |db| {
                Ok(FigureRows {
                    events: events(db, from, to)?,
                    devices: devices(db)?,
                    roster: roster(db)?,
                    lessons: lessons(db, from, to, now)?,
                    box_ran: box_ran(db)?,
                    teachers: teachers(db)?,
                    holders: holders(db)?,
                    known_since: known_since(db)?,
                })
            })
            .await
    }

    /// The box ran on this day.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn box_ran(&self, day: Day) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.prepare_cached("INSERT INTO box_day (day) VALUES (?1) ON CONFLICT DO NOTHING")?
                    .execute([day.to_string()])?;
                Ok(())
            })
            .await
    }

    /// The agent of this device has delivered everything of these whole days: what it did not tell did not happen.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn device_seen(&self, device: String, days: Days) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.prepare_cached(
                    "INSERT INTO device_seen (device, from_day, to_day) VALUES (?1, ?2, ?3)
                     ON CONFLICT (device, from_day) DO UPDATE SET to_day = max(to_day, excluded.to_day)",
                )?
                .execute(params![device, days.from.to_string(), days.to.to_string()])?;
                Ok(())
            })
            .await
    }

    /// What is set, as JSON.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn setting(&self, setting: ReportSetting) -> Result<Option<String>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached("SELECT value FROM report_setting WHERE name = ?1")?;
                Ok(query.query_row([setting.as_str()], |row| row.get(0)).optional()?)
            })
            .await
    }

    /// Sets it, as JSON.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn set(&self, setting: ReportSetting, value: String, by: String, at: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO report_setting (name, value, changed_at, changed_by) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (name) DO UPDATE SET value = ?2, changed_at = ?3, changed_by = ?4",
                    params![setting.as_str(), value, at, by],
                )?;
                Ok(())
            })
            .await
    }
}

/// Notes what a device is for from `at` on, if that has changed: the figures count by its history.
pub(super) fn note_duty(db: &Connection, device: i64, at: Millis) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO device_duty (device_id, since, spare, state)
         SELECT id, ?2, spare, state FROM device WHERE id = ?1 AND (spare, state) IS NOT
            (SELECT spare, state FROM device_duty WHERE device_id = ?1 ORDER BY since DESC, id DESC LIMIT 1)",
    )?
    .execute(params![device, at])?;
    Ok(())
}

/// An event lasts for at most this long, so one that was told so long before or after may still bear on a time.
const LONGEST: Millis = 31 * 86_400_000;

fn events(db: &Connection, from: Millis, to: Millis) -> Result<Vec<Event>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT at, kind, student, device, class, seat, staff, place, lesson, platform, seconds FROM usage_event
         WHERE at >= ?1 AND at < ?2 AND seconds IS NOT NULL ORDER BY at, seq",
    )?;
    let range = params![from.saturating_sub(LONGEST), to.saturating_add(LONGEST)];
    let found = query.query_map(range, |row| {
        let kind: String = row.get(1)?;
        let seconds: u32 = row.get(10)?;
        let fact = match (Kind::parse(&kind), row.get::<_, Option<String>>(9)?) {
            (Some(Kind::Used), Some(platform)) => Fact::Used { platform, seconds },
            (Some(Kind::Active), _) => Fact::Active { seconds },
            (Some(Kind::Left), _) => Fact::Left { seconds },
            (Some(Kind::AttendedLive), _) => Fact::AttendedLive { seconds },
            (Some(Kind::SharedScreen), _) => Fact::SharedScreen { seconds },
            (Some(Kind::Spoke), _) => Fact::Spoke { seconds },
            _ => return Ok(None),
        };
        let place: String = row.get(7)?;
        let who = Subject {
            student: row.get(2)?,
            device: row.get(3)?,
            class: row.get(4)?,
            seat: row.get::<_, Option<u8>>(5)?.and_then(|seat| Seat::try_from(seat).ok()),
            staff: row.get(6)?,
        };
        let place = Place::parse(&place).unwrap_or_default();
        Ok(Some(Event { at: row.get(0)?, who, place, lesson: row.get(8)?, fact, origin: None }))
    })?;
    Ok(found.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// A day column; one that is no day is a damaged row and covers nothing.
fn day_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Day>> {
    Ok(day(&row.get::<_, String>(column)?))
}

fn box_ran(db: &Connection) -> Result<Vec<Days>, StoreError> {
    let mut query = db.prepare_cached("SELECT day FROM box_day ORDER BY day")?;
    let days = query.query_map([], |row| day_of(row, 0))?;
    let mut spans: Vec<Days> = Vec::new();
    for day in days.filter_map(Result::transpose) {
        let day = day?;
        match spans.last_mut() {
            Some(last) if last.to.plus(1) == day => last.to = day,
            _ => spans.push(Days { from: day, to: day }),
        }
    }
    Ok(spans)
}

fn duty(spare: bool, state: &str) -> Option<Duty> {
    match state {
        "ready" if spare => Some(Duty::Spare),
        "ready" => Some(Duty::InUse),
        "repair" => Some(Duty::Repair),
        // Lost, or out of use.
        _ => None,
    }
}

fn devices(db: &Connection) -> Result<Vec<DeviceRow>, StoreError> {
    // Machines of the room are never lent and never counted.
    let mut query = db.prepare_cached("SELECT id, code FROM device WHERE kind <> 'other' ORDER BY code")?;
    let found = query.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let mut rows: BTreeMap<i64, DeviceRow> = BTreeMap::new();
    let mut order = Vec::new();
    for device in found {
        let (id, code) = device?;
        order.push(id);
        rows.insert(id, DeviceRow { code, ..DeviceRow::default() });
    }
    let mut query = db.prepare_cached("SELECT device_id, since, spare, state FROM device_duty ORDER BY since, id")?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        if let Some(device) = rows.get_mut(&row.get::<_, i64>(0)?) {
            device.duties.push((row.get(1)?, duty(row.get(2)?, &row.get::<_, String>(3)?)));
        }
    }
    let mut query = db.prepare_cached(
        "SELECT device_id, lent_at, min(ifnull(returned_at, stopped_at), ifnull(stopped_at, returned_at)),
                student.id, number, class_id, seat
         FROM loan JOIN student ON student.id = student_id ORDER BY lent_at, loan.id",
    )?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        let class: Option<i64> = row.get(5)?;
        let number: Option<String> = row.get(4)?;
        let seat = row.get::<_, Option<u8>>(6)?.and_then(|seat| Seat::try_from(seat).ok());
        let student = match (number, class.zip(seat)) {
            (Some(number), _) => number,
            (None, Some((class, seat))) => student_name(None, class, seat),
            // Left the class without ever having had a number: told apart from everyone else.
            (None, None) => format!("#{}", row.get::<_, i64>(3)?),
        };
        if let Some(device) = rows.get_mut(&row.get::<_, i64>(0)?) {
            device.loans.push(LoanRow { student, class, from: row.get(1)?, to: row.get(2)? });
        }
    }
    let mut query = db.prepare_cached(
        "SELECT device.id, from_day, to_day FROM device_seen JOIN device ON device.code = device ORDER BY from_day",
    )?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        if let (Some(device), Some(from), Some(to)) =
            (rows.get_mut(&row.get::<_, i64>(0)?), day_of(row, 1)?, day_of(row, 2)?)
        {
            device.seen.push(Days { from, to });
        }
    }
    Ok(order.into_iter().filter_map(|id| rows.remove(&id)).collect())
}

fn roster(db: &Connection) -> Result<Roster, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT class_id, seat, number FROM student WHERE class_id IS NOT NULL AND seat IS NOT NULL AND number IS NOT NULL",
    )?;
    let mut found = query.query([])?;
    let mut roster = Roster::new();
    while let Some(row) = found.next()? {
        if let Ok(seat) = Seat::try_from(row.get::<_, u8>(1)?) {
            roster.insert((row.get(0)?, seat), row.get(2)?);
        }
    }
    Ok(roster)
}

fn lessons(db: &Connection, from: Millis, to: Millis, now: Millis) -> Result<Vec<Lesson>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT lesson, staff FROM usage_event
         WHERE at >= ?1 AND at < ?2 AND kind = 'lesson-started' AND lesson IS NOT NULL AND staff IS NOT NULL",
    )?;
    let range = params![from.saturating_sub(LONGEST), to.saturating_add(LONGEST)];
    let by = query.query_map(range, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let by: BTreeMap<String, i64> = by.collect::<Result<_, _>>()?;
    let mut query = db.prepare_cached(
        "SELECT id, class_id, started_at, ended_at, started_by FROM lesson
         WHERE started_at < ?2 AND ifnull(ended_at, ?3) > ?1 ORDER BY started_at, id",
    )?;
    let found = query.query_map(params![from, to, now], |row| {
        let (id, name): (String, String) = (row.get(0)?, row.get(4)?);
        Ok(Lesson {
            teacher: by.get(&id).map_or(name, i64::to_string),
            class: row.get(1)?,
            from: row.get(2)?,
            to: row.get::<_, Option<Millis>>(3)?.unwrap_or(now),
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn teachers(db: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let mut query = db.prepare_cached("SELECT id, name FROM staff")?;
    let found = query.query_map([], |row| Ok((row.get::<_, i64>(0)?.to_string(), row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn holders(db: &Connection) -> Result<BTreeMap<String, (Option<u8>, String)>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT code, seat, name FROM loan JOIN device ON device.id = device_id JOIN student ON student.id = student_id
         WHERE returned_at IS NULL",
    )?;
    let found = query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn known_since(db: &Connection) -> Result<Option<Millis>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT coalesce(
            (SELECT min(at) FROM (SELECT min(published_at) AS at FROM consent_text
                                  UNION ALL SELECT min(signed_at) FROM signature)),
            (SELECT min(at) FROM (SELECT min(started_at) AS at FROM lesson UNION ALL SELECT min(lent_at) FROM loan)))",
    )?;
    Ok(query.query_row([], |row| row.get(0))?)
}
