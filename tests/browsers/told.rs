//! A student tells of a bad site with one tap on the own page; it stands on the teacher's page until the teacher has taken
//! note, and in the office (R-POL-19).

use std::time::Duration;

use anyhow::{Result, ensure};
use classroom_protocol::catalogue::Lang;
use harness::{browser::Options, hub::Hub, pages::Page, panel::shot, people::PASSWORD};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

async fn signed_in(hub: &Hub, path: &str, lang: Lang) -> Result<Page> {
    let page = Page::open(&hub.base(), path, lang, Options::default()).await?;
    page.browser.type_into("input[name=username]", "wang", SOON).await?;
    page.browser.type_into("input[name=password]", PASSWORD, SOON).await?;
    page.tap("teach.sign-in").await?;
    Ok(page)
}

#[tokio::test]
async fn one_tap_tells_a_teacher_and_one_tap_takes_note() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(30).await?;
    let desk = signed_in(&hub, "/teach", Lang::ZhHantTw).await?;
    desk.sees_words("學生7").await?;

    let tablet = Page::tablet(&hub, Lang::ZhHantTw, (390, 844)).await?;
    tablet.take_seat(&code, "學生7").await?;
    tablet.browser.screenshot(shot("told-before")?).await?;
    tablet.tap("join.tell").await?;
    tablet.sees("join.told").await?;
    let wide = tablet.browser.eval("document.documentElement.scrollWidth <= innerWidth").await?;
    ensure!(wide == json!(true), "something stands outside the phone's screen");
    tablet.browser.screenshot(shot("told-tablet")?).await?;

    desk.sees("teach.report-what").await?;
    desk.browser.screenshot(shot("told-desk")?).await?;
    desk.tap_words(&desk.words("teach.report-seen-of", &[("name", "學生7")])).await?;
    let gone = format!("!document.body.innerText.includes({})", json!(desk.words("teach.report-what", &[])));
    desk.browser.wait_for(&gone, SOON).await?;

    let office = signed_in(&hub, "/school#tab=agents", Lang::En).await?;
    office.sees("school.alarm-reported-site").await?;
    office.browser.screenshot(shot("told-office")?).await?;
    Ok(())
}
