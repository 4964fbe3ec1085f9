//! What RFC 9110 says of ranges, tags and conditions, and what browsers must not do with what was uploaded.

use anyhow::Result;
use harness::{
    origin::{Thing, noise},
    people::{Caller, Reply},
};
use reqwest::Method;

use crate::room::{Room, part};

async fn with(who: &Caller, method: Method, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let request =
        headers.iter().fold(who.request(method, path), |request, (name, value)| request.header(*name, *value));
    who.send(request).await
}

#[tokio::test]
async fn ranges_tags_and_conditions() -> Result<()> {
    let room = Room::open().await?;
    let body = noise(9, 3_000_000);
    room.origin.put(
        "/a.mp4",
        Thing { body: body.clone(), etag: "\"a\"".into(), kind: "video/mp4".into(), ..Thing::default() },
    );
    let open = room.pin("/a.mp4", false).await?;
    let who = &room.student;
    let whole = with(who, Method::GET, &open, &[("accept-encoding", "gzip")]).await?;
    let etag = whole.header("etag").to_owned();
    assert_eq!((whole.status.as_u16(), whole.body[..] == body[..]), (200, true));
    assert!(etag.starts_with('"') && etag.len() > 10, "a strong tag: {etag}");
    for (name, value) in [
        ("content-type", "video/mp4"),
        ("accept-ranges", "bytes"),
        ("content-length", "3000000"),
        ("content-encoding", ""),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(whole.header(name), value, "{name}");
    }
    assert!(whole.header("content-security-policy").starts_with("sandbox"));
    for (range, status, told) in [
        ("bytes=0-0", 206, "bytes 0-0/3000000"),
        ("bytes=1048570-1048590", 206, "bytes 1048570-1048590/3000000"),
        ("bytes=-7", 206, "bytes 2999993-2999999/3000000"),
        ("bytes=2999999-", 206, "bytes 2999999-2999999/3000000"),
        ("bytes=3000000-", 416, "bytes */3000000"),
        ("bytes=0-1,5-6", 200, ""),
        ("bytes=9-1", 200, ""),
        ("lines=1-2", 200, ""),
    ] {
        let reply = part(who, &open, range).await?;
        assert_eq!((reply.status.as_u16(), reply.header("content-range")), (status, told), "{range}");
        if status == 206 {
            let (from, to) = told[6..told.len() - 8].split_once('-').unwrap();
            assert_eq!(&reply.body[..], &body[from.parse()?..=to.parse()?], "{range}");
        }
    }
    let head = with(who, Method::HEAD, &open, &[("range", "bytes=5-6")]).await?;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "3000000", 0));
    let same = with(who, Method::GET, &open, &[("if-none-match", &etag)]).await?;
    assert_eq!((same.status.as_u16(), same.body.len(), same.header("etag")), (304, 0, etag.as_str()));
    let good = [("range", "bytes=5-6"), ("if-range", etag.as_str())];
    assert_eq!(with(who, Method::GET, &open, &good).await?.status.as_u16(), 206);
    let stale = [("range", "bytes=5-6"), ("if-range", "\"other\"")];
    assert_eq!(with(who, Method::GET, &open, &stale).await?.body.len(), 3_000_000);
    Ok(())
}

/// Players fetch by themselves: the cookie is good for content and for nothing else, and only while the seat is held.
#[tokio::test]
async fn a_students_player_reads_by_cookie_until_the_lesson_ends() -> Result<()> {
    let room = Room::open().await?;
    room.origin.put_bytes("/a.txt", "hello".into(), "\"a\"");
    let open = room.pin("/a.txt", false).await?;
    let pass = room.student.post("/api/library/pass", &serde_json::json!({})).await?;
    pass.done()?;
    let cookie = pass.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/library/"),
        "{cookie}"
    );
    let anyone = room.hub.anyone()?;
    let player = anyone.with(harness::people::Proof::Cookie(cookie.split(';').next().unwrap().into()));
    assert_eq!(player.get(&open).await?.text(), "hello");
    assert_eq!(anyone.get(&open).await?.status.as_u16(), 401);
    assert_eq!(player.get("/api/library").await?.status.as_u16(), 401, "content only");
    room.teacher.command(&classroom_protocol::TeacherCommand::EndLesson).await?;
    assert_eq!(player.get(&open).await?.status.as_u16(), 401);
    assert_eq!(room.student.get(&open).await?.status.as_u16(), 401);
    assert_eq!(room.teacher.get(&open).await?.text(), "hello");
    Ok(())
}

#[tokio::test]
async fn an_object_without_length_and_an_empty_one() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(10, 2_500_000);
    let endless =
        Thing { body: body.clone(), kind: "video/mp4".into(), no_length: true, no_ranges: true, ..Thing::default() };
    room.origin.put("/endless.mp4", endless);
    room.origin.put_bytes("/empty.bin", bytes::Bytes::new(), "\"e\"");
    let (endless, empty) = (room.pin_cold("/endless.mp4").await?, room.pin_cold("/empty.bin").await?);
    assert!(room.student.get(&endless).await?.body == body[..]);
    room.becomes(&endless, "ready").await?;
    assert_eq!(part(&room.student, &endless, "bytes=10-19").await?.body, body[10..20]);
    assert_eq!(room.student.get(&empty).await?.body.len(), 0);
    // Its size is known now, so it outlives a crash.
    room.hub.crash().await?;
    room.origin.down(true);
    assert!(room.teacher.get(&endless).await?.body == body[..]);
    Ok(())
}
