//! What the office does by hand: one device, one student, signatures, loans.

use appliance_core::{
    calendar,
    register::{
        Condition, DeviceFacts, Kind, Mac, Party, Register, Signature, State as DeviceState, StudentNumber, Way,
        consent, device, loan, roster, text,
    },
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use classroom_protocol::{Problem, ProblemCode, Seat};
use serde::Deserialize;

use super::{RegisterState, at_field, imports::device_code};
use crate::{
    clock,
    web::{
        gate::Peer,
        reply::{DONE, Json, Refusal},
        routes::Caller,
    },
};

/// Signatures that one request may bring: a class, both parties.
const SIGNATURES: usize = 200;

fn bad(field: &str) -> Problem {
    Problem::new(ProblemCode::BadInput).field(field)
}

/// A device as the page sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceBody {
    kind: Kind,
    #[serde(default)]
    mac: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    spare: bool,
    state: Option<DeviceState>,
}

impl DeviceBody {
    fn facts(self, code: String, state: DeviceState) -> Result<DeviceFacts, Problem> {
        let mac = match self.mac.parse::<Mac>() {
            Ok(mac) => Some(mac),
            Err(text::Wrong::Empty) => None,
            Err(_) => return Err(bad("mac")),
        };
        let tag = text::tag(&self.tag).map_err(|_| bad("tag"))?;
        Ok(DeviceFacts { code, kind: self.kind, mac, tag, spare: self.spare, state: self.state.unwrap_or(state) })
    }
}

/// `POST /api/school/devices`.
///
/// # Errors
/// `bad-input` naming `mac` or `tag`.
pub async fn add_device(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<DeviceBody>,
) -> Result<StatusCode, Refusal> {
    let facts = body.facts(device_code()?, DeviceState::Ready)?;
    let detail = serde_json::json!({ "device": facts.code });
    let decide = move |register: &Register| device::put(register, None, facts, clock::now()).map_err(at_field);
    state.deed(&who, peer, "device-add", detail, decide).await?;
    Ok(StatusCode::CREATED)
}

/// `PUT /api/school/devices/{id}`. The code stays: it is on the label.
///
/// # Errors
/// `not-found`, `bad-input` naming `mac` or `tag`, `device-lent`.
pub async fn put_device(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
    Json(body): Json<DeviceBody>,
) -> Result<StatusCode, Refusal> {
    let detail = serde_json::json!({ "device": id, "state": body.state });
    let decide = move |register: &Register| {
        let old = register.devices.get(&id).ok_or(ProblemCode::NotFound)?;
        let facts = body.facts(old.facts.code.clone(), old.facts.state)?;
        device::put(register, Some(id), facts, clock::now()).map_err(at_field)
    };
    state.deed(&who, peer, "device-change", detail, decide).await?;
    Ok(DONE)
}

/// A student as the page sends one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentBody {
    #[serde(default)]
    number: String,
    name: String,
    class: i64,
    seat: Seat,
}

/// `PUT /api/school/students/{id}`.
///
/// # Errors
/// `not-found`, `bad-input` naming `number` or `name`, `seat-taken`.
pub async fn put_student(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
    Json(body): Json<StudentBody>,
) -> Result<StatusCode, Refusal> {
    let number = match body.number.parse::<StudentNumber>() {
        Ok(number) => Some(number),
        Err(text::Wrong::Empty) => None,
        Err(_) => return Err(bad("number").into()),
    };
    let name = text::name(&body.name).map_err(|_| bad("name"))?;
    let decide =
        move |register: &Register| roster::put(register, id, number, name, body.class, body.seat).map_err(at_field);
    state.deed(&who, peer, "student-change", serde_json::json!({ "student": id }), decide).await?;
    Ok(DONE)
}

/// A new version of the consent text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextBody {
    title: String,
    body: String,
    /// Everyone has to sign again.
    renew: bool,
}

