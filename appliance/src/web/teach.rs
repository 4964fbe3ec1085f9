//! What a signed-in teacher does: commands to the room, classes, thumbnails, evidence.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use appliance_core::{
    access::Who,
    names,
    policy::permits::Closed,
    room::{Class as CoreClass, Fresh, Input, Teacher},
};
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Problem, ProblemCode, Seat, TeacherCommand, policy::Permission};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    audit::Auditor,
    gate::Peer,
    reply::{DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    clock,
    dns::Rules,
    room::RoomHandle,
    staff::room_code,
    store::{Class, Classes, Lessons, StoreError, Student},
    thumbnails::Thumbnails,
};

/// The longest name of a class or a person, in characters. Indigenous names in full take up to about 30.
const NAME_CHARS: usize = 60;

/// What the teachers' routes need.
#[derive(Clone)]
pub struct TeachState {
    /// The room.
    pub room: RoomHandle,
    /// Classes and rosters.
    pub classes: Classes,
    /// Lessons and what was on the panel.
    pub lessons: Lessons,
    /// The newest picture of each seat.
    pub thumbnails: Thumbnails,
    /// Students that a class may have.
    pub most_students: usize,
    /// The rules: what a teacher can open at all.
    pub rules: watch::Receiver<Option<Arc<Rules>>>,
    /// Keeps what staff do.
    pub audit: Auditor,
}

fn store(error: StoreError) -> Refusal {
    match error {
        StoreError::Missing => ProblemCode::NotFound.into(),
        other => Refusal::internal(&other),
    }
}

fn teacher(who: Caller) -> Result<Teacher, ProblemCode> {
    if let Who::Staff { id, name, .. } = who.0 { Ok(Teacher { id, name }) } else { Err(ProblemCode::NotAllowed) }
}

/// What no teacher can open is not said to be open: the answer names the field and the rule (R-POL-22).
fn can_be_opened(state: &TeachState, what: &Permission) -> Result<(), Refusal> {
    let rules = state.rules.borrow().clone().ok_or(ProblemCode::NotReady)?;
    let problem = Problem::new(ProblemCode::BadInput).field("what");
    rules.opens(what, clock::now()).map_err(|closed| match closed {
        Closed::Nothing => problem.into(),
        Closed::By(decision) => Problem { rule: Some(decision.rule.to_string()), ..problem }.into(),
    })
}

/// `POST /api/room/command`.
///
/// # Errors
/// Why it may not happen, as the core says.
pub async fn command(
    State(state): State<TeachState>,
    who: Caller,
    peer: Peer,
    Json(command): Json<TeacherCommand>,
) -> Result<StatusCode, Refusal> {
    let who = teacher(who)?;
    if let TeacherCommand::Permit { what, .. } = &command {
        can_be_opened(&state, what)?;
    }
    let class = match &command {
        TeacherCommand::StartLesson { class } => {
            let class = state.classes.get(*class).await.map_err(store)?;
            let class = class.ok_or_else(|| Problem::new(ProblemCode::NotFound).field("class"))?;
            let students = class.students.into_iter().map(|student| (student.seat, student.name)).collect();
            Some(CoreClass { id: class.id, name: class.name, students })
        }
        _ => None,
    };
    let fresh = Fresh {
        lesson: uuid::Uuid::now_v7().to_string(),
        code: room_code().map_err(|error| Refusal::internal(&error))?,
    };
    let detail = serde_json::to_value(&command).map_err(|error| Refusal::internal(&error))?;
    let (name, asked) = (who.name.clone(), command.clone());
    state.room.apply(Input::Teacher { who, command, class, fresh }).await.map_err(|code| {
        let field = state.room.now().wrong_field(&asked).filter(|_| code == ProblemCode::BadInput);
        let problem = Problem::new(code);
        if let Some(field) = field { problem.field(field) } else { problem }
    })?;
    state.audit.note(&name, peer.0, "room-command", detail).await;
    Ok(DONE)
}

/// `GET /api/seats/{seat}/thumbnail`.
///
/// # Errors
/// `not-found` while there is none that teachers may see.
pub async fn thumbnail(State(state): State<TeachState>, Path(seat): Path<u8>) -> Result<Response, Refusal> {
    let seat = Seat::try_from(seat).map_err(|_| ProblemCode::NotFound)?;
    state.room.now().thumbnail(seat).ok_or(ProblemCode::NotFound)?;
    let picture = state.thumbnails.get(seat).ok_or(ProblemCode::NotFound)?;
    let mut response = picture.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// One student of a class.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentRow {
    seat: Seat,
    name: String,
}

/// A class as pages send it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassBody {
    name: String,
    students: Vec<StudentRow>,
}

/// A class as pages get it.
#[derive(Debug, Serialize)]
pub struct ClassRow {
    id: i64,
    name: String,
    students: Vec<StudentRow>,
}

/// The id of a new class.
#[derive(Debug, Serialize)]
pub struct NewId {
    id: i64,
}

fn named(name: &str, field: impl FnOnce() -> String) -> Result<String, Problem> {
    names::name(name, NAME_CHARS).ok_or_else(|| Problem::new(ProblemCode::BadInput).field(field()))
}

impl ClassBody {
    fn checked(self, most: usize) -> Result<(String, Vec<Student>), Problem> {
        if self.students.len() > most {
            return Err(Problem::new(ProblemCode::BadInput).field("students"));
        }
        let name = named(&self.name, || "name".into())?;
        let mut seen = BTreeSet::new();
        let row = |(at, row): (usize, StudentRow)| {
            if !seen.insert(row.seat) {
                return Err(Problem::new(ProblemCode::BadInput).field(format!("students[{at}].seat")));
            }
            let name = named(&row.name, || format!("students[{at}].name"))?;
            Ok(Student { seat: row.seat, name })
        };
        let students = self.students.into_iter().enumerate().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok((name, students))
    }
}

