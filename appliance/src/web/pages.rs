//! The pages, built from `ui/` into the program.

use std::sync::Arc;

use appliance_core::room::Facts;
use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use classroom_protocol::ProblemCode;
use qrcode::{QrCode, render::svg};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

use super::reply::Refusal;
use crate::{health::Health, keeping::Keeping};

// Without the built pages the program still compiles, so that tests of other parts need no Node.
#[derive(RustEmbed)]
#[folder = "ui/dist/"]
#[allow_missing = true]
struct Built;

/// Stands in each page: asks for it again when a part of it did not arrive.
const AGAIN: &str = include_str!("../../ui/src/lib/again.js");

/// What browsers may do on our pages: nothing but what comes from here.
pub(super) fn content_policy() -> String {
    let again = BASE64_STANDARD.encode(Sha256::digest(AGAIN));
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{again}'; style-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob:; connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// What the pages need.
#[derive(Clone)]
pub struct PagesState {
    /// The room's address, for the QR code.
    pub facts: Arc<Facts>,
    /// Whether the hub does its work.
    pub health: Health,
    /// Whether the disk takes what it shall keep.
    pub keeping: Keeping,
}

/// `GET /`: most who type the bare address are students.
pub async fn root() -> Redirect {
    Redirect::to("/join")
}

/// `GET /join`.
pub async fn join() -> Response {
    page("join.html")
}

/// `GET /home`.
pub async fn home() -> Response {
    page("home.html")
}

/// `GET /teach`.
pub async fn teach() -> Response {
    page("teach.html")
}

/// `GET /panel`.
pub async fn panel() -> Response {
    page("panel.html")
}

/// `GET /school`.
pub async fn school() -> Response {
    page("school.html")
}

/// `GET /consent`.
pub async fn consent() -> Response {
    page("consent.html")
}

/// `GET /month`.
pub async fn month() -> Response {
    page("month.html")
}

/// `GET /library`.
pub async fn library() -> Response {
    page("library.html")
}

/// `GET /assets/{*path}`: names carry a hash of the content, so they may be kept for ever.
pub async fn asset(Path(path): Path<String>) -> Response {
    let mut response = file(&format!("assets/{path}"));
    if response.status().is_success() {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    response
}

/// `GET /healthz`: 200 when the hub does its work, else 503; what is wrong is in the log only. A hub whose records wait for
/// room on the disk does its work and says so.
pub async fn health(State(state): State<PagesState>) -> (StatusCode, &'static str) {
    match state.health.well().await {
        true if state.keeping.now().waiting() > 0 => (StatusCode::OK, "ok, records wait\n"),
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not well\n"),
    }
}

/// `GET /api/qr.svg`: the address of the students' page. It holds no room code: that one is read off the panel.
///
/// # Errors
/// `internal` when the address is too long for a QR code.
pub async fn qr(State(state): State<PagesState>) -> Result<Response, Refusal> {
    let mut response = qr_picture(&state.facts.join_url)?.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// A text as a QR code, an SVG picture.
///
/// # Errors
/// `internal` when the text is too long for one.
pub(super) fn qr_picture(text: &str) -> Result<String, Refusal> {
    let code = QrCode::new(text).map_err(|error| Refusal::internal(&error))?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

/// What no route answers.
pub async fn nowhere() -> Refusal {
    ProblemCode::NotFound.into()
}

/// One of the built pages.
pub(super) fn page(name: &str) -> Response {
    let mut response = file(name);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn file(name: &str) -> Response {
    let Some(found) = Built::get(name) else {
        return if name.starts_with("assets/") {
            Refusal::from(ProblemCode::NotFound).into_response()
        } else {
            (StatusCode::NOT_FOUND, "This program was built without its pages: run `make ui` and build again.\n")
                .into_response()
        };
    };
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind =
        HeaderValue::try_from(kind.essence_str()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = found.data.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{
        media::{self, MediaConfig},
        store,
    };

    #[test]
    fn each_page_asks_again_for_itself_and_browsers_may_run_that() {
        assert!(HeaderValue::try_from(content_policy()).is_ok());
        let pages = Built::iter().filter(|name| name.ends_with(".html")).collect::<Vec<_>>();
        for name in &pages {
            let page = String::from_utf8(Built::get(name).unwrap().data.into_owned()).unwrap();
            assert!(page.contains(&format!("<script>{AGAIN}</script>")), "{name}: its hash would not fit");
        }
        assert!(pages.is_empty() || pages.len() == 10, "{pages:?}");
    }

    #[tokio::test]
    async fn a_hub_without_its_media_thread_says_so_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (media, _events) = media::start(MediaConfig::on_loopback(folder.path())).unwrap();
        let opened = store::open(folder.path(), 0).unwrap();
        let keeping = Keeping::new(folder.path().into(), folder.path().join("backups"));
        let state = || PagesState {
            facts: Arc::new(Facts { room: String::new(), join_url: String::new(), notice: None }),
            health: Health::new(media.clone(), opened.store.rooms()),
            keeping: keeping.clone(),
        };
        assert_eq!(health(State(state())).await, (StatusCode::OK, "ok\n"));
        keeping.records(3, 0);
        assert_eq!(health(State(state())).await, (StatusCode::OK, "ok, records wait\n"));
        keeping.records(0, 0);
        assert_eq!(health(State(state())).await, (StatusCode::OK, "ok\n"));
        media.stop().await.unwrap();
        assert_eq!(health(State(state())).await, (StatusCode::SERVICE_UNAVAILABLE, "not well\n"));
        tokio::task::spawn_blocking(move || opened.keeper.close()).await.unwrap();
    }
}
