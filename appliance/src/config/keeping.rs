//! What the box keeps, and how much of it: the database, its backups, the library's content.

use std::{num::NonZeroU16, path::PathBuf};

use appliance_core::library::night::Minute;
use serde::{Deserialize, Deserializer, de};

use super::Config;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreFolder {
    /// Folder of the database, the box's key and the media certificate. Default `/var/lib/classroom`.
    pub path: PathBuf,
}

/// `[staff]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Staff {
    /// Account for which each start prints a one-time code, good for a day, that sets a new password: for a box at which
    /// nobody can run `appliance invite`. Default none.
    pub invite: Option<String>,
}

/// `[backup]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Folder of the backups. Default none: `backups` in the folder of `[store]`.
    pub folder: Option<PathBuf>,
    /// How many are kept. Default 14.
    pub keep: NonZeroU16,
}

/// `[library]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Library {
    /// Folder of the content. Default none: `library` in the folder of `[store]`.
    pub path: Option<PathBuf>,
    /// Most megabytes of content. Default 20000.
    pub most_mb: u64,
    /// Megabytes of the disk that stay free for everything else. Default 1000.
    pub keep_free_mb: u64,
    /// Most megabytes of one upload. Default 4000.
    pub upload_mb: u64,
    /// When fetching at night begins, on the school's clock. Default `22:00`.
    #[serde(deserialize_with = "minute")]
    pub night_from: Minute,
    /// When it ends. Default `06:00`. The same as `night_from`: at any time.
    #[serde(deserialize_with = "minute")]
    pub night_until: Minute,
    /// Most megabytes of one night. Default 10000.
    pub night_mb: u64,
    /// If not empty: the only hosts that content may come from. Default none: any public host that a teacher names.
    pub hosts: Vec<String>,
    /// Hosts that content may come from although their address is not public, with a port if it is not the usual one.
    pub private_hosts: Vec<String>,
}

fn minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Minute, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

impl Default for Library {
    fn default() -> Self {
        Self {
            path: None,
            most_mb: 20_000,
            keep_free_mb: 1_000,
            upload_mb: 4_000,
            night_from: Minute::at(22, 0),
            night_until: Minute::at(6, 0),
            night_mb: 10_000,
            hosts: Vec::new(),
            private_hosts: Vec::new(),
        }
    }
}

impl Default for StoreFolder {
    fn default() -> Self {
        Self { path: "/var/lib/classroom".into() }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self { folder: None, keep: NonZeroU16::MIN.saturating_add(13) }
    }
}

impl Config {
    /// Where backups are, unless the command line says otherwise.
    pub fn backup_folder(&self) -> PathBuf {
        self.backup.folder.clone().unwrap_or_else(|| self.store.path.join("backups"))
    }
}
