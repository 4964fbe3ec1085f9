//! Teachers' accounts: the first sign-in by a one-time code, then account and password.

use std::sync::Arc;

use appliance_core::{
    access::{Roles, Who},
    names,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Millis, Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    audit::Auditor,
    gate::{COOKIE, Gate, Guesses, Peer, Via},
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    staff::{BoxKey, Passwords, Token, check_password, setup_code},
    store::{Accounts, Codes, Failures, NewStaff, Purpose, StaffId, StoreError},
};

/// The longest account and the longest name of staff, in characters.
const NAME_CHARS: usize = 40;
/// An invitation of a further teacher is good for this long.
const INVITE_MS: u64 = 24 * 3_600_000;

/// What the accounts' routes need.
#[derive(Clone)]
pub struct StaffState {
    /// The accounts.
    pub accounts: Accounts,
    /// The one-time codes.
    pub codes: Codes,
    /// Hashes codes.
    pub key: Arc<BoxKey>,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Counts wrong passwords by account and address, and wrong codes by address (R-DATA-6: 5 failures, then 15 minutes).
    pub sign_ins: Guesses,
    /// Counts wrong passwords by account, from all addresses together. Many more, so that who knocks from one address does
    /// not lock out the person whose account it is.
    pub accounts_tried: Guesses,
    /// Keeps the wrong passwords, so that a restart does not clear them.
    pub failures: Failures,
    /// Idle time after which a session ends.
    pub idle: Millis,
    /// Finds the cookie of who signs out.
    pub gate: Gate,
    /// Keeps what staff do.
    pub audit: Auditor,
    /// Told when the first account is made.
    pub setup: Arc<watch::Sender<bool>>,
}

/// Body of `POST /api/staff/first-sign-in`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSignIn {
    code: String,
    account: String,
    name: String,
    password: String,
}

/// Body of `POST /api/staff/sign-in`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    account: String,
    password: String,
}

/// A one-time code for a further account.
#[derive(Serialize)]
pub struct Invite {
    code: String,
}

/// Body of `POST /api/staff/invite`: the roles of the new account; a teacher when none is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteAs {
    #[serde(default)]
    roles: Option<Roles>,
}

/// Who is signed in.
#[derive(Serialize)]
pub struct Me {
    name: String,
    roles: Roles,
}

/// An account's name: 1 to 40 characters without spaces at its ends.
fn account_of(text: &str) -> Option<String> {
    names::name(text, NAME_CHARS).filter(|text| !text.chars().any(char::is_whitespace))
}

fn store(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}

/// `POST /api/staff/first-sign-in`: a one-time code makes an account and signs it in. One that the box's console issued for
/// an account that there is (`appliance invite ACCOUNT`) sets its new password instead, and the name stays as it is.
///
/// # Errors
/// `wrong-code`, `weak-password`, `bad-input` naming `account` (taken or malformed) or `name`, `too-many-tries`.
pub async fn first_sign_in(
    State(state): State<StaffState>,
    peer: Peer,
    via: axum::Extension<Via>,
    Json(body): Json<FirstSignIn>,
) -> Result<Response, Refusal> {
    let now = clock::now();
    let account = account_of(&body.account).ok_or_else(|| Problem::new(ProblemCode::BadInput).field("account"))?;
    let name = names::name(&body.name, NAME_CHARS).ok_or_else(|| Problem::new(ProblemCode::BadInput).field("name"))?;
    check_password(&account, &body.password).map_err(|_| Problem::new(ProblemCode::WeakPassword).field("password"))?;
    state.sign_ins.attempt(&format!("code from {}", peer.slate()), now)?;
    let password = state.passwords.hash(body.password).await.map_err(|error| Refusal::internal(&error))?;
    let hash = state.key.hash_code(&body.code);
    let again = state.accounts.set_password_with_code(hash, account.clone(), password.clone(), now);
    if let Ok(id) = again.await.map_err(store)? {
        state.sign_ins.succeeded(&format!("code from {}", peer.slate()));
        let slate = account.to_lowercase();
        state.accounts_tried.succeeded(&slate);
        forgive(&state, &slate, peer).await?;
        state.audit.note(&account, peer.0, "staff-new-password", serde_json::Value::Null).await;
        return signed_in(&state, id, *via).await;
    }
    let new = NewStaff { account: account.clone(), name: name.clone(), password, roles: Roles::TEACHER };
    let mut made = Err(None);
    for purpose in Purpose::ACCOUNT {
        let new = NewStaff { roles: purpose.roles(), ..new.clone() };
        match state.accounts.create_with_code(hash, purpose, new, now).await {
            Ok(Ok(id)) => {
                made = Ok(id);
                break;
            }
            Ok(Err(why)) => made = Err(Some(why)),
            Err(StoreError::Taken) => return Err(Problem::new(ProblemCode::BadInput).field("account").into()),
            Err(error) => return Err(store(error)),
        }
    }
    let id = made.map_err(|_| Problem::new(ProblemCode::WrongCode).field("code"))?;
    state.sign_ins.succeeded(&format!("code from {}", peer.slate()));
    // The first account ends the set-up: a code that is still about is void.
    state.codes.revoke(Purpose::FirstSignIn).await.map_err(store)?;
    state.setup.send_replace(false);
    state.audit.note(&name, peer.0, "staff-create", serde_json::json!({ "account": account })).await;
    signed_in(&state, id, *via).await
}

