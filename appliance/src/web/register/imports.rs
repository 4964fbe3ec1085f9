//! A list is imported in two steps: what it would do, and, confirmed, doing it. The box keeps nothing of the file in
//! between: the page sends it again, and the digest says that the plan is still the one that was shown.

use appliance_core::register::{
    Change, Register,
    import::{self, Deed, List, NoPlan, Plan, Preview},
};
use axum::body::Body;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{Request, StatusCode},
};
use classroom_protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{RegisterState, store};
use crate::{
    clock,
    staff::setup_code,
    tables::{self, Unreadable},
    web::{
        gate::Peer,
        reply::{self, Refusal},
        routes::Caller,
    },
};

/// The largest file: a list of 5000 students has some 300 KB.
pub const FILE_BYTES: usize = 2 * 1024 * 1024;
/// Characters of a device's code: 40 bits, so that nobody finds one by trying.
const CODE: usize = 8;

/// Which list, and for the second step which plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    list: List,
    plan: Option<String>,
}

/// The first step's answer.
#[derive(Debug, Serialize)]
pub struct Previewed {
    #[serde(flatten)]
    preview: Preview,
    /// To be sent with the second step.
    plan: String,
}

/// The second step's answer.
#[derive(Debug, Serialize)]
pub struct Applied {
    added: usize,
    changed: usize,
    same: usize,
    left_out: usize,
}

/// A random code for a new device's label.
pub(super) fn device_code() -> Result<String, Refusal> {
    let code = setup_code().map_err(|error| Refusal::internal(&error))?;
    Ok(code.chars().take(CODE).collect())
}

fn which(query: Result<Query<Which>, QueryRejection>) -> Result<Which, Refusal> {
    query.map(|Query(which)| which).map_err(|_| Problem::new(ProblemCode::BadInput).field("list").into())
}

async fn table(request: Request<Body>) -> Result<import::Table, Refusal> {
    let file = reply::body(request, &()).await?;
    // Unpacking a spreadsheet takes its time; other requests do not wait for it.
    let read = tokio::task::spawn_blocking(move || tables::read(&file)).await;
    let read = read.map_err(|error| Refusal::internal(&error))?;
    read.map_err(|why| match why {
        Unreadable::Encoding => ProblemCode::FileEncoding.into(),
        Unreadable::Form => ProblemCode::FileUnreadable.into(),
    })
}

fn problem(why: NoPlan) -> Problem {
    match why {
        NoPlan::Empty => Problem::new(ProblemCode::FileUnreadable),
        NoPlan::Columns(missing) => {
            let names: Vec<String> = missing
                .iter()
                .filter_map(|field| serde_json::to_value(field).ok()?.as_str().map(str::to_owned))
                .collect();
            Problem::new(ProblemCode::FileColumns).field(names.join(","))
        }
    }
}

fn digest(preview: &Preview) -> String {
    let text = serde_json::to_vec(preview).unwrap_or_default();
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// `POST /api/school/import?list=students|devices`: what the file would do. Nothing is changed.
///
/// # Errors
/// `file-encoding`, `file-unreadable`, `file-columns` with the missing ones, `too-large`.
pub async fn preview(
    State(state): State<RegisterState>,
    query: Result<Query<Which>, QueryRejection>,
    request: Request<Body>,
) -> Result<axum::Json<Previewed>, Refusal> {
    let list = which(query)?.list;
    let table = table(request).await?;
    let register = state.registers.load().await.map_err(store)?;
    let codes = (1..).map(|number| format!("PREVIEW{number}"));
    let plan = import::plan(&register, list, &table, state.most_students, codes, clock::now()).map_err(problem)?;
    Ok(axum::Json(Previewed { plan: digest(&plan.preview), preview: plan.preview }))
}

/// `POST /api/school/import/apply?list=…&plan=…`: the file again, confirmed. Rows with a problem are left out.
///
/// # Errors
/// As the preview, and `changed` when the plan is not the one that was shown.
pub async fn apply(
    State(state): State<RegisterState>,
    who: Caller,
    peer: Peer,
    query: Result<Query<Which>, QueryRejection>,
    request: Request<Body>,
) -> Result<(StatusCode, axum::Json<Applied>), Refusal> {
    let which = which(query)?;
    let shown = which.plan.ok_or_else(|| Problem::new(ProblemCode::BadInput).field("plan"))?;
    let table = table(request).await?;
    let codes = (0..table.len() + 8).map(|_| device_code()).collect::<Result<Vec<_>, _>>()?;
    let (most, now) = (state.most_students, clock::now());
    let decide = move |register: &Register| -> Result<(Vec<Change>, Preview), Problem> {
        let Plan { preview, changes } =
            import::plan(register, which.list, &table, most, codes.into_iter(), now).map_err(problem)?;
        if digest(&preview) == shown { Ok((changes, preview)) } else { Err(Problem::new(ProblemCode::Changed)) }
    };
    let preview = state.registers.change(decide).await.map_err(store)??;
    let count = |deed| preview.rows.iter().filter(|row| row.deed == deed).count();
    let applied = Applied {
        added: count(Deed::Add),
        changed: count(Deed::Change),
        same: count(Deed::Same),
        left_out: preview.left_out,
    };
    let detail = serde_json::json!({ "list": which.list, "did": applied });
    state.audit.note(who.staff_name(), peer.0, "register-import", detail).await;
    Ok((StatusCode::CREATED, axum::Json(applied)))
}
