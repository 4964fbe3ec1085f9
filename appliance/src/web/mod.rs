//! HTTP: pages, API, WHIP and WHEP. Handlers parse, core decides, the room's task and the forwarder execute.
//!
//! [`routes`] declares all of it; a route can't be declared without the rule that guards it.

pub mod audit;
pub mod gate;
pub mod home;
pub mod join;
pub mod library;
pub mod media;
pub mod metrics;
pub mod pages;
pub mod panels;
pub mod register;
pub mod reply;
mod routes;
pub mod serve;
pub mod staff;
pub mod teach;
pub mod ws;

use appliance_core::access::Rule;
use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method},
};
use tower::ServiceBuilder;
use tower_http::{
    compression::{CompressionLayer, DefaultPredicate, Predicate as _},
    set_header::SetResponseHeaderLayer,
};

pub use routes::Declared;
use routes::Routes;

use crate::library::POSTER;

/// The state of each group of routes, made by the wiring.
pub struct Parts {
    /// Proves callers.
    pub gate: gate::Gate,
    /// Pages.
    pub pages: pages::PagesState,
    /// Students.
    pub join: join::JoinState,
    /// Students at home.
    pub home: home::HomeState,
    /// Teachers.
    pub teach: teach::TeachState,
    /// The library.
    pub library: library::LibraryState,
    /// Accounts.
    pub staff: staff::StaffState,
    /// The school office.
    pub register: register::RegisterState,
    /// Panels and programs.
    pub panels: panels::PanelsState,
    /// WHIP and WHEP.
    pub media: media::MediaState,
    /// Sockets.
    pub ws: ws::WsState,
    /// Metrics.
    pub metrics: metrics::MetricsState,
}

