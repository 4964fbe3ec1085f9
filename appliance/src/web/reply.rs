//! Bodies in and out: JSON that names the wrong field, problems as RFC 9457 says.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use classroom_protocol::{Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a handler answers with when it can't do what it was asked.
#[derive(Debug)]
pub struct Refusal(pub Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<ProblemCode> for Refusal {
    fn from(code: ProblemCode) -> Self {
        Problem::new(code).into()
    }
}

impl Refusal {
    /// The box failed: the log has the whole error, the outside only that it happened.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        ProblemCode::Internal.into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Problem { status, retry_after, code, .. } = *self.0;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == ProblemCode::SignedOut {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON body. A wrong one is refused with the name of the field.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let is_json = content_type(&request).is_some_and(|kind| kind == "application/json");
        if !is_json {
            return Err(ProblemCode::WrongContentType.into());
        }
        let body = body(request, state).await?;
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let field = wrong_field::<T>(path, &error.into_inner().to_string(), &body);
            Problem::new(ProblemCode::BadInput).field(field)
        })?;
        reader.end().map_err(|_| ProblemCode::BadInput)?;
        Ok(Self(value))
    }
}

/// A body with more fields is no command of ours; which of them is wrong is not worth the search.
const FIELDS: usize = 16;

/// Which field is wrong, by serde's path and words. What is chosen by a tag (`do`) has no path: then it is the field without
/// which serde says something else, or the one whose value it speaks of. `body` when it is none of the fields.
fn wrong_field<T: DeserializeOwned>(path: String, words: &str, body: &[u8]) -> String {
    // An unknown or missing field is named in the message only.
    let quoted = words.split('`').nth(1);
    if let Some(name) = quoted.filter(|_| words.contains("field")) {
        return name.to_owned();
    }
    if !matches!(path.as_str(), "." | "?") {
        return path;
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return "body".into() };
    if fields.len() > FIELDS {
        return "body".into();
    }
    let said = |fields: Map<String, Value>| serde_json::from_value::<T>(fields.into()).err().map(|e| e.to_string());
    let whole = said(fields.clone());
    let differs = |name: &&String| {
        let rest = fields.iter().filter(|(other, _)| other != name).map(|(name, value)| (name.clone(), value.clone()));
        said(rest.collect()) != whole
    };
    // Without the tag everything is another thing; it is the wrong one when no variant has its name.
    let tag = words.contains("variant").then_some("do");
    if let Some(name) = fields.keys().filter(|name| *name != "do").find(differs).map(String::as_str).or(tag) {
        return name.to_owned();
    }
    // “unknown variant `dance`”, “invalid type: string "x"”, “invalid value: integer `7`”, “invalid type: map”
    let spoken = |value: &Value| match value {
        Value::String(text) => quoted == Some(text) || words.contains(&format!("string {text:?},")),
        Value::Number(number) => quoted == Some(&number.to_string()),
        Value::Bool(on) => quoted == Some(&on.to_string()),
        Value::Null => words.contains("type: null") || words.contains("type: unit value"),
        Value::Array(_) => words.contains("type: sequence"),
        Value::Object(_) => words.contains("type: map"),
    };
    let mut found = fields.into_iter().filter(|(_, value)| spoken(value)).map(|(name, _)| name);
    found.next().unwrap_or_else(|| "body".into())
}

/// The media type of the body, without parameters, in lower case.
pub fn content_type(request: &Request) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The whole body; the gate has read it within the route's limit.
///
/// # Errors
/// `bad-input` when it can't be had.
pub async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, state).await.map_err(|_| ProblemCode::BadInput.into())
}

/// The whole body as text, if it has this media type.
///
/// # Errors
/// `wrong-content-type`, `bad-input` when it is no UTF-8.
pub async fn text_of(request: Request, kind: &str) -> Result<String, Refusal> {
    if content_type(&request).is_none_or(|given| given != kind) {
        return Err(ProblemCode::WrongContentType.into());
    }
    let body = body(request, &()).await?;
    String::from_utf8(body.into()).map_err(|_| ProblemCode::BadInput.into())
}

/// The answer to a command that has nothing to tell.
pub const DONE: StatusCode = StatusCode::NO_CONTENT;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use axum::{body::Body, http::header};
    use classroom_protocol::{StudentCommand, TeacherCommand};

    use super::*;

    async fn field<T: DeserializeOwned>(body: &str) -> Option<String> {
        let request = Request::builder().header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let Err(Refusal(problem)) = Json::<T>::from_request(request, &()).await else { panic!("{body} is good") };
        problem.field
    }

    #[tokio::test]
    async fn the_wrong_field_of_a_command_is_named() {
        for (body, name) in [
            (r#"{"do":"dance"}"#, "do"),
            (r#"{"do":"lock"}"#, "on"),
            (r#"{"do":"lock","on":1}"#, "on"),
            (r#"{"do":"lock","on":"yes"}"#, "on"),
            (r#"{"do":"lock","on":null}"#, "on"),
            (r#"{"do":"lock","on":[1]}"#, "on"),
            (r#"{"do":"start-lesson","class":{}}"#, "class"),
            (r#"{"do":7}"#, "do"),
            (r#"{"do":"lock","on":"lock"}"#, "on"),
            (r#"{"do":"approve","seat":0}"#, "seat"),
            (r#"{"do":"approve","seat":100}"#, "seat"),
            (r#"{"do":"show","source":"Nobody"}"#, "source"),
            (r#"{"do":"show","source":"seat-01","tile":-1}"#, "tile"),
            (r#"{"do":"swap","a":-1,"b":-1}"#, "a"),
            (r#"{"do":"end-lesson","now":true}"#, "now"),
            ("7", "body"),
            ("{", "body"),
        ] {
            assert_eq!(field::<TeacherCommand>(body).await.as_deref(), Some(name), "{body}");
        }
        let many: Vec<String> = (0..2_000).map(|n| format!(r#","{n}":null"#)).collect();
        let many = format!(r#"{{"do":"approve","seat":0{}}}"#, many.concat());
        assert_eq!(field::<TeacherCommand>(&many).await.as_deref(), Some("body"), "not worth the search");
    }

    #[tokio::test]
    async fn a_command_has_no_more_than_its_fields() {
        for body in [r#"{"do":"ask","x":1}"#, r#"{"do":"stop","x":null}"#, r#"{"x":{},"do":"leave"}"#] {
            assert_eq!(field::<StudentCommand>(body).await.as_deref(), Some("x"), "{body}");
        }
        for command in [StudentCommand::Ask, StudentCommand::Stop, StudentCommand::Leave] {
            let text = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<StudentCommand>(&text).unwrap(), command, "{text}");
        }
    }
}
