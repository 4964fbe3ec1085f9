//! The library over HTTP: its list, what teachers change in it, and its content with ranges and tags (RFC 9110).

use std::{sync::Arc, time::Duration};

use appliance_core::{
    access::Who,
    library::{
        kind,
        range::{self, Answer},
    },
    room::Pass,
    usage::{Event, Fact, Place, Subject},
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use classroom_protocol::{Millis, Problem, ProblemCode};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    audit::Auditor,
    gate::{LIBRARY_COOKIE, Peer, Via},
    reply::{self, DONE, Json, Refusal},
    routes::Caller,
};
use crate::{
    cache::{CacheError, Opened, Reader},
    clock,
    library::{Library, LibraryError, Progress},
    room::RoomHandle,
    staff::{BoxKey, Claims, Kind as TokenKind},
    store::LibraryItem,
    usage::Recorder,
};

/// An upload that brings nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A student's pass to the content ends with the lesson; at the latest after a school day.
const PASS_MS: Millis = 12 * 3_600_000;

/// What the library's routes need.
#[derive(Clone)]
pub struct LibraryState {
    /// The library.
    pub library: Library,
    /// Signs passes.
    pub key: Arc<BoxKey>,
    /// Keeps what staff do.
    pub audit: Auditor,
    /// The room: which class is here.
    pub room: RoomHandle,
    /// Keeps what counts as use (R-USE-5).
    pub recorder: Recorder,
}

/// Marks an answer whose bytes must reach the reader as they are: its tag and its ranges are of these bytes.
#[derive(Debug, Clone, Copy)]
struct Raw;

/// Whether an answer may be compressed on its way.
pub(super) fn compressible(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<Raw>().is_none()
}

fn refusal(error: LibraryError) -> Refusal {
    match error {
        LibraryError::Missing => ProblemCode::NotFound.into(),
        LibraryError::TooSoon(seconds) => Problem::new(ProblemCode::TooManyTries).retry_after(seconds).into(),
        LibraryError::OnlyCopy => Problem::new(ProblemCode::BadInput).field("pinned").into(),
        LibraryError::Store(error) => Refusal::internal(&error),
        LibraryError::Cache(error) => cache(&error),
    }
}

fn cache(error: &CacheError) -> Refusal {
    let code = match error {
        CacheError::BadAddress | CacheError::Refused(_) => ProblemCode::AddressRefused,
        CacheError::Unreachable(_) | CacheError::Origin(_) | CacheError::Changed | CacheError::Page => {
            ProblemCode::OriginSilent
        }
        CacheError::Forbidden => ProblemCode::CopiesForbidden,
        CacheError::Manifest(_) => ProblemCode::StreamUnfit,
        CacheError::TooLarge => ProblemCode::TooLarge,
        CacheError::NoRoom(_) => ProblemCode::LibraryFull,
        CacheError::DiskFull => ProblemCode::DiskFull,
        CacheError::Gone => ProblemCode::NotFound,
        CacheError::Damaged | CacheError::Io(_) => return Refusal::internal(error),
    };
    tracing::info!(%error, code = code.as_str(), "the library refuses");
    let problem = Problem::new(code);
    // Why the origin's answer was of no use helps who looks for the mistake.
    match error {
        CacheError::Origin(status) => problem.field(format!("status {status}")).into(),
        CacheError::Manifest(why) => problem.field(format!("{why:?}").to_lowercase()).into(),
        _ => problem.into(),
    }
}

/// How an item is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// Everything is there: it opens with the uplink dead.
    Ready,
    /// It is coming.
    Fetching,
    /// It comes tonight.
    Tonight,
    /// Not pinned: it comes when someone opens it.
    OnDemand,
    /// Something is wrong; `problem` says what.
    Failed,
}

