//! Classes and their rosters.

use appliance_core::register::roster;
use classroom_protocol::Seat;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    Db, StoreError,
    register::{self, Registers},
};

/// Number of a class; not used again after the class is gone.
pub type ClassId = i64;

/// One student of a class, as a teacher's list has one; [`Registers`] knows the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Student {
    /// Number in the class (座號).
    pub seat: Seat,
    /// Name as the teacher calls it.
    pub name: String,
}

/// A class with its roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its number.
    pub id: ClassId,
    /// As the school writes it.
    pub name: String,
    /// In the order of the seats.
    pub students: Vec<Student>,
}

/// Reads and changes classes.
#[derive(Debug, Clone)]
pub struct Classes(pub(super) Db, pub(super) Registers);

/// A seat column; a number outside 1 to 99 is a damaged row.
pub(super) fn seat(row: &Row<'_>, column: usize) -> rusqlite::Result<Seat> {
    let number: u8 = row.get(column)?;
    Seat::try_from(number).map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(e)))
}

impl Classes {
    /// All classes in the order they were made.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn list(&self) -> Result<Vec<Class>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare_cached("SELECT id, name FROM class ORDER BY id")?;
                let classes = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                classes
                    .map(|class| {
                        let (id, name) = class?;
                        Ok(Class { id, name, students: students(db, id)? })
                    })
                    .collect()
            })
            .await
    }

    /// One class.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn get(&self, id: ClassId) -> Result<Option<Class>, StoreError> {
        self.0
            .read(move |db| {
                let name = db.query_row("SELECT name FROM class WHERE id = ?1", [id], |row| row.get(0)).optional()?;
                let Some(name) = name else { return Ok(None) };
                Ok(Some(Class { id, name, students: students(db, id)? }))
            })
            .await
    }

    /// Makes a class.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when a seat stands twice in the roster.
    pub async fn create(&self, name: String, roster: Vec<Student>) -> Result<ClassId, StoreError> {
        let made = self
            .0
            .write(move |db| {
                db.execute("INSERT INTO class (name) VALUES (?1)", [name])?;
                let id = db.last_insert_rowid();
                fill(db, id, &roster)?;
                Ok(id)
            })
            .await?;
        self.1.tell();
        Ok(made)
    }

    /// Gives a class a new name and roster. Who is the same student in both is decided by [`roster::replace`], so that
    /// consents and loans stay with their people.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such class, [`StoreError::Taken`] when a seat stands twice.
    pub async fn replace(&self, class: Class) -> Result<(), StoreError> {
        let done = self
            .0
            .write(move |db| {
                if db.execute("UPDATE class SET name = ?2 WHERE id = ?1", params![class.id, class.name])? == 0 {
                    return Err(StoreError::Missing);
                }
                let mut seats: Vec<Seat> = class.students.iter().map(|student| student.seat).collect();
                seats.sort_unstable();
                seats.dedup();
                if seats.len() < class.students.len() {
                    return Err(StoreError::Taken);
                }
                let list: Vec<(Seat, String)> = class.students.into_iter().map(|s| (s.seat, s.name)).collect();
                for change in roster::replace(&register::load(db)?, class.id, &list) {
                    register::execute(db, &change)?;
                }
                Ok(())
            })
            .await;
        self.1.tell();
        done
    }
}

fn students(db: &Connection, class: ClassId) -> Result<Vec<Student>, StoreError> {
    let mut query = db.prepare_cached("SELECT seat, name FROM student WHERE class_id = ?1 ORDER BY seat")?;
    let rows = query.query_map([class], |row| Ok(Student { seat: seat(row, 0)?, name: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn fill(db: &Connection, class: ClassId, roster: &[Student]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO student (class_id, seat, name) VALUES (?1, ?2, ?3)")?;
    for student in roster {
        insert.execute(params![class, student.seat.number(), student.name])?;
    }
    Ok(())
}
