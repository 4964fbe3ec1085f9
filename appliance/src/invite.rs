//! `appliance invite`: a one-time code from the box's console, for a further account or for one whose password is forgotten.
//! Who can read the data folder is the box; nobody else can issue such a code.

use std::path::Path;

use anyhow::Context as _;
use classroom_protocol::{
    Millis,
    catalogue::{Lang, fill},
};

use crate::{
    staff::{BoxKey, setup_code},
    store::{self, StoreError},
};

/// A code is good for this long.
const GOOD_FOR_MS: Millis = 24 * 3_600_000;

/// Issues a code and says in words what it is for. With `account` it sets a new password for that account, else it makes a
/// further one that may do everything. Works beside a running hub.
///
/// # Errors
/// When the data folder holds no data or can't be read, when there is no such account, when a later version of the software
/// wrote the data.
pub fn invite(folder: &Path, account: Option<&str>, now: Millis, lang: Lang) -> anyhow::Result<String> {
    anyhow::ensure!(folder.join("box.key").is_file(), "{}: no hub has run with this data folder", folder.display());
    let key = BoxKey::load_or_create(folder).context("the box's key")?;
    let code = setup_code().context("random bytes")?;
    match store::issue_code(folder, key.hash_code(&code), account, now, now + GOOD_FOR_MS) {
        Err(StoreError::Missing) => Err(anyhow::anyhow!(fill(lang, "console.invite-nobody", &[]))),
        other => Ok(other?),
    }?;
    let key = if account.is_some() { "console.invite-again" } else { "console.invite-new" };
    Ok(fill(lang, key, &[("code", &code), ("account", account.unwrap_or_default())]))
}
