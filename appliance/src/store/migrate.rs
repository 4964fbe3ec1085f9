//! Brings a database of any earlier version to the present one. Boxes in the field skip versions.

use rusqlite::Connection;

use super::StoreError;

/// The migrations in order; the first makes version 1. A released one is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_usage.sql"),
    include_str!("migrations/0003_register.sql"),
    include_str!("migrations/0004_figures.sql"),
    include_str!("migrations/0005_library.sql"),
    include_str!("migrations/0006_network_access.sql"),
    include_str!("migrations/0007_agents.sql"),
    include_str!("migrations/0008_alarms.sql"),
    include_str!("migrations/0009_school_key.sql"),
];

/// Runs what is missing, each migration in a transaction of its own with the new version number.
pub(super) fn run(db: &mut Connection) -> Result<(), StoreError> {
    let version = known(db)?;
    for (number, sql) in (1u32..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
        let migration = db.transaction()?;
        migration.execute_batch(sql)?;
        migration.pragma_update(None, "user_version", number)?;
        migration.commit()?;
    }
    Ok(())
}

/// The version of the database, if this software knows it.
pub(super) fn known(db: &Connection) -> Result<u32, StoreError> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::Newer(found, known)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    /// Name → definition without comments and with single spaces, none of them beside brackets and commas: a column that
    /// was added by ALTER TABLE stands closer.
    fn definitions(db: &Connection) -> BTreeMap<String, String> {
        let mut query = db.prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").unwrap();
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(|row| {
            let (name, sql) = row.unwrap();
            let bare: Vec<&str> = sql
                .lines()
                .map(|line| line.split("--").next().unwrap_or_default())
                .flat_map(str::split_whitespace)
                .collect();
            let text = bare.join(" ");
            (name, text.replace(" ,", ",").replace("( ", "(").replace(" )", ")"))
        })
        .collect()
    }

    #[test]
    fn schema_sql_is_what_the_migrations_make() {
        let mut migrated = Connection::open_in_memory().unwrap();
        run(&mut migrated).unwrap();
        let written = Connection::open_in_memory().unwrap();
        written.execute_batch(include_str!("schema.sql")).unwrap();
        let (migrated, written) = (definitions(&migrated), definitions(&written));
        assert!(!migrated.is_empty());
        assert_eq!(migrated, written);
    }

    #[test]
    fn what_an_older_version_kept_is_there_afterwards() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(MIGRATIONS[0]).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute_batch(
            "INSERT INTO class (name) VALUES ('甲'), ('乙');
             INSERT INTO student (class_id, seat, name) VALUES (2, 1, '王'), (1, 2, '李'), (1, 1, '陳');
             INSERT INTO staff (account, name, password, created_at) VALUES ('lin', '林老師', 'x', 1);",
        )
        .unwrap();
        run(&mut db).unwrap();
        let mut query = db.prepare("SELECT id, class_id, seat, name, number FROM student ORDER BY id").unwrap();
        let rows = query.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))).unwrap();
        let rows: Vec<(i64, i64, u8, String, Option<String>)> = rows.collect::<Result<_, _>>().unwrap();
        let student = |id, class, seat, name: &str| (id, class, seat, name.to_owned(), None);
        assert_eq!(rows, [student(1, 1, 1, "陳"), student(2, 1, 2, "李"), student(3, 2, 1, "王")]);
        // Who could do everything can do everything.
        let roles = db.query_row("SELECT teacher, office FROM staff", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(roles, (true, true));
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let mut db = Connection::open_in_memory().unwrap();
        run(&mut db).unwrap();
        let before = definitions(&db);
        run(&mut db).unwrap();
        assert_eq!(before, definitions(&db));
    }

    #[test]
    fn a_database_from_the_future_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", 999).unwrap();
        assert!(matches!(run(&mut db), Err(StoreError::Newer(999, _))));
    }
}
