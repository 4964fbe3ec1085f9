//! Why the cache did not do what was asked.

use std::{fmt, io};

use appliance_core::library::address::Refused;

use super::manifest;

/// Why the cache did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheError {
    /// The address is none that can be fetched.
    BadAddress,
    /// The address may not be fetched.
    Refused(Refused),
    /// No answer came, in the network's words.
    Unreachable(String),
    /// The origin answered with this status.
    Origin(u16),
    /// The origin forbids copies (`Cache-Control: no-store` or `private`).
    Forbidden,
    /// The manifest is of a kind that can't be kept.
    Manifest(manifest::Unfit),
    /// More bytes than allowed.
    TooLarge,
    /// The library is full; so many bytes are missing.
    NoRoom(u64),
    /// The disk is full.
    DiskFull,
    /// The origin has another state now; ask again.
    Changed,
    /// A web page came in the place of the content: a sign-in or a maintenance page.
    Page,
    /// An upload is damaged on the disk.
    Damaged,
    /// There is no such part.
    Gone,
    /// The disk failed.
    Io(String),
}

impl CacheError {
    pub(super) fn io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress => f.write_str("the address is none that can be fetched"),
            Self::Refused(why) => write!(f, "the address may not be fetched: {why:?}"),
            Self::Unreachable(why) => write!(f, "the origin does not answer: {why}"),
            Self::Origin(status) => write!(f, "the origin answered {status}"),
            Self::Forbidden => f.write_str("the origin forbids copies (Cache-Control)"),
            Self::Manifest(why) => write!(f, "the manifest can't be kept: {why:?}"),
            Self::TooLarge => f.write_str("it is larger than allowed"),
            Self::NoRoom(missing) => {
                write!(f, "the library is full: {missing} bytes are missing; remove or unpin items")
            }
            Self::DiskFull => f.write_str("the disk is full"),
            Self::Changed => f.write_str("the origin has another state by now"),
            Self::Page => f.write_str("a web page came in the place of the content"),
            Self::Damaged => f.write_str("it is damaged on the disk"),
            Self::Gone => f.write_str("there is no such part"),
            Self::Io(why) => write!(f, "the disk failed: {why}"),
        }
    }
}

impl std::error::Error for CacheError {}
