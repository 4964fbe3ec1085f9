//! The library as a teacher and a student have it: pinned in one browser, watched in another, the origin gone by then.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use classroom_protocol::catalogue::Lang;
use harness::{
    browser::{Options, Screen},
    hub::{self, Hub},
    origin::{Origin, Thing},
    pages::Page,
    panel::shot,
    people::PASSWORD,
    video,
};

const PLAYING: &str =
    "(v => v && v.videoWidth > 0 && v.currentTime > 0.7 && !v.paused)(document.querySelector('dialog video'))";

#[tokio::test]
async fn a_teacher_pins_a_video_and_the_class_watches_it_with_the_line_cut() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("classroom-library-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let drawn = folder.clone();
    tokio::task::spawn_blocking(move || {
        video::mp4(&drawn.join("lesson.mp4"))?;
        video::hls(&drawn.join("hls"))?;
        video::dash(&drawn.join("dash"))
    })
    .await??;
    let origin = Origin::start().await?;
    let file = |name: &str| fs::read(folder.join(name)).map(Into::into);
    let mp4 = Thing { body: file("lesson.mp4")?, etag: "\"v\"".into(), kind: "video/mp4".into(), ..Thing::default() };
    origin.put("/%E5%85%89%E5%90%88%E4%BD%9C%E7%94%A8.mp4", mp4);
    origin.put_folder("/hls", &folder.join("hls"))?;
    origin.put_folder("/dash", &folder.join("dash"))?;

    let config = format!("[library]\nprivate_hosts = [\"{}\"]\n", origin.host());
    let hub = Hub::start_with(hub::Options { config, ..hub::Options::default() }).await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(30).await?;

    // The teacher's browser: signed in, an empty shelf, then three ways of a video.
    let desk = Page::open(&hub.base(), "/teach", Lang::ZhHantTw, Options::default()).await?;
    desk.browser.type_into("input[name=username]", "wang", Duration::from_secs(20)).await?;
    desk.browser.type_into("input[name=password]", PASSWORD, Duration::from_secs(20)).await?;
    desk.tap("teach.sign-in").await?;
    desk.tap("teach.menu").await?;
    desk.tap("library.title").await?;
    desk.sees("library.empty-teacher").await?;
    desk.browser.screenshot(shot("library-empty")?).await?;
    for (path, title) in [
        ("/%E5%85%89%E5%90%88%E4%BD%9C%E7%94%A8.mp4", ""),
        ("/hls/index.m3u8", "細胞分裂"),
        ("/dash/index.mpd", "水循環"),
    ] {
        desk.tap("library.pin").await?;
        desk.browser.type_into("input[name=url]", &origin.url(path), Duration::from_secs(10)).await?;
        if !title.is_empty() {
            desk.browser.type_into("input[name=title]", title, Duration::from_secs(10)).await?;
        }
        if title == "水循環" {
            desk.browser.screenshot(shot("library-pin")?).await?;
        }
        desk.tap("library.pin-submit").await?;
        desk.sees_words(if title.is_empty() { "光合作用" } else { title }).await?;
    }
    let ready = "document.querySelectorAll('small.ready').length === 3";
    desk.browser.wait_for(ready, Duration::from_secs(60)).await?;
    // A refused address is told in the dialog.
    desk.tap("library.pin").await?;
    desk.browser.type_into("input[name=url]", "http://10.0.0.1/x.mp4", Duration::from_secs(10)).await?;
    desk.tap("library.pin-submit").await?;
    desk.sees("problem.address-refused").await?;
    desk.browser.screenshot(shot("library-refused")?).await?;
    desk.tap("common.cancel").await?;

    // From here on nothing comes from outside any more.
    origin.down(true);
    let pictures = "[...document.querySelectorAll('.picture img')].filter(i => i.naturalWidth > 0).length === 3";
    desk.browser
        .wait_for(pictures, Duration::from_secs(60))
        .await
        .context("pictures taken by the teacher's browser")?;
    desk.browser.screenshot(shot("library-teacher")?).await?;
    desk.tap_words(&desk.words("library.manage-of", &[("title", "細胞分裂")])).await?;
    desk.browser.screenshot(shot("library-manage")?).await?;

    for (size, name) in [((1280, 800), "學生1"), ((390, 844), "學生2")] {
        let options = Options { screen: Screen::ThisTab, size, ..Options::default() };
        let tablet = Page::open(&hub.base(), "/join", Lang::ZhHantTw, options).await?;
        tablet.take_seat(&code, name).await?;
        tablet.browser.client.goto(&format!("{}/library", hub.base())).await?;
        for title in ["光合作用", "細胞分裂", "水循環"] {
            tablet.tap_words(title).await?;
            tablet.browser.wait_for(PLAYING, Duration::from_secs(30)).await.with_context(|| title.to_owned())?;
            if title == "細胞分裂" {
                tablet.browser.screenshot(shot(&format!("library-player-{}", size.0))?).await?;
            }
            tablet.tap("common.close").await?;
        }
        tablet.browser.type_into("input[type=search]", "循環 水", Duration::from_secs(10)).await?;
        tablet.browser.wait_for("document.querySelectorAll('article').length === 1", Duration::from_secs(10)).await?;
        tablet
            .browser
            .run(
                "document.querySelector('input[type=search]').value = ''; \
            document.querySelector('input[type=search]').dispatchEvent(new Event('input'))",
            )
            .await?;
        tablet.browser.wait_for("document.querySelectorAll('article').length === 3", Duration::from_secs(10)).await?;
        tablet.browser.screenshot(shot(&format!("library-student-{}", size.0))?).await?;
        let wide = tablet.browser.eval("document.documentElement.scrollWidth <= innerWidth").await?;
        assert_eq!(wide, serde_json::json!(true), "nothing stands outside the screen");
        let errors: Vec<String> =
            tablet.browser.console().await?.into_iter().filter(|line| line.starts_with("SEVERE")).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    // Without a pass there is nothing to see.
    let stranger = Page::open(&hub.base(), "/library", Lang::ZhHantTw, Options::default()).await?;
    stranger.sees("library.join-first").await?;
    stranger.browser.screenshot(shot("library-stranger")?).await?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}
