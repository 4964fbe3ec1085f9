//! Who took part from home (R-LIVE-1): the record of each lesson, for its teacher.

use appliance_core::{access::Who, calendar, home::record};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use classroom_protocol::{Problem, ProblemCode, catalogue::Lang};
use serde::Deserialize;

use super::{
    audit::Auditor,
    figures::{file, language},
    gate::Peer,
    reply::Refusal,
    routes::Caller,
};
use crate::{
    clock, sheets,
    store::{LessonSpan, Lessons},
};

/// What these routes need.
#[derive(Clone)]
pub struct AttendanceState {
    /// The records.
    pub lessons: Lessons,
    /// Keeps who took a file.
    pub audit: Auditor,
}

/// Which lessons. Both days are included.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    class: i64,
    from: String,
    to: String,
    /// `zh-Hant-TW` or `en`, for the file.
    lang: Option<String>,
}

type Asked = Result<Query<Span>, QueryRejection>;

struct Found {
    lessons: Vec<record::LessonAtHome>,
    span: Span,
    name: String,
    lang: Lang,
}

async fn found(state: &AttendanceState, who: Caller, asked: Asked) -> Result<Found, Refusal> {
    let Who::Staff { id, name, .. } = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let Query(span) = asked.map_err(|_| Problem::new(ProblemCode::BadInput).field("class, from, to"))?;
    let day =
        |text: &str, field: &str| calendar::day(text).ok_or_else(|| Problem::new(ProblemCode::BadInput).field(field));
    let (from, to) = (day(&span.from, "from")?.begins(), day(&span.to, "to")?.ends());
    let lang = language(span.lang.as_deref())?;
    let asked = LessonSpan { class: span.class, from, to, teacher: id };
    let lessons = state.lessons.at_home(asked, clock::now()).await.map_err(|error| Refusal::internal(&error))?;
    Ok(Found { lessons, span, name, lang })
}

/// `GET /api/attendance`: the caller's lessons in which someone took part from home, the newest first.
///
/// # Errors
/// `bad-input` naming `class`, `from` or `to`.
pub async fn attendance(
    State(state): State<AttendanceState>,
    who: Caller,
    asked: Asked,
) -> Result<axum::Json<Vec<record::LessonAtHome>>, Refusal> {
    let mut lessons = found(&state, who, asked).await?.lessons;
    lessons.reverse();
    Ok(axum::Json(lessons))
}

/// `GET /api/attendance.csv`: the same as a file, one line for each time that a student was there.
///
/// # Errors
/// As [`attendance`].
pub async fn attendance_csv(
    State(state): State<AttendanceState>,
    who: Caller,
    peer: Peer,
    asked: Asked,
) -> Result<Response, Refusal> {
    let Found { lessons, span, name, lang } = found(&state, who, asked).await?;
    // It holds pupils' names: who took it is kept.
    let detail = serde_json::json!({ "class": span.class, "from": span.from, "to": span.to });
    state.audit.note(&name, peer.0, "attendance-download", detail).await;
    let bytes = sheets::csv(&record::table(&lessons, lang), lang).map_err(|error| Refusal::internal(&error))?;
    Ok(file(bytes, "text/csv; charset=utf-8", "attendance.csv"))
}
