//! What the box must not forget: room, classes, lessons, accounts, panels, usage, audit. SQLite in one encrypted file.
//!
//! One thread writes and one reads ([`writer`]). A write is acknowledged when it is on the disk. Each aggregate has its
//! own narrow handle ([`Store::classes`], [`Store::lessons`], …), so that a module is given only what it needs. No
//! decision is made in SQL, no clock is read here: `now` is an argument.

mod access;
mod accounts;
mod agents;
mod alarms;
pub mod aside;
mod audit;
pub mod backup;
mod cipher;
mod classes;
mod codes;
pub mod demo;
mod error;
mod failures;
mod figures;
mod lessons;
mod library;
mod migrate;
mod outbox;
mod panels;
mod register;
mod room;
mod school_key;
mod sources;
mod usage;
mod writer;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use classroom_protocol::Millis;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

pub use access::{AccessLog, Wanted};
pub use accounts::{Accounts, NewStaff, Session, Staff, StaffId};
pub use agents::{AgentRow, Agents, GivenOrders, Seen};
pub use alarms::AlarmLog;
pub use audit::{Audit, AuditEntry, AuditRow, BrokenChain};
pub use classes::{Class, ClassId, Classes, Student};
pub use codes::{CodeRefused, Codes, Purpose, issue_code};
pub use error::StoreError;
pub use failures::Failures;
pub use figures::{FigureRows, FigureStore, ReportSetting};
pub use lessons::{Evidence, LessonSpan, Lessons, NewLesson, Showing};
pub use library::{LibraryItem, LibraryItems};
pub use outbox::{Outbox, OutboxState, Refused, RefusedRow, Waiting};
pub use panels::{Panel, PanelId, Panels};
pub use register::{ConsentLink, PastLoan, Registers};
pub use room::{Rooms, SavedRoom};
pub use school_key::{NotedKey, SchoolKeys, noted_key};
pub use sources::{Source, Sources};
pub use usage::{KeptEvent, Recorded, UsageLog};

use cipher::StoreKey;
use writer::{Queue, Worker};

/// SHA-256 of a random token, or keyed hash of a short code.
pub type Hash = [u8; 32];

/// Name of the database file in the data folder.
const FILE: &str = "box.db";
/// Name of the file by which a hub holds the data folder.
const LOCK: &str = "box.lock";
/// Why an empty file is no database.
const EMPTY: &str = "the file is empty";

/// The handle from which the narrow ones are taken. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    registers: Registers,
}

/// Keeps the threads and the lock of the data folder. Close it last.
#[derive(Debug)]
pub struct Keeper {
    write: Worker,
    read: Worker,
    _lock: File,
}

/// What [`open`] gives.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: Store,
    /// The owner of the threads.
    pub keeper: Keeper,
    /// Where a damaged database was put, if there was one. The box has started with an empty one.
    pub set_aside: Option<PathBuf>,
}

/// Opens the database in `folder`, makes, encrypts or migrates it when needed. `now` names a damaged file that is set aside.
///
/// Blocks on the disk; called before the hub serves anything.
///
/// # Errors
/// [`StoreError::InUse`] when another hub has the folder open, [`StoreError::Newer`] when a later version of the
/// software wrote the file, [`StoreError::File`] when the folder can't be used.
pub fn open(folder: &Path, now: Millis) -> Result<Opened, StoreError> {
    let lock = take_folder(folder)?;
    let path = folder.join(FILE);
    let lost = is_lost(folder);
    let key = Some(cipher::load_or_create(folder, now)?);
    let mut set_aside = None;
    let key = match key.as_ref().map(|key| cipher::encrypt(&path, key)) {
        Some(Ok(true)) => {
            tracing::info!(
                "the database is encrypted now; the older one may still be read from free blocks of the disk"
            );
            key
        }
        // A full disk, say: the box goes on as before and tries again at its next start.
        Some(Err(error)) if !matches!(error, StoreError::Damaged(_)) => {
            tracing::error!(%error, "the database could not be encrypted: it stays as it is until the next start");
            if cipher::is_plain(&path)? { None } else { key }
        }
        _ => key,
    };
    let opened = if lost { Err(StoreError::Damaged(EMPTY.into())) } else { open_checked(&path, key.as_ref()) };
    let write = match opened {
        Err(StoreError::Damaged(reason)) => {
            // Told first: whatever happens between the two, people hear of it.
            aside::tell(folder, &aside_name(&path, now, ""), now);
            let aside = move_away(&path, now)?;
            tracing::error!(%reason, aside = %aside.display(),
                "the database was damaged or the key in store.key is not its key: set aside, starting empty");
            set_aside = Some(aside);
            open_checked(&path, key.as_ref())?
        }
        other => other?,
    };
    let read = connect(&path, key.as_ref())?;
    read.pragma_update(None, "query_only", true)?;
    let (write_queue, write) = writer::start_writer(write)?;
    let (read_queue, read) = writer::start_reader(read)?;
    let db = Db { write: write_queue, read: read_queue };
    let store = Store { registers: Registers::new(db.clone()), db };
    Ok(Opened { store, keeper: Keeper { write, read, _lock: lock }, set_aside })
}

