//! "Show us yours": several tablets, one teacher, the panel's window.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use classroom_protocol::catalogue::Lang;
use harness::{
    browser::Options,
    hub::{self, Hub},
    pages::Page,
    panel::{Panel, shot},
    stamp::Area,
};

/// A tablet's screen in these tests: small, as all tablets encode on the same two cores.
const TABLET: (u32, u32) = (960, 600);
/// The picture that arrives: while a tab is shared, Chromium's bar that says so takes 56 lines of it.
const SHAPE: (u32, u32) = (TABLET.0, TABLET.1 - 56);

/// The teacher's desk, signed in with the link that the hub printed, with the demo class's lesson running.
async fn desk(hub: &Hub, lang: Lang) -> Result<Page> {
    let path = format!("/teach#code={}", hub.first_code().await?);
    let desk = Page::open(&hub.base(), &path, lang, Options::default()).await?;
    desk.make_account("wang", "王美麗老師").await?;
    desk.tap("teach.start").await?;
    desk.sees("common.room-code").await?;
    Ok(desk)
}

/// The 6 digits that the desk shows.
async fn code(desk: &Page) -> Result<String> {
    let expression = "document.querySelector('section .code.digits')?.innerText.replace(/\\D/g, '')";
    desk.browser.wait_for(&format!("({expression})?.length === 6"), Duration::from_secs(10)).await?;
    let digits = desk.browser.eval(expression).await?;
    digits.as_str().map(str::to_owned).context("the code")
}

fn fresh(panel: &Panel, area: Area, within: Duration) -> Result<Duration> {
    let shown = panel.reader().wait_for(area, within, |reading| reading.age < Duration::from_millis(1500));
    if shown.is_err() {
        panel.screenshot("panel-failed")?;
    }
    Ok(shown.with_context(|| panel.log())?.age)
}

#[tokio::test]
async fn tablets_ask_the_teacher_taps_and_the_panel_shows_them() -> Result<()> {
    let hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    let desk = desk(&hub, Lang::ZhHantTw).await?;
    let room_code = code(&desk).await?;
    let teacher = hub.anyone()?.sign_in("wang").await?;
    let panel = Panel::start(&hub, &teacher, None).await?;
    panel.screenshot("panel-idle")?;

    // One student with the tablet in English, the others in Chinese.
    let names = ["王小明", "李美華", "張家豪"];
    let mut tablets = Vec::new();
    for (lang, name) in [Lang::ZhHantTw, Lang::En, Lang::ZhHantTw].into_iter().zip(names) {
        let tablet = Page::tablet(&hub, lang, TABLET).await?;
        tablet.take_seat(&room_code, name).await?;
        tablet.stamp().await?;
        tablets.push(tablet);
    }

    // The first asks; nothing is on the panel before the teacher agrees.
    tablets[0].tap("join.share").await?;
    tablets[0].sees("join.asking").await?;
    let whole = Panel::area(1, 0, SHAPE);
    ensure!(panel.reader().grab(Duration::from_secs(5))?.reading(whole).is_none(), "shown without the teacher's word");
    desk.browser.screenshot(shot("teach-asking")?).await?;
    let tapped = Instant::now();
    desk.tap_words(&desk.words("teach.approve-of", &[("name", names[0])])).await?;
    let age = fresh(&panel, whole, Duration::from_secs(10))?;
    let took = tapped.elapsed();
    println!("approval to picture {took:?}, its age {age:?}");
    tablets[0].sees("join.on-stage").await?;

    // Two more, four tiles: the teacher invites by a tap on the name, the student agrees.
    desk.tap_words(&desk.words("teach.layout-tiles", &[("tiles", "4")])).await?;
    for (tablet, name) in tablets.iter().zip(names).skip(1) {
        desk.tap_words(name).await?;
        tablet.sees("join.invited").await?;
        tablet.tap("join.invited-button").await?;
    }
    for tile in 0..3 {
        fresh(&panel, Panel::area(4, tile, SHAPE), Duration::from_secs(20)).with_context(|| format!("tile {tile}"))?;
    }
    tablets[2].sees("join.on-stage").await?;
    panel.screenshot("panel-three")?;
    desk.browser.screenshot(shot("teach-three")?).await?;
    tablets[1].browser.screenshot(shot("join-on-stage-en")?).await?;

    // All move, each at its own pace: three browsers encode three layers each on the cores that also decode them.
    for tile in 0..3 {
        let seen = panel.reader().readings(Panel::area(4, tile, SHAPE), Duration::from_secs(4))?;
        println!("tile {tile}: {} pictures in 4 s", seen.len());
        ensure!(seen.len() >= 3, "tile {tile} showed {} pictures in 4 s", seen.len());
    }

    // Eyes on me: no cast is on the panel; then all are back.
    desk.tap("teach.attention").await?;
    tablets[0].sees("join.attention").await?;
    let tile = Panel::area(4, 0, SHAPE);
    harness::wait::wait_for("the casts to be paused", Duration::from_secs(5), async || {
        match panel.reader().grab(Duration::from_secs(5)).map(|grab| grab.reading(tile)) {
            Ok(Some(reading)) if reading.age < Duration::from_millis(1500) => Err("a cast still moves"),
            _ => Ok(()),
        }
    })
    .await?;
    panel.screenshot("panel-attention")?;
    desk.tap("teach.attention-off").await?;
    fresh(&panel, tile, Duration::from_secs(5)).context("back after attention")?;

    // Off and on again by a tap: the tablet is still connected, so this is quick.
    desk.tap_words(&desk.words("teach.remove-of", &[("name", names[0])])).await?;
    tablets[0].sees("join.ready").await?;
    let tapped = Instant::now();
    desk.tap_words(names[0]).await?;
    fresh(&panel, tile, Duration::from_secs(5)).context("a ready tablet is shown")?;
    println!("tap to picture, ready tablet: {:?}", tapped.elapsed());

    // The bell.
    desk.tap("teach.end").await?;
    desk.tap("teach.end").await?;
    tablets[0].sees("join.ended").await?;
    desk.sees("teach.start-title").await
}

#[tokio::test]
async fn a_closed_tablet_is_told_on_the_panel_and_comes_back() -> Result<()> {
    let hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    let desk = desk(&hub, Lang::En).await?;
    let room_code = code(&desk).await?;
    let teacher = hub.anyone()?.sign_in("wang").await?;
    let panel = Panel::start(&hub, &teacher, None).await?;
    let tablet = Page::tablet(&hub, Lang::En, TABLET).await?;
    tablet.take_seat(&room_code, "王小明").await?;
    tablet.stamp().await?;
    tablet.tap("join.share").await?;
    desk.tap_words(&desk.words("teach.approve-of", &[("name", "王小明")])).await?;
    let whole = Panel::area(1, 0, SHAPE);
    fresh(&panel, whole, Duration::from_secs(10))?;

    // The page is loaded again: it keeps the seat and asks the student to choose the screen once more.
    tablet.browser.client.refresh().await?;
    tablet.sees("join.resume").await?;
    let mut page = teacher.feed(None).await?;
    page.view("the panel to tell that the picture is lost", |view: &classroom_protocol::TeacherView| {
        view.panels.iter().any(|panel| !panel.lost.is_empty())
            || view.seats.iter().all(|seat| seat.sharing != classroom_protocol::view::Sharing::Live)
    })
    .await?;
    panel.screenshot("panel-lost")?;
    tablet.stamp().await?;
    tablet.tap("join.share").await?;
    fresh(&panel, whole, Duration::from_secs(15)).context("the picture is back")?;
    Ok(())
}