/// An item as pages get it.
#[derive(Debug, Serialize)]
pub struct ItemRow {
    key: String,
    title: String,
    kind: String,
    state: ItemState,
    /// Address of its content, and of its picture.
    open: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    poster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// From 0 to 1.
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemCode>,
    created_at: Millis,
    created_by: String,
    pinned: bool,
    tonight: bool,
    upload: bool,
    /// Where it comes from; for teachers.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

/// The list as pages get it.
#[derive(Debug, Serialize)]
pub struct List {
    /// Whether the reader may change it.
    teacher: bool,
    items: Vec<ItemRow>,
    /// Bytes that are taken, and that may be.
    taken: u64,
    most: u64,
    /// Most bytes of one upload.
    upload_most: u64,
}

fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn row(library: &Library, item: LibraryItem, progress: Progress, teacher: bool) -> ItemRow {
    let problem = progress.fault.as_ref().map(|error| cache(error).0.code);
    let state = match &progress {
        Progress { complete: true, .. } => ItemState::Ready,
        _ if problem.is_some() && !progress.filling => ItemState::Failed,
        Progress { filling: true, .. } => ItemState::Fetching,
        _ if !item.pinned => ItemState::OnDemand,
        _ if item.tonight => ItemState::Tonight,
        _ => ItemState::Fetching,
    };
    ItemRow {
        open: format!("/library/{}/c/{}", item.key, segment(&item.main)),
        poster: library.has_poster(&item.key).then(|| format!("/library/{}/poster", item.key)),
        key: item.key,
        title: item.title,
        kind: item.kind,
        state,
        size: progress.size,
        share: progress.share,
        problem: problem.filter(|_| state == ItemState::Failed),
        created_at: item.created_at,
        created_by: item.created_by,
        pinned: item.pinned,
        tonight: item.tonight,
        upload: item.origin.is_none(),
        origin: item.origin.filter(|_| teacher),
    }
}

/// `GET /api/library`.
///
/// # Errors
/// `internal` when the store fails.
pub async fn list(State(state): State<LibraryState>, who: Caller) -> Result<axum::Json<List>, Refusal> {
    let teacher = matches!(who.0, Who::Staff { .. });
    let items = state.library.list().await.map_err(refusal)?;
    let (taken, most) = state.library.room();
    Ok(axum::Json(List {
        teacher,
        items: items.into_iter().map(|(item, progress)| row(&state.library, item, progress, teacher)).collect(),
        taken,
        most,
        upload_most: state.library.upload_most(),
    }))
}

/// `POST /api/library/pass`: a cookie with which a student's player reads content, and nothing else. It is the student's
/// own pass: void with the lesson or when the seat is freed.
///
/// # Errors
/// `not-allowed`.
pub async fn pass(
    State(state): State<LibraryState>,
    who: Caller,
    via: Option<Extension<Via>>,
) -> Result<Response, Refusal> {
    let Who::Student(pass) = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let claims = Claims {
        kind: TokenKind::Student,
        lesson: pass.lesson,
        seat: Some(pass.seat),
        epoch: pass.epoch,
        exp: clock::now() + PASS_MS,
    };
    let secure = if via.is_some_and(|via| via.0 == Via::Tls) { "; Secure" } else { "" };
    let token = state.key.sign(&claims);
    let cookie = format!("{LIBRARY_COOKIE}={token}; Path=/library/; HttpOnly; SameSite=Strict{secure}");
    let mut response = DONE.into_response();
    if let Ok(value) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// The library's id in the list of platforms (R-USE-9).
const PLATFORM: &str = "library";
/// Most seconds that one call may tell: pages tell every half minute.
const MOST_SECONDS: u32 = 120;

/// Keeps an event of a student. When the disk refuses, the log says so and the video goes on: a full disk must not stop a
/// class.
async fn note(state: &LibraryState, pass: Pass, at: Millis, fact: Fact) {
    let class = state.room.now().class_id();
    let who = Subject { class, seat: Some(pass.seat), ..Subject::default() };
    let event = Event { at, who, place: Place::School, lesson: Some(pass.lesson), fact, origin: None };
    if let Err(error) = state.recorder.record(event).await {
        tracing::error!(%error, "the use of the library could not be kept");
    }
}

/// `POST /api/library/{key}/opened`: a student has opened an item (R-CONT-1, R-USE-5).
///
/// # Errors
/// `not-found`.
pub async fn opened(
    State(state): State<LibraryState>,
    who: Caller,
    Path(key): Path<String>,
) -> Result<StatusCode, Refusal> {
    let Who::Student(pass) = who.0 else { return Err(ProblemCode::NotAllowed.into()) };
    let item = state.library.used(&key).await.map_err(refusal)?;
    note(&state, pass, clock::now(), Fact::Opened { item: item.key }).await;
    Ok(DONE)
}

/// Body of `POST /api/library/{key}/watched`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// Whole seconds that the item was playing or shown since the last call.
    seconds: u32,
}

/// `POST /api/library/{key}/watched`: a piece of time that a student has really watched. One each 20 seconds is kept.
///
/// # Errors
/// `bad-input` naming `seconds`, `not-found`; `too-many-tries` when it is one too many, which is not kept.
pub async fn watched(
    State(state): State<LibraryState>,
    who: Caller,
    Path(key): Path<String>,
    Json(Watched { seconds }): Json<Watched>,
) -> Result<StatusCode, Refusal> {
    let by = who.key();
    let (Who::Student(pass), Some(by)) = (who.0, by) else { return Err(ProblemCode::NotAllowed.into()) };
    if !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(Problem::new(ProblemCode::BadInput).field("seconds").into());
    }
    state.library.watched(&key, by).await.map_err(refusal)?;
    let began = clock::now().saturating_sub(Millis::from(seconds) * 1000);
    note(&state, pass, began, Fact::Used { platform: PLATFORM.into(), seconds }).await;
    Ok(DONE)
}

