//! Family `cast`, what the hub takes of memory: at rest, and with a class.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result};
use classroom_protocol::{StudentCommand, TeacherCommand, TeacherView};
use gstreamer::{self as gst, prelude::*};
use harness::{
    clip::Clip,
    hub::{self, Hub},
    load::{Publisher, Viewer},
    proc::memory,
};
use reqwest::Method;

use crate::{Settings, cast::media_address, report::Row};

/// Casts on the stage, and students with thumbnails.
const CASTS: u8 = 9;
const STUDENTS: u8 = 35;
/// Long enough for three rounds of thumbnails.
const CLASS_TIME: Duration = Duration::from_secs(12);
const REST: Duration = Duration::from_secs(5);

/// `cast.memory_rest`: a started hub with the class of the demo, nobody connected.
pub(crate) async fn rest(settings: &Settings, rows: &mut Vec<Row>) {
    let (mut ours, mut failures) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        match one_rest().await {
            Ok(mb) => ours.push(mb),
            Err(e) => failures.push(format!("{e:#}")),
        }
    }
    rows.push(Row::alone(("cast.memory_rest", "MB"), &ours, 40.0, &failures.join(" | ")));
}

async fn one_rest() -> Result<f64> {
    let hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    tokio::time::sleep(REST).await;
    resident(&hub)
}

/// `cast.memory_class`.
pub(crate) async fn class(settings: &Settings, rows: &mut Vec<Row>) {
    let (mut ours, mut failures) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        match one_class().await {
            Ok(mb) => ours.push(mb),
            Err(e) => failures.push(format!("{e:#}")),
        }
    }
    rows.push(Row::alone(("cast.memory_class", "MB"), &ours, 120.0, &failures.join(" | ")));
}

async fn one_class() -> Result<f64> {
    let clip = tokio::task::spawn_blocking(|| Clip::encode(1280, 720, 1500)).await??;
    let thumbnail = tokio::task::spawn_blocking(jpeg).await??;
    let address = IpAddr::V4(media_address()?);
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(STUDENTS).await?;
    let panel = hub.anyone()?.pair("bench", &teacher).await?;
    teacher.command(&TeacherCommand::Layout { tiles: CASTS }).await?;
    let (mut students, mut feeds) = (Vec::new(), Vec::new());
    for seat in 1..=STUDENTS {
        let student = hub.anyone()?.join(&code, seat).await?;
        feeds.push(student.caller.feed(None).await?);
        students.push(student);
    }
    let (mut publishers, mut viewers) = (Vec::new(), Vec::new());
    for student in students.iter().take(CASTS.into()) {
        student.caller.ask(StudentCommand::Ask).await?;
        teacher.command(&TeacherCommand::Show { source: student.source.clone(), tile: None }).await?;
        let path = format!("/whip/{}", student.source);
        publishers.push(Publisher::start(&student.caller, &path, clip.clone(), address).await?);
    }
    for student in students.iter().take(CASTS.into()) {
        viewers.push(Viewer::start(&panel, &format!("/whep/{}", student.source), address).await?);
    }
    // Only who asks or shares has a thumbnail.
    for student in students.iter().skip(CASTS.into()) {
        student.caller.ask(StudentCommand::Ask).await?;
    }
    let until = tokio::time::Instant::now() + CLASS_TIME;
    let mut rounds = tokio::time::interval(Duration::from_secs(3));
    while tokio::time::Instant::now() < until {
        rounds.tick().await;
        for student in &students {
            let put = student.caller.request(Method::PUT, "/api/student/thumbnail");
            let put = put.header("content-type", "image/jpeg").body(thumbnail.clone());
            student.caller.send(put).await?.done()?;
        }
    }
    let view: TeacherView = teacher.feed(None).await?.view("the room", |_| true).await?;
    let thumbnails = view.seats.iter().filter(|seat| seat.thumbnail.is_some()).count();
    anyhow::ensure!(thumbnails == usize::from(STUDENTS), "{thumbnails} thumbnails of {STUDENTS}");
    for (n, viewer) in viewers.iter().enumerate() {
        anyhow::ensure!(viewer.frames() > 200, "cast {} gave {} frames in {CLASS_TIME:?}", n + 1, viewer.frames());
    }
    resident(&hub)
}

fn resident(hub: &Hub) -> Result<f64> {
    Ok(memory(hub.pid())?.resident as f64 / 1e6)
}

/// A picture of 320×180 that does not compress well, as a JPEG of some 20 KB.
pub(crate) fn jpeg() -> Result<Vec<u8>> {
    gst::init()?;
    let line = "videotestsrc pattern=smpte num-buffers=1 ! video/x-raw,width=320,height=180,framerate=1/1 \
        ! videoconvert ! jpegenc quality=95 ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(line)?;
    let bin = pipeline.downcast_ref::<gst::Bin>().context("a pipeline")?;
    let sink = bin.by_name("out").and_then(|e| e.downcast::<gstreamer_app::AppSink>().ok()).context("appsink")?;
    pipeline.set_state(gst::State::Playing)?;
    let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20)).context("no picture")?;
    let jpeg = sample.buffer().context("no buffer")?.map_readable()?.to_vec();
    pipeline.set_state(gst::State::Null)?;
    Ok(jpeg)
}
