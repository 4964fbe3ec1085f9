//! Family `usage`: how fast events are kept for good, and how fast they are delivered.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{
    hub::{Hub, Options},
    lrs::Lrs,
    people::Caller,
    wait::wait_for,
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Settings, report::Row};

/// Events of one round that are kept one by one, and how many callers wait for an acknowledgement at the same time: a
/// class.
const KEPT: usize = 3_000;
const CALLERS: usize = 35;
/// Events of one round that are delivered, and statements in one request.
const DELIVERED: usize = 6_000;
const BATCH: usize = 200;
const TOKEN: &str = "operators-only-0123456789abcdef";

/// Runs the family.
pub(crate) async fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if settings.wants("usage.durable_rate") {
        let (mut ours, mut bare, mut failures) = (vec![], vec![], vec![]);
        for round in 0..settings.rounds {
            note(kept_by_the_hub(round).await, &mut ours, &mut failures);
            note(
                tokio::task::spawn_blocking(kept_by_a_loop).await.map_err(Into::into).flatten(),
                &mut bare,
                &mut failures,
            );
        }
        let told = format!("{CALLERS} callers, over HTTP, encrypted; the loop commits each by itself, not encrypted");
        let note = [vec![told], failures].concat().join(" | ");
        rows.push(Row::against(("usage.durable_rate", "µs"), &ours, ("SQLite loop", &bare), 1.0, &note));
    }
    if settings.wants("usage.upstream_rate") {
        let (mut ours, mut bare, mut failures) = (vec![], vec![], vec![]);
        for round in 0..settings.rounds {
            note(delivered(round, true).await, &mut ours, &mut failures);
            note(delivered(round, false).await, &mut bare, &mut failures);
        }
        let told = format!("per statement, {BATCH} in a request, the same learning record store");
        let note = [vec![told], failures].concat().join(" | ");
        rows.push(Row::against(("usage.upstream_rate", "µs"), &ours, ("bare client", &bare), 1.25, &note));
    }
}

fn note(result: Result<f64>, values: &mut Vec<f64>, failures: &mut Vec<String>) {
    match result {
        Ok(value) => values.push(value),
        Err(error) => failures.push(format!("{error:#}")),
    }
}