/// `GET /api/classes`.
///
/// # Errors
/// `internal` when the store fails.
pub async fn classes(State(state): State<TeachState>) -> Result<axum::Json<Vec<ClassRow>>, Refusal> {
    let row = |class: Class| ClassRow {
        id: class.id,
        name: class.name,
        students: class.students.into_iter().map(|s| StudentRow { seat: s.seat, name: s.name }).collect(),
    };
    Ok(axum::Json(state.classes.list().await.map_err(store)?.into_iter().map(row).collect()))
}

/// `POST /api/classes`.
///
/// # Errors
/// `bad-input` with the row that is wrong.
pub async fn add_class(
    State(state): State<TeachState>,
    who: Caller,
    peer: Peer,
    Json(body): Json<ClassBody>,
) -> Result<(StatusCode, axum::Json<NewId>), Refusal> {
    let (name, students) = body.checked(state.most_students)?;
    let detail = serde_json::json!({ "name": name, "students": students.len() });
    let id = state.classes.create(name, students).await.map_err(store)?;
    state.audit.note(&teacher(who)?.name, peer.0, "class-add", detail).await;
    Ok((StatusCode::CREATED, axum::Json(NewId { id })))
}

/// `PUT /api/classes/{id}`. A running lesson keeps the roster that it began with.
///
/// # Errors
/// `not-found`, `bad-input` with the row that is wrong.
pub async fn replace_class(
    State(state): State<TeachState>,
    who: Caller,
    peer: Peer,
    Path(id): Path<i64>,
    Json(body): Json<ClassBody>,
) -> Result<StatusCode, Refusal> {
    let (name, students) = body.checked(state.most_students)?;
    let detail = serde_json::json!({ "id": id, "name": name, "students": students.len() });
    state.classes.replace(Class { id, name, students }).await.map_err(store)?;
    state.audit.note(&teacher(who)?.name, peer.0, "class-replace", detail).await;
    Ok(DONE)
}

/// Which evidence is wanted. Days are of the box's time zone offset, which is Taiwan's (UTC+8, no summer time).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    class: i64,
    from: String,
    to: String,
}

/// `GET /api/evidence.csv`: who was on the panel when, one line a showing (R-CAST-4). Both days are included.
///
/// # Errors
/// `bad-input` naming `class`, `from` or `to`.
pub async fn evidence(
    State(state): State<TeachState>,
    who: Caller,
    peer: Peer,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(span) = span.map_err(|_| Problem::new(ProblemCode::BadInput).field("class, from, to"))?;
    let day = |text: &str, field: &str| {
        appliance_core::calendar::day(text).ok_or_else(|| Problem::new(ProblemCode::BadInput).field(field))
    };
    let (from, to) = (day(&span.from, "from")?, day(&span.to, "to")?);
    let rows = state.lessons.evidence(span.class, from.begins(), to.ends()).await.map_err(store)?;
    // It holds pupils' names: who took it is kept.
    let detail = serde_json::json!({ "class": span.class, "from": span.from, "to": span.to });
    state.audit.note(&teacher(who)?.name, peer.0, "evidence-download", detail).await;
    // The byte-order mark tells spreadsheets that this is UTF-8.
    let mut csv =
        String::from("\u{feff}class,lesson_start,lesson_end,teacher,source,seat,name,shown_from,shown_to,seconds\r\n");
    for row in rows {
        let time = appliance_core::calendar::local_time;
        let lesson = [row.class_name, time(row.started_at), row.ended_at.map(time).unwrap_or_default(), row.started_by];
        let showing = row.showing.map_or_else(Default::default, |shown| {
            [
                shown.source.to_string(),
                shown.seat.map(|seat| seat.to_string()).unwrap_or_default(),
                shown.label,
                time(shown.from),
                shown.to.map(time).unwrap_or_default(),
                shown.to.map(|to| (to.saturating_sub(shown.from) / 1000).to_string()).unwrap_or_default(),
            ]
        });
        let line: Vec<String> = lesson.iter().chain(&showing).map(|cell| csv_cell(cell)).collect();
        let _ = write!(csv, "{}\r\n", line.join(","));
    }
    let mut response = csv.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"evidence.csv\""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// Quotes a cell (RFC 4180) and defuses what a spreadsheet would take for a formula.
fn csv_cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_defused() {
        assert_eq!(csv_cell("王小明"), "王小明");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=HYPERLINK(1)"), "'=HYPERLINK(1)");
    }

    #[test]
    fn a_wrong_row_is_named() {
        let row = |seat: u8, name: &str| StudentRow {
            seat: seat.try_into().unwrap_or_else(|_| unreachable!()),
            name: name.into(),
        };
        let body = |students| ClassBody { name: "五年三班".into(), students };
        assert_eq!(
            body(vec![row(1, "甲"), row(1, "乙")]).checked(60).map_err(|p| p.field),
            Err(Some("students[1].seat".into()))
        );
        assert_eq!(body(vec![row(1, " ")]).checked(60).map_err(|p| p.field), Err(Some("students[0].name".into())));
        assert!(
            body(vec![row(1, " 林莎瓦·巴魯·阿里夫 ")])
                .checked(60)
                .is_ok_and(|(_, students)| students[0].name == "林莎瓦·巴魯·阿里夫")
        );
    }
}
