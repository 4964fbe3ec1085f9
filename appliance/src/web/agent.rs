//! Take-home devices (R-POL-3, -12, -14, -18, -19; R-USE-2): codes to enrol them, their orders, what they tell; and
//! the guardian's hours. Handlers parse; `core::agent` decides what is taken.

use std::sync::Arc;

use appliance_core::{
    access::Who,
    agent::{Orders, Report, told, told_days},
    policy::{DeviceState, Document, Lesson, Window},
    register::{
        borrowed::{Borrowed, of_device},
        loan::borrower_at,
        text,
    },
    usage::{Fact, Subject},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use classroom_protocol::{
    Millis, Problem, ProblemCode,
    agent::{Delivered, Enrol, EnrolCode, Enrolled, RefusedReport, Sync, Synced},
    policy::Link,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    audit::Auditor,
    gate::{Guesses, Peer},
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    agents::{Authority, OrdersKey, write},
    alarms::Alarms,
    clock,
    dns::Rules,
    staff::{BoxKey, setup_code},
    store::{AgentRow, Agents, FigureStore, GivenOrders, Recorded, Registers, Seen, StoreError},
    usage::Recorder,
};

/// A code is good for a day: the office may prepare a class's devices in the morning.
const CODE_MS: Millis = 24 * 3_600_000;
/// Records of one delivery, in bytes; the usage recorder takes 1000 at once.
pub const DELIVERY_BYTES: usize = 512 * 1024;
/// Records of one delivery.
const MOST_RECORDS: usize = 1000;
/// Hours that one guardian may set.
const MOST_HOURS: usize = 28;
/// The longest version of a program that is kept, in characters.
const VERSION: usize = 40;

/// What is the same for all devices.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Port of the agents' listener; none when the box has none.
    pub port: Option<u16>,
    /// Programs that are not approved are ended.
    pub end_programs: bool,
    /// Where homes reach the listener.
    pub home_addresses: Vec<String>,
    /// The box's own names, in the room and from homes.
    pub own_names: Vec<String>,
}

/// What the agents' routes need.
#[derive(Clone)]
pub struct AgentState {
    /// The enrolled ones.
    pub agents: Agents,
    /// Which devices there are, and whose.
    pub registers: Registers,
    /// Their certificates.
    pub authority: Arc<Authority>,
    /// Signs their orders.
    pub orders_key: Arc<OrdersKey>,
    /// Hashes codes.
    pub key: Arc<BoxKey>,
    /// Keeps what they tell.
    pub recorder: Recorder,
    /// Tells people what students and devices have told.
    pub alarms: Alarms,
    /// Which of their days are told whole.
    pub figures: FigureStore,
    /// The school's rules and the running lesson.
    pub rules: watch::Receiver<Option<Arc<Rules>>>,
    /// Counts wrong codes.
    pub guesses: Guesses,
    /// Keeps what staff do.
    pub audit: Auditor,
    /// What is the same for all.
    pub terms: Arc<Terms>,
}

fn store(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}

impl AgentState {
    /// What the register says of the device with this code; `None` when there is none.
    async fn registered(&self, device: &str) -> Result<Option<Borrowed>, Refusal> {
        let register = self.registers.load().await.map_err(store)?;
        Ok(of_device(&register, device))
    }

    /// The signed orders of a device that has had version `had`, with the version that they have.
    async fn orders(&self, row: &AgentRow, had: u64, now: Millis) -> Result<(String, GivenOrders), Refusal> {
        let registered = self.registered(&row.device).await?;
        // A device that was struck off the register keeps its agent: the strictest state, until it is enrolled anew.
        let (state, consent) = registered.map_or((DeviceState::Unknown, None), |known| (known.state, known.consent));
        let hours = self.agents.hours(row.device.clone()).await.map_err(store)?;
        let guardian = hours.map(|text| serde_json::from_str(&text)).transpose();
        let orders = Orders {
            schema: Orders::SCHEMA,
            version: 0,
            issued_at: 0,
            device: row.device.clone(),
            state,
            consent,
            guardian: guardian.map_err(|error| Refusal::internal(&error))?.unwrap_or_default(),
            exceptions: vec![],
            end_programs: self.terms.end_programs,
            home_addresses: self.terms.home_addresses.clone(),
            own_names: self.terms.own_names.clone(),
            document: self.document()?,
        };
        write(orders, &row.given, had, now).map_err(|error| Refusal::internal(&error))
    }

    /// The school's rules.
    fn document(&self) -> Result<Document, Refusal> {
        // Not yet in the first moments of the box: the device asks again soon.
        let rules = self.rules.borrow().clone().ok_or(ProblemCode::Full)?;
        Ok(rules.document().clone())
    }

    /// The row of who asks.
    async fn row(&self, who: &Caller) -> Result<AgentRow, Refusal> {
        let Who::Agent { device, enrolment } = &who.0 else { return Err(ProblemCode::NotAllowed.into()) };
        let row = self.agents.of(device.clone()).await.map_err(store)?;
        row.filter(|row| row.enrolment == *enrolment).ok_or_else(|| ProblemCode::SignedOut.into())
    }
}

