//! Every route × every role. The table is this file's own, not the program's: a new route fails here until someone has
//! thought about who may call it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use classroom_protocol::ProblemCode;
use harness::{
    hub::{Hub, Options, program},
    people::Caller,
};
use reqwest::Method;
use serde_json::{Value, json};

/// Who calls, in the order of the table's columns.
const ROLES: [&str; 10] = [
    "nobody",
    "ticket",
    "student on seat 1",
    "student on seat 2",
    "program for seat 1",
    "teacher who holds the room",
    "teacher who does not",
    "panel",
    "source ext-…",
    "operator",
];

/// What a body is for the route's kind.
const NONE: &str = "";
/// A JSON body that is complete and does no harm, or one that the handler refuses as bad input.
const EMPTY: &str = "{}";
const SDP: &str = "sdp";
const FRAGMENT: &str = "fragment";
const JPEG: &str = "jpeg";

/// Method, declared path, path that is called, body, and for each role:
/// `+` gets to the handler · `-` signed-out · `x` not-allowed · `h` not-holder.
/// `{ext}` in a called path is the source of the "source" role.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &str, &str, &str, &str)] = &[
    //                                                                                            n t 1 2 p H T d s o
    ("GET",    "/",                           "/",                            NONE,             "+ + + + + + + + + +"),
    ("GET",    "/join",                       "/join",                        NONE,             "+ + + + + + + + + +"),
    ("GET",    "/teach",                      "/teach",                       NONE,             "+ + + + + + + + + +"),
    ("GET",    "/home",                       "/home",                        NONE,             "+ + + + + + + + + +"),
    ("GET",    "/panel",                      "/panel",                       NONE,             "+ + + + + + + + + +"),
    ("GET",    "/school",                    "/school",                      NONE,             "+ + + + + + + + + +"),
    ("GET",    "/consent",                   "/consent",                     NONE,             "+ + + + + + + + + +"),
    ("GET",    "/month",                      "/month",                       NONE,             "+ + + + + + + + + +"),
    ("GET",    "/assets/{*path}",             "/assets/none.js",              NONE,             "+ + + + + + + + + +"),
    ("GET",    "/healthz",                    "/healthz",                     NONE,             "+ + + + + + + + + +"),
    ("GET",    "/policy",                     "/policy",                      NONE,             "+ + + + + + + + + +"),
    ("GET",    "/why",                        "/why",                         NONE,             "+ + + + + + + + + +"),
    ("GET",    "/api/policy",                 "/api/policy",                  NONE,             "+ + + + + + + + + +"),
    ("GET",    "/api/policy/why",             "/api/policy/why?host=adl.edu.tw", NONE,          "+ + + + + + + + + +"),
    ("GET",    "/api/policy/mine",            "/api/policy/mine",             NONE,             "- x + + x x x x x x"),
    ("GET",    "/api/policy/log",             "/api/policy/log",              NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/policy/log.csv",         "/api/policy/log.csv",          NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/policy/files",           "/api/policy/files",            NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/qr.svg",                 "/api/qr.svg",                  NONE,             "+ + + + + + + + + +"),
    ("GET",    "/api/room",                   "/api/room",                    NONE,             "+ + + + + + + + + +"),
    ("POST",   "/api/join",                   "/api/join",                    EMPTY,            "+ + + + + + + + + +"),
    ("POST",   "/api/join/seat",              "/api/join/seat",               EMPTY,            "- + x x x x x x x x"),
    ("POST",   "/api/student/command",        "/api/student/command",         EMPTY,            "- x + + x x x x x x"),
    ("PUT",    "/api/student/thumbnail",      "/api/student/thumbnail",       JPEG,             "- x + + x x x x x x"),
    ("POST",   "/api/student/whip-key",       "/api/student/whip-key",        EMPTY,            "- x + + x x x x x x"),
    ("POST",   "/api/seats/{seat}/home-link", "/api/seats/1/home-link",       EMPTY,            "- x x x x + h x x x"),
    ("POST",   "/api/home/join",              "/api/home/join",               r#"{"take_over":true}"#, "- x x x x x x x x x"),
    ("POST",   "/api/home/command",           "/api/home/command",            EMPTY,            "- x x x x x x x x x"),
    ("GET",    "/api/ws",                     "/api/ws",                      NONE,             "- x + + x + + + x x"),
    ("POST",   "/api/staff/first-sign-in",    "/api/staff/first-sign-in",     EMPTY,            "+ + + + + + + + + +"),
    ("POST",   "/api/staff/sign-in",          "/api/staff/sign-in",           EMPTY,            "+ + + + + + + + + +"),
    ("GET",    "/api/staff/me",              "/api/staff/me",                NONE,             "- x x x x + + x x x"),
    ("POST",   "/api/staff/sign-out",         "/api/staff/sign-out",          EMPTY,            "- x x x x + + x x x"),
    ("POST",   "/api/staff/invite",           "/api/staff/invite",            EMPTY,            "- x x x x + + x x x"),
    ("POST",   "/api/room/command",           "/api/room/command",  r#"{"do":"lock","on":false}"#,"- x x x x + h x x x"),
    ("GET",    "/api/seats/{seat}/thumbnail", "/api/seats/1/thumbnail",       NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/classes",                "/api/classes",                 NONE,             "- x x x x + + x x x"),
    ("POST",   "/api/classes",                "/api/classes",                 EMPTY,            "- x x x x + + x x x"),
    ("PUT",    "/api/classes/{id}",           "/api/classes/1",               EMPTY,            "- x x x x + + x x x"),
    ("GET",    "/api/evidence.csv",           "/api/evidence.csv",            NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/attendance",             "/api/attendance",              NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/attendance.csv",         "/api/attendance.csv",          NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/box/keeping",            "/api/box/keeping",             NONE,             "- x x x x + + x x x"),
    ("DELETE", "/api/box/set-aside",          "/api/box/set-aside",           NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/month",                  "/api/month",                   NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/month.csv",              "/api/month.csv",               NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/report",                 "/api/report",                  NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/report.ods",             "/api/report.ods",              NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/report.xlsx",            "/api/report.xlsx",             NONE,             "- x x x x + x x x x"),
    ("GET",    "/api/report.csv",             "/api/report.csv",              NONE,             "- x x x x + x x x x"),
    ("PUT",    "/api/report/annex",           "/api/report/annex",            EMPTY,            "- x x x x + x x x x"),
    ("GET",    "/api/report/calendar",        "/api/report/calendar",         NONE,             "- x x x x + x x x x"),
    ("PUT",    "/api/report/calendar",        "/api/report/calendar",         EMPTY,            "- x x x x + x x x x"),
    ("GET",    "/api/audit",                  "/api/audit",                   NONE,             "- x x x x + + x x x"),
    ("GET",    "/api/school",                "/api/school",                  NONE,             "- x x x x + x x x x"),
    ("POST",   "/api/school/import",         "/api/school/import?list=x",    EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/import/apply",   "/api/school/import/apply",     EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/devices",        "/api/school/devices",          EMPTY,            "- x x x x + x x x x"),
    ("PUT",    "/api/school/devices/{id}",   "/api/school/devices/999999",   EMPTY,            "- x x x x + x x x x"),
    ("GET",    "/api/school/devices/{id}/qr.svg", "/api/school/devices/999999/qr.svg", NONE,             "- x x x x + x x x x"),
    ("PUT",    "/api/school/students/{id}",  "/api/school/students/999999",  EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/consent-texts",  "/api/school/consent-texts",    EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/consents",       "/api/school/consents",         EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/withdrawals",    "/api/school/withdrawals",      EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/consent-links",  "/api/school/consent-links",    EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/loans",          "/api/school/loans",            EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/school/loans/{id}/return", "/api/school/loans/999999/return", EMPTY,            "- x x x x + x x x x"),
    ("POST",   "/api/consent/read",          "/api/consent/read",            EMPTY,            "+ + + + + + + + + +"),
    ("POST",   "/api/consent/sign",          "/api/consent/sign",            EMPTY,            "+ + + + + + + + + +"),
    ("POST",   "/api/panel/pair",             "/api/panel/pair",              EMPTY,            "+ + + + + + + + + +"),
    ("GET",    "/api/panel/pair/{id}",        "/api/panel/pair/none",         NONE,             "+ + + + + + + + + +"),
    ("POST",   "/api/panel/report",           "/api/panel/report",            EMPTY,            "- x x x x x x + x x"),
    ("POST",   "/api/panels",                 "/api/panels",                  EMPTY,            "- x x x x + + x x x"),
    ("DELETE", "/api/panels/{id}",            "/api/panels/999999",           NONE,             "- x x x x + + x x x"),
    ("POST",   "/api/sources",                "/api/sources",                 EMPTY,            "- x x x x + + x x x"),
    ("DELETE", "/api/sources/{source}",       "/api/sources/ext-999999",      NONE,             "- x x x x + + x x x"),
    ("OPTIONS","/whip/{source}",              "/whip/seat-01",                NONE,             "+ + + + + + + + + +"),
    ("POST",   "/whip/{source}",              "/whip/seat-01",                SDP,              "- x + x + x x x x x"),
    ("POST",   "/whip/{source}",              "/whip/seat-02",                SDP,              "- x x + x x x x x x"),
    ("POST",   "/whip/{source}",              "/whip/teacher",                SDP,              "- x x x x + h x x x"),
    ("POST",   "/whip/{source}",              "/whip/{ext}",                  SDP,              "- x x x x x x x + x"),
    ("POST",   "/whip/{source}",              "/whip/ext-999999",             SDP,              "- x x x x x x x x x"),
    ("POST",   "/whip/{source}",              "/whip/room",                   SDP,              "- x x x x x x x x x"),
    ("POST",   "/whip/{source}",              "/whip/home-02",                SDP,              "- x x x x x x x x x"),
    ("PATCH",  "/whip/{source}/{session}",    "/whip/seat-01/none",           FRAGMENT,         "- x + + + + + x + x"),
    ("DELETE", "/whip/{source}/{session}",    "/whip/seat-01/none",           NONE,             "- x + + + + + x + x"),
    ("OPTIONS","/whep/{source}",              "/whep/seat-01",                NONE,             "+ + + + + + + + + +"),
    ("POST",   "/whep/{source}",              "/whep/seat-01",                SDP,              "- x x x x + + + x x"),
    ("PATCH",  "/whep/{source}/{session}",    "/whep/seat-01/none",           FRAGMENT,         "- x x x x + + + x x"),
    ("DELETE", "/whep/{source}/{session}",    "/whep/seat-01/none",           NONE,             "- x x x x + + + x x"),
    ("POST",   "/whep/{source}/{session}/layer", "/whep/seat-01/none/layer",  r#"{"max":"h"}"#, "- x x x x + + + x x"),
    ("GET",    "/library",                    "/library",                     NONE,             "+ + + + + + + + + +"),
    ("GET",    "/library/{key}/poster",       "/library/none/poster",         NONE,             "- x + + x + + + x x"),
    ("GET",    "/library/{key}/c/{*name}",    "/library/none/c/a.mp4",        NONE,             "- x + + x + + + x x"),
    ("GET",    "/api/library",                "/api/library",                 NONE,             "- x + + x + + + x x"),
    ("POST",   "/api/library/pass",           "/api/library/pass",            EMPTY,            "- x + + x x x x x x"),
    ("POST",   "/api/library/pins",           "/api/library/pins",            EMPTY,            "- x x x x + + x x x"),
    ("POST",   "/api/library/uploads",        "/api/library/uploads",         EMPTY,            "- x x x x + + x x x"),
    ("POST",   "/api/library/{key}/opened",   "/api/library/none/opened",     EMPTY,            "- x + + x x x x x x"),
    ("POST",   "/api/library/{key}/watched",  "/api/library/none/watched",    EMPTY,            "- x + + x x x x x x"),
    ("PATCH",  "/api/library/{key}",          "/api/library/none",            EMPTY,            "- x x x x + + x x x"),
    ("DELETE", "/api/library/{key}",          "/api/library/none",            NONE,             "- x x x x + + x x x"),
    ("PUT",    "/api/library/{key}/poster",   "/api/library/none/poster",     JPEG,             "- x x x x + + x x x"),
    ("POST",  "/api/student/report", "/api/student/report", EMPTY, "- x + + x x x x x x"),
    ("POST",  "/api/reports/{id}/seen", "/api/reports/999999/seen", EMPTY, "- x x x x + h x x x"),
    ("GET",   "/api/school/alarms", "/api/school/alarms", NONE, "- x x x x + x x x x"),
    ("POST",  "/api/school/alarms/{id}/seen", "/api/school/alarms/999999/seen", EMPTY, "- x x x x + x x x x"),
    ("GET",   "/api/school/agents", "/api/school/agents", NONE, "- x x x x + x x x x"),
    ("POST",  "/api/school/agents", "/api/school/agents", EMPTY, "- x x x x + x x x x"),
    ("DELETE","/api/school/agents/{device}", "/api/school/agents/none", NONE, "- x x x x + x x x x"),
    ("PUT",   "/api/school/agents/{device}/hours", "/api/school/agents/none/hours", EMPTY, "- x x x x + x x x x"),
    ("POST",  "/api/agent/enrol", "/api/agent/enrol", EMPTY, "+ + + + + + + + + +"),
    ("POST",  "/api/agent/sync", "/api/agent/sync", EMPTY, "- x x x x x x x x x"),
    ("POST",  "/api/agent/events", "/api/agent/events", EMPTY, "- x x x x x x x x x"),
    ("DELETE","/api/agent", "/api/agent", NONE, "- x x x x x x x x x"),
    ("GET",    "/metrics",                    "/metrics",                     NONE,             "- x x x x x x x x +"),
    ("POST",   "/api/usage/import",           "/api/usage/import",            EMPTY,            "- x x x x x x x x +"),
    ("GET",    "/api/usage/upstream",         "/api/usage/upstream",          NONE,             "- x x x x x x x x +"),
    ("GET",    "/api/usage/refused",          "/api/usage/refused",           NONE,             "- x x x x x x x x +"),
    ("POST",   "/api/usage/refused/release",  "/api/usage/refused/release",   EMPTY,            "- x x x x x x x x +"),
    ("POST",   "/api/usage/key",              "/api/usage/key",               NONE,             "- x x x x x x x x +"),
];

#[test]
fn the_table_names_every_route_and_no_other() {
    let printed =
        std::process::Command::new(program("appliance").unwrap()).args(["routes", "--json"]).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let declared: Vec<Value> = serde_json::from_slice(&printed.stdout).unwrap();
    let text = |route: &Value, key: &str| route[key].as_str().unwrap().to_owned();
    let declared: BTreeSet<(String, String)> =
        declared.iter().map(|route| (text(route, "method"), text(route, "path"))).collect();
    let listed: BTreeSet<(String, String)> = TABLE.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    let missing: Vec<_> = declared.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&declared).collect();
    assert!(missing.is_empty(), "routes without a row in this table: {missing:?}");
    assert!(gone.is_empty(), "rows without a route: {gone:?}");
}

#[tokio::test]
async fn every_route_admits_whom_the_table_says() -> Result<()> {
    let secret = std::env::temp_dir().join(format!("classroom-ops-{}", std::process::id()));
    std::fs::write(&secret, "operators-only-0123456789abcdef\n")?;
    let config = format!("[metrics]\nbearer_file = \"{}\"\n", secret.display());
    let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    std::fs::remove_file(&secret)?;
    let anyone = hub.anyone()?;
    let holder = hub.teacher().await?;
    let other = hub.another_teacher(&holder).await?;
    let code = holder.start_lesson(30).await?;
    let first = anyone.join(&code, 1).await?.caller;
    let second = anyone.join(&code, 2).await?.caller;
    let key: Value = first.post("/api/student/whip-key", &json!({})).await?.json()?;
    let ticket: Value = anyone.post("/api/join", &json!({ "code": code })).await?.json()?;
    let panel = anyone.pair("前面的螢幕", &holder).await?;
    let source: Value = holder.post("/api/sources", &json!({ "label": "實物投影機" })).await?.json()?;
    let word = |value: &Value, key: &str| value[key].as_str().map(str::to_owned).context(key.to_owned());
    let external = word(&source, "source")?;
    let callers = [
        anyone.clone(),
        anyone.bearer(word(&ticket, "ticket")?),
        first,
        second,
        anyone.bearer(word(&key, "key")?),
        holder,
        other,
        panel,
        anyone.bearer(word(&source, "key")?),
        anyone.bearer("operators-only-0123456789abcdef"),
    ];

    let mut wrong = Vec::new();
    for (method, declared, path, body, expected) in TABLE {
        let path = path.replace("{ext}", &external);
        let expected: Vec<&str> = expected.split(' ').collect();
        assert_eq!(expected.len(), ROLES.len(), "{method} {declared}");
        for ((role, caller), expected) in ROLES.iter().zip(&callers).zip(expected) {
            // Signing out ends a session: a fresh one for each call.
            let caller = match (*declared, *role) {
                ("/api/staff/sign-out", "teacher who holds the room") => anyone.sign_in("wang").await?,
                ("/api/staff/sign-out", "teacher who does not") => anyone.sign_in("chen").await?,
                _ => caller.clone(),
            };
            let found = outcome(&caller, method, &path, body).await.with_context(|| format!("{method} {path}"))?;
            if found.0 != expected {
                wrong.push(format!("{method} {path} as {role}: expected {expected}, got {} ({})", found.0, found.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} calls went another way:\n  {}", wrong.len(), wrong.join("\n  "));
    Ok(())
}

/// One call, as a letter of the table and in words.
pub(super) async fn outcome(caller: &Caller, method: &str, path: &str, body: &str) -> Result<(&'static str, String)> {
    let request = caller.request(Method::from_bytes(method.as_bytes())?, path);
    let request = match body {
        NONE => request,
        SDP => request.header("content-type", "application/sdp").body("v=0\r\n"),
        FRAGMENT => request
            .header("content-type", "application/trickle-ice-sdpfrag")
            .header("if-match", "\"none\"")
            .body("a=ice-ufrag:none\r\n"),
        JPEG => request.header("content-type", "image/jpeg").body("no picture"),
        text => request.header("content-type", "application/json").body(text.to_owned()),
    };
    let reply = caller.send(request).await?;
    assert!(reply.status.as_u16() != 405, "{method} {path} is not served");
    assert!(reply.status.as_u16() < 500, "{method} {path}: {} {}", reply.status, reply.text());
    let letter = match reply.problem().map(|problem| problem.code) {
        Ok(ProblemCode::SignedOut) => "-",
        Ok(ProblemCode::NotAllowed) => "x",
        Ok(ProblemCode::NotHolder) => "h",
        _ => "+",
    };
    Ok((letter, format!("{} {}", reply.status, reply.text().chars().take(120).collect::<String>())))
}

#[tokio::test]
async fn figures_are_for_the_box_itself_unless_a_token_is_set() -> Result<()> {
    let hub = Hub::start().await?;
    let figures = hub.anyone()?.get("/metrics").await?;
    figures.done()?;
    assert!(figures.text().contains("# TYPE"), "{}", figures.text());
    Ok(())
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_told_apart_from_refusals() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    for path in
        ["/api/none", "/teach/none", "/whip/seat-01/a/b", "/api/../../etc/passwd", "/assets/..%2f..%2fCargo.toml"]
    {
        assert_eq!(anyone.get(path).await?.status.as_u16(), 404, "{path}");
    }
    assert_eq!(anyone.delete("/api/room").await?.status.as_u16(), 405);
    Ok(())
}