/// Whether the database in `folder` can be read and is whole (`PRAGMA quick_check`). `None` when there is none yet.
/// Works beside a running hub.
///
/// # Errors
/// [`StoreError::Damaged`] with SQLite's first finding, or why the file can't be read.
pub fn check(folder: &Path) -> Result<Option<u64>, StoreError> {
    let path = folder.join(FILE);
    let size = match fs::metadata(&path) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::file(&path, &e)),
    };
    if is_lost(folder) {
        return Err(StoreError::Damaged(EMPTY.into()));
    }
    let key = if cipher::is_plain(&path)? { None } else { cipher::load(folder)? };
    let db = cipher::open_to_read(&path, key.as_ref())?;
    quick_check(&db)?;
    migrate::known(&db)?;
    Ok(Some(size))
}

impl Keeper {
    /// Lets the writes in the queue finish, then ends the threads. Later calls on handles answer
    /// [`StoreError::Closed`]. Blocks for as long as the disk takes.
    pub fn close(self) {
        self.write.stop();
        self.read.stop();
    }
}

impl Store {
    /// The room's saved state.
    pub fn rooms(&self) -> Rooms {
        Rooms(self.db.clone())
    }

    /// The record of network access.
    pub fn access(&self) -> AccessLog {
        AccessLog(self.db.clone())
    }

    /// Classes and their rosters.
    pub fn classes(&self) -> Classes {
        Classes(self.db.clone(), self.registers.clone())
    }

    /// Students, devices, loans, consents.
    pub fn registers(&self) -> Registers {
        self.registers.clone()
    }

    /// Lessons and who was on the panel.
    pub fn lessons(&self) -> Lessons {
        Lessons(self.db.clone())
    }

    /// What is in the library.
    pub fn library(&self) -> LibraryItems {
        LibraryItems(self.db.clone())
    }

    /// Teachers and their sessions.
    pub fn accounts(&self) -> Accounts {
        Accounts(self.db.clone())
    }

    /// One-time codes.
    pub fn codes(&self) -> Codes {
        Codes(self.db.clone())
    }

    /// Failed sign-ins.
    pub fn failures(&self) -> Failures {
        Failures(self.db.clone())
    }

    /// Paired panels.
    pub fn panels(&self) -> Panels {
        Panels(self.db.clone())
    }

    /// External programs that may publish.
    pub fn sources(&self) -> Sources {
        Sources(self.db.clone())
    }

    /// Enrolled take-home devices.
    pub fn agents(&self) -> Agents {
        Agents(self.db.clone())
    }

    /// What students and devices have told and people look at.
    pub fn alarms(&self) -> AlarmLog {
        AlarmLog(self.db.clone())
    }

    /// What happened and counts as use.
    pub fn usage(&self) -> UsageLog {
        UsageLog(self.db.clone())
    }

    /// Under which key of the school it is kept.
    pub fn school_keys(&self) -> SchoolKeys {
        SchoolKeys(self.db.clone())
    }

    /// What the usage figures are read from.
    pub fn figures(&self) -> FigureStore {
        FigureStore(self.db.clone())
    }

