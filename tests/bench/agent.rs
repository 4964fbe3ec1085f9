//! Family `agent`: what the agent takes of a student's device.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::{
    hub::{Hub, Options, program},
    ports,
    proc::{Owned, memory},
    wait::wait_for,
};
use serde_json::{Value, json};

use crate::{Settings, report::Row};

/// Questions for names before it is weighed: more than a page of a browser asks.
const QUESTIONS: usize = 200;
const SOON: Duration = Duration::from_secs(30);

/// `agent.memory`: resident memory of an enrolled agent in contact with its box, after some use.
pub(crate) async fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if !settings.wants("agent.memory") {
        return;
    }
    let (mut ours, mut failures) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        match one().await {
            Ok(mb) => ours.push(mb),
            Err(e) => failures.push(format!("{e:#}")),
        }
    }
    rows.push(Row::alone(("agent.memory", "MB"), &ours, 25.0, &failures.join(" | ")));
}

async fn one() -> Result<f64> {
    let (at, page, dns) = (ports::free()?, ports::free()?, ports::free()?);
    let config = format!("[agents]\nlisten = [\"127.0.0.1:{at}\"]\n");
    let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    let office = hub.teacher().await?;
    office.post("/api/school/devices", &json!({ "kind": "windows" })).await?.done()?;
    let view: Value = office.get("/api/school").await?.json()?;
    let device = view["devices"][0]["code"].as_str().context("a device")?;
    let issued: Value = office.post("/api/school/agents", &json!({ "device": device })).await?.json()?;
    let code = issued["code"].as_str().context("a code")?;
    let folder = hub.home().join("agent");
    fs::create_dir_all(&folder)?;
    let options = folder.join("agent.toml");
    let text = format!(
        "dns = \"127.0.0.1:{dns}\"\npage = \"127.0.0.1:{page}\"\nupstream = [\"127.0.0.1:9\"]\ncontact_seconds = 1\n"
    );
    fs::write(&options, text)?;
    let agent = |words: &[&str]| {
        Owned::spawn(program("classroom-agent")?, |command| {
            command.args(words).arg("--config").arg(&options).arg("--state").arg(folder.join("state"));
        })
    };
    let mut enrol = agent(&["enrol", code, "--box", &format!("127.0.0.1:{at}")])?;
    ensure!(enrol.child().wait()?.success(), "the agent does not enrol");
    let running = agent(&["run"])?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let address = format!("http://127.0.0.1:{page}/?lang=en");
    wait_for("the agent in contact with its box", SOON, async || {
        let text = client.get(&address).send().await?.text().await?;
        ensure!(text.contains("At school now"), "not yet");
        anyhow::Ok(())
    })
    .await?;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    for number in 0..QUESTIONS {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4];
        question.extend(format!("n{:03}", number % 1000).bytes());
        question.extend(b"\x07example\x03com\x00\x00\x01\x00\x01");
        socket.send_to(&question, ("127.0.0.1", dns)).await?;
        client.get(&address).send().await?.bytes().await?;
    }
    Ok(memory(running.pid())?.resident as f64 / 1e6)
}
