//! The school's register: loaded whole, decided by the core, changed in the same transaction.

use std::collections::BTreeMap;

use appliance_core::register::{
    Change, ClassRef, Condition, ConsentText, Device, DeviceFacts, Kind, Lent, Loan, Mac, Party, Register, Signature,
    State, Student, StudentId, StudentNumber, Way,
};
use classroom_protocol::{Millis, Seat};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use tokio::sync::watch;

use super::{Db, Hash, StoreError, figures::note_duty};

/// Reads and changes the register. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registers {
    db: Db,
    /// Counts the changes, so that others know when to read again.
    changes: watch::Sender<u64>,
}

/// A personal link with which someone signs the consent on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentLink {
    /// Whose consent.
    pub student: StudentId,
    /// Who signs.
    pub party: Party,
    /// When it stops working.
    pub expires_at: Millis,
    /// When it was used.
    pub used_at: Option<Millis>,
}

/// One loan that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastLoan {
    /// Code of the device.
    pub device: String,
    /// When it was handed out.
    pub lent_at: Millis,
    /// When it came back.
    pub returned_at: Millis,
    /// How.
    pub condition: String,
}

/// A word of the store that no version of the software has written.
fn unknown(column: usize, word: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("unknown word {word:?}").into())
}

fn word<T: Copy>(row: &Row<'_>, column: usize, all: &[(T, &str)]) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    all.iter().find(|(_, name)| *name == text).map(|(value, _)| *value).ok_or_else(|| unknown(column, &text))
}

const PARTIES: [(Party, &str); 2] = [(Party::Student, "student"), (Party::Guardian, "guardian")];
const WAYS: [(Way, &str); 2] = [(Way::Paper, "paper"), (Way::Page, "page")];

fn party(of: Party) -> &'static str {
    PARTIES[usize::from(of == Party::Guardian)].1
}

fn way(of: Way) -> &'static str {
    WAYS[usize::from(of == Way::Page)].1
}

/// A text that must have the form of `T`, if there is one.
fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| unknown(column, &text))).transpose()
}

impl Registers {
    pub(super) fn new(db: Db) -> Self {
        Self { db, changes: watch::Sender::new(0) }
    }

    /// Told whenever something in the register or a class's list has changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The whole register.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn load(&self) -> Result<Register, StoreError> {
        self.db.read(load).await
    }

    /// Lets `decide` look at the register and executes what it decided, in one transaction. What it refuses with comes
    /// back as the inner error; then nothing has changed.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn change<T, E, F>(&self, decide: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Register) -> Result<(Vec<Change>, T), E> + Send + 'static,
    {
        let done = self
            .db
            .write(move |db| {
                let register = load(db)?;
                match decide(&register) {
                    Ok((changes, answer)) => {
                        for change in &changes {
                            execute(db, change)?;
                        }
                        Ok(Ok((answer, !changes.is_empty())))
                    }
                    Err(refused) => Ok(Err(refused)),
                }
            })
            .await?;
        Ok(done.map(|(answer, changed)| {
            if changed {
                self.tell();
            }
            answer
        }))
    }

    pub(super) fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The loans of a student that have ended, the latest first.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn past_loans(&self, student: StudentId) -> Result<Vec<PastLoan>, StoreError> {
        self.db
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT code, lent_at, returned_at, condition FROM loan JOIN device ON device.id = device_id
                     WHERE student_id = ?1 AND returned_at IS NOT NULL ORDER BY returned_at DESC, loan.id DESC",
                )?;
                let rows = query.query_map([student], |row| {
                    Ok(PastLoan {
                        device: row.get(0)?,
                        lent_at: row.get(1)?,
                        returned_at: row.get(2)?,
                        condition: row.get(3)?,
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// The loans of the device with this code, ended ones too.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn loans_of(&self, device: String) -> Result<Vec<Lent>, StoreError> {
        self.db
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT student.number, lent_at, returned_at FROM loan
                     JOIN device ON device.id = device_id JOIN student ON student.id = student_id WHERE code = ?1",
                )?;
                let rows = query
                    .query_map([device], |row| Ok(Lent { student: row.get(0)?, from: row.get(1)?, to: row.get(2)? }))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Keeps a personal link; an earlier one for the same signature is void from now on.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such student.
    pub async fn issue_link(&self, token: Hash, link: ConsentLink) -> Result<(), StoreError> {
        self.db
            .write(move |db| {
                let party = party(link.party);
                db.execute(
                    "DELETE FROM consent_link WHERE student_id = ?1 AND party = ?2 AND used_at IS NULL",
                    params![link.student, party],
                )?;
                db.execute(
                    "INSERT INTO consent_link (token_hash, student_id, party, expires_at) VALUES (?1, ?2, ?3, ?4)",
                    params![token, link.student, party, link.expires_at],
                )?;
                Ok(())
            })
            .await
    }

    /// The link of this token, void ones too.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn link(&self, token: Hash) -> Result<Option<ConsentLink>, StoreError> {
        self.db.read(move |db| find_link(db, &token)).await
    }

    /// Uses a link up together with what `decide` decides on it: both or neither.
    ///
    /// # Errors
    /// As all of the store. The inner error is what `decide` refused with.
    pub async fn sign_by_link<E, F>(&self, token: Hash, now: Millis, decide: F) -> Result<Result<(), E>, StoreError>
    where
        E: Send + 'static,
        F: FnOnce(&Register, Option<ConsentLink>) -> Result<Vec<Change>, E> + Send + 'static,
    {
        let done = self
            .db
            .write(move |db| {
                let link = find_link(db, &token)?;
                match decide(&load(db)?, link) {
                    Ok(changes) => {
                        for change in &changes {
                            execute(db, change)?;
                        }
                        db.execute("UPDATE consent_link SET used_at = ?2 WHERE token_hash = ?1", params![token, now])?;
                        Ok(Ok(()))
                    }
                    Err(refused) => Ok(Err(refused)),
                }
            })
            .await?;
        if done.is_ok() {
            self.tell();
        }
        Ok(done)
    }
}

fn find_link(db: &Connection, token: &Hash) -> Result<Option<ConsentLink>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT student_id, party, expires_at, used_at FROM consent_link WHERE token_hash = ?1")?;
    let link = query.query_row([token], |row| {
        Ok(ConsentLink {
            student: row.get(0)?,
            party: word(row, 1, &PARTIES)?,
            expires_at: row.get(2)?,
            used_at: row.get(3)?,
        })
    });
    Ok(link.optional()?)
}

