//! Usage records: events from another program of the school, and how their delivery stands.

use std::{path::PathBuf, sync::Arc};

use appliance_core::usage::Event;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use classroom_protocol::{Millis, Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::reply::{DONE, Json, Refusal};
use crate::{
    clock,
    delivery::DeliveryStats,
    store::{Outbox, Recorded, SchoolKeys},
    usage::{RecordError, Recorder, SchoolKey},
};

/// Longest body of an import, in bytes: a thousand events.
pub const IMPORT_BYTES: usize = 1024 * 1024;

/// What the handlers use.
#[derive(Clone)]
pub struct UsageState {
    /// Keeps events.
    pub recorder: Recorder,
    /// Knows what is still to be delivered.
    pub outbox: Outbox,
    /// What the delivery has come to.
    pub delivery: Arc<DeliveryStats>,
    /// The school's key.
    pub key: KeyState,
}

/// The school's key, and whether it is the right one.
#[derive(Clone)]
pub struct KeyState {
    /// Where its file is.
    pub folder: PathBuf,
    /// Under which the box works now.
    pub key: Arc<SchoolKey>,
    /// Knows which one it should be.
    pub store: SchoolKeys,
    /// Why nothing is delivered under it since the start.
    pub trouble: Option<&'static str>,
}

/// Events, at most [`crate::usage::MOST`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    events: Vec<Event>,
}

/// What became of an import: all of it is on the disk.
#[derive(Debug, Serialize)]
pub struct Imported {
    new: usize,
    known: usize,
}

/// How the delivery stands.
#[derive(Debug, Serialize)]
pub struct Upstream {
    waiting: u64,
    oldest: Option<Millis>,
    refused: u64,
    delivered: u64,
    delivered_at: Option<Millis>,
    /// Why nothing is delivered: `key-gone`, `key-other`.
    trouble: Option<&'static str>,
}

/// Keeps events that another program of the school has seen, e.g. an MDM's report. All or none; those that were kept
/// before count once.
///
/// # Errors
/// `bad-input` with the field, `too-large`, `internal` when the disk refuses.
pub async fn import(
    State(state): State<UsageState>,
    Json(import): Json<Import>,
) -> Result<axum::Json<Imported>, Refusal> {
    match state.recorder.record_all(import.events).await {
        Ok(all) => {
            let new = all.iter().filter(|one| **one == Recorded::New).count();
            Ok(axum::Json(Imported { new, known: all.len() - new }))
        }
        Err(RecordError::Bad { index, bad }) => {
            Err(Problem::new(ProblemCode::BadInput).field(format!("events[{index}].{}", bad.field)).into())
        }
        Err(RecordError::TooMany(_)) => Err(ProblemCode::TooLarge.into()),
        Err(RecordError::Store(error)) => Err(Refusal::internal(&error)),
    }
}

/// How the delivery of usage records stands.
///
/// # Errors
/// `internal` when the store fails.
pub async fn upstream(State(state): State<UsageState>) -> Result<axum::Json<Upstream>, Refusal> {
    let now = state.outbox.state().await.map_err(|error| Refusal::internal(&error))?;
    Ok(axum::Json(Upstream {
        waiting: now.waiting,
        oldest: now.oldest,
        refused: now.refused,
        delivered: now.delivered,
        delivered_at: now.delivered_at,
        trouble: state.key.trouble,
    }))
}

/// Most statements that one page of [`refused`] lists.
const PAGE: usize = 200;

/// Which page of [`refused`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedQuery {
    /// Number before the first one.
    #[serde(default)]
    after: i64,
}

/// A statement that was set aside.
#[derive(Debug, Serialize)]
pub struct RefusedStatement {
    seq: i64,
    kind: String,
    at: Millis,
    status: u16,
    reason: String,
    statement: serde_json::Value,
}

/// What the upstream refuses, in the order of the events.
#[derive(Debug, Serialize)]
pub struct RefusedPage {
    refused: Vec<RefusedStatement>,
    /// Give this as `after` for the next page; `None` at the end.
    next: Option<i64>,
}

/// Lists the statements that the upstream refuses for good, with the reason: names nobody.
///
/// # Errors
/// `bad-input` naming `after`, `internal` when the store fails.
pub async fn refused(
    State(state): State<UsageState>,
    query: Result<Query<RefusedQuery>, QueryRejection>,
) -> Result<axum::Json<RefusedPage>, Refusal> {
    let Query(query) = query.map_err(|_| Problem::new(ProblemCode::BadInput).field("after"))?;
    let found = state.outbox.refused(query.after, PAGE).await.map_err(|error| Refusal::internal(&error))?;
    let next = found.last().filter(|_| found.len() == PAGE).map(|last| last.refused.seq);
    let refused = found.into_iter().map(|one| RefusedStatement {
        seq: one.refused.seq,
        kind: one.kind,
        at: one.at,
        status: one.refused.status,
        reason: one.refused.reason,
        statement: serde_json::from_slice(&one.refused.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&one.refused.body).into_owned().into()),
    });
    Ok(axum::Json(RefusedPage { refused: refused.collect(), next }))
}

/// Which ones are to be sent once more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Their numbers; all of them without.
    seqs: Option<Vec<i64>>,
}

/// How many are sent once more.
#[derive(Debug, Serialize)]
pub struct Released {
    released: usize,
}

/// Has refused statements sent once more, made anew by the vocabulary of today, with the ids that they had.
///
/// # Errors
/// `bad-input` with the field, `internal` when the disk refuses.
pub async fn release(
    State(state): State<UsageState>,
    Json(release): Json<Release>,
) -> Result<axum::Json<Released>, Refusal> {
    let released = state.outbox.release(release.seqs).await.map_err(|error| Refusal::internal(&error))?;
    tracing::info!(released, "statements that the upstream had refused are sent once more");
    Ok(axum::Json(Released { released }))
}

/// The key under which the box works now is the school's from now on: the right one is lost, and the operator knows that
/// students have new pseudonyms and what another box has delivered counts again. Delivered is from the next start on.
///
/// # Errors
/// `internal` when the disk refuses.
pub async fn accept_key(State(state): State<UsageState>) -> Result<StatusCode, Refusal> {
    let KeyState { folder, key, store, .. } = state.key;
    let fingerprint = key.fingerprint();
    let kept = tokio::task::spawn_blocking(move || key.keep(&folder)).await;
    kept.map_err(|error| Refusal::internal(&error))?.map_err(|error| Refusal::internal(&error))?;
    store.note(fingerprint, clock::now()).await.map_err(|error| Refusal::internal(&error))?;
    tracing::warn!("the key of the school was accepted by the operator; delivery begins with the next start");
    Ok(DONE)
}
