//! The hub is restarted in the middle of a lesson: everyone is back within five seconds, without a hand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::panel::Panel;

use super::room::{Room, TABLET_SHAPE, TABLETS, Tablet};

const BACK: Duration = Duration::from_secs(5);

#[test]
fn everyone_is_back_after_a_restart() -> Result<()> {
    restarted(false)
}

#[test]
fn everyone_is_back_after_a_crash() -> Result<()> {
    restarted(true)
}

fn restarted(crash: bool) -> Result<()> {
    let mut room = Room::new()?;
    let tablet = Tablet::on_stage(&room, TABLETS, 1)?;
    let before = room.view("the room", |_| true)?;
    let began = Instant::now();
    let hub = &mut room.hub;
    room.hub_ns.block_on(|| async move { if crash { hub.crash().await } else { hub.restart().await.map(drop) } })??;
    let serving = began.elapsed();
    let area = Panel::area(1, 0, TABLET_SHAPE);
    // Pictures that were drawn after the hub served again: the age is less than what has passed since.
    let again = Instant::now();
    let fits = |reading: &harness::stamp::Reading| reading.age < again.elapsed();
    room.panel.reader().wait_for(area, BACK, fits).with_context(|| {
        format!(
            "a fresh picture within {BACK:?}; the panel said: {}\nthe hub said: {}",
            room.panel.log(),
            room.hub.log()
        )
    })?;
    let back = again.elapsed();
    println!("hub gone for {serving:?}, fresh picture {back:?} after it served again (crash: {crash})");
    let after = room.view("student and panel", |view| {
        view.seats[0].online && view.panels.iter().any(|panel| panel.online) && view.holds
    })?;
    ensure!(after.code == before.code && after.lesson == before.lesson, "the lesson goes on: {after:?}");
    ensure!(after.stage == before.stage, "the stage is as it was: {:?} after {:?}", after.stage, before.stage);
    tablet.sees("join.on-stage")
}
