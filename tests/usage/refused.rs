//! What the upstream refuses: by kind, one after the other, all of it; how the operator sees it, mends the vocabulary and
//! has it sent again. And the school's key, without which nothing is delivered. The store is a small server of ours, because
//! a real one takes every kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use harness::{
    hub::{Hub, Options, program},
    people::Caller,
    wait::wait_for,
};
use serde_json::{Value, json};

use super::{Folder, TOKEN, import, opened};

const JOIN: &str = "http://activitystrea.ms/join";
const SOON: Duration = Duration::from_secs(30);

/// A store that refuses statements by their verb, and one that it has with other content.
#[derive(Clone, Default)]
struct Picky {
    has: Arc<Mutex<BTreeMap<String, Value>>>,
    refuses: Arc<Mutex<BTreeSet<String>>>,
    /// Statements that came with the id of another one.
    clashes: Arc<Mutex<usize>>,
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Picky {
    /// Serves it; gives its address for `[upstream] lrs`.
    async fn start(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}/xAPI", listener.local_addr()?);
        let router = Router::new().route("/xAPI/statements", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(address)
    }

    fn verbs(&self) -> BTreeMap<String, usize> {
        held(&self.has).values().fold(BTreeMap::new(), |mut verbs, statement| {
            *verbs.entry(statement["verb"]["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            verbs
        })
    }
}

async fn take(State(store): State<Picky>, Json(batch): Json<Vec<Value>>) -> (StatusCode, String) {
    let id = |statement: &Value| statement["id"].as_str().unwrap_or_default().to_owned();
    let mut has = held(&store.has);
    for statement in &batch {
        let verb = statement["verb"]["id"].as_str().unwrap_or_default();
        if held(&store.refuses).contains(verb) {
            return (StatusCode::BAD_REQUEST, format!("the verb {verb} is not in the profile"));
        }
        if has.get(&id(statement)).is_some_and(|known| known != statement) {
            *held(&store.clashes) += 1;
            return (StatusCode::CONFLICT, "there is another one with this id".into());
        }
    }
    has.extend(batch.into_iter().map(|statement| (id(&statement), statement)));
    (StatusCode::OK, "[]".into())
}

fn event(n: usize, fact: &Value) -> Value {
    json!({ "lesson": "0198a4b1-0000-7000-8000-000000000001", "fact": fact, "at": 1_795_000_000_000_u64 + n as u64,
            "who": opened(n)["who"], "origin": format!("refused/{n}") })
}

/// 40 that students joined and 100 that devices were active; so many of the latter come first.
fn joined_and_active(good: usize) -> Vec<Value> {
    let joined = good..good + 40;
    let fact = |n| {
        if joined.contains(&n) { json!({ "kind": "joined" }) } else { json!({ "kind": "active", "seconds": 60 }) }
    };
    (0..140).map(|n| event(n, &fact(n))).collect()
}

/// A hub that delivers to `lrs` by the vocabulary in the folder.
async fn hub(folder: &Folder, lrs: &str) -> Result<(Hub, Caller)> {
    let token = folder.file("ops", TOKEN)?;
    let words = folder.file("xapi.json", include_str!("../../appliance/core/data/xapi.json"))?;
    let config = format!(
        "[metrics]\nbearer_file = {token:?}\n[upstream]\nlrs = {lrs:?}\nvocabulary_file = {words:?}\n\
         home_page = \"https://school.example/{{semester}}\"\nlook_seconds = 1\nbatch = 50\n"
    );
    let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    let operator = hub.anyone()?.bearer(TOKEN);
    Ok((hub, operator))
}

/// Waits until the delivery stands so.
async fn stands(operator: &Caller, waiting: u64, delivered: u64, refused: u64) -> Result<Value> {
    wait_for("the delivery", SOON, async || {
        let state: Value = operator.get("/api/usage/upstream").await?.json()?;
        let same = state["waiting"] == waiting && state["delivered"] == delivered && state["refused"] == refused;
        ensure!(same, "{state}; {waiting}, {delivered}, {refused} are to come");
        Ok(state)
    })
    .await
}

#[tokio::test]
async fn a_kind_that_is_refused_holds_up_no_other_and_arrives_when_the_vocabulary_is_mended() -> Result<()> {
    for good in [0, 5] {
        let folder = Folder::new(&format!("picky-{good}"))?;
        let store = Picky::default();
        held(&store.refuses).insert(JOIN.into());
        let (mut hub, operator) = hub(&folder, &store.start().await?).await?;
        ensure!(import(&operator, &joined_and_active(good)).await? == 140);
        stands(&operator, 0, 100, 40).await?;
        ensure!(store.verbs().len() == 1, "{:?}", store.verbs());

        // The operator sees which ones and why, and nobody's name.
        let page: Value = operator.get("/api/usage/refused").await?.json()?;
        let refused = page["refused"].as_array().context("refused")?;
        ensure!(refused.len() == 40 && page["next"].is_null(), "{page}");
        for one in refused {
            ensure!(one["kind"] == "joined" && one["status"] == 400, "{one}");
            ensure!(one["reason"].as_str().is_some_and(|reason| reason.contains(JOIN)), "with the reason: {one}");
            ensure!(one["statement"]["verb"]["id"] == JOIN && !one.to_string().contains("STUDENT-"), "{one}");
        }
        let ids: BTreeSet<&str> = refused.iter().filter_map(|one| one["statement"]["id"].as_str()).collect();
        let after = refused[37]["seq"].as_i64().context("seq")?;
        let rest: Value = operator.get(&format!("/api/usage/refused?after={after}")).await?.json()?;
        ensure!(rest["refused"].as_array().map(Vec::len) == Some(2), "{rest}");
        let problem = operator.get("/api/usage/refused?before=1").await?.problem()?;
        ensure!(problem.field.as_deref() == Some("after"), "{problem:?}");

        // With the old vocabulary they only come back; with a mended one they are there, under their ids.
        operator.post("/api/usage/refused/release", &json!({ "seqs": [after] })).await?.done()?;
        hub.stop()?;
        let words = include_str!("../../appliance/core/data/xapi.json");
        folder.file("xapi.json", &words.replace(JOIN, "https://school.example/verbs/joined"))?;
        hub.again().await?;
        let released: Value = operator.post("/api/usage/refused/release", &json!({})).await?.json()?;
        ensure!([39, 40].contains(&released["released"].as_u64().unwrap_or(0)), "{released}");
        stands(&operator, 0, 140, 0).await?;
        let has = held(&store.has);
        ensure!(has.len() == 140 && *held(&store.clashes) == 0, "each once: {}", has.len());
        let anew = has.values().filter(|one| one["verb"]["id"] == "https://school.example/verbs/joined");
        let anew: BTreeSet<&str> = anew.filter_map(|one| one["id"].as_str()).collect();
        ensure!(anew == ids, "with the ids that they had");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_refused_altogether_stays_and_is_made_anew() -> Result<()> {
    let folder = Folder::new("all-refused")?;
    let store = Picky::default();
    held(&store.refuses).insert(JOIN.into());
    let (mut hub, operator) = hub(&folder, &store.start().await?).await?;
    let joined: Vec<Value> = (0..40).map(|n| event(n, &json!({ "kind": "joined" }))).collect();
    ensure!(import(&operator, &joined).await? == 40);
    wait_for("a word in the log", SOON, async || {
        ensure!(hub.log().contains("the upstream refuses every statement"));
        Ok(())
    })
    .await?;
    stands(&operator, 40, 0, 0).await?;
    hub.stop()?;
    let words = include_str!("../../appliance/core/data/xapi.json");
    folder.file("xapi.json", &words.replace(JOIN, "https://school.example/verbs/joined"))?;
    hub.again().await?;
    stands(&operator, 0, 40, 0).await?;
    ensure!(*held(&store.clashes) == 0 && store.verbs().len() == 1, "{:?}", store.verbs());
    Ok(())
}

#[tokio::test]
async fn without_the_schools_key_nothing_is_delivered_and_everyone_is_told() -> Result<()> {
    let folder = Folder::new("key")?;
    let store = Picky::default();
    let (mut hub, operator) = hub(&folder, &store.start().await?).await?;
    let some = |range: std::ops::Range<usize>| range.map(opened).collect::<Vec<_>>();
    import(&operator, &some(0..10)).await?;
    ensure!(stands(&operator, 0, 10, 0).await?["trouble"].is_null());

    let (key, kept) = (hub.home().join("data/school.key"), folder.0.join("school.key"));
    let doctor = |hub: &Hub| -> Result<String> {
        let config = hub.home().join("box.toml");
        let mut command = Command::new(program("appliance")?);
        command.args(["doctor", "--config"]).arg(config).current_dir(hub.home()).env("LC_ALL", "en_US.UTF-8");
        Ok(String::from_utf8(command.output()?.stdout)?)
    };
    let said = doctor(&hub)?;
    ensure!(said.contains("✓ The school's key"), "{said}");
    hub.stop()?;
    std::fs::rename(&key, &kept)?;
    hub.again().await?;
    ensure!(!key.exists(), "no new one is made in silence");
    ensure!(hub.log().contains("school.key is gone"), "{}", hub.log());
    ensure!(import(&operator, &some(10..15)).await? == 5, "the box goes on");
    ensure!(stands(&operator, 5, 10, 0).await?["trouble"] == "key-gone");
    ensure!(operator.get("/metrics").await?.text().contains("classroom_usage_stopped 1"));
    let said = doctor(&hub)?;
    ensure!(said.lines().any(|line| line.starts_with("! school.key") && line.contains("is gone")), "{said}");
    ensure!(held(&store.has).len() == 10);

    // Another one is no better.
    hub.stop()?;
    std::fs::write(&key, [7; 32])?;
    hub.again().await?;
    ensure!(stands(&operator, 5, 10, 0).await?["trouble"] == "key-other");
    hub.stop()?;
    std::fs::rename(&kept, &key)?;
    hub.again().await?;
    ensure!(stands(&operator, 0, 15, 0).await?["trouble"].is_null());

    // Lost for good: the operator takes the new one.
    hub.stop()?;
    std::fs::remove_file(&key)?;
    hub.again().await?;
    import(&operator, &some(15..16)).await?;
    operator.post("/api/usage/key", &json!({})).await?.done()?;
    ensure!(key.exists());
    hub.stop()?;
    hub.again().await?;
    ensure!(stands(&operator, 0, 16, 0).await?["trouble"].is_null());
    ensure!(held(&store.has).len() == 16);
    Ok(())
}
