//! A room with a library, an origin, a teacher and a student.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use harness::{
    hub::{Hub, Options},
    origin::Origin,
    people::{Caller, Reply},
    wait::wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) struct Room {
    pub(crate) hub: Hub,
    pub(crate) origin: Origin,
    pub(crate) teacher: Caller,
    pub(crate) student: Caller,
}

impl Room {
    pub(crate) async fn open() -> Result<Self> {
        Self::with("").await
    }

    /// `library`: further lines of `[library]`.
    pub(crate) async fn with(library: &str) -> Result<Self> {
        let origin = Origin::start().await?;
        // Whatever the time is: nothing is fetched because it is night, unless the test says so.
        let night = if library.contains("night") { "" } else { "night_mb = 0\n" };
        let config = format!("[library]\nprivate_hosts = [\"{}\"]\n{night}{library}\n", origin.host());
        let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
        let teacher = hub.teacher().await?;
        let code = teacher.start_lesson(3).await?;
        let student = hub.anyone()?.join(&code, 1).await?.caller;
        Ok(Self { hub, origin, teacher, student })
    }

    /// Pins a path of the origin for tonight: nothing comes before someone opens it.
    pub(crate) async fn pin_cold(&self, path: &str) -> Result<String> {
        self.pin(path, true).await
    }

    /// Pins a path of the origin and gives the address of its content.
    pub(crate) async fn pin(&self, path: &str, tonight: bool) -> Result<String> {
        let body = json!({ "url": self.origin.url(path), "tonight": tonight });
        let pinned: Value = self.teacher.post("/api/library/pins", &body).await?.json()?;
        Ok(pinned["open"].as_str().context("its address")?.to_owned())
    }

    /// The item as the teacher's page gets it.
    pub(crate) async fn item(&self, open: &str) -> Result<Value> {
        let list: Value = self.teacher.get("/api/library").await?.json()?;
        let found = list["items"].as_array().into_iter().flatten().find(|item| item["open"] == open);
        found.cloned().with_context(|| format!("{open} is not in {list}"))
    }

    /// Where an item's content lies.
    pub(crate) fn folder(&self, open: &str) -> PathBuf {
        self.hub.home().join("data/library").join(open.split('/').nth(2).unwrap_or_default())
    }

    /// Makes an item of one part so old that its origin is asked again. The hub starts anew.
    pub(crate) async fn age(&mut self, open: &str) -> Result<()> {
        self.hub.stop()?;
        let meta = self.folder(open).join("0.json");
        let mut said: Value = serde_json::from_slice(&fs::read(&meta)?)?;
        said["checked_at"] = 1.into();
        fs::write(&meta, said.to_string())?;
        self.hub.again().await
    }

    /// Waits until an item is in a state.
    pub(crate) async fn becomes(&self, open: &str, state: &str) -> Result<Value> {
        wait_for(state, Duration::from_secs(60), async || {
            let item = self.item(open).await?;
            ensure!(item["state"] == state, "{item}");
            Ok(item)
        })
        .await
    }
}

/// A part of something, as a student gets it.
pub(crate) async fn part(who: &Caller, path: &str, range: &str) -> Result<Reply> {
    who.send(who.request(Method::GET, path).header("range", range)).await
}

/// Reads all of an answer and compares each byte as it comes with what it should be. Gives how many came, and the error
/// with which they ended, if any. A wrong byte panics.
pub(crate) async fn read_right(who: &Caller, path: &str, from: usize, body: &Bytes) -> Result<(usize, Option<String>)> {
    let request = who.request(Method::GET, path).timeout(Duration::from_secs(300));
    let request = if from > 0 { request.header("range", format!("bytes={from}-")) } else { request };
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Ok((0, Some(error.to_string()))),
    };
    if !response.status().is_success() {
        return Ok((0, Some(response.status().to_string())));
    }
    let mut at = from;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                assert!(body.get(at..at + chunk.len()) == Some(&chunk[..]), "{path}: wrong bytes at {at}");
                at += chunk.len();
            }
            Ok(None) => return Ok((at - from, None)),
            Err(error) => return Ok((at - from, Some(error.to_string()))),
        }
    }
}
