//! Addresses change: a tablet gets another lease, the box itself moves.

use std::time::Duration;

use anyhow::{Context, Result};
use harness::{
    netns::{CARD, Lan},
    panel::Panel,
};

use super::room::{Room, TABLET_SHAPE, TABLETS, Tablet};

/// The browser notices the change, its page makes a new session.
const BACK: Duration = Duration::from_secs(30);

#[test]
fn the_tablet_gets_another_address_and_is_back_without_a_hand() -> Result<()> {
    let room = Room::new()?;
    let tablet = Tablet::on_stage(&room, TABLETS, 1)?;
    tablet.ns.readdress(CARD, Lan::address(TABLETS + 50))?;
    tablet.ns.ip("route replace default via 10.77.0.254")?;
    let area = Panel::area(1, 0, TABLET_SHAPE);
    // What was drawn before the change is still fresh for a moment: wait until it is stale, then for what is new.
    super::room::until("the old picture to be stale", BACK, || {
        let reading = room.panel.reader().grab(Duration::from_secs(5))?.reading(area);
        let stale = reading.is_none_or(|reading| reading.age > Duration::from_millis(1500));
        anyhow::ensure!(stale, "still fresh: {reading:?}");
        Ok(())
    })?;
    let back = tablet.fresh(&room, area, BACK).context("back after a new address")?;
    println!("a tablet's new address: fresh picture {back:?} after the old one was stale");
    tablet.sees("join.on-stage")
}
