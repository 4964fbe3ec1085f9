//! A student tells of a bad site with one tap (R-POL-19); the teacher and the office see it, and what devices tell of
//! their agents (R-POL-13), and take note. Handlers parse; `core::alarm` and the room decide who hears of what.

use appliance_core::{access::Who, alarm::Alarm};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use classroom_protocol::ProblemCode;

use super::{
    audit::Auditor,
    gate::Peer,
    reply::{DONE, Refusal},
    routes::Caller,
};
use crate::{alarms::Alarms, clock, room::RoomHandle, store::StoreError, usage::Recorder};

/// What these routes need.
#[derive(Clone)]
pub struct AlarmState {
    /// Reads them and tells the room.
    pub alarms: Alarms,
    /// Keeps what a student tells.
    pub recorder: Recorder,
    /// Knows who sits where and who holds the lesson.
    pub room: RoomHandle,
    /// Keeps who took note.
    pub audit: Auditor,
}

fn store(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}

/// `POST /api/student/report`: 「我誤入了不當網站」. No address is asked for or kept. Kept when this answers.
///
/// # Errors
/// `signed-out`; `internal` when the disk refuses: the student is told, and taps again.
pub async fn report(State(state): State<AlarmState>, who: Caller) -> Result<StatusCode, Refusal> {
    let Who::Student(pass) = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let event = state.room.now().site_report(&pass, clock::now())?;
    state.recorder.record(event).await.map_err(|error| Refusal::internal(&error))?;
    state.alarms.tell().await;
    Ok(DONE)
}

/// `POST /api/reports/{id}/seen`: the teacher of the lesson has taken note.
///
/// # Errors
/// `not-holder`, `not-found`.
pub async fn seen(
    State(state): State<AlarmState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
) -> Result<StatusCode, Refusal> {
    let Who::Staff { id: teacher, name, .. } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    state.room.now().may_note_report(*teacher, id)?;
    note(&state, name, peer, id).await
}

/// `GET /api/school/alarms`: what students and devices have told, the newest first.
///
/// # Errors
/// `internal` when the store fails.
pub async fn list(State(state): State<AlarmState>) -> Result<axum::Json<Vec<Alarm>>, Refusal> {
    Ok(axum::Json(state.alarms.all().await.map_err(store)?))
}

/// `POST /api/school/alarms/{id}/seen`: the office has taken note.
///
/// # Errors
/// `not-found`.
pub async fn seen_by_office(
    State(state): State<AlarmState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
) -> Result<StatusCode, Refusal> {
    let Who::Staff { name, .. } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    note(&state, name, peer, id).await
}

async fn note(state: &AlarmState, name: &str, peer: Peer, id: i64) -> Result<StatusCode, Refusal> {
    if !state.alarms.note(id, name).await.map_err(store)? {
        return Err(ProblemCode::NotFound.into());
    }
    state.audit.note(name, peer.0, "alarm-seen", serde_json::json!({ "alarm": id })).await;
    Ok(DONE)
}
