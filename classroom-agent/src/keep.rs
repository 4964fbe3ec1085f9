//! What the agent keeps: files that are there whole or not at all, mode 0600.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use appliance_core::agent::Today;
use classroom_protocol::agent::Signed;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Who this device is to its box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The device's code in the register.
    pub(crate) device: String,
    /// Certificate of the box's device authority (PEM): nobody else is believed.
    pub(crate) authority: String,
    /// The device's certificate and key (PEM).
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// The key that orders are signed with (base64).
    pub(crate) orders_key: String,
    /// The newest orders so far; older ones are refused.
    pub(crate) newest: u64,
    /// Where the box was met, the latest first.
    pub(crate) met_at: Vec<String>,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Keep(PathBuf);

const IDENTITY: &str = "identity.json";
/// The orders are kept twice: one damaged file makes no rules forgotten.
const ORDERS: [&str; 2] = ["orders.json", "orders.copy.json"];
const SEALS: &str = "seals.json";
const TODAY: &str = "today.json";

impl Keep {
    /// Opens the folder, makes it when needed.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| folder.display().to_string())?;
        Ok(Self(folder.into()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `None`: the device is not enrolled.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        self.read(IDENTITY).context("identity.json can't be read: enrol this device anew")
    }

    pub(crate) fn save_identity(&self, identity: &Identity) -> Result<()> {
        self.write(IDENTITY, identity)
    }

    /// The signed orders and their copy, unchecked.
    pub(crate) fn orders(&self) -> [Result<Option<Signed>>; 2] {
        ORDERS.map(|name| self.read(name))
    }

    pub(crate) fn save_orders(&self, orders: &Signed) -> Result<()> {
        ORDERS.iter().try_for_each(|name| self.write(name, orders))
    }

    pub(crate) fn seals<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.read(SEALS)
    }

    pub(crate) fn save_seals(&self, seals: &impl Serialize) -> Result<()> {
        self.write(SEALS, seals)
    }

    /// The sums of the day that was kept last.
    pub(crate) fn today(&self) -> Result<Option<Today>> {
        self.read(TODAY)
    }

    pub(crate) fn save_today(&self, today: &Today) -> Result<()> {
        self.write(TODAY, today)
    }

    /// Nothing of the enrolment is left. The identity goes first: without it nothing else counts.
    pub(crate) fn forget(&self) -> Result<()> {
        for name in [IDENTITY, SEALS, TODAY, crate::spool::FILE, crate::spool::ASIDE].into_iter().chain(ORDERS) {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context(name),
                _ => {}
            }
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| name.to_owned())?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(name.to_owned()),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        write_whole(&self.path(name), &serde_json::to_vec_pretty(value)?).with_context(|| name.to_owned())
    }
}

/// Writes a file whole or not at all, also when the power fails.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
