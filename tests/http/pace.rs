//! Clients that are too slow, too many, or talk when they should listen.

use std::time::{Duration, Instant};

use anyhow::Result;
use classroom_protocol::TeacherView;
use harness::{hub::Hub, wait::wait_for};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The hub gives a request's headers this long, and we a little more.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn slow_loris_is_cut_off_while_others_are_served() -> Result<()> {
    let hub = Hub::start().await?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", hub.http)).await?;
        stream.write_all(b"POST /api/join HTTP/1.1\r\nHost: x\r\nX-Slow: ").await?;
        slow.push(stream);
    }
    let anyone = hub.anyone()?;
    let began = Instant::now();
    anyone.get("/api/room").await?.done()?;
    assert!(began.elapsed() < Duration::from_secs(1), "others wait {:?}", began.elapsed());
    // Each is answered or hung up on in the end, without ever finishing its headers.
    let ended = async {
        for stream in &mut slow {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        }
    };
    timeout(PATIENCE, ended).await.map_err(|_| anyhow::anyhow!("the hub waits for slow headers for ever"))?;
    anyone.get("/api/room").await?.done()
}

#[tokio::test]
async fn a_body_that_never_comes_holds_up_nobody() -> Result<()> {
    let hub = Hub::start().await?;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", hub.http)).await?;
        stream
            .write_all(
                b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
            )
            .await?;
        waiting.push(stream);
    }
    let began = Instant::now();
    hub.anyone()?.get("/api/room").await?.done()?;
    assert!(began.elapsed() < Duration::from_secs(1), "others wait {:?}", began.elapsed());
    let ended = async {
        for stream in &mut waiting {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    timeout(Duration::from_secs(45), ended).await.map_err(|_| anyhow::anyhow!("the hub waits for a body for ever"))
}

#[tokio::test]
async fn headers_of_any_size_and_garbage_are_answered_or_hung_up_on() -> Result<()> {
    let hub = Hub::start().await?;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: staff={}\r\n\r\n", "a".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(5000));
    for request in
        [&*long, &wide, &many, "\u{16}\u{3}\u{1}\u{2}\u{0}", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", hub.http)).await?;
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await?;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{request:.30}: {answer:.200}");
    }
    hub.anyone()?.get("/healthz").await?.done()
}

#[tokio::test]
async fn who_talks_on_a_listening_socket_is_hung_up_on() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    for noise in ["hello".to_owned(), "x".repeat(100_000)] {
        let mut page = teacher.feed(None).await?;
        page.view::<TeacherView>("the room", |_| true).await?;
        page.say(&noise).await?;
        wait_for("the hub to hang up", Duration::from_secs(10), async || match page.next::<TeacherView>().await {
            Err(_) => Ok(()),
            Ok(message) => Err(format!("{message:?}")),
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_view_comes_within_200_ms_and_resumes_by_number() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    hub.anyone()?.join(&code, 1).await?;
    let mut page = teacher.feed(None).await?;
    page.view::<TeacherView>("the lesson", |view| view.lesson.is_some()).await?;
    let mut slowest = Duration::ZERO;
    for on in [true, false].repeat(5) {
        let began = Instant::now();
        teacher.command(&classroom_protocol::TeacherCommand::Lock { on }).await?;
        page.view::<TeacherView>("the lock", |view| view.lesson.as_ref().is_some_and(|lesson| lesson.locked == on))
            .await?;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_millis(200), "a tap shows after {slowest:?}");
    let seq = page.seq;
    let mut resumed = teacher.feed(Some(seq)).await?;
    let first = resumed.next::<TeacherView>().await?;
    assert!(matches!(first, classroom_protocol::Envelope::Current { seq: now, .. } if now == seq), "{first:?}");
    let mut missed = teacher.feed(Some(seq - 1)).await?;
    let first = missed.next::<TeacherView>().await?;
    assert!(matches!(first, classroom_protocol::Envelope::View { .. }), "{first:?}");
    Ok(())
}
