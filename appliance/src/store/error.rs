//! What can go wrong in the store, by what the caller can do about it.

use std::{fmt, path::Path};

use rusqlite::ErrorCode;

/// Why the store did not do what was asked. Nothing was changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The queue is full: the disk does not keep up. Try again later.
    Busy,
    /// The disk is full. The box goes on; what was asked is not kept.
    DiskFull,
    /// The store was closed because the hub stops.
    Closed,
    /// Another hub has the data folder open.
    InUse(String),
    /// Something with this name or number is there already.
    Taken,
    /// What should be changed or referred to is not there.
    Missing,
    /// The file is no database or its content is damaged.
    Damaged(String),
    /// A later version of the software wrote the file: version found, version known.
    Newer(u32, u32),
    /// A file or folder can't be used.
    File(String),
    /// Anything else, in SQLite's words.
    Sql(String),
}

impl StoreError {
    /// Whether the same work may be done later: what the disk refuses now, it may take when there is room again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Busy | Self::DiskFull | Self::Damaged(_) | Self::File(_) | Self::Sql(_) => true,
            Self::Closed | Self::InUse(_) | Self::Taken | Self::Missing | Self::Newer(..) => false,
        }
    }

    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull;
        }
        Self::File(format!("{}: {error}", path.display()))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::QueryReturnedNoRows) {
            return Self::Missing;
        }
        let Some(details) = error.sqlite_error() else { return Self::Sql(error.to_string()) };
        match details.code {
            ErrorCode::DiskFull => Self::DiskFull,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged(error.to_string()),
            ErrorCode::ConstraintViolation if details.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
                Self::Missing
            }
            ErrorCode::ConstraintViolation => Self::Taken,
            _ => Self::Sql(error.to_string()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the store has more to write than the disk takes; try again"),
            Self::DiskFull => f.write_str("the disk is full; make room, the box goes on without keeping this"),
            Self::Closed => f.write_str("the store is closed"),
            Self::InUse(folder) => write!(f, "another hub has {folder} open; stop it first"),
            Self::Taken => f.write_str("this name or number is taken"),
            Self::Missing => f.write_str("no such row"),
            Self::Damaged(reason) => write!(f, "the database is damaged: {reason}"),
            Self::Newer(found, known) => write!(
                f,
                "the database has version {found}, this software knows {known}; start the newer software, or move the file away"
            ),
            Self::File(reason) => write!(f, "the data folder can't be used: {reason}"),
            Self::Sql(reason) => write!(f, "the database refused: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}
