//! The link is gone for five seconds. Two seconds after it is back the picture moves again, without a hand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use classroom_protocol::StudentView;
use harness::panel::Panel;

use super::room::{PATIENCE, Room, SHAPE, TABLET_SHAPE, TABLETS, Tablet, until};

const CUT: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(2);
/// A sign of life each 5 s, 20 s in which none is acknowledged, and what a busy machine takes.
const GONE: Duration = Duration::from_secs(45);

#[test]
fn the_panels_link_is_cut() -> Result<()> {
    let room = Room::new()?;
    let tablet = room.lan.machine("tablet", TABLETS)?;
    let tasks = tablet.tasks()?;
    let (_student, _publisher) = room.publisher(&tasks, TABLETS, 1)?;
    room.show(1, None)?;
    let area = Panel::area(1, 0, SHAPE);
    room.moves(area, PATIENCE)?;

    room.panel_ns.silence()?;
    let cut = Instant::now();
    // Looks for as long as the cut lasts: what is on its way arrives, then nothing new.
    let seen = room.panel.stamps(area, CUT)?;
    ensure!(seen.len() < 30, "{} pictures in {CUT:?} over a cut link", seen.len());
    room.panel.screenshot("panel-signal-lost")?;
    room.panel_ns.unsilence()?;
    let was_cut = cut.elapsed();
    let back = room.moves(area, BACK).with_context(|| format!("back within {BACK:?} after {was_cut:?}"))?;
    println!("the panel's link cut for {was_cut:?}: picture moves again after {back:?}");
    Ok(())
}

#[test]
fn the_tablets_link_is_cut() -> Result<()> {
    let room = Room::new()?;
    let tablet = Tablet::on_stage(&room, TABLETS, 1)?;
    let area = Panel::area(1, 0, TABLET_SHAPE);

    tablet.ns.silence()?;
    let cut = Instant::now();
    // The panel says "signal lost" to the room within two seconds of the last picture, and a second for the way.
    room.view("the lost signal", |view| view.panels.iter().any(|panel| !panel.lost.is_empty()))?;
    let told = cut.elapsed();
    ensure!(told < Duration::from_secs(4), "the lost signal was told after {told:?}");
    room.panel.stamps(area, CUT.saturating_sub(cut.elapsed()))?;
    tablet.ns.unsilence()?;
    let was_cut = cut.elapsed();
    let back = tablet.fresh(&room, area, BACK).with_context(|| format!("back within {BACK:?} after {was_cut:?}"))?;
    println!("the tablet's link cut for {was_cut:?}, told after {told:?}: fresh picture after {back:?}");
    tablet.sees("join.on-stage")
}

/// A lid that is closed, a device that is carried away: it says nothing any more, and nobody goes on seeing it.
#[test]
fn who_leaves_without_a_word_is_not_called_online_for_long() -> Result<()> {
    let room = Room::new()?;
    let tablet = room.lan.machine("tablet", TABLETS)?;
    let tasks = tablet.tasks()?;
    let (anyone, code) = (room.hub.anyone_far()?, room.code.clone());
    tasks.run(async move {
        let mut feed = anyone.join(&code, 1).await?.caller.feed(None).await?;
        tokio::spawn(async move { while feed.next::<StudentView>().await.is_ok() {} });
        Ok(())
    })?;
    room.view("the student", |view| view.seats[0].online)?;
    tablet.silence()?;
    let left = Instant::now();
    until("the seat to be empty", GONE, || {
        let view = room.view("a view", |_| true)?;
        ensure!(!view.seats[0].online, "still online");
        Ok(())
    })?;
    println!("a tablet that left without a word is offline after {:?}", left.elapsed());
    Ok(())
}
