//! HTTP: pages, API, WHIP and WHEP. Handlers parse, core decides, the room's task and the forwarder execute.
//!
//! [`routes`] declares all of it; a route can't be declared without the rule that guards it.

pub mod agent;
pub mod alarms;
pub mod attendance;
pub mod audit;
pub mod devices;
pub mod doors;
pub mod figures;
pub mod gate;
pub mod home;
pub mod homes;
pub mod join;
pub mod keeping;
pub mod library;
pub mod media;
pub mod metrics;
pub mod pages;
pub mod panels;
pub mod policy;
pub mod record;
pub mod register;
pub mod reply;
mod routes;
pub mod serve;
pub mod staff;
pub mod teach;
pub mod usage;
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
use routes::{Finished, Routes};

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
    /// Who took part from home.
    pub attendance: attendance::AttendanceState,
    /// The library.
    pub library: library::LibraryState,
    /// Accounts.
    pub staff: staff::StaffState,
    /// The school office.
    pub register: register::RegisterState,
    /// The month and the report.
    pub figures: figures::FiguresState,
    /// Panels and programs.
    pub panels: panels::PanelsState,
    /// WHIP and WHEP.
    pub media: media::MediaState,
    /// The rules for people.
    pub policy: policy::PolicyState,
    /// What the school reviews.
    pub record: record::RecordState,
    /// Sockets.
    pub ws: ws::WsState,
    /// Take-home devices.
    pub agent: agent::AgentState,
    /// What students and devices have told.
    pub alarms: alarms::AlarmState,
    /// What is wrong with what the box keeps.
    pub keeping: keeping::KeepingState,
    /// Metrics.
    pub metrics: metrics::MetricsState,
    /// Usage records.
    pub usage: usage::UsageState,
}

/// What is served, and where.
pub struct Served {
    /// Every route.
    pub room: Router,
    /// What is declared for homes, and nothing else.
    pub homes: Router,
    /// Every route with its rule.
    pub table: Vec<Declared>,
}

