//! The teacher's page tells who took part from home, and what is wrong with the box; both can be read on every screen.

use anyhow::{Context, Result, ensure};
use classroom_protocol::{
    HomeView, TeacherCommand,
    catalogue::Lang,
    view::{HomeLink, HomePass},
};
use harness::{
    browser::Options,
    hub::{self, Hub},
    pages::Page,
    panel::shot,
};
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn long_names_of_students_at_home_fit_into_the_lessons_record() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let names = ["阿美族·拉黑子·達立夫·巴卡朗", "Bartholomew Christopherson Featherstonehaugh de la Cruz", "王小明"];
    let students: Vec<Value> = (1..).zip(names).map(|(n, name)| json!({ "seat": n, "name": name })).collect();
    let made = teacher.post("/api/classes", &json!({ "name": "五年三班", "students": students })).await?;
    let class = made.json::<Value>()?["id"].as_i64().context("the class")?;
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    let mut there = Vec::new();
    for seat in 1..=3 {
        let link: HomeLink = teacher.post(&format!("/api/seats/{seat}/home-link"), &json!({})).await?.json()?;
        let token = link.url.split_once("/home#link=").context("a link")?.1.to_owned();
        // The first two break off and come back twice.
        for _ in 0..if seat < 3 { 3 } else { 1 } {
            let asked = json!({ "take_over": true });
            let pass: HomePass = teacher.bearer(&token).post("/api/home/join", &asked).await?.json()?;
            let student = teacher.bearer(pass.token);
            let mut feed = student.feed(None).await?;
            feed.view::<HomeView>("the lesson", |_| true).await?;
            if seat < 3 {
                student.post("/api/home/command", &json!({ "do": "leave" })).await?.done()?;
            } else {
                there.push(feed);
            }
        }
    }
    let desk = Page::open(&hub.base(), "/teach", Lang::ZhHantTw, Options::default()).await?;
    desk.browser.type_into("input[name=username]", "wang", WAIT).await?;
    desk.browser.type_into("input[type=password]", harness::people::PASSWORD, WAIT).await?;
    desk.tap("teach.sign-in").await?;
    desk.tap("teach.menu").await?;
    desk.tap("teach.evidence").await?;
    desk.sees_words("王小明").await?;
    for (name, width, height) in [("tablet", 1280, 800), ("phone", 390, 844)] {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        desk.browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        desk.browser.wait_for(&format!("innerWidth === {width}"), WAIT).await?;
        desk.browser.eval("document.querySelector('table').scrollIntoView()").await?;
        desk.browser.screenshot(shot(&format!("teach-attendance-{name}"))?).await?;
        let wide = "[...document.querySelectorAll('table')].every(t => t.scrollWidth <= t.parentElement.clientWidth)";
        ensure!(desk.browser.eval(wide).await? == json!(true), "{name}: the table is wider than its place");
        let cut = "[...document.querySelectorAll('td')].every(td => td.scrollWidth <= td.clientWidth + 1)";
        ensure!(desk.browser.eval(cut).await? == json!(true), "{name}: a cell is cut off");
        let rows = desk.browser.eval("document.querySelectorAll('tbody tr').length").await?;
        ensure!(rows == json!(3), "{name}: {rows}");
    }
    Ok(())
}

#[tokio::test]
async fn a_box_that_began_anew_says_so_on_every_page_of_staff() -> Result<()> {
    let mut hub = Hub::start_with(hub::Options { demo: true, ..hub::Options::default() }).await?;
    hub.teacher().await?;
    hub.stop()?;
    std::fs::write(hub.home().join("data/box.db"), [])?;
    hub.again().await?;
    let page = Page::open(&hub.base(), "/teach", Lang::ZhHantTw, Options::default()).await?;
    page.sees("common.set-aside-sign-in").await?;
    page.browser.screenshot(shot("set-aside-sign-in")?).await?;
    let log = hub.log();
    let code: String =
        log.rsplit_once("/teach#code=").context("no link")?.1.chars().take_while(|c| !c.is_whitespace()).collect();
    let page = Page::open(&hub.base(), &format!("/teach#code={code}"), Lang::ZhHantTw, Options::default()).await?;
    page.make_account("wang", "王老師").await?;
    page.sees("common.set-aside").await?;
    page.sees_words("appliance restore").await?;
    page.browser.screenshot(shot("set-aside-teach")?).await?;
    page.browser.run("location.assign('/school')").await?;
    page.sees("common.set-aside").await?;
    page.browser.screenshot(shot("set-aside-school")?).await?;
    page.tap("common.set-aside-known").await?;
    page.browser.wait_for("document.querySelector('.keeping') === null", WAIT).await?;
    page.browser.run("location.assign('/teach')").await?;
    page.sees("teach.start-title").await?;
    page.browser.wait_for("document.querySelector('.keeping') === null", WAIT).await?;
    Ok(())
}
