//! The panel's token on disk: which hub it belongs to, readable by the panel's user only.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where the panel keeps its token.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    file: PathBuf,
    hub: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The token is sent to this hub and no other.
    hub: String,
    token: String,
}

impl Keeping {
    /// In this folder, for this hub. The folder is made when something is kept.
    pub(crate) fn new(folder: &Path, hub: &str) -> Self {
        Self { file: folder.join("panel.json"), hub: hub.to_owned() }
    }

    /// The token for this hub, if there is one.
    pub(crate) fn load(&self) -> Option<String> {
        let text = fs::read_to_string(&self.file).ok()?;
        match serde_json::from_str::<Kept>(&text) {
            Ok(kept) => (kept.hub == self.hub).then_some(kept.token),
            Err(error) => {
                tracing::warn!("{} is not what it was: {error}; the panel pairs anew", self.file.display());
                None
            }
        }
    }

    /// Keeps a token, in one step: a power cut leaves the old file or the new one.
    pub(crate) fn store(&self, token: &str) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text = serde_json::to_vec(&Kept { hub: self.hub.clone(), token: token.to_owned() })?;
        let new = self.file.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.file)
    }

    /// The token no longer holds.
    pub(crate) fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{} can't be removed: {error}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_hub_only_and_for_nobody_else_to_read() {
        let folder = std::env::temp_dir().join(format!("panel-keeping-{}", std::process::id()));
        let keeping = Keeping::new(&folder, "http://a/");
        assert_eq!(keeping.load(), None);
        keeping.store("old").unwrap();
        keeping.store("new").unwrap();
        assert_eq!(keeping.load().as_deref(), Some("new"));
        assert_eq!(Keeping::new(&folder, "http://b/").load(), None);
        let mode = fs::metadata(folder.join("panel.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keeping.forget();
        keeping.forget();
        assert_eq!(keeping.load(), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
