//! Codes that work once.

use std::path::Path;

use appliance_core::access::Roles;
use classroom_protocol::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Db, FILE, Hash, StaffId, StoreError, cipher, connect, migrate};

/// Issues one-time codes. They are used up together with what they allow ([`super::Accounts::create_with_code`]).
#[derive(Debug, Clone)]
pub struct Codes(pub(super) Db);

/// What a code is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first teacher account of the box; printed on the console.
    FirstSignIn,
    /// A further account with the role of a teacher.
    Invite,
    /// A further account with the role of the office.
    InviteOffice,
    /// A further account with both roles.
    InviteBoth,
}

/// Why a code is no good. Callers outside are told one and the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRefused {
    /// No such code for this purpose.
    Unknown,
    /// It was used before.
    Used,
    /// It is too old.
    Expired,
}

impl Purpose {
    /// All that make an account.
    pub const ACCOUNT: [Self; 4] = [Self::FirstSignIn, Self::Invite, Self::InviteOffice, Self::InviteBoth];

    /// What the account made with it may do.
    pub fn roles(self) -> Roles {
        match self {
            Self::FirstSignIn | Self::InviteBoth => Roles::BOTH,
            Self::Invite => Roles::TEACHER,
            Self::InviteOffice => Roles::OFFICE,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FirstSignIn => "first-sign-in",
            Self::Invite => "invite",
            Self::InviteOffice => "invite-office",
            Self::InviteBoth => "invite-both",
        }
    }
}

impl Codes {
    /// Issues a code, given as keyed hash, and clears away those that expired.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the same code is in use: draw another one.
    pub async fn issue(&self, code: Hash, purpose: Purpose, now: Millis, expires_at: Millis) -> Result<(), StoreError> {
        self.0.write(move |db| insert(db, &code, purpose.as_str(), now, expires_at)).await
    }

    /// Takes back all unused codes of a purpose.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn revoke(&self, purpose: Purpose) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM one_time_code WHERE purpose = ?1 AND used_at IS NULL", [purpose.as_str()])?;
                Ok(())
            })
            .await
    }
}

/// What a code is good for that sets a new password for this account and no other.
pub(super) fn password_of(staff: StaffId) -> String {
    format!("password {staff}")
}

/// Issues a code without the hub, or beside one that runs: for a further account with both roles, or for the password of
/// `account`. Blocks on the disk.
///
/// # Errors
/// [`StoreError::Missing`] when there is no database or no such account, [`StoreError::Newer`] when a later version of the
/// software wrote it, [`StoreError::Busy`] when the hub writes for seconds on end.
pub fn issue_code(
    folder: &Path,
    code: Hash,
    account: Option<&str>,
    now: Millis,
    expires_at: Millis,
) -> Result<(), StoreError> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Err(StoreError::Missing);
    }
    let key = if cipher::is_plain(&path)? { None } else { cipher::load(folder)? };
    let db = connect(&path, key.as_ref())?;
    migrate::known(&db)?;
    let purpose = match account {
        Some(account) => {
            password_of(db.query_row("SELECT id FROM staff WHERE account = ?1", [account.trim()], |row| row.get(0))?)
        }
        None => Purpose::InviteBoth.as_str().to_owned(),
    };
    insert(&db, &code, &purpose, now, expires_at)
}

fn insert(db: &Connection, code: &Hash, purpose: &str, now: Millis, expires_at: Millis) -> Result<(), StoreError> {
    db.execute("DELETE FROM one_time_code WHERE expires_at <= ?1", [now])?;
    db.execute(
        "INSERT INTO one_time_code (hash, purpose, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![code, purpose, now, expires_at],
    )?;
    Ok(())
}

/// Uses the code up if it is good. Runs inside the caller's piece of work.
pub(super) fn redeem(
    db: &Connection,
    code: &Hash,
    purpose: &str,
    now: Millis,
) -> Result<Result<(), CodeRefused>, StoreError> {
    let found: Option<(String, Millis, Option<Millis>)> = db
        .query_row("SELECT purpose, expires_at, used_at FROM one_time_code WHERE hash = ?1", [code], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let refused = match found {
        None => Some(CodeRefused::Unknown),
        Some((kept, _, _)) if kept != purpose => Some(CodeRefused::Unknown),
        Some((_, _, Some(_))) => Some(CodeRefused::Used),
        Some((_, expires_at, None)) if now >= expires_at => Some(CodeRefused::Expired),
        Some((_, _, None)) => None,
    };
    if let Some(refused) = refused {
        return Ok(Err(refused));
    }
    db.execute("UPDATE one_time_code SET used_at = ?2 WHERE hash = ?1", params![code, now])?;
    Ok(Ok(()))
}