/// `POST /api/staff/sign-in`.
///
/// # Errors
/// `wrong-password`, `too-many-tries`.
pub async fn sign_in(
    State(state): State<StaffState>,
    peer: Peer,
    via: axum::Extension<Via>,
    Json(body): Json<SignIn>,
) -> Result<Response, Refusal> {
    let now = clock::now();
    let account = account_of(&body.account).ok_or(ProblemCode::WrongPassword)?;
    // Upper and lower case are one account.
    let slate = account.to_lowercase();
    let own = slate_of(&slate, peer);
    state.sign_ins.attempt(&own, now)?;
    if let Some(tally) = state.sign_ins.tally(&own) {
        state.failures.save(own, tally, now).await.map_err(store)?;
    }
    state.accounts_tried.attempt(&slate, now)?;
    let known = state.accounts.by_account(account.clone()).await.map_err(store)?;
    // An unknown account takes as long as a wrong password, so that nobody learns which accounts there are.
    let hash = known.as_ref().map(|staff| staff.password.clone());
    // A password typed into the wrong field is no account, and is not kept.
    let named = if known.is_some() { account.as_str() } else { UNKNOWN };
    let right = state.passwords.verify(hash, body.password).await.map_err(|error| Refusal::internal(&error))?;
    let Some(staff) = known.filter(|_| right) else {
        state.audit.note(named, peer.0, "staff-sign-in-failed", serde_json::Value::Null).await;
        return Err(ProblemCode::WrongPassword.into());
    };
    state.accounts_tried.succeeded(&slate);
    forgive(&state, &slate, peer).await?;
    state.audit.note(&staff.name, peer.0, "staff-sign-in", serde_json::Value::Null).await;
    signed_in(&state, staff.id, *via).await
}

/// Stands in the audit for an account that there is not.
const UNKNOWN: &str = "?";

/// Where the wrong passwords of an account from one address are counted.
fn slate_of(account: &str, peer: Peer) -> String {
    format!("{account} from {}", peer.slate())
}

/// The person has come in: what went wrong from this address counts no more.
async fn forgive(state: &StaffState, account: &str, peer: Peer) -> Result<(), Refusal> {
    let own = slate_of(account, peer);
    state.sign_ins.succeeded(&own);
    state.failures.clear(own).await.map_err(store)
}

async fn signed_in(state: &StaffState, id: StaffId, via: Via) -> Result<Response, Refusal> {
    let token = Token::random().map_err(|error| Refusal::internal(&error))?;
    let token = token.reveal();
    state.accounts.open_session(Token::hash(token), id, clock::now(), state.idle).await.map_err(store)?;
    let secure = if via == Via::Tls { "; Secure" } else { "" };
    Ok(with_cookie(&format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")))
}

fn with_cookie(cookie: &str) -> Response {
    let mut response = DONE.into_response();
    if let Ok(value) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// `POST /api/staff/sign-out`.
///
/// # Errors
/// `internal` when the store fails.
pub async fn sign_out(
    State(state): State<StaffState>,
    who: Caller,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(cookie) = state.gate.proof(&headers).cookie() {
        state.accounts.close_session(Token::hash(cookie)).await.map_err(store)?;
    }
    if let Who::Staff { name, .. } = &who.0 {
        state.audit.note(name, peer.0, "staff-sign-out", serde_json::Value::Null).await;
    }
    Ok(with_cookie(&format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")))
}

/// `GET /api/staff/me`: who is signed in, and with which roles.
///
/// # Errors
/// None beyond the gate's.
pub async fn me(who: Caller) -> Result<axum::Json<Me>, Refusal> {
    let Who::Staff { name, roles, .. } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    Ok(axum::Json(Me { name, roles }))
}

/// `POST /api/staff/invite`: a one-time code with which a further member of staff makes an account. Nobody gives a role
/// that they do not have.
///
/// # Errors
/// `bad-input` naming `roles` when it is no role, `not-allowed` for a role that the inviter does not have.
pub async fn invite(
    State(state): State<StaffState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<InviteAs>,
) -> Result<(StatusCode, axum::Json<Invite>), Refusal> {
    let Who::Staff { name, roles: own, .. } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let roles = body.roles.unwrap_or(if own.teacher { Roles::TEACHER } else { Roles::OFFICE });
    let purpose = match (roles.teacher, roles.office) {
        (true, true) => Purpose::InviteBoth,
        (true, false) => Purpose::Invite,
        (false, true) => Purpose::InviteOffice,
        (false, false) => return Err(Problem::new(ProblemCode::BadInput).field("roles").into()),
    };
    if roles.teacher && !own.teacher || roles.office && !own.office {
        return Err(Problem::new(ProblemCode::NotAllowed).field("roles").into());
    }
    let code = one_time_code(&state.codes, &state.key, purpose, INVITE_MS).await?;
    state.audit.note(name, peer.0, "staff-invite", serde_json::json!({ "roles": roles })).await;
    Ok((StatusCode::CREATED, axum::Json(Invite { code })))
}

/// Issues a one-time code that is good for `lasts` milliseconds.
///
/// # Errors
/// `internal` when there is no randomness or the store fails.
pub async fn one_time_code(codes: &Codes, key: &BoxKey, purpose: Purpose, lasts: u64) -> Result<String, Refusal> {
    let code = setup_code().map_err(|error| Refusal::internal(&error))?;
    let now = clock::now();
    codes.issue(key.hash_code(&code), purpose, now, now + lasts).await.map_err(store)?;
    Ok(code)
}
