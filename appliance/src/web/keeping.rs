//! What is wrong with what the box keeps, for teachers and the office, and their word that they know.

use appliance_core::access::Who;
use axum::{extract::State, http::StatusCode};
use classroom_protocol::{ProblemCode, keeping::Keeping as View};

use super::{
    audit::Auditor,
    gate::Peer,
    reply::{DONE, Refusal},
    routes::Caller,
};
use crate::keeping::Keeping;

/// What these routes need.
#[derive(Clone)]
pub struct KeepingState {
    /// What is wrong.
    pub keeping: Keeping,
    /// Keeps what staff do.
    pub audit: Auditor,
}

/// `GET /api/box/keeping`.
pub async fn view(State(state): State<KeepingState>) -> axum::Json<View> {
    axum::Json(state.keeping.view())
}

/// `DELETE /api/box/set-aside`: the caller knows that the old database was set aside; nobody is told any more.
///
/// # Errors
/// `not-found` when there is nothing to know, `internal` when the disk refuses.
pub async fn known(State(state): State<KeepingState>, who: Caller, peer: Peer) -> Result<StatusCode, Refusal> {
    let Who::Staff { name, .. } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let told = state.keeping.now().set_aside;
    if !state.keeping.known().await.map_err(|error| Refusal::internal(&error))? {
        return Err(ProblemCode::NotFound.into());
    }
    let files = told.map(|told| told.files).unwrap_or_default();
    state.audit.note(name, peer.0, "set-aside-known", serde_json::json!({ "files": files })).await;
    Ok(DONE)
}
