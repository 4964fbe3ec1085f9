//! Students at home (R-LIVE-1): the personal link, the session that it opens, the raised hand.

use std::sync::Arc;

use appliance_core::{
    access::Who,
    home::HomePass as Pass,
    room::{Effect, Fresh, Input, Teacher},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use classroom_protocol::{
    HomeCommand, Problem, ProblemCode, Seat, TeacherCommand,
    view::{HomeLink, HomePass},
};
use serde::Deserialize;

use super::{
    audit::Auditor,
    gate::Peer,
    pages::qr_picture,
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    room::RoomHandle,
    staff::{BoxKey, Claims, Kind},
};

/// No lesson is longer than a school day; link and pass end with their lesson anyway.
const DAY_MS: u64 = 12 * 3_600_000;

/// What the routes of students at home need.
#[derive(Clone)]
pub struct HomeState {
    /// The room.
    pub room: RoomHandle,
    /// Signs links and passes.
    pub key: Arc<BoxKey>,
    /// Where homes reach the box, without a slash at the end.
    pub base: Arc<str>,
    /// Keeps what staff do.
    pub audit: Auditor,
}

/// `POST /api/seats/{seat}/home-link`: the personal link of a student. Asked again it gives the same link until it is taken
/// back. The link is in the fragment of the address, where no log and no proxy sees it.
///
/// # Errors
/// `no-lesson`, `not-holder`, `no-such-seat`.
pub async fn link(
    State(state): State<HomeState>,
    who: Caller,
    peer: Peer,
    Path(seat): Path<u8>,
) -> Result<axum::Json<HomeLink>, Refusal> {
    let seat = Seat::try_from(seat).map_err(|_| Problem::new(ProblemCode::NoSuchSeat).field("seat"))?;
    let Who::Staff { id, name, .. } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let teacher = name.clone();
    let input = Input::Teacher {
        who: Teacher { id, name },
        command: TeacherCommand::InviteHome { seat },
        class: None,
        fresh: Fresh { lesson: String::new(), code: String::new() },
    };
    let effects = state.room.apply(input).await?;
    let given = effects.into_iter().find_map(|effect| match effect {
        Effect::HomeLink { lesson, seat, link, name } => Some((lesson, seat, link, name)),
        _ => None,
    });
    let (lesson, seat, link, name) = given.ok_or(ProblemCode::Internal)?;
    state.audit.note(&teacher, peer.0, "home-link", serde_json::json!({ "seat": seat })).await;
    let claims = Claims { kind: Kind::HomeLink, lesson, seat: Some(seat), epoch: link, exp: clock::now() + DAY_MS };
    let url = format!("{}/home#link={}", state.base, state.key.sign(&claims));
    Ok(axum::Json(HomeLink { qr: qr_picture(&url)?, url, name }))
}

/// Body of `POST /api/home/join`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entering {
    #[serde(default)]
    take_over: bool,
}

/// `POST /api/home/join`: a link for the pass of one session. From which home a lesson was entered is kept.
///
/// # Errors
/// `no-lesson` when its lesson is over, `link-revoked`, `home-taken` while another session lives.
pub async fn join(
    State(state): State<HomeState>,
    who: Caller,
    peer: Peer,
    Json(Entering { take_over }): Json<Entering>,
) -> Result<axum::Json<HomePass>, Refusal> {
    let Who::HomeLink { lesson, seat, link } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let effects = state.room.apply(Input::HomeJoin { lesson, seat, link, take_over }).await?;
    let given = effects.into_iter().find_map(|effect| match effect {
        Effect::HomeGiven { pass, name } => Some((pass, name)),
        _ => None,
    });
    let (Pass { lesson, seat, session }, name) = given.ok_or(ProblemCode::Internal)?;
    let entered = serde_json::json!({ "lesson": lesson, "take_over": take_over });
    state.audit.note(seat.home_source().as_str(), peer.0, "home-join", entered).await;
    let claims = Claims { kind: Kind::Home, lesson, seat: Some(seat), epoch: session, exp: clock::now() + DAY_MS };
    Ok(axum::Json(HomePass { token: state.key.sign(&claims), seat, name, source: seat.home_source() }))
}

/// `POST /api/home/command`.
///
/// # Errors
/// Why the session is void: `no-lesson`, `link-revoked`, `home-taken`.
pub async fn command(
    State(state): State<HomeState>,
    who: Caller,
    Json(command): Json<HomeCommand>,
) -> Result<StatusCode, Refusal> {
    let Who::Home(pass) = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    state.room.apply(Input::Home { pass, command }).await?;
    Ok(DONE)
}