/// Reads every row of `sql` with `read` into a collection.
fn all<T, C: FromIterator<T>>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<C, StoreError> {
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map([], read)?;
    Ok(rows.collect::<Result<C, _>>()?)
}

pub(super) fn load(db: &Connection) -> Result<Register, StoreError> {
    let student = |row: &Row<'_>| {
        let id = row.get(0)?;
        let class: Option<i64> = row.get(1)?;
        let place = class.map(|class| Ok::<_, rusqlite::Error>((class, super::classes::seat(row, 2)?))).transpose()?;
        let number: Option<StudentNumber> = parsed(row, 4)?;
        Ok((id, Student { id, number, name: row.get(3)?, place }))
    };
    let device = |row: &Row<'_>| {
        let id = row.get(0)?;
        let facts = DeviceFacts {
            code: row.get(1)?,
            kind: word(row, 2, &Kind::ALL.map(|kind| (kind, kind.as_str())))?,
            mac: parsed::<Mac>(row, 3)?,
            tag: row.get(4)?,
            spare: row.get(5)?,
            state: word(row, 6, &State::ALL.map(|state| (state, state.as_str())))?,
        };
        Ok((id, Device { id, facts }))
    };
    let loan = |row: &Row<'_>| {
        let loan = Loan {
            device: row.get(1)?,
            student: row.get(2)?,
            lent_at: row.get(3)?,
            due: row.get(4)?,
            stopped_at: row.get(5)?,
        };
        Ok((row.get(0)?, loan))
    };
    let signature = |row: &Row<'_>| {
        Ok(Signature {
            student: row.get(0)?,
            party: word(row, 1, &PARTIES)?,
            version: row.get(2)?,
            way: word(row, 3, &WAYS)?,
            at: row.get(4)?,
            by: row.get(5)?,
            withdrawn_at: row.get(6)?,
        })
    };
    let text = |row: &Row<'_>| {
        let version = row.get(0)?;
        let text = ConsentText {
            version,
            title: row.get(1)?,
            body: row.get(2)?,
            renew: row.get(3)?,
            at: row.get(4)?,
            by: row.get(5)?,
        };
        Ok((version, text))
    };
    Ok(Register {
        classes: all::<_, BTreeMap<_, _>>(db, "SELECT id, name FROM class", |row| Ok((row.get(0)?, row.get(1)?)))?,
        students: all(db, "SELECT id, class_id, seat, name, number FROM student", student)?,
        devices: all(db, "SELECT id, code, kind, mac, tag, spare, state FROM device", device)?,
        loans: all(
            db,
            "SELECT id, device_id, student_id, lent_at, due, stopped_at FROM loan WHERE returned_at IS NULL",
            loan,
        )?,
        signatures: all(
            db,
            "SELECT student_id, party, version, way, signed_at, recorded_by, withdrawn_at FROM signature ORDER BY id",
            signature,
        )?,
        texts: all(db, "SELECT version, title, body, renew, published_at, published_by FROM consent_text", text)?,
    })
}