/// Body of `POST /api/school/agents`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct For {
    device: String,
}

/// A code to be typed at the device.
#[derive(Debug, Serialize)]
pub struct Code {
    code: String,
    expires_at: Millis,
    /// Port of the agents' listener.
    port: u16,
}

/// `POST /api/school/agents`: a one-time code for a device.
///
/// # Errors
/// `not-found` naming `device`; `full` when the box has no `[agents]` listener.
pub async fn issue(
    State(state): State<AgentState>,
    who: Caller,
    peer: Peer,
    Json(For { device }): Json<For>,
) -> Result<(StatusCode, axum::Json<Code>), Refusal> {
    let port = state.terms.port.ok_or_else(|| Problem::new(ProblemCode::NotFound).field("agents"))?;
    let device = text::code(&device);
    if state.registered(&device).await?.is_none() {
        return Err(Problem::new(ProblemCode::NotFound).field("device").into());
    }
    let secret = setup_code().map_err(|error| Refusal::internal(&error))?;
    let now = clock::now();
    let expires_at = now + CODE_MS;
    state.agents.issue(state.key.hash_code(&secret), device.clone(), now, expires_at).await.map_err(store)?;
    state.audit.note(who.staff_name(), peer.0, "agent-code", serde_json::json!({ "device": device })).await;
    let code = EnrolCode { secret, print: state.authority.print() }.to_string();
    Ok((StatusCode::CREATED, axum::Json(Code { code, expires_at, port })))
}

/// An enrolled device, as staff see it.
#[derive(Debug, Serialize)]
pub struct Listed {
    device: String,
    enrolled_at: Millis,
    seen_at: Option<Millis>,
    link: Option<Link>,
    version: Option<String>,
    hours: Vec<Window>,
    /// Records that it has lost and told of.
    dropped: u64,
    dropped_at: Option<Millis>,
}

/// `GET /api/school/agents`: all of them.
///
/// # Errors
/// `internal`.
pub async fn list(State(state): State<AgentState>) -> Result<axum::Json<Vec<Listed>>, Refusal> {
    let mut all = Vec::new();
    for row in state.agents.list().await.map_err(store)? {
        let hours = state.agents.hours(row.device.clone()).await.map_err(store)?;
        let hours = hours.map(|text| serde_json::from_str(&text)).transpose();
        let hours = hours.map_err(|error| Refusal::internal(&error))?.unwrap_or_default();
        let AgentRow { device, enrolled_at, seen_at, link, version, dropped, dropped_at, .. } = row;
        all.push(Listed { device, enrolled_at, seen_at, link, version, hours, dropped, dropped_at });
    }
    Ok(axum::Json(all))
}

/// `DELETE /api/school/agents/{device}`: the device is no longer enrolled.
///
/// # Errors
/// `not-found`.
pub async fn remove(
    State(state): State<AgentState>,
    who: Caller,
    peer: Peer,
    Path(device): Path<String>,
) -> Result<StatusCode, Refusal> {
    if !state.agents.remove(device.clone()).await.map_err(store)? {
        return Err(ProblemCode::NotFound.into());
    }
    state.audit.note(who.staff_name(), peer.0, "agent-removed", serde_json::json!({ "device": device })).await;
    Ok(DONE)
}

/// Body of `PUT /api/school/agents/{device}/hours`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    hours: Vec<Window>,
}

/// `PUT /api/school/agents/{device}/hours`: the guardian's word on when the device may be used at home (R-POL-12), recorded by
/// staff. An empty list: the guardian has set none.
///
/// # Errors
/// `bad-input` naming the hours that can't be used; `not-found`.
pub async fn set_hours(
    State(state): State<AgentState>,
    who: Caller,
    peer: Peer,
    Path(device): Path<String>,
    Json(Hours { hours }): Json<Hours>,
) -> Result<StatusCode, Refusal> {
    if state.registered(&device).await?.is_none() {
        return Err(ProblemCode::NotFound.into());
    }
    if hours.len() > MOST_HOURS {
        return Err(Problem::new(ProblemCode::BadInput).field("hours").into());
    }
    if let Some((at, wrong)) = hours.iter().enumerate().find_map(|(at, window)| Some((at, window.check().err()?))) {
        let part = wrong.to_string();
        let part = part.split(':').next().unwrap_or_default();
        return Err(Problem::new(ProblemCode::BadInput).field(format!("hours[{at}].{part}")).into());
    }
    let text = if hours.is_empty() { Ok(String::new()) } else { serde_json::to_string(&hours) };
    let text = text.map_err(|error| Refusal::internal(&error))?;
    let detail = serde_json::json!({ "device": device, "hours": hours });
    state.agents.set_hours(device, text, who.staff_name().to_owned(), clock::now()).await.map_err(store)?;
    state.audit.note(who.staff_name(), peer.0, "guardian-hours", detail).await;
    Ok(DONE)
}