fn named(title: Option<String>) -> Result<Option<String>, Problem> {
    let Some(title) = title else { return Ok(None) };
    kind::title(&title).map(Some).ok_or_else(|| Problem::new(ProblemCode::BadInput).field("title"))
}

fn teacher(who: &Who) -> Result<&str, ProblemCode> {
    if let Who::Staff { name, .. } = who { Ok(name) } else { Err(ProblemCode::NotAllowed) }
}

/// Body of `POST /api/library/pins`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    url: String,
    #[serde(default)]
    title: Option<String>,
    /// Fetched at night only, unless someone opens it.
    #[serde(default)]
    tonight: bool,
}

/// `POST /api/library/pins`.
///
/// # Errors
/// `address-refused`, `origin-silent`, `copies-forbidden`, `stream-unfit`, `library-full`; `bad-input` naming `title`.
pub async fn pin(
    State(state): State<LibraryState>,
    who: Caller,
    peer: Peer,
    Json(Pin { url, title, tonight }): Json<Pin>,
) -> Result<(StatusCode, axum::Json<ItemRow>), Refusal> {
    let by = teacher(&who)?;
    let item = state.library.pin(&url, named(title)?, tonight, by).await.map_err(refusal)?;
    let detail = serde_json::json!({ "key": item.key, "title": item.title, "url": item.origin, "tonight": tonight });
    state.audit.note(by, peer.0, "library-pin", detail).await;
    Ok((StatusCode::CREATED, axum::Json(row(&state.library, item, Progress::default(), true))))
}

/// Query of `POST /api/library/uploads`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// The file's name.
    name: String,
    #[serde(default)]
    title: Option<String>,
}

/// `POST /api/library/uploads?name=…&title=…`: the file's bytes are the body.
///
/// # Errors
/// `too-large` with the limit, `library-full`, `disk-full`; `bad-input` naming `name`, `title` or a body that breaks off.
pub async fn upload(
    State(state): State<LibraryState>,
    who: Caller,
    peer: Peer,
    query: Result<Query<UploadQuery>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, axum::Json<ItemRow>), Refusal> {
    let by = teacher(&who)?;
    let Query(UploadQuery { name, title }) = query.map_err(|_| Problem::new(ProblemCode::BadInput).field("name"))?;
    let title = named(title)?;
    let most = state.library.upload_most();
    let too_large =
        || Problem::new(ProblemCode::TooLarge).field(format!("file, [library] upload_mb = {}", most / 1_000_000));
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let size = length.and_then(|length| length.parse::<u64>().ok());
    if size.is_some_and(|size| size > most) {
        return Err(too_large().into());
    }
    let (item, mut upload) = state.library.begin_upload(&name, title, size, by).await.map_err(refusal)?;
    let mut body = body.into_data_stream();
    let taken = async {
        loop {
            let next = tokio::time::timeout(SILENCE, body.next()).await;
            let chunk = match next.map_err(|_| Problem::new(ProblemCode::BadInput).field("body"))? {
                Some(Ok(chunk)) => chunk,
                Some(Err(_)) => return Err(Problem::new(ProblemCode::BadInput).field("body").into()),
                None if upload.bytes() == 0 => return Err(Problem::new(ProblemCode::BadInput).field("file").into()),
                None => return Ok(()),
            };
            if upload.bytes() + chunk.len() as u64 > most {
                return Err(too_large().into());
            }
            upload.write(chunk).await.map_err(|error| cache(&error))?;
        }
    };
    let taken: Result<(), Refusal> = taken.await;
    if let Err(refusal) = taken {
        drop(upload);
        state.library.drop_upload(&item).await;
        return Err(refusal);
    }
    let item = state.library.keep_upload(item, upload).await.map_err(refusal)?;
    let detail = serde_json::json!({ "key": item.key, "title": item.title, "file": item.main });
    state.audit.note(by, peer.0, "library-upload", detail).await;
    let progress = Progress { complete: true, share: 1.0, size, ..Progress::default() };
    Ok((StatusCode::CREATED, axum::Json(row(&state.library, item, progress, true))))
}

/// Body of `PATCH /api/library/{key}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    pinned: Option<bool>,
    #[serde(default)]
    tonight: Option<bool>,
}

/// `PATCH /api/library/{key}`.
///
/// # Errors
/// `not-found`; `bad-input` naming `title`, or `pinned` for an upload, which can only be removed.
pub async fn change(
    State(state): State<LibraryState>,
    who: Caller,
    peer: Peer,
    Path(key): Path<String>,
    Json(Change { title, pinned, tonight }): Json<Change>,
) -> Result<StatusCode, Refusal> {
    let by = teacher(&who)?;
    let item = state.library.change(&key, named(title)?, pinned, tonight).await.map_err(refusal)?;
    let detail = serde_json::json!({ "key": key, "title": item.title, "pinned": item.pinned, "tonight": item.tonight });
    state.audit.note(by, peer.0, "library-change", detail).await;
    Ok(DONE)
}

