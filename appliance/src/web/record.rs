//! What the school reviews: the record of network access (R-POL-6) and the audit (R-DATA-6), page by page. Each look is put
//! down first.

use appliance_core::{
    calendar,
    figures::table::{Cell, Table},
    register::text,
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use classroom_protocol::{Millis, Problem, ProblemCode, catalogue::Lang, policy::AccessLine};
use serde::Serialize;

use super::{audit::Auditor, gate::Peer, reply::Refusal, routes::Caller};
use crate::{
    sheets,
    store::{AccessLog, AuditRow, Wanted},
};

/// Lines of the record of network access on a page.
const LINES: u32 = 500;
/// Lines of the audit on a page.
const AUDIT_LINES: u32 = 200;
/// A file is read from the store in parts of so many lines.
const PART: u32 = 5_000;

/// What these routes need.
#[derive(Clone)]
pub struct RecordState {
    /// The record of network access.
    pub log: AccessLog,
    /// The audit, and where each look is put down.
    pub audit: Auditor,
}

type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What is asked for: of the keys in `known`, each at most once and none other.
///
/// # Errors
/// `bad-input` with the key that is wrong.
fn wanted(asked: Asked, known: &[&str]) -> Result<Wanted, Problem> {
    let wrong = |field: &str| Problem::new(ProblemCode::BadInput).field(field);
    let Query(asked) = asked.map_err(|_| wrong("query"))?;
    let mut wanted = Wanted::default();
    for (at, (key, value)) in asked.iter().enumerate() {
        if !known.contains(&key.as_str()) || asked[..at].iter().any(|(before, _)| before == key) {
            return Err(wrong(key));
        }
        match key.as_str() {
            "before" => wanted.before = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(|| wrong(key))?),
            "day" => wanted.day = Some(calendar::day(value).ok_or_else(|| wrong(key))?),
            _ => {
                let code = Some(text::code(value)).filter(|code| !code.is_empty());
                wanted.device = Some(code.ok_or_else(|| wrong(key))?);
            }
        }
    }
    Ok(wanted)
}

impl RecordState {
    async fn look(&self, who: &Caller, peer: Peer, action: &str, wanted: &Wanted) {
        let day = wanted.day.map(calendar::Day::text);
        let detail = serde_json::json!({ "day": day, "device": wanted.device, "before": wanted.before });
        self.audit.note(who.staff_name(), peer.0, action, detail).await;
    }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::internal(&error)
}

/// A line with its number, which says where the next page begins.
#[derive(Debug, Serialize)]
pub struct Numbered<T> {
    seq: i64,
    #[serde(flatten)]
    line: T,
}

/// `GET /api/policy/log?before=…&day=…&device=…`: the record of network access, the newest first; with `before` what is older
/// than that line.
///
/// # Errors
/// `bad-input` with the key that is wrong or unknown.
pub async fn access(
    State(state): State<RecordState>,
    who: Caller,
    peer: Peer,
    asked: Asked,
) -> Result<axum::Json<Vec<Numbered<AccessLine>>>, Refusal> {
    let wanted = wanted(asked, &["before", "day", "device"])?;
    state.look(&who, peer, "read-network-access", &wanted).await;
    let lines = state.log.page(wanted, LINES).await.map_err(internal)?;
    Ok(axum::Json(lines.into_iter().map(|(seq, line)| Numbered { seq, line }).collect()))
}

/// `GET /api/policy/log.csv?day=…&device=…`: all of a day, the newest first.
///
/// # Errors
/// `bad-input` with the key that is wrong, unknown or missing.
pub async fn access_csv(
    State(state): State<RecordState>,
    who: Caller,
    peer: Peer,
    asked: Asked,
) -> Result<Response, Refusal> {
    let mut wanted = wanted(asked, &["day", "device"])?;
    let day = wanted.day.ok_or_else(|| Problem::new(ProblemCode::BadInput).field("day"))?;
    state.look(&who, peer, "export-network-access", &wanted).await;
    let words = |words: &str| Cell::Text(words.to_owned());
    let mut rows = vec![["time", "device", "address", "lesson", "name", "allowed", "rule"].map(words).to_vec()];
    loop {
        let part = state.log.page(wanted.clone(), PART).await.map_err(internal)?;
        let Some((last, _)) = part.last() else { break };
        wanted.before = Some(*last);
        rows.extend(part.iter().map(|(_, line)| {
            let AccessLine { at, device, address, lesson, name, allow, rule } = line;
            let or_nothing = |text: &Option<String>| words(text.as_deref().unwrap_or_default());
            let allow = if *allow { "yes" } else { "no" };
            let time = words(&calendar::local_time(*at));
            vec![time, or_nothing(device), words(address), or_nothing(lesson), words(name), words(allow), words(rule)]
        }));
    }
    let table = Table { name: day.text(), rows, headings: vec![0] };
    let mut response = sheets::csv(&table, Lang::En).map_err(internal)?.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let name = HeaderValue::try_from(format!("attachment; filename=\"network-access-{}.csv\"", day.text()));
    headers.insert(header::CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// One line of the audit.
#[derive(Debug, Serialize)]
pub struct AuditLine {
    at: Millis,
    who: String,
    place: String,
    action: String,
    detail: serde_json::Value,
}

/// `GET /api/audit?before=…&day=…`: what staff did, the newest first.
///
/// # Errors
/// As [`access`].
pub async fn audit(
    State(state): State<RecordState>,
    who: Caller,
    peer: Peer,
    asked: Asked,
) -> Result<axum::Json<Vec<Numbered<AuditLine>>>, Refusal> {
    let wanted = wanted(asked, &["before", "day"])?;
    state.look(&who, peer, "read-audit", &wanted).await;
    let rows = state.audit.0.page(wanted, AUDIT_LINES).await.map_err(internal)?;
    let line = |AuditRow { id, entry, .. }: AuditRow| Numbered {
        seq: id,
        line: AuditLine {
            at: entry.at,
            who: entry.who,
            place: entry.place,
            action: entry.action,
            detail: entry.detail,
        },
    };
    Ok(axum::Json(rows.into_iter().map(line).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KNOWN: &[&str] = &["before", "day", "device"];

    fn asked(query: &str) -> Result<Wanted, Option<String>> {
        let uri = format!("/api/policy/log{query}").parse().unwrap();
        wanted(Query::try_from_uri(&uri), KNOWN).map_err(|problem| problem.field)
    }

    #[test]
    fn what_is_wrong_or_unknown_is_named() {
        for (query, field) in [
            ("?befor=3", "befor"),
            ("?before=x", "before"),
            ("?before=-1", "before"),
            ("?before=", "before"),
            ("?day=2026-02-30", "day"),
            ("?day=", "day"),
            ("?device=", "device"),
            ("?device=%20-", "device"),
            ("?day=2026-03-02&day=2026-03-03", "day"),
        ] {
            assert_eq!(asked(query).unwrap_err().as_deref(), Some(field), "{query}");
        }
    }

    #[test]
    fn a_device_is_found_as_its_label_says_it() {
        let found = asked("?device=ab3d%20efgh&day=2026-03-02&before=7").unwrap();
        assert_eq!((found.device.as_deref(), found.before), (Some("AB3DEFGH"), Some(7)));
        assert_eq!(found.day.map(calendar::Day::text).as_deref(), Some("2026-03-02"));
        assert_eq!(asked(""), Ok(Wanted::default()));
    }
}