/// `POST /api/agent/enrol`: a code and a request for a certificate against the certificate and the first orders.
///
/// # Errors
/// `wrong-code`, `bad-input` naming `request`; `too-many-tries` for who guesses.
pub async fn enrol(
    State(state): State<AgentState>,
    peer: Peer,
    Json(Enrol { code, request }): Json<Enrol>,
) -> Result<(StatusCode, axum::Json<Enrolled>), Refusal> {
    let now = clock::now();
    let guesser = peer.slate();
    state.guesses.attempt(&guesser, now)?;
    let enrolment = uuid::Uuid::now_v7().to_string();
    let issued = state.authority.issue(&request, &enrolment);
    let issued = issued.map_err(|_| Problem::new(ProblemCode::BadInput).field("request"))?;
    let row = state.agents.enrol(state.key.hash_code(&code), enrolment, issued.hash, now).await.map_err(store)?;
    let row = row.ok_or_else(|| Problem::new(ProblemCode::WrongCode).field("code"))?;
    state.guesses.succeeded(&guesser);
    let (text, given) = state.orders(&row, 0, now).await?;
    let seen = Seen { at: now, link: None, version: String::new(), given, dropped: 0 };
    state.agents.seen(row.enrolment.clone(), seen).await.map_err(store)?;
    state.audit.note("", peer.0, "agent-enrolled", serde_json::json!({ "device": row.device })).await;
    let enrolled = Enrolled {
        device: row.device,
        certificate: issued.certificate,
        orders_key: state.orders_key.public(),
        orders: state.orders_key.sign(text),
    };
    Ok((StatusCode::CREATED, axum::Json(enrolled)))
}

/// `POST /api/agent/sync`: how the device is, for what it is to know.
///
/// # Errors
/// `signed-out` when it is no longer enrolled.
pub async fn sync(
    State(state): State<AgentState>,
    who: Caller,
    Json(Sync { orders, version, link, dropped, dropped_at, waiting }): Json<Sync>,
) -> Result<axum::Json<Synced<Lesson>>, Refusal> {
    let row = state.row(&who).await?;
    let now = clock::now();
    if dropped > 0 {
        tracing::warn!(device = row.device, dropped, "the agent has lost records and says so");
    }
    if let Some(days) = told_days(row.enrolled_at, dropped_at, waiting, now) {
        state.figures.device_seen(row.device.clone(), days).await.map_err(store)?;
    }
    let (text, given) = state.orders(&row, orders, now).await?;
    let fresh = given.version != orders;
    let version = version.chars().filter(|c| !c.is_control()).take(VERSION).collect();
    state.agents.seen(row.enrolment, Seen { at: now, link, version, given, dropped }).await.map_err(store)?;
    let orders = fresh.then(|| state.orders_key.sign(text));
    let lesson = state.rules.borrow().as_ref().and_then(|rules| rules.running().cloned());
    Ok(axum::Json(Synced { now, orders, lesson }))
}

/// `POST /api/agent/events`: records, kept when this answers. The same record may come again.
///
/// # Errors
/// `bad-input`, `too-large`, `internal` when the disk refuses: then none is kept and all may come again.
pub async fn events(
    State(state): State<AgentState>,
    who: Caller,
    Json(reports): Json<Vec<Report>>,
) -> Result<axum::Json<Delivered>, Refusal> {
    let row = state.row(&who).await?;
    if reports.len() > MOST_RECORDS {
        return Err(ProblemCode::TooLarge.into());
    }
    let loans = state.registers.loans_of(row.device.clone()).await.map_err(store)?;
    let told_people = reports.iter().any(|report| report.fact == Fact::ReportedSite {});
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for report in reports {
        let borrower = borrower_at(&loans, report.at).map(str::to_owned);
        match told(&report, &row.enrolment, &Subject::device(row.device.clone(), borrower)) {
            Ok(event) => good.push(event),
            Err(error) => refused.push(RefusedReport { id: report.id, reason: error.to_string() }),
        }
    }
    let kept = state.recorder.record_all(good).await.map_err(|error| Refusal::internal(&error))?;
    let new = kept.iter().filter(|one| **one == Recorded::New).count();
    if told_people && new > 0 {
        state.alarms.tell().await;
    }
    Ok(axum::Json(Delivered { kept: new, known: kept.len() - new, refused }))
}

/// `DELETE /api/agent`: the device itself ends its enrolment.
///
/// # Errors
/// `signed-out` when it is none.
pub async fn leave(State(state): State<AgentState>, who: Caller, peer: Peer) -> Result<StatusCode, Refusal> {
    let row = state.row(&who).await?;
    state.agents.remove(row.device.clone()).await.map_err(store)?;
    state.audit.note("", peer.0, "agent-left", serde_json::json!({ "device": row.device })).await;
    Ok(DONE)
}