/// `DELETE /api/library/{key}`.
///
/// # Errors
/// `not-found`.
pub async fn remove(
    State(state): State<LibraryState>,
    who: Caller,
    peer: Peer,
    Path(key): Path<String>,
) -> Result<StatusCode, Refusal> {
    let by = teacher(&who)?;
    let item = state.library.remove(&key).await.map_err(refusal)?;
    state.audit.note(by, peer.0, "library-remove", serde_json::json!({ "key": key, "title": item.title })).await;
    Ok(DONE)
}

/// `PUT /api/library/{key}/poster`: a JPEG that the teacher's browser took of the video.
///
/// # Errors
/// `wrong-content-type`, `too-large`, `bad-input` when it is no JPEG, `not-found`.
pub async fn keep_poster(
    State(state): State<LibraryState>,
    Path(key): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    if reply::content_type(&request).is_none_or(|kind| kind != "image/jpeg") {
        return Err(ProblemCode::WrongContentType.into());
    }
    let picture = reply::body(request, &()).await?;
    if !picture.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(Problem::new(ProblemCode::BadInput).field("body").into());
    }
    state.library.keep_poster(&key, picture).await.map_err(refusal)?;
    Ok(DONE)
}

/// `GET /library/{key}/poster`.
///
/// # Errors
/// `not-found`.
pub async fn poster(State(state): State<LibraryState>, Path(key): Path<String>) -> Result<Response, Refusal> {
    let picture = state.library.poster(&key).await.ok_or(ProblemCode::NotFound)?;
    let mut response = picture.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

/// `GET /library/{key}/c/{*name}`: content, whole or one range of it. Several ranges are answered with the whole.
///
/// # Errors
/// `not-found`; `origin-silent` when nothing is there and nothing comes.
pub async fn content(
    State(state): State<LibraryState>,
    method: Method,
    Path((key, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let object = state.library.part(&key, &name).await.map_err(refusal)?;
    let wished = text(header::RANGE).filter(|_| method == Method::GET);
    let opened = object.open(range::begins(wished)).await.map_err(|error| cache(&error))?;
    let etag = opened.etag.clone();
    let mut response = if range::none_match(text(header::IF_NONE_MATCH), &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let wished = wished.filter(|_| range::if_range(text(header::IF_RANGE), &etag));
        answer(&opened, wished, method == Method::HEAD)
    };
    let showing = kind::showing(&opened.content_type);
    let put = |headers: &mut HeaderMap, name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let headers = response.headers_mut();
    put(headers, header::ETAG, &etag);
    // Kept by the browser, and asked after: a state that was replaced is not shown again.
    put(headers, header::CACHE_CONTROL, "private, no-cache");
    put(headers, header::CONTENT_SECURITY_POLICY, showing.policy);
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/problem+json") {
        put(headers, header::CONTENT_TYPE, &opened.content_type);
    }
    let how = if showing.inline { "inline" } else { "attachment" };
    let last = name.rsplit('/').next().unwrap_or_default();
    put(headers, header::CONTENT_DISPOSITION, &format!("{how}; filename*=UTF-8''{}", segment(last)));
    response.extensions_mut().insert(Raw);
    Ok(response)
}

fn answer(opened: &Opened, wished: Option<&str>, head: bool) -> Response {
    let body = |from, to| if head { Body::empty() } else { stream_of(opened.reader(from, to)) };
    let Some(size) = opened.size else {
        // The origin has not told how much it is: the end is where it ends.
        return Response::new(body(0, None));
    };
    let (mut response, length) = match range::answer(wished, size) {
        Answer::Whole => (Response::new(body(0, Some(size))), size),
        Answer::Part(from, to) => {
            let mut response = Response::new(body(from, Some(to)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let told = format!("bytes {from}-{}/{size}", to - 1);
            response.headers_mut().extend(HeaderValue::try_from(told).ok().map(|told| (header::CONTENT_RANGE, told)));
            (response, to - from)
        }
        Answer::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            let told = format!("bytes */{size}");
            response.headers_mut().extend(HeaderValue::try_from(told).ok().map(|told| (header::CONTENT_RANGE, told)));
            return response;
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// The reader's bytes as a body. An error cuts the answer off: nobody takes a part for the whole.
fn stream_of(reader: Reader) -> Body {
    Body::from_stream(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let next = reader.next().await?;
        let failed = next.is_err();
        Some((next, (!failed).then_some(reader)))
    }))
}
