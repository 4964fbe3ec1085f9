//! A screen on which nothing moves, over a line that loses a little: the panel never says that the signal is lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use classroom_protocol::{TeacherView, catalogue::Lang, view::Sharing};
use harness::{pages::Page, wait::wait_for};
use tokio::time::timeout_at;

use super::room::{PATIENCE, Room, TABLET, TABLETS};

/// How long is looked, and what is lost meanwhile, in percent.
const DURING: Duration = Duration::from_secs(20);
const LOST: u8 = 3;

#[test]
fn a_still_screen_at_3_percent_loss_is_never_called_lost() -> Result<()> {
    let room = Room::new()?;
    let ns = room.lan.machine("tablet", TABLETS)?;
    let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // No stamp: nothing at all moves on this page.
    let page = outside.block_on(async {
        let page = Page::far_tablet(&room.hub, ns.name(), Lang::En, TABLET).await?;
        page.browser.run(COUNT).await?;
        page.take_seat(&room.code, "學生1").await?;
        page.tap("join.share").await?;
        page.sees("join.asking").await?;
        anyhow::Ok(page)
    })?;
    room.show(1, None)?;
    outside.block_on(page.sees("join.on-stage"))?;
    room.view("the student to send", |view| view.seats[0].sharing == Sharing::Live)?;
    let sent = || -> Result<u64> { Ok(outside.block_on(page.browser.run(SENT))?.as_u64().unwrap_or(0)) };
    outside.block_on(wait_for("the first pictures", PATIENCE, async || match page.browser.run(SENT).await {
        Ok(sent) if sent.as_u64() >= Some(10) => Ok(()),
        other => Err(format!("{other:?} pictures were sent")),
    }))?;

    outside.block_on(page.browser.run(STILL))?;
    room.panel_ns.lose_arriving(LOST)?;
    let (before, began) = (sent()?, Instant::now());
    let lost = lost_within(&room, DURING)?;
    let rate = (sent()? - before) as f64 / began.elapsed().as_secs_f64();
    println!("a still screen, {LOST} % loss, {:.0?}: lost {lost} times; {rate:.1} pictures a second", began.elapsed());
    ensure!(rate >= 8.0, "a still screen sends {rate:.1} pictures a second");
    ensure!(lost == 0, "the panel called a still screen lost {lost} times; it said: {}", room.panel.log());
    Ok(())
}

/// How often the panel reports a lost picture in this time.
fn lost_within(room: &Room, during: Duration) -> Result<usize> {
    let teacher = &room.teacher;
    room.hub_ns.block_on(|| async {
        let mut feed = teacher.feed(None).await?;
        let end = tokio::time::Instant::now() + during;
        let (mut times, mut is_lost) = (0, false);
        while let Ok(told) = timeout_at(end, feed.next::<TeacherView>()).await {
            let classroom_protocol::Envelope::View { view, .. } = told? else { continue };
            let lost = view.panels.iter().any(|panel| !panel.lost.is_empty());
            times += usize::from(lost && !is_lost);
            is_lost = lost;
        }
        Ok(times)
    })?
}

/// Takes everything off the page: its own picture of itself would move for ever.
const STILL: &str = "document.getElementById('app').style.display = 'none';";
/// Keeps the page's connections to count what they send.
const COUNT: &str = "window.connections = []; const Real = RTCPeerConnection; \
    window.RTCPeerConnection = function (...args) { const pc = new Real(...args); connections.push(pc); return pc; }; \
    window.RTCPeerConnection.prototype = Real.prototype;";
/// Pictures sent so far, of the layer that sent most.
const SENT: &str = "return (async () => { let most = 0; for (const pc of window.connections) { \
      (await pc.getStats()).forEach(entry => { \
        if (entry.type === 'outbound-rtp' && entry.kind === 'video') most = Math.max(most, entry.framesSent ?? 0); }); } \
    return most; })();";
