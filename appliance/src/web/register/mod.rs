//! The school office: the register, its import, consents, loans, labels (R-POL-1, -23, -24).
//!
//! Handlers parse; `core::register` decides inside the store's transaction.

mod deeds;
mod imports;
mod links;
mod overview;

use std::sync::Arc;

use appliance_core::{
    register::{Change, Register},
    room::Facts,
};
use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Problem, ProblemCode};
use qrcode::{QrCode, render::svg};

pub use deeds::{add_device, lend, publish, put_device, put_student, sign, take_back, withdraw};
pub use imports::{FILE_BYTES, apply, preview};
pub use links::{issue, read_link, sign_link};
pub use overview::overview;

use super::{audit::Auditor, gate::Peer, reply::Refusal, routes::Caller};
use crate::store::{Registers, StoreError};

/// What the office's routes need.
#[derive(Clone)]
pub struct RegisterState {
    /// Students, devices, loans, consents.
    pub registers: Registers,
    /// The pages' address, for labels and links.
    pub facts: Arc<Facts>,
    /// Students that a class may have.
    pub most_students: usize,
    /// Keeps what staff do.
    pub audit: Auditor,
}

fn store(error: StoreError) -> Refusal {
    match error {
        StoreError::Missing => ProblemCode::NotFound.into(),
        // Two of the office at the same moment.
        StoreError::Taken => ProblemCode::Changed.into(),
        other => Refusal::internal(&other),
    }
}

/// A refusal of the core that names a field.
fn at_field((code, field): (ProblemCode, &str)) -> Problem {
    Problem::new(code).field(field)
}

impl RegisterState {
    /// The address of the pages, without a path.
    fn base(&self) -> &str {
        self.facts.join_url.trim_end_matches("/join")
    }

    /// Lets the core decide, executes it, and keeps it in the audit.
    async fn deed<F>(
        &self,
        who: &Caller,
        peer: Peer,
        action: &str,
        detail: serde_json::Value,
        decide: F,
    ) -> Result<(), Refusal>
    where
        F: FnOnce(&Register) -> Result<Vec<Change>, Problem> + Send + 'static,
    {
        let decided = move |register: &Register| {
            let changes = decide(register)?;
            let any = !changes.is_empty();
            Ok::<_, Problem>((changes, any))
        };
        if self.registers.change(decided).await.map_err(store)?? {
            self.audit.note(who.staff_name(), peer.0, action, detail).await;
        }
        Ok(())
    }
}

/// `GET /api/school/devices/{id}/qr.svg`: the code of a device for its label. Who scans it comes to the office's page at
/// this device; it says nothing of the borrower (R-POL-1).
///
/// # Errors
/// `not-found`.
pub async fn device_qr(State(state): State<RegisterState>, Path(id): Path<i64>) -> Result<Response, Refusal> {
    let register = state.registers.load().await.map_err(store)?;
    let device = register.devices.get(&id).ok_or(ProblemCode::NotFound)?;
    let address = format!("{}/school#device={}", state.base(), device.facts.code);
    let code = QrCode::new(&address).map_err(|error| Refusal::internal(&error))?;
    let mut response = code.render::<svg::Color<'_>>().min_dimensions(160, 160).build().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
