//! Encryption of the database file (R-DATA-1): SQLCipher with a random key of 256 bits, kept in a file of its own.
//!
//! A database of a box that had none yet is encrypted in place: a whole encrypted copy is made beside it, checked, and
//! put in its place by one rename. Whenever the power fails, one of the two is there and whole.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use classroom_protocol::Millis;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use crate::keyfile::{self, KeyError};

/// Name of the key's file in the data folder.
pub(super) const FILE: &str = "store.key";

/// What a database without encryption begins with.
const PLAIN: &[u8; 16] = b"SQLite format 3\0";

/// The key of the database.
#[derive(Clone)]
pub(super) struct StoreKey(String);

impl StoreKey {
    /// As SQLCipher takes a raw key: no password is derived, opening costs nothing.
    pub(super) fn raw(bytes: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(67);
        text.push_str("x'");
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\'');
        Self(text)
    }

    /// In SQL, in double quotes.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// Gives the key to a connection; must be the first thing that is done with it. A wrong key is only noticed by the
    /// first read ([`StoreError::Damaged`]).
    pub(super) fn unlock(&self, db: &Connection) -> Result<(), StoreError> {
        // SQLCipher would print what a wrong key does to the standard error; the hub has its own log.
        db.execute_batch(&format!("PRAGMA cipher_log_level = NONE; PRAGMA key = {};", self.quoted()))?;
        Ok(())
    }
}

/// The key in `folder`, if there is one.
pub(super) fn load(folder: &Path) -> Result<Option<StoreKey>, StoreError> {
    let key = keyfile::load(folder, FILE).map_err(failed)?;
    Ok(key.map(|bytes| StoreKey::raw(&bytes)))
}

/// The key in `folder`, made when there is none. A key file that is damaged is set aside and told: what it encrypted
/// can't be read any more, but the box goes on.
pub(super) fn load_or_create(folder: &Path, now: Millis) -> Result<StoreKey, StoreError> {
    let bytes = match keyfile::load_or_create(folder, FILE) {
        Err(KeyError::Damaged(path)) => {
            let aside = PathBuf::from(format!("{}.damaged-{now}", path.display()));
            fs::rename(&path, &aside).map_err(|e| StoreError::file(&path, &e))?;
            tracing::error!(aside = %aside.display(), "the key of the database was damaged: set aside, a new one is made");
            keyfile::load_or_create(folder, FILE)
        }
        other => other,
    };
    Ok(StoreKey::raw(&bytes.map_err(failed)?))
}

fn failed(error: KeyError) -> StoreError {
    StoreError::File(error.to_string())
}

/// Whether there is a database at `path` that is not encrypted.
pub(super) fn is_plain(path: &Path) -> Result<bool, StoreError> {
    let mut begin = [0; 16];
    match File::open(path).and_then(|mut file| file.read_exact(&mut begin)) {
        Ok(()) => Ok(&begin == PLAIN),
        // Empty, too short or not there.
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof) => Ok(false),
        Err(e) => Err(StoreError::file(path, &e)),
    }
}

/// Encrypts the database at `path`, if it is not yet. The caller holds the folder, so nobody else has it open.
pub(super) fn encrypt(path: &Path, key: &StoreKey) -> Result<bool, StoreError> {
    let new = PathBuf::from(format!("{}.encrypting", path.display()));
    // Left by a run that was cut off.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let rest = PathBuf::from(format!("{}{suffix}", new.display()));
        match fs::remove_file(&rest) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::file(&rest, &e)),
        }
    }
    if !is_plain(path)? {
        return Ok(false);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    // Everything into the one file, so that no journal of the old one is left beside the new one.
    db.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    copy(&db, &new, key)?;
    drop(db);
    verify(path, None, &new, key)?;
    fs::rename(&new, path).map_err(|e| StoreError::file(path, &e))?;
    sync_folder(path)?;
    Ok(true)
}

/// Copies all of `db`'s main database into a new encrypted file, as of one moment, and puts it on the disk.
pub(super) fn copy(db: &Connection, new: &Path, key: &StoreKey) -> Result<(), StoreError> {
    let version: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // SQLite would make it readable for more people.
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(new);
    made.map_err(|e| StoreError::file(new, &e))?;
    db.execute(&format!("ATTACH DATABASE ?1 AS copy KEY {}", key.quoted()), [new.to_string_lossy()])?;
    // One transaction: all tables are of one moment, whatever a running hub writes meanwhile.
    let copied = db
        .execute_batch("BEGIN")
        .and_then(|()| db.query_row("SELECT sqlcipher_export('copy')", [], |_| Ok(())))
        .and_then(|()| db.pragma_update(Some("copy"), "user_version", version))
        .and_then(|()| db.execute_batch("COMMIT"));
    if !db.is_autocommit() {
        db.execute_batch("ROLLBACK")?;
    }
    let detached = db.execute_batch("DETACH DATABASE copy");
    copied?;
    detached?;
    let file = File::open(new).map_err(|e| StoreError::file(new, &e))?;
    file.sync_all().map_err(|e| StoreError::file(new, &e))
}