/// All routes with their rules.
pub fn routes(parts: &Parts) -> Served {
    const DELETE: Method = Method::DELETE;
    const GET: Method = Method::GET;
    const OPTIONS: Method = Method::OPTIONS;
    const PATCH: Method = Method::PATCH;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    let Parts {
        gate,
        pages,
        join,
        home,
        teach,
        staff,
        register,
        panels,
        media,
        ws,
        agent,
        alarms,
        keeping,
        attendance,
        metrics,
        figures,
        library,
        policy,
        record,
        usage,
    } = parts;
    let declared = Routes::new(gate.clone())
        .at(GET, "/", Rule::Public, pages::root, pages)
        .at(GET, "/join", Rule::Public, pages::join, pages)
        .at(GET, "/home", Rule::Public.also_for_homes(), pages::home, pages)
        .at(GET, "/teach", Rule::Public, pages::teach, pages)
        .at(GET, "/panel", Rule::Public, pages::panel, pages)
        .at(GET, "/school", Rule::Public, pages::school, pages)
        .at(GET, "/consent", Rule::Public, pages::consent, pages)
        .at(GET, "/month", Rule::Public, pages::month, pages)
        .at(GET, "/assets/{*path}", Rule::Public.also_for_homes(), pages::asset, pages)
        .at(GET, "/healthz", Rule::Public, pages::health, pages)
        .at(GET, "/api/qr.svg", Rule::Public, pages::qr, pages)
        .at(GET, "/policy", Rule::Public, policy::page, policy)
        .at(GET, "/why", Rule::Public, policy::why_page, policy)
        .at(GET, "/api/policy", Rule::Public, policy::view, policy)
        .at(GET, "/api/policy/why", Rule::Public, policy::why, policy)
        .at(GET, "/api/policy/mine", Rule::Student, policy::mine, policy)
        .at(GET, "/api/policy/log", Rule::Office, record::access, record)
        .at(GET, "/api/policy/log.csv", Rule::Office, record::access_csv, record)
        .at(GET, "/api/policy/files", Rule::Office, policy::files, policy)
        .at(GET, "/api/room", Rule::Public, join::room, join)
        .at(POST, "/api/join", Rule::Public, join::join, join)
        .at(POST, "/api/join/seat", Rule::Ticket, join::seat, join)
        .at_pace(POST, "/api/student/command", Rule::Student, join::command, join)
        .at_with_limit(PUT, "/api/student/thumbnail", Rule::Student, join::THUMBNAIL_BYTES, join::thumbnail, join)
        .at(POST, "/api/student/whip-key", Rule::Student, join::whip_key, join)
        .at(POST, "/api/seats/{seat}/home-link", Rule::Staff, home::link, home)
        .at(POST, "/api/home/join", Rule::HomeLink.also_for_homes(), home::join, home)
        .at_pace(POST, "/api/home/command", Rule::Home.also_for_homes(), home::command, home)
        .at(GET, "/api/ws", Rule::Member.also_for_homes(), ws::connect, ws)
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
        .at(GET, "/api/attendance", Rule::Staff, attendance::attendance, attendance)
        .at(GET, "/api/attendance.csv", Rule::Staff, attendance::attendance_csv, attendance)
        .at(GET, "/api/month", Rule::Staff, figures::month, figures)
        .at(GET, "/api/month.csv", Rule::Staff, figures::month_csv, figures)
        .at(GET, "/api/report", Rule::Office, figures::report, figures)
        .at(GET, "/api/report.ods", Rule::Office, figures::report_ods, figures)
        .at(GET, "/api/report.xlsx", Rule::Office, figures::report_xlsx, figures)
        .at(GET, "/api/report.csv", Rule::Office, figures::report_csv, figures)
        .at(PUT, "/api/report/annex", Rule::Office, figures::put_annex, figures)
        .at(GET, "/api/report/calendar", Rule::Office, figures::calendar, figures)
        .at(PUT, "/api/report/calendar", Rule::Office, figures::put_calendar, figures)
        .at(GET, "/api/box/keeping", Rule::Account, keeping::view, keeping)
        .at(DELETE, "/api/box/set-aside", Rule::Account, keeping::known, keeping)
        .at(GET, "/api/audit", Rule::Account, record::audit, record)
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
        .at(OPTIONS, "/whip/{source}", Rule::Public.also_for_homes(), media::options, media)
        .at_with_limit(
            POST,
            "/whip/{source}",
            Rule::Publisher.also_for_homes(),
            media::OFFER_BYTES,
            media::publish,
            media,
        )
        .at_with_limit(
            PATCH,
            "/whip/{source}/{session}",
            Rule::Publisher.also_for_homes(),
            media::OFFER_BYTES,
            media::patch,
            media,
        )
        .at(DELETE, "/whip/{source}/{session}", Rule::Publisher.also_for_homes(), media::close, media)
        .at(OPTIONS, "/whep/{source}", Rule::Public.also_for_homes(), media::options, media)
        .at_with_limit(POST, "/whep/{source}", Rule::Viewer.also_for_homes(), media::OFFER_BYTES, media::view, media)
        .at_with_limit(
            PATCH,
            "/whep/{source}/{session}",
            Rule::Viewer.also_for_homes(),
            media::OFFER_BYTES,
            media::patch,
            media,
        )
        .at(DELETE, "/whep/{source}/{session}", Rule::Viewer.also_for_homes(), media::close, media)
        .at(POST, "/whep/{source}/{session}/layer", Rule::Viewer, media::layer, media)
        .at(GET, "/library", Rule::Public, pages::library, pages)
        .at(GET, "/library/{key}/poster", Rule::Member, library::poster, library)
        .at(GET, "/library/{key}/c/{*name}", Rule::Member, library::content, library)
        .at(GET, "/api/library", Rule::Member, library::list, library)
        .at(POST, "/api/library/pass", Rule::Student, library::pass, library)
        .at(POST, "/api/library/pins", Rule::Staff, library::pin, library)
        .at_streaming(POST, "/api/library/uploads", Rule::Staff, library::upload, library)
        .at_pace(POST, "/api/library/{key}/opened", Rule::Student, library::opened, library)
        .at_pace(POST, "/api/library/{key}/watched", Rule::Student, library::watched, library)
        .at(PATCH, "/api/library/{key}", Rule::Staff, library::change, library)
        .at(DELETE, "/api/library/{key}", Rule::Staff, library::remove, library)
        .at_with_limit(PUT, "/api/library/{key}/poster", Rule::Staff, POSTER, library::keep_poster, library)
        .at_pace(POST, "/api/student/report", Rule::Student, alarms::report, alarms)
        .at(POST, "/api/reports/{id}/seen", Rule::Staff, alarms::seen, alarms)
        .at(GET, "/api/school/alarms", Rule::Office, alarms::list, alarms)
        .at(POST, "/api/school/alarms/{id}/seen", Rule::Office, alarms::seen_by_office, alarms)
        .at(GET, "/api/school/agents", Rule::Office, agent::list, agent)
        .at(POST, "/api/school/agents", Rule::Office, agent::issue, agent)
        .at(DELETE, "/api/school/agents/{device}", Rule::Office, agent::remove, agent)
        .at(PUT, "/api/school/agents/{device}/hours", Rule::Office, agent::set_hours, agent)
        .at(POST, "/api/agent/enrol", Rule::Public, agent::enrol, agent)
        .at(POST, "/api/agent/sync", Rule::Agent, agent::sync, agent)
        .at_with_limit(POST, "/api/agent/events", Rule::Agent, agent::DELIVERY_BYTES, agent::events, agent)
        .at(DELETE, "/api/agent", Rule::Agent, agent::leave, agent)
        .at(GET, "/metrics", Rule::Ops, metrics::metrics, metrics)
        .at_with_limit(POST, "/api/usage/import", Rule::Ops, usage::IMPORT_BYTES, usage::import, usage)
        .at(GET, "/api/usage/upstream", Rule::Ops, usage::upstream, usage)
        .at(GET, "/api/usage/refused", Rule::Ops, usage::refused, usage)
        .at(POST, "/api/usage/refused/release", Rule::Ops, usage::release, usage)
        .at(POST, "/api/usage/key", Rule::Ops, usage::accept_key, usage)
        .finish();
    let Finished { router, homes, table } = declared;
    let [room, homes] = [router, homes].map(|router| secured(router.fallback(pages::nowhere)));
    Served { room, homes, table }
}

/// What refused hosts lead to, by plain HTTP: the page that says why, what applies now, and nothing else.
pub fn portal(parts: &Parts) -> Router {
    const GET: Method = Method::GET;
    let Parts { gate, pages, policy, .. } = parts;
    let portal = Routes::new(gate.clone())
        .at(GET, "/assets/{*path}", Rule::Public, pages::asset, pages)
        .at(GET, "/policy", Rule::Public, policy::page, policy)
        .at(GET, "/why", Rule::Public, policy::why_page, policy)
        .at(GET, "/api/policy", Rule::Public, policy::view, policy)
        .at(GET, "/api/policy/why", Rule::Public, policy::why, policy)
        .finish();
    secured(portal.router.fallback_service(axum::routing::any(policy::astray).with_state(policy.clone())))
}

fn secured(router: Router) -> Router {
    let fixed = |name, value| {
        SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    // The library's content comes with a stricter policy of its own.
    let policy = SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::try_from(pages::content_policy()).ok(),
    );
    router.layer(
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
    )
}
