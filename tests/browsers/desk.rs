//! The teacher's page with the largest class, on a tablet, a phone and a panel: what is on it can be read and touched.

use anyhow::{Context, Result, ensure};
use classroom_protocol::{StudentCommand, StudentView, TeacherCommand, catalogue::Lang};
use futures_util::future::try_join_all;
use harness::{
    browser::Options,
    hub::{self, Hub},
    pages::Page,
    panel::shot,
    people::Caller,
    wait::wait_for,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

/// A picture like those of tablets, drawn by the browser.
const PICTURE: &str = "const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 }); \
    const context = canvas.getContext('2d'); context.fillStyle = '#fdf6e3'; context.fillRect(0, 0, 320, 180); \
    context.fillStyle = '#123'; context.font = '28px sans-serif'; \
    for (let line = 0; line < 4; line++) context.fillText('3x + 5 = 20   x = ' + line, 16, 40 + 38 * line); \
    return [...atob(canvas.toDataURL('image/jpeg', 0.7).split(',')[1])].map(letter => letter.charCodeAt(0));";

/// A box with the demo's class, its first teacher's page, and the same teacher without a page.
async fn demo() -> Result<(Hub, Page, Caller)> {
    let hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    let path = format!("/teach#code={}", hub.first_code().await?);
    let desk = Page::open(&hub.base(), &path, Lang::ZhHantTw, Options::default()).await?;
    desk.make_account("wang", "王美麗老師").await?;
    let teacher = hub.anyone()?.sign_in("wang").await?;
    Ok((hub, desk, teacher))
}

#[tokio::test]
async fn forty_pictures_can_be_read_and_nine_tiles_touched() -> Result<()> {
    let (hub, desk, teacher) = demo().await?;
    let code = teacher.start_lesson(40).await?;
    teacher.command(&TeacherCommand::Layout { tiles: 9 }).await?;
    let picture: Vec<u8> = serde_json::from_value(desk.browser.run(PICTURE).await?)?;
    let pages = try_join_all((1..=40).map(async |seat| {
        let student = hub.anyone()?.join(&code, seat).await?;
        let mut page = student.caller.feed(None).await?;
        page.view::<StudentView>("the student's page", |_| true).await?;
        if seat <= 9 {
            teacher.command(&TeacherCommand::Approve { seat: student.seat }).await?;
        }
        student.caller.ask(StudentCommand::Ask).await?;
        let request = student.caller.request(Method::PUT, "/api/student/thumbnail");
        student.caller.send(request.header("content-type", "image/jpeg").body(picture.clone())).await?.done()?;
        if seat <= 9 {
            teacher.command(&TeacherCommand::Show { source: student.source, tile: Some(seat - 1) }).await?;
        }
        anyhow::Ok(page)
    }))
    .await?;
    ensure!(pages.len() == 40);

    let loaded =
        "[...document.querySelectorAll('.pictured img')].filter(image => image.naturalWidth > 0).length === 40";
    for (name, width, height) in [("tablet", 1280, 800), ("phone", 390, 844), ("panel", 1920, 1080)] {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        desk.browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        desk.browser.wait_for(&format!("innerWidth === {width} && {loaded}"), WAIT).await?;
        desk.browser.screenshot(shot(&format!("teach-40-{name}"))?).await?;
        let heights =
            desk.browser.eval("[...document.querySelectorAll('.pictured img')].map(i => i.clientHeight)").await?;
        let lowest = heights.as_array().into_iter().flatten().filter_map(Value::as_u64).min().context("pictures")?;
        println!("{name}: the lowest of 40 pictures is {lowest} px high");
        ensure!(lowest >= 48, "{name}: a picture of {lowest} px: {heights}");
        let wide = desk.browser.eval("document.documentElement.scrollWidth <= innerWidth").await?;
        ensure!(wide == json!(true), "{name}: the page is wider than the screen");

        // A ninth is a picture and nothing else; what can be done with it comes with a tap.
        let on_tiles = desk
            .browser
            .eval("[...document.querySelectorAll('.tile .actions button')].filter(b => b.offsetParent).length");
        ensure!(on_tiles.await? == json!(0), "{name}: buttons on ninths");
        desk.browser.click("[data-tile='4'] .spot", WAIT).await?;
        desk.browser.wait_for("document.querySelectorAll('.chosen-one button').length === 2", WAIT).await?;
        desk.browser.screenshot(shot(&format!("teach-40-{name}-tile"))?).await?;
        let low = desk
            .browser
            .eval("Math.min(...[...document.querySelectorAll('.chosen-one button')].map(b => b.offsetHeight))");
        ensure!(low.await?.as_u64() >= Some(44), "{name}: a button for fingers");
        desk.browser.click("[data-tile='4'] .spot", WAIT).await?;
        desk.browser.wait_for("document.querySelector('.chosen-one') === null", WAIT).await?;
    }
    Ok(())
}

/// How many lines each card's name has, and whether it flows as text: of anything else the sign for the rest takes the place.
const NAMES: &str = "[...document.querySelectorAll('.pictured .name')].map(name => { const range = document.createRange(); \
    range.selectNodeContents(name); \
    return [new Set([...range.getClientRects()].filter(box => box.width > 0).map(box => Math.round(box.top))).size, \
        [...name.children].every(part => getComputedStyle(part).display !== 'inline-block')]; })";

#[tokio::test]
async fn as_much_of_a_long_name_as_fits_stands_on_a_card() -> Result<()> {
    let (hub, desk, teacher) = demo().await?;
    let names = ["阿美族·拉黑子·達立夫·巴卡朗", "Bartholomew Christopherson Featherstonehaugh de la Cruz"];
    let students: Vec<_> = (1u8..=30).map(|n| json!({ "seat": n, "name": names[usize::from(n) % 2] })).collect();
    let made = teacher.post("/api/classes", &json!({ "name": "五年三班", "students": students })).await?;
    let class = made.json::<Value>()?["id"].as_i64().context("the class")?;
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    let code = teacher.room_code().await?;
    let picture: Vec<u8> = serde_json::from_value(desk.browser.run(PICTURE).await?)?;
    for seat in 1..=30 {
        let student = hub.anyone()?.join(&code, seat).await?;
        student.caller.ask(StudentCommand::Ask).await?;
        let request = student.caller.request(Method::PUT, "/api/student/thumbnail");
        student.caller.send(request.header("content-type", "image/jpeg").body(picture.clone())).await?.done()?;
    }
    desk.browser.wait_for("document.querySelectorAll('.pictured .name').length === 30", WAIT).await?;
    desk.browser.screenshot(shot("teach-long-names")?).await?;
    let names: Vec<(usize, bool)> = serde_json::from_value(desk.browser.eval(NAMES).await?)?;
    ensure!(names == [(1, true); 30], "{names:?}");
    Ok(())
}

#[tokio::test]
async fn of_two_tabs_the_one_that_shares_last_shares() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let options = Options { screen: harness::browser::Screen::Fake, ..Options::default() };
    let tablet = Page::open(&hub.base(), "/join", Lang::ZhHantTw, options).await?;
    tablet.take_seat(&code, "學生1").await?;
    tablet.tap("join.share").await?;
    tablet.sees("join.asking").await?;
    let seat = 1.try_into()?;
    teacher.command(&TeacherCommand::Approve { seat }).await?;
    tablet.sees("join.ready").await?;

    // A tab that is doubled has the pass too.
    let client = &tablet.browser.client;
    let first = client.window().await?;
    tablet.browser.run("open('/join');").await?;
    let both = client.windows().await?;
    let second = both.into_iter().find(|window| *window != first).context("a second tab")?;
    client.switch_to_window(second.clone()).await?;
    tablet.sees("join.resume").await?;
    tablet.tap("join.share").await?;
    tablet.sees("join.ready").await?;
    client.switch_to_window(first).await?;
    tablet.sees("join.elsewhere-tab").await?;
    tablet.browser.screenshot(shot("join-elsewhere")?).await?;
    let sessions = async |wanted: usize| {
        wait_for("the sessions", WAIT, async || match hub.log().matches("a publisher was answered").count() {
            count if count == wanted => Ok(()),
            count => Err(format!("{count} sessions, {wanted} expected: the tabs fight")),
        })
        .await
    };
    sessions(2).await?;
    // And back by the student's will.
    tablet.tap("join.elsewhere-here").await?;
    sessions(3).await?;
    client.switch_to_window(second).await?;
    tablet.sees("join.elsewhere-tab").await
}
