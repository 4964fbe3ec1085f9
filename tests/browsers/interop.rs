//! A WHIP and a WHEP client whose stack we did not write: GStreamer's webrtcbin, by a script in Python.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{ChildStdin, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use classroom_protocol::{SourceId, TeacherCommand, TeacherView};
use harness::{
    hub::Hub,
    panel::Panel,
    people::{Caller, Proof},
    proc::Owned,
};
use serde_json::{Value, json};

/// A script that runs until it is dropped.
struct Script {
    process: Owned,
    input: Option<ChildStdin>,
    news: mpsc::Receiver<Value>,
}

impl Script {
    fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("interop").join(name);
        let mut process = Owned::spawn("/usr/bin/python3", |command| {
            command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let input = process.child().stdin.take();
        let output = process.child().stdout.take().context("the script's output")?;
        // Holds at most what a test's time lets come: a few lines a second.
        let (tell, news) = mpsc::sync_channel(10_000);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap_or(Value::String(line))).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, input, news })
    }

    /// Reads what the script says until `fits`.
    fn says(&self, what: &str, within: Duration, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + within;
        let mut last = Value::Null;
        loop {
            let Ok(news) = self.news.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                bail!("waited {within:?} for {what}; the script said last: {last}")
            };
            if news.get("error").is_some() || news.get("refused").is_some() {
                bail!("{what}: {news}");
            }
            if fits(&news) {
                return Ok(news);
            }
            last = news;
        }
    }

    /// Ends in order: with DELETE.
    fn end(mut self) -> Result<()> {
        drop(self.input.take());
        self.says("the end", Duration::from_secs(10), |news| news["ended"] == json!(true))?;
        self.process.child().wait()?;
        Ok(())
    }
}

async fn source(teacher: &Caller, label: &str) -> Result<(SourceId, String)> {
    let made: Value = teacher.post("/api/sources", &json!({ "label": label })).await?.json()?;
    let word = |key: &str| made[key].as_str().map(str::to_owned).context(key.to_owned());
    Ok((word("source")?.parse()?, word("key")?))
}

const CONNECTED: &str = "connected";

#[tokio::test]
async fn gstreamer_publishes_to_the_hub_and_plays_from_it() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(3).await?;
    let panel = Panel::start(&hub, &teacher, None).await?;
    let (source, key) = source(&teacher, "實物投影機").await?;
    let address = format!("{}/whip/{source}", hub.base());

    let publisher = Script::start("gst_whip.py", &[&address, &key])?;
    publisher.says("a connection", Duration::from_secs(20), |news| news["state"] == json!(CONNECTED))?;
    let mut page = teacher.feed(None).await?;
    page.view("the source to be live", |view: &TeacherView| {
        view.sources.iter().any(|other| other.source == source && other.live)
    })
    .await?;

    // On the panel's window.
    teacher.command(&TeacherCommand::Show { source: source.clone(), tile: None }).await?;
    let area = Panel::area(1, 0, (640, 360));
    let (middle, began) = (area, Instant::now());
    while !panel.reader().grab(Duration::from_secs(5))?.has_picture(middle) {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(10), "no picture on the panel: {}", panel.log());
    }
    panel.screenshot("panel-gstreamer")?;

    // Back out into another process of GStreamer, with a panel's credentials.
    let viewer = teacher.with(Proof::Nobody).pair("GStreamer", &teacher).await?;
    let Proof::Bearer(token) = viewer.proof else { bail!("a panel has a token") };
    let player = Script::start("gst_whep.py", &[&format!("{}/whep/{source}", hub.base()), &token])?;
    player.says("a connection", Duration::from_secs(20), |news| news["state"] == json!(CONNECTED))?;
    let decoded = |news: &Value| news["decoded"].as_u64().unwrap_or(0);
    let first = player.says("a first picture", Duration::from_secs(5), |news| decoded(news) > 0)?;
    let began = Instant::now();
    let many =
        player.says("60 more pictures", Duration::from_secs(10), |news| decoded(news) >= decoded(&first) + 60)?;
    let rate = (decoded(&many) - decoded(&first)) as f64 / began.elapsed().as_secs_f64();
    println!("webrtcbin → hub → webrtcbin: {rate:.1} pictures a second");
    assert!(rate > 20.0, "{rate:.1} pictures a second of 30");

    player.end()?;
    publisher.end()?;
    page.view("the source to be silent", |view: &TeacherView| {
        view.sources.iter().any(|other| other.source == source && !other.live)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_and_a_second_program_are_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(3).await?;
    let (first, key) = source(&teacher, "OBS").await?;
    let (_, other) = source(&teacher, "手機").await?;
    let address = format!("{}/whip/{first}", hub.base());
    for (key, status) in [("none", 401), (other.as_str(), 403)] {
        let script = Script::start("gst_whip.py", &[&address, key])?;
        let refusal = script.says("a refusal", Duration::from_secs(20), |_| false).unwrap_err().to_string();
        assert!(refusal.contains(&format!("\"refused\":{status}")), "{refusal}");
    }
    let publisher = Script::start("gst_whip.py", &[&address, &key, "vp8"])?;
    publisher.says("a connection with VP8", Duration::from_secs(20), |news| news["state"] == json!(CONNECTED))?;
    publisher.end()
}