/// Executes one change that the core decided.
pub(super) fn execute(db: &Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Vacate(student) => {
            db.prepare_cached("UPDATE student SET class_id = NULL, seat = NULL WHERE id = ?1")?.execute([student])?;
        }
        Change::Forget(student) => {
            db.prepare_cached("DELETE FROM student WHERE id = ?1")?.execute([student])?;
        }
        Change::Place { student, number, name, class, seat } => {
            place(db, *student, number.as_ref(), name, class, *seat)?;
        }
        Change::PutDevice { device: None, facts, at } => {
            db.prepare_cached(
                "INSERT INTO device (code, kind, mac, tag, spare, state, state_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                facts.code,
                facts.kind.as_str(),
                facts.mac.map(String::from),
                facts.tag,
                facts.spare,
                facts.state.as_str(),
                at
            ])?;
            note_duty(db, db.last_insert_rowid(), *at)?;
        }
        Change::PutDevice { device: Some(id), facts, at } => {
            db.prepare_cached(
                "UPDATE device SET code = ?2, kind = ?3, mac = ?4, tag = ?5, spare = ?6,
                 state_since = CASE WHEN state = ?7 THEN state_since ELSE ?8 END, state = ?7 WHERE id = ?1",
            )?
            .execute(params![
                id,
                facts.code,
                facts.kind.as_str(),
                facts.mac.map(String::from),
                facts.tag,
                facts.spare,
                facts.state.as_str(),
                at
            ])?;
            note_duty(db, *id, *at)?;
        }
        Change::Lend { device, student, due, at, by } => {
            db.execute(
                "INSERT INTO loan (device_id, student_id, lent_at, lent_by, due) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![device, student, at, by, due],
            )?;
        }
        Change::TakeBack { loan, condition, at, by } => {
            db.execute(
                "UPDATE loan SET returned_at = ?2, returned_by = ?3, condition = ?4 WHERE id = ?1",
                params![loan, at, by, Condition::as_str(*condition)],
            )?;
        }
        Change::StopLoan { loan, at } => {
            db.execute("UPDATE loan SET stopped_at = ?2 WHERE id = ?1", params![loan, at])?;
        }
        Change::ResumeLoan { loan } => {
            db.execute("UPDATE loan SET stopped_at = NULL WHERE id = ?1", [loan])?;
        }
        Change::Sign(signed) => {
            db.prepare_cached(
                "INSERT INTO signature (student_id, party, version, way, signed_at, recorded_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                signed.student,
                party(signed.party),
                signed.version,
                way(signed.way),
                signed.at,
                signed.by
            ])?;
        }
        Change::Withdraw { student, party: of, at, by } => {
            db.execute(
                "UPDATE signature SET withdrawn_at = ?3, withdrawn_by = ?4
                 WHERE student_id = ?1 AND party = ?2 AND withdrawn_at IS NULL",
                params![student, party(*of), at, by],
            )?;
        }
        Change::Publish(text) => {
            db.execute(
                "INSERT INTO consent_text (version, title, body, renew, published_at, published_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![text.version, text.title, text.body, text.renew, text.at, text.by],
            )?;
        }
    }
    Ok(())
}

fn place(
    db: &Connection,
    student: Option<StudentId>,
    number: Option<&StudentNumber>,
    name: &str,
    class: &ClassRef,
    seat: Seat,
) -> Result<(), StoreError> {
    let class = match class {
        ClassRef::Known(id) => *id,
        ClassRef::Named(name) => {
            let known = db.query_row("SELECT id FROM class WHERE name = ?1", [name], |row| row.get(0)).optional()?;
            match known {
                Some(id) => id,
                None => {
                    db.execute("INSERT INTO class (name) VALUES (?1)", [name])?;
                    db.last_insert_rowid()
                }
            }
        }
    };
    let number = number.map(StudentNumber::as_str);
    match student {
        Some(id) => db
            .prepare_cached("UPDATE student SET class_id = ?2, seat = ?3, name = ?4, number = ?5 WHERE id = ?1")?
            .execute(params![id, class, seat.number(), name, number])?,
        None => db
            .prepare_cached("INSERT INTO student (class_id, seat, name, number) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![class, seat.number(), name, number])?,
    };
    Ok(())
}
