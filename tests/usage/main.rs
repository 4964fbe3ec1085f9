//! Usage records and the store that keeps them, on the real hub: killed, cut off, with a full disk; a real learning record
//! store on the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aside;
mod backup;
mod disk;
mod encrypt;
mod refused;
mod upstream;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::{hub::Hub, people::Caller, wait::wait_for};
use serde_json::{Value, json};

/// The operator's token of these hubs.
const TOKEN: &str = "operators-only-0123456789abcdef";

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("classroom-usage-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A file in it with this text.
    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Number `n` of a load: a student opens item `n` of the library.
fn opened(n: usize) -> Value {
    json!({
        "at": 1_795_000_000_000_u64 + n as u64,
        "who": { "student": student(n), "device": format!("DEVICE-{:04}", n % 35), "class": 1, "seat": n % 35 + 1 },
        "fact": { "kind": "opened", "item": format!("item-{n:05}") },
        "origin": format!("load/{n}"),
    })
}

/// Nobody's number could be mistaken for another text.
fn student(n: usize) -> String {
    format!("STUDENT-{:04}", n % 35)
}

/// Delivers events to the hub; how many were new.
async fn import(operator: &Caller, events: &[Value]) -> Result<u64> {
    let done: Value = operator.post("/api/usage/import", &json!({ "events": events })).await?.json()?;
    ensure!(done["new"].as_u64().zip(done["known"].as_u64()).is_some_and(|(n, k)| n + k == events.len() as u64));
    done["new"].as_u64().context("new")
}

/// Waits until nothing is left to be delivered and gives the state.
async fn delivered(operator: &Caller, within: Duration) -> Result<Value> {
    wait_for("an empty outbox", within, async || {
        let state: Value = operator.get("/api/usage/upstream").await?.json()?;
        ensure!(state["waiting"] == 0, "{state}");
        Ok(state)
    })
    .await
}

/// Whether a file of the hub's database holds this text: main file, journal, index.
fn database_holds(hub: &Hub, text: &str) -> Result<bool> {
    for name in ["box.db", "box.db-wal", "box.db-shm"] {
        let path = hub.home().join("data").join(name);
        if path.exists() && std::fs::read(path)?.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}
