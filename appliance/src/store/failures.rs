//! Failed sign-ins that still count, so that a restart of the box does not clear them.

use appliance_core::throttle::Tally;
use classroom_protocol::Millis;
use rusqlite::params;

use super::{Db, StoreError};

/// Most accounts kept; what is typed as account can be anything, so the oldest are dropped beyond this.
const MOST: u32 = 1000;

/// Keeps the slates of [`appliance_core::throttle::Throttle`].
#[derive(Debug, Clone)]
pub struct Failures(pub(super) Db);

impl Failures {
    /// All kept slates by account.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn load(&self) -> Result<Vec<(String, Tally)>, StoreError> {
        self.0
            .read(|db| {
                let mut query = db.prepare("SELECT account, tally FROM sign_in_failure ORDER BY account")?;
                let mut rows = query.query([])?;
                let mut slates = Vec::new();
                while let Some(row) = rows.next()? {
                    let (account, json): (String, String) = (row.get(0)?, row.get(1)?);
                    let tally = serde_json::from_str(&json).map_err(|e| StoreError::Sql(format!("tally: {e}")))?;
                    slates.push((account, tally));
                }
                Ok(slates)
            })
            .await
    }

    /// Keeps the slate of an account.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn save(&self, account: String, tally: Tally, now: Millis) -> Result<(), StoreError> {
        let json = serde_json::to_string(&tally).map_err(|e| StoreError::Sql(e.to_string()))?;
        self.0
            .write(move |db| {
                db.execute(
                    "INSERT INTO sign_in_failure (account, tally, at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (account) DO UPDATE SET tally = ?2, at = ?3",
                    params![account, json, now],
                )?;
                db.execute(
                    "DELETE FROM sign_in_failure WHERE account IN
                     (SELECT account FROM sign_in_failure ORDER BY at DESC, account LIMIT -1 OFFSET ?1)",
                    [MOST],
                )?;
                Ok(())
            })
            .await
    }

    /// The account signed in: its slate is clean.
    ///
    /// # Errors
    /// As all of the store.
    pub async fn clear(&self, account: String) -> Result<(), StoreError> {
        self.0
            .write(move |db| {
                db.execute("DELETE FROM sign_in_failure WHERE account = ?1", [account])?;
                Ok(())
            })
            .await
    }
}
