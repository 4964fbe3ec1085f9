//! WHIP (RFC 9725) and WHEP: offers in, answers out; the forwarder does the rest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use appliance_core::access::Who;
use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Problem, ProblemCode, SourceId};
use serde::Deserialize;

use super::{
    reply::{DONE, Json, Refusal, text_of},
    routes::Caller,
};
use crate::{
    clock,
    media::{Answer, Layer, MediaError, MediaHandle, SessionId},
    relay::Relay,
    room::RoomHandle,
};

/// An SDP offer's bytes. Chromium's with all codecs has about 8 KiB.
pub const OFFER_BYTES: usize = 64 * 1024;
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What the media routes need.
#[derive(Clone)]
pub struct MediaState {
    /// The forwarder.
    pub media: MediaHandle,
    /// Says who may publish now.
    pub room: RoomHandle,
    /// Who made which session: only they may change or end it. At most as many as the forwarder serves.
    pub owners: Owners,
    /// The relay for students at home; those inside the room are not told of it.
    pub relay: Arc<Relay>,
}

/// So many owners are remembered: several times the sessions that a forwarder serves. Beyond that the oldest is forgotten,
/// as its session has ended without our hearing of it (the events of a thread that is swamped may be dropped).
const OWNERS: usize = 2048;

/// Who made which media session. They are forgotten when the session is no more.
#[derive(Clone, Default)]
pub struct Owners(Arc<Mutex<Owned>>);

#[derive(Default)]
struct Owned {
    by_session: HashMap<SessionId, (SourceId, String)>,
    /// The oldest first; may name some that are forgotten.
    order: VecDeque<SessionId>,
}

impl Owners {
    pub(crate) fn set(&self, session: SessionId, source: SourceId, owner: String) {
        let mut owned = self.lock();
        let Owned { by_session, order } = &mut *owned;
        if order.len() >= OWNERS {
            order.retain(|session| by_session.contains_key(session));
        }
        if order.len() >= OWNERS
            && let Some(oldest) = order.pop_front()
        {
            by_session.remove(&oldest);
        }
        order.push_back(session);
        by_session.insert(session, (source, owner));
    }

    /// Forgets a session that has ended.
    pub fn forget(&self, session: SessionId) {
        self.lock().by_session.remove(&session);
    }

    fn publishes(&self, source: &SourceId, owner: &str) -> bool {
        self.lock().by_session.values().any(|(of, by)| of == source && by == owner)
    }

