//! Panels: they show a code, a teacher types it, they get a token. And the programs that may publish.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use appliance_core::{
    access::Who,
    names,
    pairing::{Answer, Pairing},
    room::{Facts, Input},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use classroom_protocol::{
    Problem, ProblemCode, catalogue,
    panel::{PairApprove, PairDone, PairRequest, PairWaiting, PanelReport},
};
use serde::{Deserialize, Serialize};

use super::{
    audit::Auditor,
    gate::{Guesses, Peer},
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    room::RoomHandle,
    staff::{Token, room_code},
    store::{Panels, Sources, StoreError},
};

/// The longest name of a panel or a program, in characters.
const NAME_CHARS: usize = 40;
/// Panels and programs a room may have.
const MOST: usize = 16;

/// What the panels' routes need.
#[derive(Clone)]
pub struct PanelsState {
    /// The room.
    pub room: RoomHandle,
    /// The paired ones.
    pub panels: Panels,
    /// The programs that may publish.
    pub sources: Sources,
    /// Those that wait.
    pub pairing: Arc<Mutex<Pairing>>,
    /// Counts wrong pairing codes.
    pub guesses: Guesses,
    /// Counts how often one address asks to be paired.
    pub asked: Guesses,
    /// The room's address.
    pub facts: Arc<Facts>,
    /// Keeps what staff do.
    pub audit: Auditor,
}

impl PanelsState {
    fn pairing(&self) -> MutexGuard<'_, Pairing> {
        self.pairing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_waiting(&self) -> Result<(), Refusal> {
        let waiting = self.pairing().anyone_waits(clock::now());
        self.room.apply(Input::PanelWaiting(waiting)).await?;
        Ok(())
    }

    /// Tells the room which panels and programs there are.
    ///
    /// # Errors
    /// `internal` when the store fails.
    pub async fn tell_known(&self) -> Result<(), Refusal> {
        let panels = self.panels.list().await.map_err(store)?;
        let sources = self.sources.list().await.map_err(store)?;
        let own = panels.iter().find(|panel| panel.name == own_panel()).map(|panel| panel.id);
        let names = panels.into_iter().map(|panel| (panel.id, panel.name)).collect();
        self.room.apply(Input::Panels { names, own }).await?;
        self.room
            .apply(Input::Sources(sources.into_iter().map(|source| (source.source, source.label)).collect()))
            .await?;
        Ok(())
    }
}

/// Name of the panel on the box's own screen.
pub fn own_panel() -> &'static str {
    catalogue::text(catalogue::Lang::ZhHantTw, "console.hub-own-panel")
}

fn store(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}

fn named(name: &str, field: &str) -> Result<String, Problem> {
    names::name(name, NAME_CHARS).ok_or_else(|| Problem::new(ProblemCode::BadInput).field(field))
}

/// `POST /api/panel/pair`: a panel begins to wait.
///
/// # Errors
/// `bad-input` naming `name`; `too-many-tries` for who asks in a loop.
pub async fn begin(
    State(state): State<PanelsState>,
    peer: Peer,
    Json(PairRequest { name }): Json<PairRequest>,
) -> Result<(StatusCode, axum::Json<PairWaiting>), Refusal> {
    let name = named(&name, "name")?;
    let now = clock::now();
    state.asked.attempt(&peer.slate(), now)?;
    let id = Token::random().map_err(|error| Refusal::internal(&error))?.reveal().to_owned();
    let code = room_code().map_err(|error| Refusal::internal(&error))?;
    state.pairing().begin(id.clone(), code.clone(), name, peer.0, now);
    state.tell_waiting().await?;
    Ok((StatusCode::CREATED, axum::Json(PairWaiting { id, code })))
}

/// `GET /api/panel/pair/{id}`: 202 while the panel waits, 200 with its token when it is paired.
///
/// # Errors
/// `not-found` when it waited too long.
pub async fn ask(State(state): State<PanelsState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let answer = state.pairing().ask(&id, clock::now());
    match answer {
        Answer::Waiting => Ok(StatusCode::ACCEPTED.into_response()),
        Answer::Paired(token) => {
            // What is left of earlier tries of the same panel has been silent since.
            state.tell_waiting().await?;
            Ok(axum::Json(PairDone { token }).into_response())
        }
        Answer::Over => {
            state.tell_waiting().await?;
            Err(ProblemCode::NotFound.into())
        }
    }
}