    /// What of it is still to be delivered upstream.
    pub fn outbox(&self) -> Outbox {
        Outbox(self.db.clone())
    }

    /// What staff did.
    pub fn audit(&self) -> Audit {
        Audit(self.db.clone())
    }
}

/// The two queues. Private to the store: others hold the narrow handles.
#[derive(Debug, Clone)]
struct Db {
    write: Queue,
    read: Queue,
}

impl Db {
    /// Runs `work` in the writer's next transaction; the answer comes when it is on the disk.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Self::ask(&self.write, work, false).await
    }

    /// As [`Self::write`], but waits while the queue is full instead of refusing: for what must not be dropped.
    async fn write_patiently<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Self::ask(&self.write, work, true).await
    }

    /// Runs `work` on the reader, which sees everything acknowledged before.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Self::ask(&self.read, work, false).await
    }

    async fn ask<T, F>(queue: &Queue, work: F, patiently: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: writer::Job = Box::new(move |db| {
            let result = db.and_then(work);
            let failed = result.as_ref().err().cloned();
            let ack: writer::Ack = Box::new(move |group| {
                // Nobody waits any more when the caller was cancelled; the write stands all the same.
                let _ = answer.send(group.and(result));
            });
            (failed, ack)
        });
        if patiently { queue.push_patiently(job).await } else { queue.push(job) }?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn take_folder(folder: &Path) -> Result<File, StoreError> {
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| StoreError::file(folder, &e))?;
    }
    let path = folder.join(LOCK);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::file(&path, &e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.display().to_string())),
        Err(TryLockError::Error(e)) => Err(StoreError::file(&path, &e)),
    }
}

/// Whether there is an empty file where a box that has run before, which is one with a key, has its database. [`make`]
/// never leaves one.
fn is_lost(folder: &Path) -> bool {
    folder.join(cipher::FILE).exists() && fs::metadata(folder.join(FILE)).is_ok_and(|meta| meta.len() == 0)
}

/// Makes an empty database: it is there whole or not at all, also when the power fails.
fn make(path: &Path, key: Option<&StoreKey>) -> Result<(), StoreError> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let rest = PathBuf::from(format!("{}{suffix}", new.display()));
        match fs::remove_file(&rest) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::file(&rest, &e)),
            _ => {}
        }
    }
    // SQLite gives -wal and -shm the mode of the main file.
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new);
    drop(file.map_err(|e| StoreError::file(&new, &e))?);
    let mut db = connect(&new, key)?;
    migrate::run(&mut db)?;
    // Folds the journal in.
    db.close().map_err(|(_, error)| StoreError::from(error))?;
    fs::rename(&new, path).map_err(|e| StoreError::file(path, &e))?;
    cipher::sync_folder(path)
}

fn open_checked(path: &Path, key: Option<&StoreKey>) -> Result<Connection, StoreError> {
    if fs::metadata(path).map_or(0, |meta| meta.len()) == 0 {
        make(path, key)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| StoreError::file(path, &e))?;
    let mut db = connect(path, key)?;
    quick_check(&db)?;
    migrate::run(&mut db)?;
    Ok(db)
}

fn connect(path: &Path, key: Option<&StoreKey>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    if let Some(key) = key {
        key.unlock(&db)?;
    }
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "wal")?;
    // FULL: a commit is on the disk before it is acknowledged (invariant 4).
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "journal_size_limit", 8 * 1024 * 1024)?;
    Ok(db)
}

fn quick_check(db: &Connection) -> Result<(), StoreError> {
    let finding: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" { Ok(()) } else { Err(StoreError::Damaged(finding)) }
}

/// Renames the database and its journal files, so that someone can still look at them.
fn move_away(path: &Path, now: Millis) -> Result<PathBuf, StoreError> {
    let name = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    for suffix in ["", "-wal", "-shm"] {
        match fs::rename(name(suffix), aside_name(path, now, suffix)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::file(path, &e)),
        }
    }
    Ok(aside_name(path, now, ""))
}

fn aside_name(path: &Path, now: Millis, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.damaged-{now}{suffix}", path.display()))
}

#[cfg(test)]
mod tests;