fn event(n: usize) -> Value {
    json!({
        "at": 1_795_000_000_000_u64 + n as u64,
        "who": { "student": format!("STUDENT-{:04}", n % 35), "device": format!("D-{:04}", n % 35), "class": 1 },
        "fact": { "kind": "used", "platform": "adl", "seconds": 60 },
        "origin": format!("bench/{n}"),
    })
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("classroom-bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn hub(place: &Path, upstream: &str) -> Result<(Hub, Caller)> {
    let token = place.join("ops");
    fs::write(&token, TOKEN)?;
    let config = format!("[metrics]\nbearer_file = {token:?}\n{upstream}");
    let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    let operator = hub.anyone()?.bearer(TOKEN);
    Ok((hub, operator))
}

/// µs for each acknowledged event.
async fn kept_by_the_hub(round: usize) -> Result<f64> {
    let place = Place::new("kept")?;
    let (_hub, operator) = hub(&place.0, "").await?;
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let operator = operator.clone();
        callers.spawn(async move {
            for n in (caller..KEPT).step_by(CALLERS) {
                let events = json!({ "events": [event(round * KEPT + n)] });
                let kept: Value = operator.post("/api/usage/import", &events).await?.json()?;
                ensure!(kept["new"] == 1, "{kept}");
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(began.elapsed().as_secs_f64() * 1e6 / KEPT as f64)
}

fn kept_by_a_loop() -> Result<f64> {
    let place = Place::new("loop")?;
    let db = Connection::open(place.0.join("bare.db"))?;
    db.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER, kind TEXT, student TEXT,
                             device TEXT, class INTEGER, platform TEXT, seconds INTEGER);
         CREATE INDEX event_by_time ON event (at)",
    )?;
    let began = Instant::now();
    for n in 0..KEPT {
        let id = format!("bench-{n:031}");
        db.prepare_cached("INSERT INTO event VALUES (NULL, ?1, ?2, 'used', ?3, ?4, 1, 'adl', 60)")?
            .execute(params![id, n as i64, format!("STUDENT-{:04}", n % 35), format!("D-{:04}", n % 35)])?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / KEPT as f64)
}

/// µs for each statement, on the clock of the learning record store: from the first batch to the last.
async fn delivered(round: usize, ours: bool) -> Result<f64> {
    let place = Place::new("delivered")?;
    let lrs = Lrs::start(&place.0.join("lrs")).await?;
    let secret = place.0.join("secret");
    fs::write(&secret, Lrs::CREDENTIALS)?;
    if ours {
        let upstream = format!(
            "[upstream]\nlrs = \"{}\"\ncredentials_file = {secret:?}\nhome_page = \"https://school.example\"\n\
             batch = {BATCH}\nlook_seconds = 1\n",
            lrs.address()
        );
        let (_hub, operator) = hub(&place.0, &upstream).await?;
        for first in (0..DELIVERED).step_by(1000) {
            let events: Vec<Value> = (first..first + 1000).map(|n| event(round * DELIVERED + n)).collect();
            operator.post("/api/usage/import", &json!({ "events": events })).await?.done()?;
        }
        wait_for("the delivery", Duration::from_secs(120), async || {
            ensure!(lrs.count() == DELIVERED, "{} of {DELIVERED}", lrs.count());
            Ok(())
        })
        .await?;
    } else {
        // The statements as the box would send them, by the simplest client there is.
        let client = Caller::new(&format!("http://127.0.0.1:{}", lrs.port), None)?;
        for first in (0..DELIVERED).step_by(BATCH) {
            let batch: Vec<Value> = (first..first + BATCH).map(statement).collect();
            let request = client.request(reqwest::Method::POST, "/xAPI/statements").basic_auth("box", Some("secret"));
            client.send(request.json(&batch)).await?.done()?;
        }
    }
    let mut stored: Vec<f64> =
        lrs.statements()?.values().map(|statement| seconds(&statement["stored"])).collect::<Result<_>>()?;
    stored.sort_by(f64::total_cmp);
    let (first, last) = (*stored.first().context("statements")?, *stored.last().context("statements")?);
    // The store stamps a request when it comes, so the first one's statements are before the time that is counted.
    let counted = stored.iter().filter(|at| **at > first).count();
    ensure!(stored.len() == DELIVERED && counted > 0, "{counted} counted of {} statements", stored.len());
    Ok((last - first) * 1e6 / counted as f64)
}

fn statement(n: usize) -> Value {
    json!({
        "id": format!("0199c2a6-7e5e-5c4a-9d0f-{n:012}"),
        "actor": { "objectType": "Agent", "account": { "homePage": "https://school.example", "name": "a".repeat(64) } },
        "verb": { "id": "http://activitystrea.ms/access", "display": { "en": "accessed", "zh-TW": "使用" } },
        "object": { "objectType": "Activity", "id": "https://school.example/platform/adl",
            "definition": { "type": "http://activitystrea.ms/service" } },
        "result": { "duration": "PT60S" },
        "context": { "platform": "classroom-box", "extensions": { "urn:classroom-box:ext:place": "school",
            "urn:classroom-box:ext:device": "b".repeat(64), "urn:classroom-box:ext:class": "c".repeat(64) } },
        "timestamp": "2026-11-18T11:06:40.123Z",
    })
}

/// Seconds of the day of `2026-11-21T14:45:26.110503+00:00`. A run over midnight is not measured.
fn seconds(stored: &Value) -> Result<f64> {
    let text = stored.as_str().and_then(|text| text.get(11..26)).context("stored")?;
    let mut total = 0.0;
    for part in text.split(':') {
        total = total * 60.0 + part.parse::<f64>()?;
    }
    Ok(total)
}
