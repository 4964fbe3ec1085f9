//! Files of 32 random bytes: made once, mode 0600, there whole or not at all.

use std::{
    fmt, fs,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// The file can't be read or written.
    File(PathBuf, String),
    /// The file has not 32 bytes.
    Damaged(PathBuf),
    /// The kernel gives no random bytes.
    Random(String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, reason) => write!(f, "{}: {reason}", path.display()),
            Self::Damaged(path) => write!(
                f,
                "{} is not a key of a box (32 bytes); put it back from the backup, or move it away to get a new one",
                path.display()
            ),
            Self::Random(reason) => write!(f, "no random bytes: {reason}"),
        }
    }
}

impl std::error::Error for KeyError {}

/// The key in `name` of `folder`; `None` when there is no such file. Makes the file private. Blocks on the disk.
///
/// # Errors
/// [`KeyError::File`], [`KeyError::Damaged`].
pub fn load(folder: &Path, name: &str) -> Result<Option<[u8; 32]>, KeyError> {
    let path = folder.join(name);
    let failed = |e: std::io::Error| KeyError::File(path.clone(), e.to_string());
    let mut file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::with_capacity(33);
    Read::by_ref(&mut file).take(33).read_to_end(&mut bytes).map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    bytes.try_into().map(Some).map_err(|_| KeyError::Damaged(path.clone()))
}

/// The key in `name` of `folder`, made when there is none. Blocks on the disk.
///
/// # Errors
/// [`KeyError`].
pub fn load_or_create(folder: &Path, name: &str) -> Result<[u8; 32], KeyError> {
    if let Some(key) = load(folder, name)? {
        return Ok(key);
    }
    let key = random()?;
    save(folder, name, &key)?;
    Ok(key)
}

/// Writes what is secret, a key or another small file: it is there whole or not at all, also when the power fails.
///
/// # Errors
/// [`KeyError::File`].
pub fn save(folder: &Path, name: &str, content: &[u8]) -> Result<(), KeyError> {
    let path = folder.join(name);
    let write = || {
        let temporary = folder.join(format!("{name}.new"));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(path.parent().unwrap_or(folder))?.sync_all()
    };
    write().map_err(|e: std::io::Error| KeyError::File(path.clone(), e.to_string()))
}

/// A key that nobody has.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn random() -> Result<[u8; 32], KeyError> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| KeyError::Random(e.to_string()))?;
    Ok(key)
}
