//! Family `live`: how long a student at home waits, for the first picture and for the next one (R-LIVE-1).
//!
//! The peer is the way of servers without a program feed: the same browser opens a WHEP session of its own for each picture
//! that the teacher shows, at the same hub, from the same source.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use classroom_protocol::{StudentCommand, TeacherCommand, TeacherView, view::Sharing};
use harness::{
    browser::Browser,
    clip::Clip,
    home::{self, Student},
    hub::{Hub, program},
    load::Publisher,
    people::Proof,
    proc::Owned,
};

use crate::{Settings, report::Row};

const PEER: &str = "a WHEP session for each picture, same hub and browser";
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two taps. The hub asks a source for a keyframe at most each half second, whoever wants it: what was measured just
/// before must not make the next one wait.
const APART: Duration = Duration::from_secs(1);

/// Opens a WHEP session and gives the milliseconds until its first picture.
const OWN_SESSION: &str = "
    const [source, token] = arguments_;
    const began = performance.now();
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const video = document.createElement('video');
    video.muted = true;
    document.body.append(video);
    const shown = new Promise(done => video.requestVideoFrameCallback(() => done(performance.now() - began)));
    const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
    video.srcObject = new MediaStream([receiver.track]);
    video.play();
    await pc.setLocalDescription(await pc.createOffer());
    while (pc.iceGatheringState !== 'complete') await new Promise(done => setTimeout(done, 5));
    const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
    const reply = await fetch(`/whep/${source}`, { method: 'POST', headers, body: pc.localDescription.sdp, credentials: 'omit' });
    await pc.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
    const taken = await shown;
    pc.close();
    video.remove();
    return taken;";

/// Runs what is wanted of the family.
pub(crate) async fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if !settings.wants("live.join") && !settings.wants("live.switch") {
        return;
    }
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    for _ in 0..settings.rounds {
        if let Err(error) = round(&mut figures).await {
            failures.push(format!("{error:#}"));
        }
    }
    let note = failures.join(" | ");
    if settings.wants("live.join") {
        rows.push(Row::against(("live.join", "ms"), &figures.join, (PEER, &figures.peer_join), 1.5, &note));
    }
    if settings.wants("live.switch") {
        rows.push(Row::against(("live.switch", "ms"), &figures.switch, (PEER, &figures.peer_switch), 1.0, &note));
    }
}

#[derive(Debug, Default)]
struct Figures {
    join: Vec<f64>,
    peer_join: Vec<f64>,
    switch: Vec<f64>,
    peer_switch: Vec<f64>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

async fn own_session(browser: &Browser, source: &str, token: &str) -> Result<f64> {
    let call = format!("const arguments_ = ['{source}', '{token}']; {OWN_SESSION}");
    let taken = browser.run(&format!("return (async () => {{ {call} }})();")).await?;
    taken.as_f64().context("milliseconds until the first picture")
}

async fn round(figures: &mut Figures) -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(30).await?;
    let key = hub.home().join("data/studio-key");
    let _studio = Owned::spawn(program("studio")?, |command| {
        command.args(["--hub", &hub.base(), "--video=test", "--audio=test", "--size=640x360", "--bitrate=700"]);
        command.arg("--key-file").arg(&key).stdout(Stdio::null()).stderr(Stdio::null());
    })?;
    let mut desk = teacher.feed(None).await?;
    desk.view("the studio", |view: &TeacherView| view.room_live).await?;
    let tablet = hub.anyone()?.join(&code, 3).await?;
    teacher.command(&TeacherCommand::Approve { seat: tablet.seat }).await?;
    tablet.caller.ask(StudentCommand::Ask).await?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let path = format!("/whip/{}", tablet.source);
    let _cast = Publisher::start(&tablet.caller, &path, Clip::encode(640, 360, 800)?, address).await?;
    desk.view("the cast", |view: &TeacherView| {
        view.seats.iter().any(|seat| seat.seat == tablet.seat && seat.sharing == Sharing::Live)
    })
    .await?;
    let Proof::Bearer(panel) = hub.anyone()?.pair("bench", &teacher).await?.proof else {
        anyhow::bail!("a panel has a token")
    };

    let voice = hub.home().join("voice.wav");
    home::write_voice(&voice)?;
    let student = Student::open(&home::link(&teacher, 7).await?, &voice, None, (1280, 800), Vec::new()).await?;
    let browser = &student.page.browser;
    let tap = now();
    student.enter().await?;
    student.sees_the_room(PATIENCE).await?;
    // By the page's own clock, as the peer's: how often the test looks is not the student's waiting.
    let first = browser.eval("window.seen[0][0]").await?.as_u64().context("when the first picture was shown")?;
    figures.join.push(first.saturating_sub(tap) as f64);
    figures.peer_join.push(own_session(browser, "room", &panel).await?);
    for _ in 0..3 {
        tokio::time::sleep(APART).await;
        let tap = now();
        teacher.command(&TeacherCommand::Show { source: tablet.source.clone(), tile: None }).await?;
        figures.switch.push((student.sees_another(tap, PATIENCE).await? - tap) as f64);
        tokio::time::sleep(APART).await;
        let tap = Instant::now();
        teacher.command(&TeacherCommand::Remove { source: tablet.source.clone() }).await?;
        let told = tap.elapsed().as_secs_f64() * 1000.0;
        figures.peer_switch.push(told + own_session(browser, tablet.source.as_str(), &panel).await?);
        student.sees_the_room_again(now(), PATIENCE).await?;
    }
    Ok(())
}
