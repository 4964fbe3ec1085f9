//! A damaged database is set aside and the box goes on with an empty one. That it has happened is kept beside the database
//! until a person has said that they know, or until a backup is back: else a school would take the empty box for a new one.

use std::{fs, io, path::Path};

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::keyfile;

/// Name of the file that tells of it, in the data folder.
const TOLD: &str = "set-aside.json";
/// The latest ones that are told of.
const MOST: usize = 8;

/// What was set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// When it happened last.
    pub at: Millis,
    /// Where the old files lie, the newest last.
    pub files: Vec<String>,
}

/// What was set aside and is not known to people yet. A file that can't be read tells of something all the same.
pub fn told(folder: &Path) -> Option<SetAside> {
    match fs::read_to_string(folder.join(TOLD)) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, "what was set aside can't be read");
            Some(SetAside::default())
        }
    }
}

/// A person knows, or a backup is back.
///
/// # Errors
/// What files and disks can refuse.
pub fn known(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(TOLD);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file(&path, &error)),
        _ => Ok(()),
    }
}

/// Keeps that `file` was set aside. A disk that refuses leaves it to the log.
pub(super) fn tell(folder: &Path, file: &Path, at: Millis) {
    let mut all = told(folder).unwrap_or_default();
    all.at = at;
    all.files.push(file.display().to_string());
    all.files.drain(..all.files.len().saturating_sub(MOST));
    let kept = serde_json::to_vec(&all).map_err(|error| error.to_string());
    let kept = kept.and_then(|text| keyfile::save(folder, TOLD, &text).map_err(|error| error.to_string()));
    if let Err(error) = kept {
        tracing::error!(error, "people will not be told that the database was set aside");
    }
}
