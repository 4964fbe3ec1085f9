//! Lessons, and who was on the panel when: the evidence that R-CAST-4 asks for.

use appliance_core::home::record::{LessonAtHome, Stay, attendees};
use classroom_protocol::{Millis, Seat, SourceId};
use rusqlite::{Connection, params};

use super::{ClassId, Db, StoreError, classes::seat};

/// Writes lessons as they happen and reads the evidence.
#[derive(Debug, Clone)]
pub struct Lessons(pub(super) Db);

/// A lesson that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLesson {
    /// UUID.
    pub id: String,
    /// The class.
    pub class: ClassId,
    /// The class's name today.
    pub class_name: String,
    /// When it begins.
    pub started_at: Millis,
    /// Account of the teacher.
    pub started_by: String,
}

/// A source that was on the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Showing {
    /// The source.
    pub source: SourceId,
    /// The name that stood on the tile.
    pub label: String,
    /// The student's seat, if it was a student.
    pub seat: Option<Seat>,
    /// From when.
    pub from: Millis,
    /// Until when; `None` while it is there.
    pub to: Option<Millis>,
}

/// One line of the evidence: a lesson and one showing in it. A lesson in which nothing was shown has one line too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// UUID of the lesson.
    pub lesson: String,
    /// The class's name on that day.
    pub class_name: String,
    /// When the lesson began.
    pub started_at: Millis,
    /// When it ended; `None` while it runs.
    pub ended_at: Option<Millis>,
    /// Account of the teacher.
    pub started_by: String,
    /// What was on the panel.
    pub showing: Option<Showing>,
}

/// Lessons of a teacher with a class that began from `from` (inclusive) to `to` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LessonSpan {
    /// The class.
    pub class: ClassId,
    /// From when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// Account id of the teacher who began or ended them.
    pub teacher: i64,
}

/// How far from the beginning of its lesson an event may be: a lesson that nobody ended, a clock that was set.
const AROUND: Millis = 3 * 86_400_000;

impl Lessons {
    /// A lesson begins.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the id is there, [`StoreError::Missing`] when the class is not.
    pub async fn begin(&self, lesson: NewLesson) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO lesson (id, class_id, class_name, started_at, started_by) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![lesson.id, lesson.class, lesson.class_name, lesson.started_at, lesson.started_by],
                )?;
                Ok(())
            })
            .await
    }

    /// The lesson ends, and with it everything that is still on the panel.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such lesson.
    pub async fn end(&self, lesson: String, at: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "UPDATE showing SET shown_to = max(shown_from, ?2) WHERE lesson_id = ?1 AND shown_to IS NULL",
                    params![lesson, at],
                )?;
                let ended = "UPDATE lesson SET ended_at = max(started_at, ?2) WHERE id = ?1";
                match db.execute(ended, params![lesson, at])? {
                    0 => Err(StoreError::Missing),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// A source comes on the panel. Nothing changes when it is there already.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such lesson.
    pub async fn show(&self, lesson: String, showing: Showing) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                if is_open(db, &lesson, &showing.source)? {
                    return Ok(());
                }
                db.execute(
                    "INSERT INTO showing (lesson_id, source, label, seat, shown_from, shown_to)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        lesson,
                        showing.source.as_str(),
                        showing.label,
                        showing.seat.map(Seat::number),
                        showing.from,
                        showing.to
                    ],
                )?;
                Ok(())
            })
            .await
    }

    /// A source leaves the panel. Nothing changes when it was not there.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn hide(&self, lesson: String, source: SourceId, at: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "UPDATE showing SET shown_to = max(shown_from, ?3)
                     WHERE lesson_id = ?1 AND source = ?2 AND shown_to IS NULL",
                    params![lesson, source.as_str(), at],
                )?;
                Ok(())
            })
            .await
    }

    /// Ends all lessons and showings but those of `running`, at `at`: after a crash that lost the end of a lesson.
    /// Says how many lessons it ended.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn end_all_but(&self, running: Option<String>, at: Millis) -> Result<usize, StoreError> {
        self.0
            .write(move |db| {
                db.execute(
                    "UPDATE showing SET shown_to = max(shown_from, ?2) WHERE shown_to IS NULL AND lesson_id IS NOT ?1",
                    params![running, at],
                )?;
                Ok(db.execute(
                    "UPDATE lesson SET ended_at = max(started_at, ?2) WHERE ended_at IS NULL AND id IS NOT ?1",
                    params![running, at],
                )?)
            })
            .await
    }

    /// Those of these lessons in which someone took part from home, in the order of time (R-LIVE-1).
    ///
    /// # Errors
    /// As all of the store.
    pub async fn at_home(&self, span: LessonSpan, now: Millis) -> Result<Vec<LessonAtHome>, StoreError> {
        self.0.read(move |db| at_home(db, span, now)).await
    }

    /// The lessons of a class that began from `from` (inclusive) to `to` (exclusive), with what was on the panel, in
    /// the order of time.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn evidence(&self, class: ClassId, from: Millis, to: Millis) -> Result<Vec<Evidence>, StoreError> {
        self.0
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT lesson.id, class_name, started_at, ended_at, started_by,
                            source, label, seat, shown_from, shown_to
                     FROM lesson LEFT JOIN showing ON showing.lesson_id = lesson.id
                     WHERE class_id = ?1 AND started_at >= ?2 AND started_at < ?3
                     ORDER BY started_at, lesson.id, shown_from, showing.id",
                )?;
                let mut rows = query.query(params![class, from, to])?;
                let mut lines = Vec::new();
                while let Some(row) = rows.next()? {
                    let showing = match row.get::<_, Option<String>>(5)? {
                        None => None,
                        Some(source) => Some(Showing {
                            source: source.parse().map_err(|e| StoreError::Sql(format!("source {source}: {e}")))?,
                            label: row.get(6)?,
                            seat: row.get::<_, Option<u8>>(7)?.map(|_| seat(row, 7)).transpose()?,
                            from: row.get(8)?,
                            to: row.get(9)?,
                        }),
                    };
                    lines.push(Evidence {
                        lesson: row.get(0)?,
                        class_name: row.get(1)?,
                        started_at: row.get(2)?,
                        ended_at: row.get(3)?,
                        started_by: row.get(4)?,
                        showing,
                    });
                }
                Ok(lines)
            })
            .await
    }
}

