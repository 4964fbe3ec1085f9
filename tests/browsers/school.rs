//! The school office, through its page: a list is imported, papers are signed, a device goes out and comes back.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use classroom_protocol::catalogue::Lang;
use fantoccini::Locator;
use harness::{browser::Options, hub::Hub, pages::Page, panel::shot, people::PASSWORD, wait::wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// A phone, as a guardian opens the link.
const PHONE: (u32, u32) = (390, 844);

/// Ten students, the last of them without a number; a name in full, one that is markup, a column that is not kept.
fn list() -> String {
    let names =
        ["王小明", "林莎瓦·巴魯·阿里夫", "<b>陳怡君</b>", "張家豪", "李美華", "黃雅婷", "吳承恩", "劉佳穎", "蔡宗翰"];
    let rows: String =
        (1..).zip(names).map(|(n, name)| format!("11201{n:02},{name},五年三班,{n},2015-03-0{n}\n")).collect();
    format!("\u{feff}學號,姓名,班級,座號,生日\n{rows},沒有學號,五年三班,10,2015-03-10\n")
}

async fn choose_file(page: &Page, hub: &Hub, list: &str, name: &str, text: &str) -> Result<()> {
    let path = hub.home().join(name);
    fs::write(&path, text)?;
    let input = page.browser.client.find(Locator::Css(&format!("input[name={list}]"))).await?;
    input.send_keys(path.to_str().context("path")?).await?;
    page.sees_words(name).await
}

async fn select(page: &Page, css: &str, words: &str) -> Result<()> {
    let script = format!(
        "const field = document.querySelector({}); \
         const found = [...(field?.options ?? [])].find(option => option.text.includes({})); \
         if (!found) return false; field.value = found.value; \
         field.dispatchEvent(new Event('change', {{ bubbles: true }})); return true;",
        Value::from(css),
        Value::from(words)
    );
    let chosen = page.browser.run(&script).await?;
    anyhow::ensure!(chosen == json!(true), "no option {words:?} in {css}");
    Ok(())
}

#[tokio::test]
async fn from_the_list_to_the_loan_and_back() -> Result<()> {
    let hub = Hub::start().await?;
    let staff = hub.teacher().await?;
    let page = Page::open(&hub.base(), "/school", Lang::ZhHantTw, Options::default()).await?;
    page.browser.type_into("input[name=username]", "wang", SOON).await?;
    page.browser.type_into("input[name=password]", PASSWORD, SOON).await?;
    page.tap("teach.sign-in").await?;
    page.sees("school.nobody").await?;

    // Preview: nine good rows, one that is told with its mend, a column that is not read. Nothing has happened yet.
    page.tap("school.tab-import").await?;
    choose_file(&page, &hub, "students", "五年三班.csv", &list()).await?;
    page.sees_words(&page.words("school.import-good", &[("count", "9")])).await?;
    page.sees("school.row-empty").await?;
    page.sees_words("生日").await?;
    page.browser.screenshot(shot("school-import")?).await?;
    let before: Value = staff.get("/api/school").await?.json()?;
    assert_eq!(before["students"], json!([]));
    page.tap_words(&page.words("school.import-apply", &[("count", "9")])).await?;
    page.sees_words(&page.words("school.import-done", &[("add", "9"), ("change", "0")])).await?;
    choose_file(
        &page,
        &hub,
        "devices",
        "載具.csv",
        "機型,MAC,財產編號\niPad,ac:de:48:00:00:01,T-001\niPad,ac:de:48:00:00:02,T-002\n",
    )
    .await?;
    page.tap_words(&page.words("school.import-apply", &[("count", "2")])).await?;
    page.sees_words(&page.words("school.import-done", &[("add", "2"), ("change", "0")])).await?;

    // The text, then the papers: eight pairs at the desk, the ninth by link on a phone.
    page.tap("school.tab-consent").await?;
    page.tap("school.consent-first").await?;
    page.tap("school.consent-publish").await?;
    page.sees("school.consent-published").await?;
    let view: Value = staff.get("/api/school").await?.json()?;
    let ids: Vec<i64> =
        view["students"].as_array().context("students")?.iter().filter_map(|s| s["id"].as_i64()).collect();
    let papers: Vec<Value> = ids[..8]
        .iter()
        .flat_map(|id| ["student", "guardian"].map(|party| json!({ "student": id, "party": party })))
        .skip(1)
        .collect();
    staff.post("/api/school/consents", &json!({ "version": 1, "signatures": papers })).await?.done()?;
    page.tap("school.tab-consent").await?;
    page.tap_words(&page.words("school.sign-of", &[("name", "王小明"), ("party", "學生")])).await?;
    page.sees_words(&page.words("school.quorum", &[("both", "8"), ("students", "9"), ("needed", "9")])).await?;
    page.browser.screenshot(shot("school-consent")?).await?;
    page.tap("school.tab-loans").await?;
    page.sees("school.lend-quorum").await?;
    for party in ["student", "guardian"] {
        let body = json!({ "student": ids[8], "party": party });
        let link: Value = staff.post("/api/school/consent-links", &body).await?.json()?;
        let path = link["url"].as_str().and_then(|url| url.strip_prefix(&hub.base())).context("the link")?.to_owned();
        let phone =
            Page::open(&hub.base(), &path, Lang::ZhHantTw, Options { size: PHONE, ..Options::default() }).await?;
        phone.sees_words("蔡宗翰").await?;
        phone.browser.click("input[type=checkbox]", SOON).await?;
        phone.browser.screenshot(shot("consent-phone")?).await?;
        phone.tap("school.signing-sign").await?;
        phone.sees("school.signing-done").await?;
    }
    page.tap("school.tab-consent").await?;
    page.sees("school.quorum-reached").await?;

    // Out and back.
    page.tap("school.tab-loans").await?;
    select(&page, "select[name=student]", "蔡宗翰").await?;
    select(&page, "select[name=device]", "T-001").await?;
    page.tap("school.lend").await?;
    page.sees_words(&page.words("school.loans-open", &[("count", "1")])).await?;
    page.sees("school.loan-active").await?;
    page.browser.screenshot(shot("school-loans")?).await?;
    page.tap("school.return").await?;
    page.tap("school.return-good").await?;
    page.sees("school.loans-none").await?;

    // Labels carry the code and no name.
    page.tap("school.tab-register").await?;
    page.sees("school.consent-both").await?;
    page.browser.screenshot(shot("school-register")?).await?;
    page.tap("school.devices").await?;
    page.browser.screenshot(shot("school-devices")?).await?;
    page.tap("school.labels").await?;
    page.browser.wait_for("[...document.images].every(i => i.complete && i.naturalWidth > 0)", SOON).await?;
    page.sees("school.label-found").await?;
    page.browser.screenshot(shot("school-labels")?).await?;
    page.tap("common.close").await?;
    let phone = json!({ "width": PHONE.0, "height": PHONE.1, "deviceScaleFactor": 1, "mobile": false });
    page.browser.devtools("Emulation.setDeviceMetricsOverride", phone).await?;
    for (tab, name) in [
        ("register", "school-register"),
        ("import", "school-import"),
        ("consent", "school-consent"),
        ("loans", "school-loans"),
        ("agents", "school-agents"),
        ("report", "school-report"),
    ] {
        let title = if tab == "report" { "report.title".to_owned() } else { format!("school.tab-{tab}") };
        page.tap(&title).await?;
        page.browser.wait_for(&format!("document.querySelector('#tab-{tab}').ariaSelected === 'true'"), SOON).await?;
        // Nothing is wider than the phone. A phone would widen what it calls its window instead: so it is none here.
        let narrow = format!("innerWidth === {0} && document.documentElement.scrollWidth <= {0}", PHONE.0);
        page.browser.wait_for(&narrow, SOON).await?;
        let apart = "[...document.querySelectorAll('[role=tab]')].every(tab => tab.scrollWidth <= tab.clientWidth)";
        page.browser.wait_for(apart, SOON).await?;
        page.browser.screenshot(shot(&format!("{name}-phone"))?).await?;
    }
    // The first question is who is signed in: nobody.
    let said: Vec<String> = page.browser.console().await?.into_iter().filter(|line| !line.contains("401")).collect();
    assert_eq!(said, Vec::<String>::new());
    Ok(())
}

/// The width that the page takes beyond the screen.
const BEYOND: &str = "document.documentElement.scrollWidth - innerWidth";

#[tokio::test]
async fn the_office_reviews_what_was_refused_and_what_staff_did() -> Result<()> {
    let hub = Hub::start().await?;
    let staff = hub.teacher().await?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    // The longest name of a host, and more lines than a page has.
    let long = [["a"; 60].concat(), ["b"; 60].concat(), ["c"; 60].concat(), ["d"; 60].concat()].join(".");
    let names =
        (0..520).map(|n| (now - n, if n % 5 == 0 { format!("{long}.tw") } else { format!("game-{n}.example") }));
    harness::notices::refuse(&hub, names)?;
    wait_for("the record", SOON, async || {
        let lines: Value = staff.get("/api/policy/log").await?.json()?;
        anyhow::ensure!(lines.as_array().is_some_and(|lines| lines.len() == 500), "not all yet");
        Ok(())
    })
    .await?;
    for (size, name) in [((1280, 800), "school-record"), (PHONE, "school-record-phone")] {
        let page =
            Page::open(&hub.base(), "/school#tab=record", Lang::ZhHantTw, Options { size, ..Options::default() })
                .await?;
        page.browser.type_into("input[name=username]", "wang", SOON).await?;
        page.browser.type_into("input[name=password]", PASSWORD, SOON).await?;
        page.tap("teach.sign-in").await?;
        page.sees("school.record-noted").await?;
        page.sees_words("game-519.example").await?;
        let there = page.browser.eval("document.body.innerText.includes('game-1.example')").await?;
        assert_eq!(there, json!(false), "the oldest come with the next page");
        page.browser.screenshot(shot(name)?).await?;
        anyhow::ensure!(
            page.browser.eval(BEYOND).await?.as_i64() <= Some(0),
            "{name}: the page is wider than the screen"
        );
        page.tap("school.record-older").await?;
        page.sees_words("game-1.example").await?;
        // The buttons are at the top, which the header covers until someone scrolls up.
        page.browser.eval("scrollTo(0, 0)").await?;
        page.tap("school.record-audit").await?;
        page.sees("school.did-read-network-access").await?;
        page.browser.screenshot(shot(&format!("{name}-audit"))?).await?;
        anyhow::ensure!(
            page.browser.eval(BEYOND).await?.as_i64() <= Some(0),
            "{name}: the audit is wider than the screen"
        );
        // A device that nobody has, and a day without anything.
        page.tap("school.record-access").await?;
        page.browser.type_into("input[list=devices]", "ZZZZ ZZZZ", SOON).await?;
        page.tap("school.record-look").await?;
        page.sees("school.record-none").await?;
    }
    Ok(())
}
