//! Codes that work once.

use appliance_core::access::Roles;
use classroom_protocol::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Db, Hash, StoreError};

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

    fn as_str(self) -> &'static str {
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
        self.0
            .write(move |db| {
                db.execute("DELETE FROM one_time_code WHERE expires_at <= ?1", [now])?;
                db.execute(
                    "INSERT INTO one_time_code (hash, purpose, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
                    params![code, purpose.as_str(), now, expires_at],
                )?;
                Ok(())
            })
            .await
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

/// Uses the code up if it is good. Runs inside the caller's piece of work.
pub(super) fn redeem(
    db: &Connection,
    code: &Hash,
    purpose: Purpose,
    now: Millis,
) -> Result<Result<(), CodeRefused>, StoreError> {
    let found: Option<(String, Millis, Option<Millis>)> = db
        .query_row("SELECT purpose, expires_at, used_at FROM one_time_code WHERE hash = ?1", [code], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let refused = match found {
        None => Some(CodeRefused::Unknown),
        Some((kept, _, _)) if kept != purpose.as_str() => Some(CodeRefused::Unknown),
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
