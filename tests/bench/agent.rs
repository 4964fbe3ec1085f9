//! Family `agent`: what the agent takes of a student's device.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::{
    hub::{Hub, Options, program},
    ports,
    proc::{Owned, memory},
    wait::wait_for,
};
use serde_json::{Value, json};

use tokio::{net::UdpSocket, task::JoinHandle};

use crate::{Settings, report::Row};

/// Questions for names before it is weighed: more than a page of a browser asks.
const QUESTIONS: usize = 200;
const SOON: Duration = Duration::from_secs(30);
/// The address of every name.
const LEADS_TO: [u8; 4] = [192, 0, 2, 1];

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
    let above = UdpSocket::bind("127.0.0.1:0").await?;
    let folder = hub.home().join("agent");
    fs::create_dir_all(&folder)?;
    let options = folder.join("agent.toml");
    let text = format!(
        "dns = \"127.0.0.1:{dns}\"\npage = \"127.0.0.1:{page}\"\nupstream = [\"{}\"]\ncontact_seconds = 1\n",
        above.local_addr()?
    );
    fs::write(&options, text)?;
    let agent = |words: &[&str]| {
        Owned::spawn(program("classroom-agent")?, |command| {
            command.args(words).arg("--config").arg(&options).arg("--state").arg(folder.join("state"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
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
    let _above = AbortOnDrop(tokio::spawn(name_server(above)));
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let mut answer = [0; 1500];
    for number in 0..QUESTIONS {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4];
        question.extend(format!("n{:03}", number % 1000).bytes());
        question.extend(b"\x07example\x03com\x00\x00\x01\x00\x01");
        socket.send_to(&question, ("127.0.0.1", dns)).await?;
        let answered = tokio::time::timeout(SOON, socket.recv(&mut answer)).await.context("the agent's DNS")??;
        ensure!(answer[..answered].ends_with(&LEADS_TO), "question {number}: {:?}", &answer[..answered]);
        client.get(&address).send().await?.bytes().await?;
    }
    Ok(memory(running.pid())?.resident as f64 / 1e6)
}

struct AbortOnDrop(JoinHandle<Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The name server above: every name has one address. What is no question of one name it leaves alone.
async fn name_server(socket: UdpSocket) -> Result<()> {
    let mut question = [0; 1500];
    loop {
        let (size, from) = socket.recv_from(&mut question).await?;
        let Some(labels) = question.get(12..size).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
            continue;
        };
        // Up to the end of the question: the root's byte, kind and class follow the labels.
        let mut answer = question.get(..12 + labels + 5).unwrap_or_default().to_vec();
        if answer.len() < 17 {
            continue;
        }
        (answer[2], answer[3]) = (0x81, 0x80);
        // One question, one answer, nothing else.
        answer[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
        // The name of the question, A, IN, an hour.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
        answer.extend(LEADS_TO);
        socket.send_to(&answer, from).await?;
    }
}
