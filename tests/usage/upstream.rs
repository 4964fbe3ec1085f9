//! The proof of R-USE-6: 20,000 events over a line that breaks, the box killed 30 times; the store upstream holds each
//! acknowledged one exactly once, and nothing that was sent or kept names anyone.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{
    flaky::Flaky,
    hub::{Hub, Options},
    lrs::Lrs,
    people::Caller,
    wait::wait_for,
};
use serde_json::Value;

use super::{Folder, TOKEN, database_holds, delivered, import, opened, student};

const EVENTS: usize = 20_000;
const BATCH: usize = 100;
const KILLS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_is_upstream_exactly_once() -> Result<()> {
    let began = Instant::now();
    let folder = Folder::new("upstream")?;
    let lrs = Lrs::start(&folder.0.join("lrs")).await?;
    let line = Flaky::start(SocketAddr::from(([127, 0, 0, 1], lrs.port)), 0x5eed).await?;
    let (secret, token) = (folder.file("lrs.secret", Lrs::CREDENTIALS)?, folder.file("ops", TOKEN)?);
    let config = format!(
        "[metrics]\nbearer_file = {token:?}\n[upstream]\nlrs = \"http://127.0.0.1:{}/xAPI\"\ncredentials_file = {secret:?}\n\
         home_page = \"https://school.example/{{semester}}\"\nlook_seconds = 1\n",
        line.port
    );
    let mut hub = Hub::start_with(Options { demo: true, config, ..Options::default() }).await?;
    let operator = hub.anyone()?.bearer(TOKEN);

    // One delivers events to the box and repeats what was not acknowledged; the other kills the box, in turn while it
    // takes events and while it passes them on.
    let (acknowledged, repeats) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let feed = feed(&operator, &acknowledged, &repeats);
    let kill = async {
        for n in 1..=KILLS {
            let what = format!("kill {n}");
            wait_for(&what, Duration::from_secs(60), async || {
                let (taken, passed) = (acknowledged.load(Relaxed), lrs.count());
                let due =
                    if n % 2 == 0 { passed >= (n - 1) * EVENTS / KILLS } else { taken >= n * EVENTS / (KILLS + 1) };
                ensure!(due, "{taken} taken, {passed} passed on, {} cuts", line.broken());
                Ok(())
            })
            .await?;
            hub.crash().await?;
        }
        anyhow::Ok(())
    };
    let (fed, killed) = tokio::join!(feed, kill);
    fed?;
    killed?;
    ensure!(acknowledged.load(Relaxed) == EVENTS);
    let state = delivered(&operator, Duration::from_secs(120)).await?;

    let statements = lrs.statements()?;
    let opened: BTreeSet<String> = statements
        .values()
        .map(|statement| statement["object"]["id"].as_str().unwrap_or_default().to_owned())
        .filter(|id| id.contains("/library/item-"))
        .collect();
    let expected: BTreeSet<String> =
        (0..EVENTS).map(|n| format!("https://school.example/115-1/library/item-{n:05}")).collect();
    ensure!(opened == expected, "{} of {EVENTS} are upstream", opened.intersection(&expected).count());
    ensure!(statements.len() == EVENTS, "{} statements", statements.len());
    ensure!(state["refused"] == 0, "{state}");
    for statement in statements.values() {
        let name = statement["actor"]["account"]["name"].as_str().context("a pseudonym")?;
        ensure!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{statement}");
    }
    let people: BTreeSet<&str> =
        statements.values().filter_map(|statement| statement["actor"]["account"]["name"].as_str()).collect();
    ensure!(people.len() == 35, "{} pseudonyms for 35 students", people.len());

    // Nobody is named: neither in what was sent, nor in what lies on the disk.
    for text in [student(7), student(34), "DEVICE-0007".into(), "吳承恩".into()] {
        ensure!(!line.heard(&text), "{text} was sent");
        ensure!(!database_holds(&hub, &text)?, "{text} can be read in the database's files");
    }
    ensure!(line.heard("PT") || line.heard("item-00007"), "the line is listened to");
    #[expect(clippy::print_stdout, reason = "the proof's figures")]
    {
        println!(
            "{EVENTS} events acknowledged, {} statements upstream, each once; {KILLS} kill -9, {} broken connections, \
             {} deliveries to the box repeated; {:.0} s",
            statements.len(),
            line.broken(),
            repeats.load(Relaxed),
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

async fn feed(operator: &Caller, acknowledged: &AtomicUsize, repeats: &AtomicUsize) -> Result<()> {
    for first in (0..EVENTS).step_by(BATCH) {
        let events: Vec<Value> = (first..first + BATCH).map(opened).collect();
        wait_for("an acknowledgement", Duration::from_secs(60), async || {
            import(operator, &events).await.inspect_err(|_| {
                repeats.fetch_add(1, Relaxed);
            })
        })
        .await?;
        acknowledged.fetch_add(BATCH, Relaxed);
    }
    Ok(())
}

#[tokio::test]
async fn what_the_upstream_refuses_is_set_aside_and_the_rest_arrives() -> Result<()> {
    let folder = Folder::new("refused")?;
    let lrs = Lrs::start(&folder.0.join("lrs")).await?;
    let (secret, token) = (folder.file("lrs.secret", Lrs::CREDENTIALS)?, folder.file("ops", TOKEN)?);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../appliance/core/data/xapi.json"))?;
    let words = folder.file("xapi.json", &page)?;
    let config = format!(
        "[metrics]\nbearer_file = {token:?}\n[upstream]\nlrs = \"{}\"\ncredentials_file = {secret:?}\n\
         home_page = \"https://school.example/{{semester}}\"\nvocabulary_file = {words:?}\nlook_seconds = 1\n",
        lrs.address()
    );
    let mut hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    let operator = hub.anyone()?.bearer(TOKEN);
    hub.first_code().await?;
    let mut events: Vec<Value> = (0..50).map(opened).collect();
    events[20]["fact"] = serde_json::json!({ "kind": "blocked", "rule": "R-POL-3", "category": "game" });
    ensure!(import(&operator, &events).await? == 50);
    ensure!(import(&operator, &events).await? == 0, "they count once");
    let state = delivered(&operator, Duration::from_secs(30)).await?;
    ensure!(state["refused"] == 0 && state["delivered"] == 50, "{state}");

    // The box loses its database but not the school's key, and IT has changed one word since: what another one has
    // delivered already is the same statement again, but for that one.
    hub.stop()?;
    for name in ["box.db", "box.db-wal", "box.db-shm"] {
        let _ = std::fs::remove_file(hub.home().join("data").join(name));
    }
    folder.file("xapi.json", &page.replace("urn:classroom-box:verb:blocked", "urn:school:verb:refused"))?;
    hub.again().await?;
    events.extend((100..150).map(opened));
    ensure!(import(&operator, &events).await? == 100);
    let state = delivered(&operator, Duration::from_secs(30)).await?;
    ensure!(state["refused"] == 1 && state["delivered"] == 99, "{state}: {}", lrs.log());
    ensure!(lrs.statements()?.len() == 100, "each once");
    ensure!(hub.log().contains("the upstream refuses a statement for good"), "it is told");
    let metrics = operator.get("/metrics").await?.text();
    ensure!(metrics.contains("classroom_usage_refused 1") && metrics.contains("classroom_usage_delivered_total 99"));

    // Input that is wrong names its field and keeps the whole delivery out.
    let mut wrong: Vec<Value> = (200..203).map(opened).collect();
    wrong[1]["fact"]["item"] = "".into();
    let problem = operator.post("/api/usage/import", &serde_json::json!({ "events": wrong })).await?.problem()?;
    ensure!(problem.field.as_deref() == Some("events[1].fact.item"), "{problem:?}");
    ensure!(import(&operator, &[opened(200), opened(202)]).await? == 2);
    Ok(())
}
