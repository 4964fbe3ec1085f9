//! Accounts of teachers and their signed-in browsers.

use appliance_core::access::Roles;
use classroom_protocol::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Db, Hash, StoreError,
    codes::{self, CodeRefused, Purpose},
};

/// Number of an account; not used again.
pub type StaffId = i64;

/// `last_seen` is written when it is older than this, not at every request.
const TOUCH_AFTER: Millis = 60_000;

/// Reads and changes accounts and sessions.
#[derive(Debug, Clone)]
pub struct Accounts(pub(super) Db);

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStaff {
    /// What is typed at sign-in; upper and lower case are the same.
    pub account: String,
    /// Shown to the class.
    pub name: String,
    /// argon2id in PHC form ([`crate::staff::Passwords::hash`]).
    pub password: String,
    /// What the person may do.
    pub roles: Roles,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff {
    /// Its number.
    pub id: StaffId,
    /// What is typed at sign-in, as it was written first.
    pub account: String,
    /// Shown to the class.
    pub name: String,
    /// argon2id in PHC form.
    pub password: String,
}

/// A signed-in teacher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub staff: StaffId,
    /// What was typed at sign-in.
    pub account: String,
    /// Shown to the class.
    pub name: String,
    /// What the person may do.
    pub roles: Roles,
    /// When the session was last used, to the minute.
    pub last_seen: Millis,
}

impl Accounts {
    /// How many accounts there are; with none the first sign-in is still to come.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.0.read(|db| Ok(db.query_row("SELECT count(*) FROM staff", [], |row| row.get(0))?)).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is an account of this name.
    pub async fn create(&self, staff: NewStaff, now: Millis) -> Result<StaffId, StoreError> {
        self.0.write(move |db| insert(db, &staff, now)).await
    }

    /// Uses up a one-time code and makes the account, both or neither: a name that is taken does not cost the code.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is an account of this name. The inner result tells why the code is no good.
    pub async fn create_with_code(
        &self,
        code: Hash,
        purpose: Purpose,
        staff: NewStaff,
        now: Millis,
    ) -> Result<Result<StaffId, CodeRefused>, StoreError> {
        self.0
            .write(move |db| match codes::redeem(db, &code, purpose.as_str(), now)? {
                Ok(()) => Ok(Ok(insert(db, &staff, now)?)),
                Err(refused) => Ok(Err(refused)),
            })
            .await
    }

    /// Uses up a one-time code that was issued for this very account and sets its new password; all its sessions end.
    ///
    /// # Errors
    /// As all of the store. The inner result tells why the code is no good.
    pub async fn set_password_with_code(
        &self,
        code: Hash,
        account: String,
        password: String,
        now: Millis,
    ) -> Result<Result<StaffId, CodeRefused>, StoreError> {
        self.0
            .write(move |db| {
                let mut query = db.prepare_cached("SELECT id FROM staff WHERE account = ?1")?;
                let Some(id) = query.query_row([account], |row| row.get(0)).optional()? else {
                    return Ok(Err(CodeRefused::Unknown));
                };
                match codes::redeem(db, &code, &codes::password_of(id), now)? {
                    Ok(()) => set_password(db, id, &password).map(|()| Ok(id)),
                    Err(refused) => Ok(Err(refused)),
                }
            })
            .await
    }

    /// The account of this name, upper and lower case being the same.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn by_account(&self, account: String) -> Result<Option<Staff>, StoreError> {
        self.0
            .read(move |db| {
                let mut query =
                    db.prepare_cached("SELECT id, account, name, password FROM staff WHERE account = ?1")?;
                Ok(query
                    .query_row([account], |row| {
                        Ok(Staff { id: row.get(0)?, account: row.get(1)?, name: row.get(2)?, password: row.get(3)? })
                    })
                    .optional()?)
            })
            .await
    }

    /// A new password; all sessions of the account end.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account.
    pub async fn set_password(&self, staff: StaffId, password: String) -> Result<(), StoreError> {
        self.0.write(move |db| set_password(db, staff, &password)).await
    }

    /// A browser signs in. Sessions that were idle for longer than `idle` are cleared away.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such account.
    pub async fn open_session(&self, token: Hash, staff: StaffId, now: Millis, idle: Millis) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM staff_session WHERE last_seen < ?1", [now.saturating_sub(idle)])?;
                db.execute(
                    "INSERT INTO staff_session (token_hash, staff_id, created_at, last_seen) VALUES (?1, ?2, ?3, ?3)",
                    params![token, staff, now],
                )?;
                Ok(())
            })
            .await
    }

    /// The session of this token, if it was used within `idle`. Counts as use.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn session(&self, token: Hash, now: Millis, idle: Millis) -> Result<Option<Session>, StoreError> {
        let found = self.0.read(move |db| find_session(db, &token)).await?;
        let Some(session) = found else { return Ok(None) };
        let age = now.saturating_sub(session.last_seen);
        if age > idle {
            self.close_session(token).await?;
            return Ok(None);
        }
        if age >= TOUCH_AFTER {
            self.0
                .write(move |db| {
                    db.execute("UPDATE staff_session SET last_seen = ?2 WHERE token_hash = ?1", params![token, now])?;
                    Ok(())
                })
                .await?;
        }
        Ok(Some(session))
    }

    /// The browser signs out. Nothing happens when it was not signed in.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn close_session(&self, token: Hash) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM staff_session WHERE token_hash = ?1", [token])?;
                Ok(())
            })
            .await
    }
}

fn set_password(db: &Connection, staff: StaffId, password: &str) -> Result<(), StoreError> {
    if db.execute("UPDATE staff SET password = ?2 WHERE id = ?1", params![staff, password])? == 0 {
        return Err(StoreError::Missing);
    }
    db.execute("DELETE FROM staff_session WHERE staff_id = ?1", [staff])?;
    Ok(())
}

fn insert(db: &Connection, staff: &NewStaff, now: Millis) -> Result<StaffId, StoreError> {
    db.execute(
        "INSERT INTO staff (account, name, password, created_at, teacher, office) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![staff.account, staff.name, staff.password, now, staff.roles.teacher, staff.roles.office],
    )?;
    Ok(db.last_insert_rowid())
}

fn find_session(db: &Connection, token: &Hash) -> Result<Option<Session>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT staff.id, account, name, last_seen, teacher, office FROM staff_session
         JOIN staff ON staff.id = staff_id WHERE token_hash = ?1",
    )?;
    let session = query.query_row([token], |row| {
        let roles = Roles { teacher: row.get(4)?, office: row.get(5)? };
        Ok(Session { staff: row.get(0)?, account: row.get(1)?, name: row.get(2)?, roles, last_seen: row.get(3)? })
    });
    Ok(session.optional()?)
}
