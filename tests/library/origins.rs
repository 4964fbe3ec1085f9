//! Which origins are asked, and what is told when they can't be.

use anyhow::Result;
use classroom_protocol::ProblemCode;
use harness::origin::{Thing, noise};
use serde_json::json;

use crate::room::{Room, read_right};

#[tokio::test]
async fn only_hosts_that_may_be_asked_are_asked() -> Result<()> {
    let room = Room::open().await?;
    room.origin.put_bytes("/a", "x".into(), "\"a\"");
    let elsewhere = |to: &str| Thing { redirect: Some(to.into()), ..Thing::default() };
    room.origin.put("/to-metadata", elsewhere("http://169.254.169.254/latest"));
    room.origin.put("/to-hub", elsewhere(&format!("{}/healthz", room.hub.base())));
    room.origin.put("/to-file", elsewhere("file:///etc/passwd"));
    room.origin.put("/round", elsewhere("/round"));
    room.origin.put("/private", Thing { headers: "Cache-Control: private\r\n".into(), ..Thing::default() });
    let own = room.hub.base();
    for (url, code) in [
        (format!("{own}/healthz"), ProblemCode::AddressRefused),
        ("http://localhost:1/x".into(), ProblemCode::AddressRefused),
        ("http://[::1]:9/x".into(), ProblemCode::AddressRefused),
        ("http://10.0.0.1/x".into(), ProblemCode::AddressRefused),
        ("file:///etc/passwd".into(), ProblemCode::AddressRefused),
        ("ftp://example.org/x".into(), ProblemCode::AddressRefused),
        ("no address".into(), ProblemCode::AddressRefused),
        (format!("http://user:pw@{}/a", room.origin.host()), ProblemCode::AddressRefused),
        (room.origin.url("/to-metadata"), ProblemCode::AddressRefused),
        (room.origin.url("/to-hub"), ProblemCode::AddressRefused),
        (room.origin.url("/to-file"), ProblemCode::AddressRefused),
        (room.origin.url("/round"), ProblemCode::OriginSilent),
        (room.origin.url("/private"), ProblemCode::CopiesForbidden),
        (room.origin.url("/nowhere"), ProblemCode::OriginSilent),
    ] {
        let reply = room.teacher.post("/api/library/pins", &json!({ "url": url })).await?;
        assert_eq!(reply.code()?, code, "{url}: {}", reply.text());
    }
    room.origin.down(true);
    let reply = room.teacher.post("/api/library/pins", &json!({ "url": room.origin.url("/a") })).await?;
    assert_eq!(reply.code()?, ProblemCode::OriginSilent);
    Ok(())
}

#[tokio::test]
async fn what_is_there_opens_with_the_line_cut() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(11, 3_000_000);
    room.origin.put_bytes("/a.mp4", body.clone(), "\"a\"");
    room.origin.put_bytes("/b.mp4", noise(12, 3_000_000), "\"b\"");
    let (here, cold) = (room.pin("/a.mp4", false).await?, room.pin_cold("/b.mp4").await?);
    room.becomes(&here, "ready").await?;
    room.origin.down(true);
    room.hub.crash().await?;
    assert_eq!(read_right(&room.teacher, &here, 0, &body).await?, (body.len(), None));
    assert_eq!(room.item(&cold).await?["state"], "tonight");
    Ok(())
}

#[tokio::test]
async fn nights_have_a_window_and_a_budget() -> Result<()> {
    // The same time twice: it is night all day.
    let room = Room::with("night_from = \"00:00\"\nnight_until = \"00:00\"\nnight_mb = 4").await?;
    room.origin.limit(2_000_000);
    for name in ["/a.mp4", "/b.mp4"] {
        room.origin.put_bytes(name, noise(13, 8_000_000), "\"a\"");
    }
    let (first, second) = (room.pin("/a.mp4", true).await?, room.pin("/b.mp4", true).await?);
    harness::wait::wait_for("the budget to be spent", std::time::Duration::from_secs(30), async || {
        let (first, second) = (room.item(&first).await?, room.item(&second).await?);
        anyhow::ensure!(
            room.origin.sent() >= 4_000_000 && first["state"] == "tonight" && second["state"] == "tonight",
            "{first} {second}"
        );
        Ok(())
    })
    .await?;
    let sent = room.origin.sent();
    println!("a night's budget of 4 MB: {sent} bytes were fetched");
    assert!(sent < 9_000_000, "{sent}");
    Ok(())
}

