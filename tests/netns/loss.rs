//! A viewer who loses every twentieth packet keeps at least 25 of 30 pictures a second.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::panel::Panel;

use super::room::{PATIENCE, Room, SHAPE, TABLETS};

#[test]
fn a_panel_at_5_percent_loss_keeps_25_of_30_pictures() -> Result<()> {
    let room = Room::new()?;
    let tablet = room.lan.machine("tablet", TABLETS)?;
    let tasks = tablet.tasks()?;
    let (_student, _publisher) = room.publisher(&tasks, TABLETS, 1)?;
    room.show(1, None)?;
    let area = Panel::area(1, 0, SHAPE);
    room.moves(area, PATIENCE)?;
    const DURING: Duration = Duration::from_secs(10);
    let rate = |seen: usize| seen as f64 / DURING.as_secs_f64();
    let without = rate(room.panel.stamps(area, DURING)?.len());
    room.panel_ns.lose_arriving(5)?;
    let with = rate(room.panel.stamps(area, DURING)?.len());
    println!("pictures a second on the panel: {without:.1} without loss, {with:.1} at 5 % loss (nftables)");
    ensure!(with >= 25.0, "{with:.1} pictures a second at 5 % loss, {without:.1} without");
    Ok(())
}
