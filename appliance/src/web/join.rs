//! The students' way in: room code, seat, then asking and thumbnails.

use std::sync::Arc;

use appliance_core::{
    access::Who,
    room::{Effect, Facts, Input, Pass},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use classroom_protocol::{
    Problem, ProblemCode, StudentCommand,
    view::{JoinTicket, RoomInfo, SeatPass},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    gate::{Guesses, Peer},
    reply::{self, DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    keeping::Keeping,
    room::RoomHandle,
    staff::{BoxKey, Claims, Kind},
    thumbnails::Thumbnails,
};

/// A ticket is good for this long: choosing one's name takes a minute, asking a neighbour takes some more.
const TICKET_MS: u64 = 10 * 60_000;
/// No lesson is longer than a school day; the pass ends with the lesson anyway.
const PASS_MS: u64 = 12 * 3_600_000;
/// A thumbnail's bytes.
pub const THUMBNAIL_BYTES: usize = 64 * 1024;

/// What the students' routes need.
#[derive(Clone)]
pub struct JoinState {
    /// The room.
    pub room: RoomHandle,
    /// Signs tickets and passes.
    pub key: Arc<BoxKey>,
    /// Counts wrong room codes.
    pub guesses: Guesses,
    /// The room's name and address.
    pub facts: Arc<Facts>,
    /// The newest picture of each seat.
    pub thumbnails: Thumbnails,
    /// Whether the first teacher account is still to be made.
    pub setup: watch::Receiver<bool>,
    /// Whether the box began anew.
    pub keeping: Keeping,
}

/// `GET /api/room`.
pub async fn room(State(state): State<JoinState>) -> axum::Json<RoomInfo> {
    let facts = &state.facts;
    axum::Json(RoomInfo {
        name: facts.room.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        join_url: facts.join_url.clone(),
        lesson: state.room.now().lesson_id().is_some(),
        setup: *state.setup.borrow(),
        set_aside: state.keeping.now().set_aside.is_some(),
    })
}

/// Body of `POST /api/join`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    code: String,
}

/// `POST /api/join`: the room code for a ticket and the list of seats.
///
/// # Errors
/// `no-lesson`, `wrong-code`, `locked`; `too-many-tries` for who guesses.
pub async fn join(
    State(state): State<JoinState>,
    peer: Peer,
    Json(Code { code }): Json<Code>,
) -> Result<axum::Json<JoinTicket>, Refusal> {
    let now = clock::now();
    let room = state.room.now();
    if room.lesson_id().is_none() {
        // Nothing to guess: a class that types its code too early must not be made to wait for it.
        return Err(ProblemCode::NoLesson.into());
    }
    let guesser = peer.slate();
    // With a new code, a new lesson's too, nobody is any closer to it than before.
    state.guesses.about(room.code().unwrap_or_default());
    state.guesses.attempt(&guesser, now)?;
    let lesson = match room.check_code(code.trim()) {
        Ok(lesson) => {
            state.guesses.succeeded(&guesser);
            lesson.to_owned()
        }
        Err(ProblemCode::WrongCode) => {
            return Err(Problem::new(ProblemCode::WrongCode).field("code").into());
        }
        Err(other) => {
            state.guesses.succeeded(&guesser);
            return Err(other.into());
        }
    };
    let claims = Claims { kind: Kind::Ticket, lesson, seat: None, epoch: 0, exp: now + TICKET_MS };
    Ok(axum::Json(JoinTicket {
        ticket: state.key.sign(&claims),
        class_name: room.class_name().unwrap_or_default().to_owned(),
        seats: room.open_seats(),
    }))
}

/// Body of `POST /api/join/seat`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    seat: classroom_protocol::Seat,
}

/// `POST /api/join/seat`: a ticket and a choice for the pass of that seat.
///
/// # Errors
/// `seat-taken`, `no-such-seat`, `locked`, `no-lesson`, `signed-out` when the lesson is another one by now.
pub async fn seat(
    State(state): State<JoinState>,
    who: Caller,
    Json(Choice { seat }): Json<Choice>,
) -> Result<axum::Json<SeatPass>, Refusal> {
    let Who::Ticket { lesson } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let effects = state.room.apply(Input::TakeSeat { lesson, seat }).await.map_err(|code| {
        let problem = Problem::new(code);
        if code == ProblemCode::NoSuchSeat { problem.field("seat") } else { problem }
    })?;
    let given = effects.into_iter().find_map(|effect| match effect {
        Effect::SeatGiven { pass, name } => Some((pass, name)),
        _ => None,
    });
    let (pass, name) = given.ok_or(ProblemCode::Internal)?;
    Ok(axum::Json(SeatPass {
        token: state.key.sign(&claims(&pass, Kind::Student)),
        seat: pass.seat,
        name,
        source: pass.seat.source(),
    }))
}

fn claims(pass: &Pass, kind: Kind) -> Claims {
    Claims { kind, lesson: pass.lesson.clone(), seat: Some(pass.seat), epoch: pass.epoch, exp: clock::now() + PASS_MS }
}

fn student(who: Caller) -> Result<Pass, ProblemCode> {
    if let Who::Student(pass) = who.0 { Ok(pass) } else { Err(ProblemCode::NotAllowed) }
}

/// `POST /api/student/command`.
///
/// # Errors
/// Why it may not happen, with its rule.
pub async fn command(
    State(state): State<JoinState>,
    who: Caller,
    Json(command): Json<StudentCommand>,
) -> Result<StatusCode, Refusal> {
    let pass = student(who)?;
    state.room.apply(Input::Student { pass, command }).await?;
    Ok(DONE)
}

/// `PUT /api/student/thumbnail`: a JPEG of at most 64 KiB, from who asks or shares.
///
/// # Errors
/// `wrong-content-type`, `too-large`, `bad-input` when it is no JPEG, `not-approved` from who does not ask.
pub async fn thumbnail(State(state): State<JoinState>, who: Caller, request: Request) -> Result<StatusCode, Refusal> {
    if reply::content_type(&request).is_none_or(|kind| kind != "image/jpeg") {
        return Err(ProblemCode::WrongContentType.into());
    }
    let pass = student(who)?;
    let picture = reply::body(request, &()).await?;
    // Only teachers' browsers ever look at it, as an image and nothing else; still, keep out what is plainly none.
    if !picture.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(Problem::new(ProblemCode::BadInput).field("body").into());
    }
    let seat = pass.seat;
    let version = state.thumbnails.keep(seat, picture);
    if let Err(code) = state.room.apply(Input::Thumbnail { pass, version }).await {
        state.thumbnails.forget(seat, version);
        return Err(code.into());
    }
    Ok(DONE)
}

/// A key for a program that publishes for the seat.
#[derive(Debug, Serialize)]
pub struct WhipKey {
    key: String,
    whip_url: String,
}

/// `POST /api/student/whip-key`: for tablets whose browser can't share the screen.
///
/// # Errors
/// `not-allowed`.
pub async fn whip_key(State(state): State<JoinState>, who: Caller) -> Result<axum::Json<WhipKey>, Refusal> {
    let pass = student(who)?;
    let base = state.facts.join_url.trim_end_matches("/join").to_owned();
    Ok(axum::Json(WhipKey {
        whip_url: format!("{base}/whip/{}", pass.seat.source()),
        key: state.key.sign(&claims(&pass, Kind::WhipKey)),
    }))
}
