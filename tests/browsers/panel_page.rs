//! `/panel` in a browser: for a room whose panel has only a browser, and for `make run` without a display.

use std::time::Duration;

use anyhow::{Context, Result};
use classroom_protocol::{PanelView, TeacherCommand, TeacherView, catalogue::Lang};
use harness::{browser::Options, hub::Hub, pages::Page, panel::shot, people::Caller, wait::wait_for};

/// The panel's page, paired by the six digits that it shows.
async fn panel_page(hub: &Hub, teacher: &Caller) -> Result<Page> {
    let options = Options { size: (1280, 720), ..Options::default() };
    let panel = Page::open(&hub.base(), "/panel", Lang::ZhHantTw, options).await?;
    panel.sees("panel.pair-title").await?;
    let shown = "document.querySelector('.code.digits')?.innerText.replace(/\\D/g, '')";
    panel.browser.wait_for(&format!("({shown})?.length === 6"), Duration::from_secs(10)).await?;
    let digits = panel.browser.eval(shown).await?;
    teacher.post("/api/panels", &serde_json::json!({ "code": digits })).await?.done()?;
    Ok(panel)
}

#[tokio::test]
async fn the_panel_page_pairs_and_shows_the_stage() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(30).await?;
    let panel = panel_page(&hub, &teacher).await?;
    panel.sees("panel.join-steps").await?;
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    wait_for("the room code", Duration::from_secs(5), async || {
        let text = panel.browser.eval("document.body.innerText").await?;
        let text = text.as_str().unwrap_or_default().replace(['\u{2009}', '\u{a0}'], " ");
        anyhow::ensure!(text.contains(&code) || text.contains(&spaced), "{text}");
        Ok(())
    })
    .await?;
    panel.browser.screenshot(shot("panel-page-idle")?).await?;

    let tablet = Page::tablet(&hub, Lang::ZhHantTw, (960, 600)).await?;
    tablet.take_seat(&code, "學生5").await?;
    tablet.stamp().await?;
    tablet.tap("join.share").await?;
    tablet.sees("join.asking").await?;
    let seat = 5.try_into().expect("a seat");
    teacher.command(&TeacherCommand::Show { source: classroom_protocol::Seat::source(seat), tile: None }).await?;
    let playing = "(v => v && v.videoWidth > 0 && v.currentTime > 0.5 && !v.paused)(document.querySelector('video'))";
    panel.browser.wait_for(playing, Duration::from_secs(15)).await.context("the picture plays")?;
    panel.sees_words("學生5").await?;
    panel.browser.screenshot(shot("panel-page-one")?).await?;

    // Frames go on coming.
    let count = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames";
    let before = panel.browser.eval(count).await?.as_f64().unwrap_or(0.0);
    wait_for("more pictures", Duration::from_secs(5), async || {
        let now = panel.browser.eval(count).await?.as_f64().unwrap_or(0.0);
        anyhow::ensure!(now > before + 20.0, "{now} after {before}");
        Ok(())
    })
    .await?;

    // Removed by the teacher: back to a new code.
    let name = panel.words("panel.name", &[]);
    let paired = |view: &TeacherView| view.panels.iter().find(|known| known.name == name).map(|known| known.id);
    let view = teacher.feed(None).await?.view("the panel", |view| paired(view).is_some()).await?;
    teacher.delete(&format!("/api/panels/{}", paired(&view).unwrap_or_default())).await?.done()?;
    panel.sees("panel.unpaired").await
}

#[tokio::test]
async fn a_page_that_is_open_in_too_many_places_rests_until_someone_wants_it_there() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let panel = panel_page(&hub, &teacher).await?;
    panel.sees("panel.no-lesson").await?;
    let token = panel.browser.eval("localStorage.getItem('classroom.panel')").await?;
    let same = hub.anyone()?.bearer(token.as_str().context("a token")?);
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = same.feed(None).await?;
        other.view::<PanelView>("the room", |_| true).await?;
        others.push(other);
    }
    panel.sees("problem.elsewhere").await?;
    panel.browser.screenshot(shot("panel-page-elsewhere")?).await?;
    panel.tap("common.go-on-here").await?;
    panel.browser.wait_for("!document.querySelector('dialog')", Duration::from_secs(5)).await?;
    // It is there again, and follows.
    teacher.start_lesson(3).await?;
    panel.sees("common.room-code").await
}