#[tokio::test]
async fn a_page_that_answers_everything_does_not_replace_what_is_pinned() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(15, 3_000_000);
    let video = Thing { body: body.clone(), etag: "\"a\"".into(), kind: "video/mp4".into(), ..Thing::default() };
    let portal = Thing { body: "<h1>Sign in".into(), kind: "text/html".into(), ..Thing::default() };
    room.origin.put("/a.mp4", video.clone());
    room.origin.put("/b.mp4", video.clone());
    let (kept, tonight) = (room.pin("/a.mp4", false).await?, room.pin_cold("/b.mp4").await?);
    room.becomes(&kept, "ready").await?;
    // Long ago, so that the origin is asked again.
    room.age(&kept).await?;
    room.origin.put("/a.mp4", portal.clone());
    room.origin.put("/b.mp4", portal);
    let told = async |count: usize| {
        harness::wait::wait_for("the box to tell", std::time::Duration::from_secs(20), async || {
            let log = room.hub.log();
            anyhow::ensure!(log.matches("a web page came in the place of the content").count() >= count, "{log}");
            Ok(())
        })
        .await
    };
    assert!(room.teacher.get(&kept).await?.body == body[..]);
    told(1).await?;
    assert!(room.teacher.get(&kept).await?.body == body[..], "what is there stays");
    // Nor does it begin as one: the one who waits for the video gets no page.
    let (who, open) = (room.teacher.clone(), tonight.clone());
    let reader = tokio::spawn(async move { who.get(&open).await });
    told(3).await?;
    room.origin.put("/b.mp4", video);
    let reply = reader.await??;
    assert!(reply.body == body[..] || reply.status.as_u16() >= 500, "{}", reply.status);
    room.becomes(&tonight, "ready").await?;
    assert!(room.teacher.get(&tonight).await?.body == body[..]);
    Ok(())
}

#[tokio::test]
async fn an_origin_that_tells_no_length_does_not_fill_the_disk() -> Result<()> {
    let room = Room::with("most_mb = 20\nupload_mb = 10").await?;
    let endless = Thing {
        body: noise(16, 60_000_000),
        kind: "video/mp4".into(),
        no_length: true,
        no_ranges: true,
        ..Thing::default()
    };
    room.origin.put("/endless.mp4", endless);
    let open = room.pin("/endless.mp4", false).await?;
    let failed = room.becomes(&open, "failed").await?;
    assert_eq!(failed["problem"], "library-full", "{failed}");
    let list: serde_json::Value = room.teacher.get("/api/library").await?.json()?;
    assert!(list["taken"].as_u64().is_some_and(|taken| taken <= 20_000_000), "{list}");
    Ok(())
}

#[tokio::test]
async fn a_full_library_says_so_and_what_nobody_pinned_makes_room() -> Result<()> {
    let room = Room::with("most_mb = 10\nupload_mb = 10").await?;
    for name in ["/a.mp4", "/b.mp4", "/c.mp4"] {
        room.origin.put_bytes(name, noise(14, 4_000_000), "\"a\"");
    }
    let (a, b) = (room.pin("/a.mp4", false).await?, room.pin("/b.mp4", false).await?);
    room.becomes(&a, "ready").await?;
    room.becomes(&b, "ready").await?;
    let c = room.pin("/c.mp4", false).await?;
    let failed = room.becomes(&c, "failed").await?;
    assert_eq!(failed["problem"], "library-full", "{failed}");
    assert_eq!(room.student.get(&c).await?.code()?, ProblemCode::LibraryFull);
    // Unpinned, the first one makes room, and can be had again.
    let key = |open: &str| open.split('/').nth(2).unwrap_or_default().to_owned();
    let unpin = room
        .teacher
        .request(reqwest::Method::PATCH, &format!("/api/library/{}", key(&a)))
        .json(&json!({ "pinned": false }));
    room.teacher.send(unpin).await?.done()?;
    room.becomes(&c, "ready").await?;
    room.becomes(&a, "on-demand").await?;
    room.becomes(&b, "ready").await?;
    assert_eq!(room.student.get(&a).await?.code()?, ProblemCode::LibraryFull);
    room.teacher.delete(&format!("/api/library/{}", key(&b))).await?.done()?;
    harness::wait::wait_for("it to come again", std::time::Duration::from_secs(20), async || {
        let reply = room.student.get(&a).await?;
        anyhow::ensure!(reply.body.len() == 4_000_000, "{}", reply.text());
        Ok(())
    })
    .await?;
    assert_eq!(room.student.get(&b).await?.status.as_u16(), 404);
    Ok(())
}
