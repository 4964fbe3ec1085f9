//! A personal link with which a student or a guardian reads the text and signs it on a page.

use appliance_core::register::{Party, Register, Signature, Way, consent};
use axum::{extract::State, http::StatusCode};
use classroom_protocol::{Millis, Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{RegisterState, store};
use crate::{
    clock,
    staff::Token,
    store::ConsentLink,
    web::{
        gate::Peer,
        reply::{DONE, Json, Refusal},
        routes::Caller,
    },
};

/// A link is good for two weeks: papers that go home take a weekend or two.
const LASTS: Millis = 14 * 24 * 3_600_000;

/// For whom a link is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    student: i64,
    party: Party,
}

/// A new link.
#[derive(Debug, Serialize)]
pub struct Link {
    url: String,
    expires_at: Millis,
}

/// What the link's page shows.
#[derive(Debug, Serialize)]
pub struct ToSign {
    student: String,
    class: String,
    party: Party,
    version: u32,
    title: String,
    body: String,
    /// This very signature stands already.
    signed: bool,
}

/// The token of a link; it stands behind the `#`, so no log has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    token: String,
}

/// The signature on the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignBody {
    token: String,
    /// The version that was read.
    version: u32,
}

/// `POST /api/school/consent-links`. An earlier link for the same signature is void from then on.
///
/// # Errors
/// `not-found`, `old-text` when no text was published yet.
pub async fn issue(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(Signer { student, party }): Json<Signer>,
) -> Result<(StatusCode, axum::Json<Link>), Refusal> {
    let register = state.registers.load().await.map_err(store)?;
    if !register.students.contains_key(&student) {
        return Err(Problem::new(ProblemCode::NotFound).field("student").into());
    }
    if register.texts.is_empty() {
        return Err(ProblemCode::OldText.into());
    }
    let token = Token::random().map_err(|error| Refusal::internal(&error))?;
    let expires_at = clock::now() + LASTS;
    let link = ConsentLink { student, party, expires_at, used_at: None };
    state.registers.issue_link(Token::hash(token.reveal()), link).await.map_err(store)?;
    let detail = serde_json::json!({ "student": student, "party": party });
    state.audit.note(who.staff_name(), peer.0, "consent-link", detail).await;
    let url = format!("{}/consent#{}", state.base(), token.reveal());
    Ok((StatusCode::CREATED, axum::Json(Link { url, expires_at })))
}

/// Whether a link works at `now`, as the core's rule for it: once, in its time.
fn good(link: Option<ConsentLink>, now: Millis) -> Result<ConsentLink, ProblemCode> {
    link.filter(|link| link.used_at.is_none() && now < link.expires_at).ok_or(ProblemCode::LinkVoid)
}

/// `POST /api/consent/read`: the text behind a link.
///
/// # Errors
/// `link-void`.
pub async fn read_link(
    State(state): State<RegisterState>,
    Json(Proof { token }): Json<Proof>,
) -> Result<axum::Json<ToSign>, Refusal> {
    let link = good(state.registers.link(Token::hash(&token)).await.map_err(store)?, clock::now())?;
    let register = state.registers.load().await.map_err(store)?;
    let student = register.students.get(&link.student).ok_or(ProblemCode::LinkVoid)?;
    let text = register.texts.values().next_back().ok_or(ProblemCode::LinkVoid)?;
    let class = student.place.and_then(|(class, _)| register.classes.get(&class)).cloned();
    let signed = register.signatures.iter().any(|s| {
        (s.student, s.party, s.version) == (link.student, link.party, text.version) && s.withdrawn_at.is_none()
    });
    Ok(axum::Json(ToSign {
        student: student.name.clone(),
        class: class.unwrap_or_default(),
        party: link.party,
        version: text.version,
        title: text.title.clone(),
        body: text.body.clone(),
        signed,
    }))
}

/// `POST /api/consent/sign`: the one who holds the link signs the version that was read.
///
/// # Errors
/// `link-void`, `old-text` when there is a newer version by now.
pub async fn sign_link(
    State(state): State<RegisterState>,
    peer: Peer,
    Json(SignBody { token, version }): Json<SignBody>,
) -> Result<StatusCode, Refusal> {
    let now = clock::now();
    let decide = move |register: &Register, link: Option<ConsentLink>| {
        let link = good(link, now)?;
        if register.texts.keys().next_back() != Some(&version) {
            return Err(ProblemCode::OldText);
        }
        let by = String::new();
        let (student, party) = (link.student, link.party);
        consent::sign(register, Signature { student, party, version, way: Way::Page, at: now, by, withdrawn_at: None })
    };
    state.registers.sign_by_link(Token::hash(&token), now, decide).await.map_err(store)??;
    state.audit.note("", peer.0, "consent-sign-page", serde_json::json!({ "version": version })).await;
    Ok(DONE)
}
