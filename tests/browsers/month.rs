//! The month page and the school's report with a class of 40: every state, long names, a tablet and a phone.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use classroom_protocol::catalogue::Lang;
use harness::{
    browser::Options,
    hub::{self, Hub},
    pages::Page,
    panel::shot,
    people::PASSWORD,
};
use serde_json::{Value, json};

const APPEARS: Duration = Duration::from_secs(20);

async fn signed_in(hub: &Hub, path: &str, lang: Lang, size: (u32, u32)) -> Result<Page> {
    let page = Page::open(&hub.base(), path, lang, Options { size, ..Options::default() }).await?;
    page.browser.type_into("input[name=username]", "wang", APPEARS).await?;
    page.browser.type_into("input[name=password]", PASSWORD, APPEARS).await?;
    page.tap("teach.sign-in").await?;
    Ok(page)
}

/// Each chart has something on it, and each stands beside a table.
const CHARTS: &str = "[...document.querySelectorAll('canvas')].map(canvas => { \
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
    return pixels.some(value => value > 0) && !!canvas.closest('section').querySelector('table tbody tr'); })";

/// What is wider than the page, or lies outside of it.
const TOO_WIDE: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

async fn looks_well(page: &Page, charts: usize, name: &str) -> Result<()> {
    page.browser.wait_for(&format!("{CHARTS}.length === {charts} && {CHARTS}.every(Boolean)"), APPEARS).await?;
    let wide = page.browser.eval(TOO_WIDE).await?;
    ensure!(wide == json!(0), "{name} is {wide} px wider than the screen");
    let said = page.browser.console().await?;
    let wrong: Vec<_> =
        said.iter().filter(|line| line.starts_with("SEVERE")).filter(|line| !line.contains("401")).collect();
    ensure!(wrong.is_empty(), "{name}: {wrong:?}");
    page.browser.screenshot(shot(name)?).await?;
    // All of it, as one picture.
    let height = page.browser.eval("document.documentElement.scrollHeight").await?;
    let width = page.browser.eval("innerWidth").await?;
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    page.browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
    page.browser.screenshot(shot(&format!("{name}-all"))?).await?;
    Ok(())
}

#[tokio::test]
async fn the_month_of_forty_is_told_at_one_glance() -> Result<()> {
    let mut hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    hub.teacher().await?;
    hub.stop()?;
    let filled = Command::new(hub::program("examples/invented_month")?).arg(hub.home().join("data")).output()?;
    ensure!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    hub.restart().await?;
    let teacher = hub.anyone()?.sign_in("wang").await?;
    let classes: Vec<Value> = teacher.get("/api/classes").await?.json()?;
    let class = classes.last().and_then(|class| class["id"].as_i64()).context("the invented class")?;
    let demo = classes[0]["id"].as_i64().context("the demo's class")?;

    // The month before is whole, whatever day it is.
    let now: Value = teacher.get(&format!("/api/month?class={class}")).await?.json()?;
    let month = now["figures"]["month"].as_str().context("month")?;
    let before = appliance_core::calendar::month(month).context("month")?.first().plus(-1).month();
    let path = format!("/month?class={class}&month={before}");
    let figures: Value = teacher.get(&format!("/api{path}")).await?.json()?;
    let used = &figures["figures"]["used"]["plain"];
    let count = |key: &str| used[key].as_u64().unwrap_or(0);
    ensure!(count("used") > 20 && count("unused") + count("unknown") > 0, "{used}");

    for (name, size, lang) in [
        ("month", (1280, 800), Lang::ZhHantTw),
        ("month-phone", (390, 844), Lang::ZhHantTw),
        ("month-en", (1280, 800), Lang::En),
    ] {
        let page = signed_in(&hub, &path, lang, size).await?;
        page.sees("month.my-days").await?;
        looks_well(&page, 2, name).await?;
        // Names are words, never markup, and all 40 are there by seat.
        page.sees_words("<b>王</b>&amp;小明").await?;
        let seats = page.browser.eval("[...document.querySelectorAll('li .seat')].map(e => +e.innerText)").await?;
        let seats: Vec<u64> = serde_json::from_value(seats)?;
        assert_eq!(seats, (1..=40).collect::<Vec<u64>>());
        page.sees_words("2026-1").await?;
    }

    // A class of which nothing is known: unknown, and no zero percent.
    let empty = signed_in(&hub, &format!("/month?class={demo}&month={before}"), Lang::ZhHantTw, (1280, 800)).await?;
    empty.sees("month.no-devices").await?;
    let text = empty.browser.eval("document.body.innerText").await?;
    ensure!(!text.as_str().unwrap_or_default().contains("0.00%"), "{text}");
    looks_well(&empty, 0, "month-empty").await?;

    for (name, size) in [("report", (1280, 800)), ("report-phone", (390, 844))] {
        let page = signed_in(&hub, "/school#tab=report", Lang::ZhHantTw, size).await?;
        page.sees("report.annex").await?;
        page.sees_words("泰武鄉").await?;
        looks_well(&page, 1, name).await?;
    }
    let office = signed_in(&hub, "/school#tab=report", Lang::ZhHantTw, (1280, 800)).await?;
    office.tap("report.calendar").await?;
    office.browser.wait_for("document.querySelectorAll('dialog input[type=time]').length >= 10", APPEARS).await?;
    office.browser.screenshot(shot("report-calendar")?).await?;
    office.tap("report.save").await?;
    office.sees_words(&office.words("figures.calendar-school", &[])).await?;
    Ok(())
}
