//! What staff do is kept, with who, from where and when (R-DATA-6).

use std::net::IpAddr;

use crate::{
    clock,
    store::{Audit, AuditEntry},
};

/// Writes the audit of staff actions.
#[derive(Clone)]
pub struct Auditor(pub Audit);

impl Auditor {
    /// Keeps one action. When the disk refuses, the action has happened all the same and the log says so at error
    /// level: a lesson does not stop because an audit line can't be written.
    pub async fn note(&self, who: &str, place: IpAddr, action: &str, detail: serde_json::Value) {
        let entry = AuditEntry {
            at: clock::now(),
            who: who.to_owned(),
            place: place.to_string(),
            action: action.to_owned(),
            detail,
        };
        if let Err(error) = self.0.append(entry).await {
            tracing::error!(%error, who, action, "a staff action could not be kept in the audit");
        }
    }
}
