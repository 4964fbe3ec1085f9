//! Files of the teacher's own.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use classroom_protocol::ProblemCode;
use harness::{origin::noise, people::Reply, wait::wait_for};
use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::room::{Room, read_right};

async fn upload(room: &Room, query: &str, body: Bytes) -> Result<Reply> {
    room.teacher.send(room.teacher.request(Method::POST, &format!("/api/library/uploads?{query}")).body(body)).await
}

#[tokio::test]
async fn an_upload_is_there_whole_also_after_a_crash() -> Result<()> {
    let mut room = Room::open().await?;
    let body = noise(20, 5_000_001);
    let made: Value =
        upload(&room, "name=%E7%AC%AC%E4%B8%89%E8%AA%B2.mp4&title=%E5%88%86%E6%95%B8", body.clone()).await?.json()?;
    let open = made["open"].as_str().context("its address")?.to_owned();
    assert_eq!(
        (made["title"].as_str(), made["kind"].as_str(), made["state"].as_str()),
        (Some("分數"), Some("video"), Some("ready"))
    );
    assert_eq!(read_right(&room.student, &open, 0, &body).await?, (body.len(), None));
    room.hub.crash().await?;
    assert_eq!(read_right(&room.teacher, &open, 0, &body).await?, (body.len(), None));
    // The only copy does not make room by itself.
    let key = made["key"].as_str().unwrap_or_default();
    let unpin = room
        .teacher
        .request(Method::PATCH, &format!("/api/library/{key}"))
        .json(&serde_json::json!({ "pinned": false }));
    let refused = room.teacher.send(unpin).await?.problem()?;
    assert_eq!(refused.field.as_deref(), Some("pinned"));
    Ok(())
}

#[tokio::test]
async fn what_could_run_is_a_download_in_a_sandbox() -> Result<()> {
    let room = Room::open().await?;
    for name in ["page.html", "drawing.svg", "data.xml", "script.js", "no-end"] {
        let made: Value = upload(&room, &format!("name={name}"), "<script>alert(1)</script>".into()).await?.json()?;
        let reply = room.student.get(made["open"].as_str().unwrap()).await?;
        assert!(reply.header("content-disposition").starts_with("attachment"), "{name}");
        assert!(reply.header("content-security-policy").starts_with("sandbox"), "{name}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{name}");
    }
    let names = upload(&room, "name=..%2F..%2Fetc%2Fpasswd%22%0D%0AX-A%3A%20b", "x".into()).await?.json::<Value>()?;
    let reply = room.student.get(names["open"].as_str().unwrap()).await?;
    assert_eq!(reply.text(), "x");
    assert!(reply.headers.get("x-a").is_none());
    Ok(())
}

#[tokio::test]
async fn limits_are_told_with_their_mend() -> Result<()> {
    let room = Room::with("upload_mb = 1").await?;
    let told = upload(&room, "name=a.mp4", noise(21, 1_000_001)).await?.problem()?;
    assert_eq!(told.code, ProblemCode::TooLarge);
    assert!(told.field.as_deref().is_some_and(|field| field.contains("upload_mb = 1")), "{told:?}");
    // Without a length the same is noticed on the way.
    let pieces = futures_util::stream::iter((0..40).map(|n| Ok::<_, std::io::Error>(noise(n, 50_000))));
    let body = reqwest::Body::wrap_stream(pieces);
    let sent =
        room.teacher.send(room.teacher.request(Method::POST, "/api/library/uploads?name=a.mp4").body(body)).await;
    if let Ok(reply) = sent {
        assert_eq!(reply.code()?, ProblemCode::TooLarge);
    }
    for query in ["", "title=x", "name=a.mp4&title=%20", "name=a.mp4&other=1"] {
        // A refusal does not read the body: a client that still sends may see its connection end first, and asks again.
        let refused = wait_for("the refusal", Duration::from_secs(10), async || upload(&room, query, "x".into()).await);
        assert_eq!(refused.await?.code()?, ProblemCode::BadInput, "{query}");
    }
    let empty = upload(&room, "name=a.mp4", "".into()).await?.problem()?;
    assert_eq!((empty.code, empty.field.as_deref()), (ProblemCode::BadInput, Some("file")));
    let long = format!("name=a.mp4&title={}", "%E9%95%B7".repeat(200));
    assert_eq!(upload(&room, &long, "x".into()).await?.problem()?.field.as_deref(), Some("title"));
    Ok(())
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() -> Result<()> {
    let mut room = Room::open().await?;
    let harness::people::Proof::Cookie(cookie) = room.teacher.proof.clone() else { panic!("a teacher has a cookie") };
    let mut stream = TcpStream::connect(("127.0.0.1", room.hub.http)).await?;
    let head = format!(
        "POST /api/library/uploads?name=a.mp4 HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 9000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&noise(22, 3_000_000)).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let folder = room.hub.home().join("data/library");
    let left =
        || std::fs::read_dir(&folder).map_or(0, |entries| entries.flatten().filter(|e| e.path().is_dir()).count());
    wait_for("nothing to be left", Duration::from_secs(10), async || {
        anyhow::ensure!(left() == 0, "{}", left());
        Ok(())
    })
    .await?;
    // Killed in the middle, the next start clears up.
    let mut stream = TcpStream::connect(("127.0.0.1", room.hub.http)).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&noise(22, 3_000_000)).await?;
    wait_for("its folder", Duration::from_secs(10), async || {
        anyhow::ensure!(left() == 1, "{}", left());
        Ok(())
    })
    .await?;
    room.hub.crash().await?;
    assert_eq!(left(), 0);
    let list: Value = room.teacher.get("/api/library").await?.json()?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
    Ok(())
}