/// Whether two databases hold the same number of rows in each table, and the second one is whole.
fn verify(old: &Path, old_key: Option<&StoreKey>, new: &Path, new_key: &StoreKey) -> Result<(), StoreError> {
    let (old, new) = (open_to_read(old, old_key)?, open_to_read(new, Some(new_key))?);
    super::quick_check(&new)?;
    let (before, after) = (counts(&old)?, counts(&new)?);
    if before == after { Ok(()) } else { Err(StoreError::Damaged(format!("the copy has {after:?}, not {before:?}"))) }
}

/// Opens a database for looking only.
pub(super) fn open_to_read(path: &Path, key: Option<&StoreKey>) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if let Some(key) = key {
        key.unlock(&db)?;
    }
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Rows of each table.
pub(super) fn counts(db: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut names =
        db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")?;
    let names: Result<Vec<String>, _> = names.query_map([], |row| row.get(0))?.collect();
    let count = |name: String| {
        let quoted = name.replace('"', "\"\"");
        let rows = db.query_row(&format!("SELECT count(*) FROM \"{quoted}\""), [], |row| row.get(0))?;
        Ok((name, rows))
    };
    names?.into_iter().map(count).collect()
}

/// Makes a rename last.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| StoreError::file(folder, &e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: &str = "王小明";

    fn plain(folder: &Path) -> PathBuf {
        let path = folder.join("box.db");
        let db = Connection::open(&path).unwrap();
        db.query_row("PRAGMA journal_mode = wal", [], |_| Ok(())).unwrap();
        db.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute("INSERT INTO class (name) VALUES ('五年三班')", []).unwrap();
        for seat in 1..=99 {
            db.execute("INSERT INTO student VALUES (1, ?1, ?2)", rusqlite::params![seat, NAME]).unwrap();
        }
        path
    }

    fn holds(path: &Path, text: &str) -> bool {
        let bytes = fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    fn students(path: &Path, key: &StoreKey) -> u64 {
        let counts = counts(&open_to_read(path, Some(key)).unwrap()).unwrap();
        counts.into_iter().find(|(name, _)| name == "student").unwrap().1
    }

    #[test]
    fn a_plain_database_becomes_an_encrypted_one_with_all_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = plain(folder.path());
        assert!(is_plain(&path).unwrap() && holds(&path, NAME));
        let key = load_or_create(folder.path(), 1).unwrap();
        assert!(encrypt(&path, &key).unwrap());
        assert!(!is_plain(&path).unwrap() && !holds(&path, NAME));
        assert_eq!(students(&path, &key), 99);
        assert!(!encrypt(&path, &key).unwrap(), "there is nothing to do the second time");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn wherever_it_is_cut_off_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = plain(folder.path());
        let key = load_or_create(folder.path(), 1).unwrap();
        // Cut off while the copy is written: some of it is there.
        let new = folder.path().join("box.db.encrypting");
        for size in [0, 1, 4096, 10_000] {
            fs::write(&new, vec![7u8; size]).unwrap();
            fs::write(folder.path().join("box.db.encrypting-journal"), "x").unwrap();
            assert!(is_plain(&path).unwrap());
            let before = fs::read(&path).unwrap();
            assert!(encrypt(&path, &key).unwrap());
            assert_eq!(students(&path, &key), 99);
            // Back to the beginning, for the next place.
            fs::write(&path, before).unwrap();
        }
        // Cut off after the rename: nothing more to do.
        assert!(encrypt(&path, &key).unwrap());
        assert!(!encrypt(&path, &key).unwrap());
        assert_eq!(students(&path, &key), 99);
    }

    #[test]
    fn a_wrong_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = plain(folder.path());
        let key = load_or_create(folder.path(), 1).unwrap();
        encrypt(&path, &key).unwrap();
        let wrong = open_to_read(&path, Some(&StoreKey::raw(&[7; 32])));
        assert!(matches!(wrong.and_then(|db| counts(&db)), Err(StoreError::Damaged(_))));
        let none = open_to_read(&path, None);
        assert!(matches!(none.and_then(|db| counts(&db)), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_damaged_key_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(load(folder.path()).is_err());
        load_or_create(folder.path(), 5).unwrap();
        assert_eq!(fs::read(folder.path().join("store.key.damaged-5")).unwrap(), b"short");
        assert!(load(folder.path()).unwrap().is_some());
    }
}
