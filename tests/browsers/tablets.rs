//! The students' page on tablets that can't share their screen, and in both languages.

use anyhow::Result;
use classroom_protocol::catalogue::Lang;
use harness::{
    browser::{Options, Screen},
    hub::Hub,
    pages::Page,
    panel::shot,
};
use serde_json::json;

const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 \
                    Mobile/15E148 Safari/604.1";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
                       Safari/537.36";

#[tokio::test]
async fn an_ipad_and_an_android_tablet_are_told_what_they_can_do() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(30).await?;
    let tablets = [(IPAD, "join.ipad", "學生1", Lang::ZhHantTw), (ANDROID, "join.android", "學生2", Lang::En)];
    for (agent, key, name, lang) in tablets {
        let options = Options { args: vec![format!("--user-agent={agent}")], ..Options::default() };
        let tablet = Page::open(&hub.base(), "/join", lang, options).await?;
        tablet.take_seat(&code, name).await?;
        tablet.sees(key).await?;
        tablet.sees("join.camera").await?;
        tablet.sees("join.picture").await?;
        tablet.browser.screenshot(shot(key)?).await?;
        let errors: Vec<String> =
            tablet.browser.console().await?.into_iter().filter(|line| line.starts_with("SEVERE")).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_codes_and_taken_seats_are_told_in_the_browsers_language() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    for lang in [Lang::ZhHantTw, Lang::En] {
        let page = Page::open(&hub.base(), "/join", lang, Options::default()).await?;
        page.sees("join.no-lesson").await?;
    }
    let code = teacher.start_lesson(30).await?;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    hub.anyone()?.join(&code, 3).await?;
    for lang in [Lang::ZhHantTw, Lang::En] {
        let options = Options { screen: Screen::ThisTab, size: (390, 844), ..Options::default() };
        let page = Page::open(&hub.base(), "/join", lang, options).await?;
        page.browser.type_into("input", wrong, std::time::Duration::from_secs(10)).await?;
        page.sees("problem.wrong-code").await?;
        page.browser.type_into("input", &code, std::time::Duration::from_secs(10)).await?;
        page.tap_words("學生3").await?;
        page.tap("join.seat-confirm-yes").await?;
        page.sees("problem.seat-taken").await?;
        let (html, title) = (page.browser.eval("document.documentElement.lang").await?, page.words("join.title", &[]));
        assert_eq!(html, json!(if lang == Lang::En { "en" } else { "zh-Hant-TW" }));
        assert_eq!(page.browser.eval("document.title").await?, json!(title));
        // Nothing stands outside the screen of a phone.
        let wide = page.browser.eval("document.documentElement.scrollWidth <= innerWidth").await?;
        assert_eq!(wide, json!(true));
        page.browser.screenshot(shot(&format!("join-390-{lang:?}"))?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_with_markup_are_shown_as_names() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let name = "<img src=x onerror=\"document.title='broken'\">";
    let students = json!([{ "seat": 1, "name": name }]);
    let made = teacher.post("/api/classes", &json!({ "name": "<b>a</b>", "students": students })).await?;
    let class = made.json::<serde_json::Value>()?["id"].as_i64().unwrap();
    teacher.command(&classroom_protocol::TeacherCommand::StartLesson { class }).await?;
    let code = teacher.room_code().await?;
    let tablet = Page::tablet(&hub, Lang::En, (960, 600)).await?;
    tablet.take_seat(&code, name).await?;
    assert_eq!(tablet.browser.eval("document.querySelectorAll('main img').length").await?, json!(0));
    assert_eq!(tablet.browser.eval("document.title").await?, json!(tablet.words("join.title", &[])));
    Ok(())
}

/// A Wi-Fi that changes while a page loads: the browser drops what is under way.
#[tokio::test]
async fn a_page_of_which_a_part_did_not_arrive_comes_by_itself() -> Result<()> {
    let hub = Hub::start().await?;
    let page = Page::open(&hub.base(), "/join", Lang::ZhHantTw, Options::default()).await?;
    page.sees("join.no-lesson").await?;
    page.browser.devtools("Network.enable", json!({})).await?;
    page.browser.devtools("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await?;
    for lost in ["*/assets/join-*.js", "*/assets/api-*.js", "*/assets/*.css"] {
        page.browser.devtools("Network.setBlockedURLs", json!({ "urls": [lost] })).await?;
        page.browser.client.refresh().await?;
        page.browser.run("window.before = true").await?;
        page.browser.devtools("Network.setBlockedURLs", json!({ "urls": [] })).await?;
        page.browser.wait_for("window.before === undefined", std::time::Duration::from_secs(10)).await?;
        page.sees("join.no-lesson").await?;
    }
    // A whole page stays as it is: what it has fetched comes only once.
    page.browser.run("window.whole = true").await?;
    page.browser.devtools("Network.setBlockedURLs", json!({ "urls": ["*/assets/*"] })).await?;
    page.browser
        .run("document.head.append(Object.assign(document.createElement('script'), { src: '/assets/x.js' }))")
        .await?;
    let again = page.browser.wait_for("window.whole === undefined", std::time::Duration::from_secs(3)).await;
    assert!(again.is_err(), "a page in use was taken away");
    Ok(())
}