/// `POST /api/school/consent-texts`.
///
/// # Errors
/// `bad-input` naming `title` or `body`.
pub async fn publish(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<TextBody>,
) -> Result<StatusCode, Refusal> {
    let by = who.staff_name().to_owned();
    let detail = serde_json::json!({ "title": body.title, "renew": body.renew });
    let decide = move |register: &Register| {
        consent::publish(register, &body.title, &body.body, body.renew, clock::now(), &by).map_err(bad)
    };
    state.deed(&who, peer, "consent-text", detail, decide).await?;
    Ok(StatusCode::CREATED)
}

/// Signatures on paper.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignaturesBody {
    version: u32,
    signatures: Vec<Signer>,
}

/// Who signed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    student: i64,
    party: Party,
}

/// `POST /api/school/consents`: signatures on paper are recorded.
///
/// # Errors
/// `not-found` naming the line, `old-text`, `bad-input` when there are too many.
pub async fn sign(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<SignaturesBody>,
) -> Result<StatusCode, Refusal> {
    if body.signatures.len() > SIGNATURES {
        return Err(bad("signatures").into());
    }
    for (line, Signer { student, party }) in body.signatures.into_iter().enumerate() {
        let by = who.staff_name().to_owned();
        let signature = Signature {
            student,
            party,
            version: body.version,
            way: Way::Paper,
            at: clock::now(),
            by,
            withdrawn_at: None,
        };
        let detail = serde_json::json!({ "student": student, "party": party, "version": body.version });
        let decide = move |register: &Register| {
            consent::sign(register, signature).map_err(|code| Problem::new(code).field(format!("signatures[{line}]")))
        };
        state.deed(&who, peer, "consent-sign", detail, decide).await?;
    }
    Ok(DONE)
}

/// `POST /api/school/withdrawals`: a party withdraws; the loan stops (R-POL-23).
///
/// # Errors
/// `not-found` when there is nothing to withdraw.
pub async fn withdraw(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(Signer { student, party }): Json<Signer>,
) -> Result<StatusCode, Refusal> {
    let by = who.staff_name().to_owned();
    let detail = serde_json::json!({ "student": student, "party": party });
    let decide = move |register: &Register| Ok(consent::withdraw(register, student, party, clock::now(), &by)?);
    state.deed(&who, peer, "consent-withdraw", detail, decide).await?;
    Ok(DONE)
}

/// A loan as the page sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoanBody {
    student: i64,
    device: i64,
    /// Last day, `YYYY-MM-DD`.
    due: String,
}

/// `POST /api/school/loans`.
///
/// # Errors
/// `bad-input` naming `due`, and why the loan may not be: R-POL-23 and R-POL-24.
pub async fn lend(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<LoanBody>,
) -> Result<StatusCode, Refusal> {
    let due = calendar::day(&body.due).ok_or_else(|| bad("due"))?.ends() - 1;
    let by = who.staff_name().to_owned();
    let detail = serde_json::json!({ "student": body.student, "device": body.device, "due": body.due });
    let decide = move |register: &Register| {
        loan::lend(register, body.student, body.device, due, clock::now(), &by).map_err(|code| match code {
            ProblemCode::BadInput => bad("due"),
            other => Problem::new(other),
        })
    };
    state.deed(&who, peer, "loan-lend", detail, decide).await?;
    Ok(StatusCode::CREATED)
}

/// How a device comes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnBody {
    condition: Condition,
}

/// `POST /api/school/loans/{id}/return`.
///
/// # Errors
/// `not-found` when the loan has ended already.
pub async fn take_back(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
    Json(ReturnBody { condition }): Json<ReturnBody>,
) -> Result<StatusCode, Refusal> {
    let by = who.staff_name().to_owned();
    let detail = serde_json::json!({ "loan": id, "condition": condition });
    let decide = move |register: &Register| Ok(loan::take_back(register, id, condition, clock::now(), &by)?);
    state.deed(&who, peer, "loan-return", detail, decide).await?;
    Ok(DONE)
}
