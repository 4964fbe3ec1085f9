//! The largest class: 40 students joined, all ask and so have thumbnails, 9 of them on the panel, which runs smoothly (R-CAST-2).

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{StudentCommand, StudentView, TeacherCommand};
use futures_util::future::try_join_all;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSink;
use harness::{panel::Panel, proc};

use super::room::{PATIENCE, Room, SHAPE, TABLETS};

/// A real picture as a tablet sends it.
fn thumbnail() -> Result<Vec<u8>> {
    gst::init()?;
    let line =
        "videotestsrc num-buffers=1 pattern=smpte ! video/x-raw,width=320,height=180 ! jpegenc ! appsink name=out";
    let pipeline = gst::parse::launch(line)?.downcast::<gst::Pipeline>().map_err(|_| anyhow::anyhow!("a pipeline"))?;
    let sink = pipeline.by_name("out").and_then(|element| element.downcast::<AppSink>().ok()).context("appsink")?;
    pipeline.set_state(gst::State::Playing)?;
    let sample = sink.pull_sample()?;
    let picture = sample.buffer().context("a buffer")?.map_readable()?.to_vec();
    pipeline.set_state(gst::State::Null)?;
    Ok(picture)
}

#[test]
fn forty_students_nine_on_the_panel() -> Result<()> {
    let room = Room::new()?;
    let class = room.lan.machine("class", TABLETS)?;
    let tasks = class.tasks()?;
    room.tell(TeacherCommand::Layout { tiles: 9 })?;

    let publishers = (1..=9).map(|seat| room.publisher(&tasks, TABLETS, seat)).collect::<Result<Vec<_>>>()?;
    for seat in 1..=9 {
        room.show(seat, Some(seat - 1))?;
    }
    let picture = Arc::new(thumbnail()?);
    let (far, code) = (room.hub.anyone_far()?, room.code.clone());
    let nine: Vec<_> = publishers.iter().map(|(student, _)| student.clone()).collect();
    // All pages are open: each with its socket and its thumbnail.
    let pages = tasks.run(async move {
        let others = try_join_all((10..=40).map(|seat| far.join(&code, seat))).await?;
        let students: Vec<_> = nine.into_iter().chain(others).collect();
        try_join_all(students.into_iter().map(async |student| {
            let mut page = student.caller.feed(None).await?;
            page.view::<StudentView>("the student's page", |_| true).await?;
            student.caller.ask(StudentCommand::Ask).await?;
            let request = student.caller.request(reqwest::Method::PUT, "/api/student/thumbnail");
            let request = request.header("content-type", "image/jpeg").body(picture.to_vec());
            student.caller.send(request).await?.done()?;
            anyhow::Ok(page)
        }))
        .await
    })?;
    ensure!(pages.len() == 40);
    let view = room.view("40 students with thumbnails", |view| {
        view.seats.iter().filter(|seat| seat.taken && seat.online && seat.thumbnail.is_some()).count() == 40
    })?;
    ensure!(view.seats.iter().filter(|seat| seat.tile.is_some()).count() == 9);
    let teacher = &room.teacher;
    let loaded = room.hub_ns.block_on(|| async {
        try_join_all((1..=40).map(async |seat| {
            let path = format!("/api/seats/{seat}/thumbnail");
            teacher.get(&path).await?.done()
        }))
        .await
    })??;
    ensure!(loaded.len() == 40);

    for tile in 0..9 {
        room.moves(Panel::area(9, tile, SHAPE), PATIENCE).with_context(|| format!("tile {tile}"))?;
    }
    room.panel.screenshot("panel-nine")?;
    const DURING: Duration = Duration::from_secs(2);
    let rates = (0..9)
        .map(|tile| Ok(room.panel.stamps(Panel::area(9, tile, SHAPE), DURING)?.len() as f64 / DURING.as_secs_f64()))
        .collect::<Result<Vec<f64>>>()?;
    let memory = proc::memory(room.hub.pid())?;
    println!(
        "40 joined, 9 on the panel: {rates:.1?} pictures a second by tile; hub {} MB",
        memory.resident / 1_000_000
    );
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    ensure!(slowest >= 15.0, "the slowest tile shows {slowest:.1} pictures a second: {rates:.1?}");
    Ok(())
}