/// `POST /api/panels`: a teacher types the code that a panel shows.
///
/// # Errors
/// `wrong-code`, `too-many-tries`, `full`.
pub async fn approve(
    State(state): State<PanelsState>,
    who: Caller,
    peer: Peer,
    Json(PairApprove { code }): Json<PairApprove>,
) -> Result<StatusCode, Refusal> {
    let now = clock::now();
    let guesser = peer.slate();
    state.guesses.attempt(&guesser, now)?;
    let code = code.trim();
    let name = state.pairing().find(code, now).map(str::to_owned);
    let name = name.ok_or_else(|| Problem::new(ProblemCode::WrongCode).field("code"))?;
    state.guesses.succeeded(&guesser);
    if state.panels.list().await.map_err(store)?.len() >= MOST {
        return Err(ProblemCode::Full.into());
    }
    let token = Token::random().map_err(|error| Refusal::internal(&error))?;
    state.panels.add(name.clone(), Token::hash(token.reveal()), now).await.map_err(store)?;
    state.tell_known().await?;
    state.pairing().approve(code, token.reveal().to_owned(), now);
    state.tell_waiting().await?;
    state.audit.note(who.staff_name(), peer.0, "panel-pair", serde_json::json!({ "name": name })).await;
    Ok(DONE)
}

/// `DELETE /api/panels/{id}`.
///
/// # Errors
/// `not-found`.
pub async fn remove(
    State(state): State<PanelsState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
) -> Result<StatusCode, Refusal> {
    if !state.panels.remove(id).await.map_err(store)? {
        return Err(ProblemCode::NotFound.into());
    }
    state.tell_known().await?;
    state.audit.note(who.staff_name(), peer.0, "panel-remove", serde_json::json!({ "id": id })).await;
    Ok(DONE)
}

/// `POST /api/panel/report`.
///
/// # Errors
/// `bad-input` naming `lost` when it is longer than a stage.
pub async fn report(
    State(state): State<PanelsState>,
    who: Caller,
    Json(PanelReport { lost }): Json<PanelReport>,
) -> Result<StatusCode, Refusal> {
    let Who::Display { id } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    if lost.len() > 9 {
        return Err(Problem::new(ProblemCode::BadInput).field("lost").into());
    }
    state.room.apply(Input::PanelLost { panel: id, lost }).await?;
    Ok(DONE)
}

/// Body of `POST /api/sources`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    label: String,
}

/// How a program publishes.
#[derive(Debug, Serialize)]
pub struct SourceKey {
    source: classroom_protocol::SourceId,
    key: String,
    whip_url: String,
}

/// `POST /api/sources`: a WHIP key for a program, e.g. a document camera's or OBS.
///
/// # Errors
/// `bad-input` naming `label`, `full`.
pub async fn add_source(
    State(state): State<PanelsState>,
    who: Caller,
    peer: Peer,
    Json(NewSource { label }): Json<NewSource>,
) -> Result<(StatusCode, axum::Json<SourceKey>), Refusal> {
    let label = named(&label, "label")?;
    if state.sources.list().await.map_err(store)?.len() >= MOST {
        return Err(ProblemCode::Full.into());
    }
    let key = Token::random().map_err(|error| Refusal::internal(&error))?;
    let source = state.sources.add(label.clone(), Token::hash(key.reveal()), clock::now()).await.map_err(store)?;
    state.tell_known().await?;
    state
        .audit
        .note(who.staff_name(), peer.0, "source-add", serde_json::json!({ "source": source, "label": label }))
        .await;
    let base = state.facts.join_url.trim_end_matches("/join").to_owned();
    let whip_url = format!("{base}/whip/{source}");
    Ok((StatusCode::CREATED, axum::Json(SourceKey { source, key: key.reveal().to_owned(), whip_url })))
}

/// `DELETE /api/sources/{source}`.
///
/// # Errors
/// `not-found`.
pub async fn remove_source(
    State(state): State<PanelsState>,
    who: Caller,
    peer: Peer,
    Path(source): Path<String>,
) -> Result<StatusCode, Refusal> {
    let source: classroom_protocol::SourceId = source.parse().map_err(|_| ProblemCode::NotFound)?;
    if !state.sources.remove(source.clone()).await.map_err(store)? {
        return Err(ProblemCode::NotFound.into());
    }
    state.tell_known().await?;
    state.audit.note(who.staff_name(), peer.0, "source-remove", serde_json::json!({ "source": source })).await;
    Ok(DONE)
}