/// All routes with their rules, and the table of them.
pub fn routes(parts: &Parts) -> (Router, Vec<Declared>) {
    const DELETE: Method = Method::DELETE;
    const GET: Method = Method::GET;
    const OPTIONS: Method = Method::OPTIONS;
    const PATCH: Method = Method::PATCH;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    let Parts { gate, pages, join, home, teach, library, staff, register, panels, media, ws, metrics } = parts;
    let (router, table) = Routes::new(gate.clone())
        .at(GET, "/", Rule::Public, pages::root, pages)
        .at(GET, "/join", Rule::Public, pages::join, pages)
        .at(GET, "/home", Rule::Public, pages::home, pages)
        .at(GET, "/teach", Rule::Public, pages::teach, pages)
        .at(GET, "/panel", Rule::Public, pages::panel, pages)
        .at(GET, "/school", Rule::Public, pages::school, pages)
        .at(GET, "/consent", Rule::Public, pages::consent, pages)
        .at(GET, "/assets/{*path}", Rule::Public, pages::asset, pages)
        .at(GET, "/healthz", Rule::Public, pages::health, pages)
        .at(GET, "/api/qr.svg", Rule::Public, pages::qr, pages)
        .at(GET, "/api/room", Rule::Public, join::room, join)
        .at(POST, "/api/join", Rule::Public, join::join, join)
        .at(POST, "/api/join/seat", Rule::Ticket, join::seat, join)
        .at(POST, "/api/student/command", Rule::Student, join::command, join)
        .at_with_limit(PUT, "/api/student/thumbnail", Rule::Student, join::THUMBNAIL_BYTES, join::thumbnail, join)
        .at(POST, "/api/student/whip-key", Rule::Student, join::whip_key, join)
        .at(POST, "/api/seats/{seat}/home-link", Rule::Staff, home::link, home)
        .at(POST, "/api/home/join", Rule::HomeLink, home::join, home)
        .at(POST, "/api/home/command", Rule::Home, home::command, home)
        .at(GET, "/api/ws", Rule::Member, ws::connect, ws)
        .at(POST, "/api/staff/first-sign-in", Rule::Public, staff::first_sign_in, staff)
        .at(POST, "/api/staff/sign-in", Rule::Public, staff::sign_in, staff)
        .at(GET, "/api/staff/me", Rule::Account, staff::me, staff)
        .at(POST, "/api/staff/sign-out", Rule::Account, staff::sign_out, staff)
        .at(POST, "/api/staff/invite", Rule::Account, staff::invite, staff)
        .at(POST, "/api/room/command", Rule::Staff, teach::command, teach)
        .at(GET, "/api/seats/{seat}/thumbnail", Rule::Staff, teach::thumbnail, teach)
        .at(GET, "/api/classes", Rule::Staff, teach::classes, teach)
        .at(POST, "/api/classes", Rule::Staff, teach::add_class, teach)
        .at(PUT, "/api/classes/{id}", Rule::Staff, teach::replace_class, teach)
        .at(GET, "/api/evidence.csv", Rule::Staff, teach::evidence, teach)
        .at(GET, "/api/audit", Rule::Staff, teach::audit, teach)
        .at(GET, "/api/school", Rule::Office, register::overview, register)
        .at_with_limit(POST, "/api/school/import", Rule::Office, register::FILE_BYTES, register::preview, register)
        .at_with_limit(POST, "/api/school/import/apply", Rule::Office, register::FILE_BYTES, register::apply, register)
        .at(POST, "/api/school/devices", Rule::Office, register::add_device, register)
        .at(PUT, "/api/school/devices/{id}", Rule::Office, register::put_device, register)
        .at(GET, "/api/school/devices/{id}/qr.svg", Rule::Office, register::device_qr, register)
        .at(PUT, "/api/school/students/{id}", Rule::Office, register::put_student, register)
        .at(POST, "/api/school/consent-texts", Rule::Office, register::publish, register)
        .at(POST, "/api/school/consents", Rule::Office, register::sign, register)
        .at(POST, "/api/school/withdrawals", Rule::Office, register::withdraw, register)
        .at(POST, "/api/school/consent-links", Rule::Office, register::issue, register)
        .at(POST, "/api/school/loans", Rule::Office, register::lend, register)
        .at(POST, "/api/school/loans/{id}/return", Rule::Office, register::take_back, register)
        .at(POST, "/api/consent/read", Rule::Public, register::read_link, register)
        .at(POST, "/api/consent/sign", Rule::Public, register::sign_link, register)
        .at(POST, "/api/panel/pair", Rule::Public, panels::begin, panels)
        .at(GET, "/api/panel/pair/{id}", Rule::Public, panels::ask, panels)
        .at(POST, "/api/panel/report", Rule::Display, panels::report, panels)
        .at(POST, "/api/panels", Rule::Staff, panels::approve, panels)
        .at(DELETE, "/api/panels/{id}", Rule::Staff, panels::remove, panels)
        .at(POST, "/api/sources", Rule::Staff, panels::add_source, panels)
        .at(DELETE, "/api/sources/{source}", Rule::Staff, panels::remove_source, panels)
        .at(OPTIONS, "/whip/{source}", Rule::Public, media::options, media)
        .at_with_limit(POST, "/whip/{source}", Rule::Publisher, media::OFFER_BYTES, media::publish, media)
        .at_with_limit(PATCH, "/whip/{source}/{session}", Rule::Publisher, media::OFFER_BYTES, media::patch, media)
        .at(DELETE, "/whip/{source}/{session}", Rule::Publisher, media::close, media)
        .at(OPTIONS, "/whep/{source}", Rule::Public, media::options, media)
        .at_with_limit(POST, "/whep/{source}", Rule::Viewer, media::OFFER_BYTES, media::view, media)
        .at_with_limit(PATCH, "/whep/{source}/{session}", Rule::Viewer, media::OFFER_BYTES, media::patch, media)
        .at(DELETE, "/whep/{source}/{session}", Rule::Viewer, media::close, media)
        .at(POST, "/whep/{source}/{session}/layer", Rule::Viewer, media::layer, media)
        .at(GET, "/library", Rule::Public, pages::library, pages)
        .at(GET, "/library/{key}/poster", Rule::Member, library::poster, library)
        .at(GET, "/library/{key}/c/{*name}", Rule::Member, library::content, library)
        .at(GET, "/api/library", Rule::Member, library::list, library)
        .at(POST, "/api/library/pass", Rule::Student, library::pass, library)
        .at(POST, "/api/library/pins", Rule::Staff, library::pin, library)
        .at_streaming(POST, "/api/library/uploads", Rule::Staff, library::upload, library)
        .at(POST, "/api/library/{key}/opened", Rule::Student, library::opened, library)
        .at(POST, "/api/library/{key}/watched", Rule::Student, library::watched, library)
        .at(PATCH, "/api/library/{key}", Rule::Staff, library::change, library)
        .at(DELETE, "/api/library/{key}", Rule::Staff, library::remove, library)
        .at_with_limit(PUT, "/api/library/{key}/poster", Rule::Staff, POSTER, library::keep_poster, library)
        .at(GET, "/metrics", Rule::Ops, metrics::metrics, metrics)
        .finish();
    let fixed = |name, value| {
        SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    // The library's content comes with a stricter policy of its own.
    let policy = SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
             connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    let router = router.fallback(pages::nowhere).layer(
        ServiceBuilder::new()
            .layer(policy)
            .layer(fixed("x-content-type-options", "nosniff"))
            .layer(fixed("referrer-policy", "no-referrer"))
            .layer(fixed("cross-origin-opener-policy", "same-origin"))
            .layer(fixed("cross-origin-resource-policy", "same-origin"))
            .layer(fixed(
                "permissions-policy",
                "display-capture=(self), camera=(self), microphone=(self), geolocation=()",
            ))
            .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(library::compressible))),
    );
    (router, table)
}
