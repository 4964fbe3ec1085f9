//! Whether the agent's own files are what they were. A change is told to the school, and to the student on the page;
//! nothing else follows from it (R-POL-13: people judge).

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use crate::keep::Keep;

/// What is looked at, by the word that the school is told.
pub(crate) type Files<'a> = [(&'a str, &'a Path)];

/// The words of the files that have changed since they were looked at last. The first look only remembers.
pub(crate) fn look(keep: &Keep, files: &Files<'_>) -> Result<Vec<String>> {
    // Seals that can't be read were changed themselves.
    let (before, broken) = match keep.seals::<BTreeMap<String, String>>() {
        Ok(before) => (before, false),
        Err(_) => (None, true),
    };
    let now: BTreeMap<String, String> = files.iter().map(|(word, path)| ((*word).to_owned(), print(path))).collect();
    let mut changed: Vec<String> = before
        .iter()
        .flatten()
        .filter(|(word, seal)| now.get(*word) != Some(seal))
        .map(|(word, _)| word.clone())
        .collect();
    if broken {
        changed.push("seals".into());
    }
    if before.as_ref() != Some(&now) {
        keep.save_seals(&now)?;
    }
    Ok(changed)
}

/// SHA-256 of a file in hexadecimal digits; `none` when it is not there.
fn print(path: &Path) -> String {
    let Ok(mut file) = fs::File::open(path) else { return "none".into() };
    let mut hash = Sha256::new();
    // In pieces: the program itself is one of the files and must not lie in memory for it.
    let mut piece = [0; 16 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut piece) {
            Ok(0) => return hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            Ok(read) => hash.update(&piece[..read]),
            Err(_) => return "unreadable".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(folder.path()).unwrap();
        let file = folder.path().join("agent.toml");
        fs::write(&file, "a").unwrap();
        let files: [(&str, &Path); 2] = [("config", &file), ("binary", Path::new("/nowhere"))];
        assert!(look(&keep, &files).unwrap().is_empty() && look(&keep, &files).unwrap().is_empty());
        fs::write(&file, "b").unwrap();
        assert_eq!(look(&keep, &files).unwrap(), ["config"]);
        assert!(look(&keep, &files).unwrap().is_empty());
        fs::write(folder.path().join("seals.json"), "x").unwrap();
        assert_eq!(look(&keep, &files).unwrap(), ["seals"]);
    }
}