    pub(crate) fn check(&self, session: SessionId, source: &SourceId, owner: &str) -> Result<(), ProblemCode> {
        match self.lock().by_session.get(&session) {
            Some((of, by)) if of == source && by == owner => Ok(()),
            // Whose session it is, is nobody's business.
            Some(_) | None => Err(ProblemCode::NotFound),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Owned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn source_of(text: &str) -> Result<SourceId, ProblemCode> {
    text.parse().map_err(|_| ProblemCode::NotFound)
}

fn refuse(error: MediaError) -> Refusal {
    match &error {
        MediaError::Internal(_) => Refusal::internal(&error),
        MediaError::SourceSilent => Problem::new(error.code()).retry_after(1).into(),
        MediaError::Full => Problem::new(error.code()).retry_after(5).into(),
        MediaError::BadSdp(why) => {
            tracing::info!(%why, "an offer was refused");
            error.code().into()
        }
        _ => error.code().into(),
    }
}

/// Who comes again may replace or end their own session, never another's.
fn owner(who: &Who) -> Result<String, ProblemCode> {
    who.key().ok_or(ProblemCode::NotAllowed)
}

/// `OPTIONS`: what is taken, and, for a student at home, the ICE servers (RFC 9725 §4.2, §4.6).
pub async fn options(State(state): State<MediaState>, who: Caller) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert("accept-post", HeaderValue::from_static(SDP));
    headers.insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    link(headers, &state.relay, &who);
    response
}

/// Names the relay to a student at home, with credentials of their own. The name in them is the seat, for the relay's log.
fn link(headers: &mut HeaderMap, relay: &Relay, who: &Who) {
    let Who::Home(pass) = who else { return };
    for server in relay.links(pass.seat.home_source().as_str(), clock::now()) {
        match HeaderValue::try_from(server) {
            Ok(server) => drop(headers.append(header::LINK, server)),
            Err(error) => tracing::error!(%error, "[home] relays: an address can't stand in a header"),
        }
    }
}

fn created(state: &MediaState, who: &Who, path: &str, answer: Answer) -> Result<Response, Refusal> {
    let mut response = (StatusCode::CREATED, answer.sdp).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert("accept-patch", HeaderValue::from_static(FRAGMENT));
    let location = HeaderValue::try_from(format!("{path}/{}", answer.session));
    headers.insert(header::LOCATION, location.map_err(|error| Refusal::internal(&error))?);
    headers.insert(header::ETAG, HeaderValue::try_from(answer.etag).map_err(|error| Refusal::internal(&error))?);
    link(headers, &state.relay, who);
    Ok(response)
}

/// `POST /whip/{source}`.
///
/// # Errors
/// `not-allowed` for another's source, `no-lesson`, `not-approved`, `not-holder`, `source-busy`, `bad-sdp`, `full`.
pub async fn publish(
    State(state): State<MediaState>,
    who: Caller,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let source = source_of(&source)?;
    if who.publishes().as_ref() != Some(&source) {
        return Err(ProblemCode::NotAllowed.into());
    }
    let room = state.room.now();
    match &who.0 {
        Who::Student(pass) | Who::SeatKey(pass) => room.may_publish(pass)?,
        Who::Home(pass) => room.may_speak(pass)?,
        Who::Staff { id, .. } => room.may_publish_as_staff(Some(*id))?,
        _ => room.may_publish_as_staff(None)?,
    }
    let offer = text_of(request, SDP).await?;
    let owner = owner(&who)?;
    let again = state.owners.publishes(&source, &owner);
    let answer = state.media.publish(source.clone(), offer, again).await.map_err(refuse)?;
    state.owners.set(answer.session, source.clone(), owner);
    created(&state, &who, &format!("/whip/{source}"), answer)
}

/// `POST /whep/{source}`; `program` is what students at home are given, whatever that is at the time.
///
/// # Errors
/// `not-allowed` for a student at home who asks for anything else; `source-silent` with `Retry-After`, `bad-sdp`, `full`.
pub async fn view(
    State(state): State<MediaState>,
    who: Caller,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let source = source_of(&source)?;
    if !who.views(&source) {
        return Err(ProblemCode::NotAllowed.into());
    }
    let offer = text_of(request, SDP).await?;
    let answer = if source == SourceId::program() {
        // A student at home has one program session: a page that comes anew replaces its own.
        let own = who.publishes().filter(|_| matches!(who.0, Who::Home(_)));
        if own.is_some() {
            state.media.close_followers(own.clone()).await.map_err(refuse)?;
        }
        state.media.view_program(offer, own).await
    } else {
        state.media.view(source.clone(), offer).await
    };
    let answer = answer.map_err(refuse)?;
    // The lesson may have ended, or the link been taken back, while the session was made: nobody else would close it.
    if let Who::Home(pass) = &who.0
        && !state.room.now().holds_home(pass)
    {
        state.media.close(answer.session).await.map_err(refuse)?;
        return Err(ProblemCode::SignedOut.into());
    }
    state.owners.set(answer.session, source.clone(), owner(&who)?);
    created(&state, &who, &format!("/whep/{source}"), answer)
}

fn own(state: &MediaState, who: &Who, source: &str, session: &str) -> Result<SessionId, Refusal> {
    let source = source_of(source)?;
    let session: SessionId = session.parse().map_err(refuse)?;
    state.owners.check(session, &source, &owner(who)?)?;
    Ok(session)
}

/// `PATCH` of a session: trickled candidates (`If-Match` with the entity tag) or an ICE restart (`If-Match: *`),
/// RFC 9725 §4.3.
///
/// # Errors
/// `not-found`, `stale-etag`, `bad-sdp`; 428 as `bad-input` naming `if-match` when the header is missing.
pub async fn patch(
    State(state): State<MediaState>,
    who: Caller,
    Path((source, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let session = own(&state, &who, &source, &session)?;
    let condition = request.headers().get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let fragment = text_of(request, FRAGMENT).await?;
    match condition.as_deref() {
        None => Err(Problem { status: 428, ..Problem::new(ProblemCode::BadInput).field("if-match") }.into()),
        Some("*") => {
            let (fragment, etag) = state.media.restart(session, fragment).await.map_err(refuse)?;
            let mut response = (StatusCode::OK, fragment).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            headers.insert(header::ETAG, HeaderValue::try_from(etag).map_err(|error| Refusal::internal(&error))?);
            Ok(response)
        }
        Some(etag) => {
            state.media.trickle(session, etag, fragment).await.map_err(refuse)?;
            Ok(DONE.into_response())
        }
    }
}

/// `DELETE` of a session.
///
/// # Errors
/// `not-found`.
pub async fn close(
    State(state): State<MediaState>,
    who: Caller,
    Path((source, session)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let session = own(&state, &who, &source, &session)?;
    state.media.close(session).await.map_err(refuse)?;
    state.owners.forget(session);
    Ok(StatusCode::OK)
}

/// Body of `POST /whep/{source}/{session}/layer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Most {
    max: Size,
}

/// A simulcast layer by its rid.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Size {
    L,
    M,
    H,
}

/// `POST /whep/{source}/{session}/layer`: the highest simulcast layer that this viewer has a use for.
///
/// # Errors
/// `not-found`, `bad-input`.
pub async fn layer(
    State(state): State<MediaState>,
    who: Caller,
    Path((source, session)): Path<(String, String)>,
    Json(Most { max }): Json<Most>,
) -> Result<StatusCode, Refusal> {
    let session = own(&state, &who, &source, &session)?;
    let max = match max {
        Size::L => Layer::Low,
        Size::M => Layer::Middle,
        Size::H => Layer::High,
    };
    state.media.set_max_layer(session, max).await.map_err(refuse)?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn owners_are_bounded_and_the_oldest_is_forgotten() {
        let owners = Owners::default();
        let source: SourceId = "seat-01".parse().unwrap();
        let sessions: Vec<SessionId> = (0..OWNERS + 3).map(|_| SessionId::random().unwrap()).collect();
        for session in &sessions {
            owners.set(*session, source.clone(), "student".into());
        }
        assert_eq!(owners.lock().by_session.len(), OWNERS);
        assert!(owners.check(sessions[2], &source, "student").is_err());
        assert!(owners.check(sessions[3], &source, "student").is_ok());
        // Those that ended make room.
        sessions[3..].iter().skip(1).for_each(|session| owners.forget(*session));
        owners.set(sessions[0], source.clone(), "student".into());
        assert!(owners.check(sessions[3], &source, "student").is_ok());
        assert_eq!(owners.lock().order.len(), 2);
    }
}