fn at_home(db: &Connection, span: LessonSpan, now: Millis) -> Result<Vec<LessonAtHome>, StoreError> {
    // The events of the time first: there is an index for that. Who joined has one event, who left another one with the
    // moment of joining. The student of the number, wherever they sit now; without a number the student of the seat.
    let mut query = db.prepare_cached(
        "SELECT lesson.id, class_name, started_at, ended_at, started_by, joined.seat, who.name, joined.at, stay.seconds
         FROM usage_event AS joined
         CROSS JOIN lesson ON lesson.id = joined.lesson
         LEFT JOIN usage_event AS stay ON stay.at = joined.at AND stay.kind = 'attended-live'
             AND stay.lesson = joined.lesson AND stay.seat = joined.seat
         LEFT JOIN student AS who ON who.id = coalesce(
             (SELECT id FROM student WHERE number = joined.student),
             (SELECT id FROM student WHERE joined.student IS NULL AND class_id = joined.class AND seat = joined.seat))
         WHERE joined.at >= ?4 AND joined.at < ?5 AND joined.kind = 'joined' AND joined.place = 'home'
             AND joined.seat IS NOT NULL AND lesson.class_id = ?1 AND started_at >= ?2 AND started_at < ?3
             AND EXISTS (SELECT 1 FROM usage_event AS taught WHERE taught.at IN (started_at, ended_at)
                 AND taught.lesson = lesson.id AND taught.staff = ?6)
         ORDER BY started_at, lesson.id, joined.at",
    )?;
    let LessonSpan { class, from, to, teacher } = span;
    let around = (from.saturating_sub(AROUND), to.saturating_add(AROUND));
    let mut rows = query.query(params![class, from, to, around.0, around.1, teacher])?;
    let mut lessons: Vec<(LessonAtHome, Vec<Stay>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        if lessons.last().is_none_or(|(last, _)| last.lesson != id) {
            let lesson = LessonAtHome {
                lesson: id,
                class_name: row.get(1)?,
                started_at: row.get(2)?,
                ended_at: row.get(3)?,
                teacher: row.get(4)?,
                students: vec![],
            };
            lessons.push((lesson, vec![]));
        }
        let (from, seconds) = (row.get::<_, Millis>(7)?, row.get::<_, Option<Millis>>(8)?);
        let to = seconds.map(|seconds| from.saturating_add(seconds.saturating_mul(1000)));
        let name = row.get::<_, Option<String>>(6)?.unwrap_or_default();
        if let Some((_, stays)) = lessons.last_mut() {
            stays.push(Stay { seat: seat(row, 5)?, name, from, to });
        }
    }
    let whole = |(lesson, stays): (LessonAtHome, Vec<Stay>)| {
        let now = lesson.ended_at.is_none().then_some(now);
        LessonAtHome { students: attendees(stays, now), ..lesson }
    };
    Ok(lessons.into_iter().map(whole).collect())
}

fn is_open(db: &Connection, lesson: &str, source: &SourceId) -> Result<bool, StoreError> {
    let mut query =
        db.prepare_cached("SELECT 1 FROM showing WHERE lesson_id = ?1 AND source = ?2 AND shown_to IS NULL")?;
    Ok(query.exists(params![lesson, source.as_str()])?)
}
