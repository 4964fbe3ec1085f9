//! Usage records: events from another program of the school, and how their delivery stands.

use std::sync::Arc;

use appliance_core::usage::Event;
use axum::extract::State;
use classroom_protocol::{Millis, Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::reply::{Json, Refusal};
use crate::{
    delivery::DeliveryStats,
    store::{Outbox, Recorded},
    usage::{RecordError, Recorder},
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
    }))
}
