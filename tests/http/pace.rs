//! Clients that are too slow, too many, or talk when they should listen.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use classroom_protocol::{Envelope, ProblemCode, StudentView, TeacherCommand, TeacherView};
use harness::{
    hub::{Hub, Options},
    people::Caller,
    ports,
    wait::wait_for,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
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
    // On a new connection: the first one has been idle for about as long as the slow ones were slow.
    hub.anyone()?.get("/api/room").await?.done()
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
        teacher.command(&TeacherCommand::Lock { on }).await?;
        page.view::<TeacherView>("the lock", |view| view.lesson.as_ref().is_some_and(|lesson| lesson.locked == on))
            .await?;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_millis(200), "a tap shows after {slowest:?}");
    let seq = page.seq;
    let mut resumed = teacher.feed(Some(seq)).await?;
    let first = resumed.next::<TeacherView>().await?;
    assert!(matches!(first, Envelope::Current { seq: now, .. } if now == seq), "{first:?}");
    let mut missed = teacher.feed(Some(seq - 1)).await?;
    let first = missed.next::<TeacherView>().await?;
    assert!(matches!(first, Envelope::View { .. }), "{first:?}");
    Ok(())
}

/// The beginnings of a client that then says nothing more.
const BEGINNINGS: [&[u8]; 4] = [
    b"",
    b"P",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    // With its settings: HTTP/2 is agreed, nothing is asked.
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

/// Makes TLS with the hub, says nothing and waits for the end.
fn silent_in_tls(at: SocketAddr, ca_pem: &str, http_2: bool) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = if http_2 { vec![b"h2".to_vec()] } else { vec![] };
    let mut connection = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("room.test")?)?;
    let mut stream = std::net::TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let mut stream = rustls::StreamOwned::new(connection, stream);
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            bail!("the hub waits for ever for a request in TLS (HTTP/2: {http_2})")
        }
        _ => Ok(()),
    }
}

#[tokio::test]
async fn silent_connections_are_hung_up_on_at_every_door() -> Result<()> {
    let (portal, agents) = (ports::free()?, ports::free()?);
    // The harness serves HTTPS on one port; other runs of the tests have other addresses.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 77, high, low.max(1));
    let config = format!("[policy]\nportal = [\"{address}:{portal}\"]\n[agents]\nlisten = [\"{address}:{agents}\"]\n");
    let hub = Hub::start_with(Options { https: Some(address), config, ..Options::default() }).await?;
    let https = SocketAddr::from((address, 8443));
    let doors =
        [SocketAddr::from(([127, 0, 0, 1], hub.http)), https, (address, portal).into(), (address, agents).into()];
    let mut silent = Vec::new();
    for door in doors {
        for beginning in BEGINNINGS {
            let mut stream = TcpStream::connect(door).await?;
            stream.write_all(beginning).await?;
            silent.push((door, beginning, stream));
        }
    }
    let school = hub.school.as_ref().context("the school")?;
    let in_tls = [false, true].map(|http_2| {
        let ca_pem = school.ca_pem.clone();
        tokio::task::spawn_blocking(move || silent_in_tls(https, &ca_pem, http_2))
    });
    let began = Instant::now();
    for (door, beginning, mut stream) in silent {
        let rest = PATIENCE.saturating_sub(began.elapsed());
        let ended = timeout(rest, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{door} waits for ever after {:?}", String::from_utf8_lossy(beginning));
    }
    for ended in in_tls {
        ended.await??;
    }
    hub.anyone()?.get("/api/room").await?.done()?;
    hub.anyone_far()?.get("/api/room").await?.done()
}

#[tokio::test]
async fn one_address_does_not_take_all_places() -> Result<()> {
    let hub = Hub::start().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], hub.http));
    let mut crowd = Vec::new();
    for _ in 0..532 {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, 9), 0).into())?;
        crowd.push(socket.connect(at).await?);
    }
    // So many are hung up on at once, not when their time is over; which ones is a matter of luck.
    let over = |stream: &&TcpStream| !matches!(stream.try_read(&mut [0; 8]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    wait_for("those over the bound to be hung up on", Duration::from_secs(8), async || {
        let over = crowd.iter().filter(over).count();
        ensure!(over >= 20, "{over} of 20");
        Ok(())
    })
    .await?;
    hub.anyone()?.get("/api/room").await?.done()?;
    assert_eq!(crowd.iter().filter(over).count(), 20, "those within the bound are let in");
    Ok(())
}

#[tokio::test]
async fn a_page_that_only_listens_is_not_cut_off() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let mut page = teacher.feed(None).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(14) {
        page.next::<TeacherView>().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pass_has_four_pages_and_staff_and_panels_always_a_place() -> Result<()> {
    let hub = Hub::start_with(Options { config: "[limits]\npages = 12\n".into(), ..Options::default() }).await?;
    let teacher = hub.teacher().await?;
    let anyone = hub.anyone()?;
    let code = teacher.start_lesson(4).await?;
    let student = anyone.join(&code, 1).await?.caller;
    let panel = anyone.pair("螢幕", &teacher).await?;
    let mut pages = Vec::new();
    for _ in 0..6 {
        let mut page = student.feed(None).await?;
        page.view::<StudentView>("the student's page", |_| true).await?;
        pages.push(page);
    }
    for page in &mut pages[..2] {
        wait_for("the oldest page to give way", Duration::from_secs(10), async || {
            match page.next::<StudentView>().await {
                Ok(Envelope::Bye { code }) if code == "elsewhere" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
    }
    for page in &mut pages[2..] {
        ensure!(matches!(page.next::<StudentView>().await?, Envelope::Current { .. } | Envelope::View { .. }));
    }
    // Whoever comes as a student, three places of twelve are the teacher's and the panel's.
    let mut full = None;
    for seat in 2..=4 {
        let other = anyone.join(&code, seat).await?.caller;
        for _ in 0..4 {
            match other.feed(None).await {
                Ok(page) => pages.push(page),
                Err(_) => full = Some(other.clone()),
            }
        }
    }
    let request = full.context("any number of pages is let in")?;
    let upgrade = request
        .request(reqwest::Method::GET, "/api/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(request.send(upgrade).await?.code()?, ProblemCode::Full);
    teacher.feed(None).await?;
    panel.feed(None).await?;
    Ok(())
}

/// A page as it is: it comes back when the line breaks, and stays away after a farewell, whose code it gives.
async fn page(of: Caller, number: usize, opened: Arc<AtomicUsize>, seen: mpsc::Sender<(usize, bool)>) -> String {
    loop {
        opened.fetch_add(1, Ordering::Relaxed);
        let Ok(mut feed) = of.feed(None).await else { continue };
        while let Ok(message) = feed.next::<StudentView>().await {
            match message {
                Envelope::View { view, .. } => {
                    let attention = view.lesson.is_some_and(|lesson| lesson.attention);
                    // Whoever reads it may have seen enough.
                    let _ = seen.send((number, attention)).await;
                }
                Envelope::Current { .. } => {}
                Envelope::Bye { code } => return code,
            }
        }
    }
}

#[tokio::test]
async fn pages_of_one_pass_do_not_throw_each_other_out_for_ever() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(4).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let opened = Arc::new(AtomicUsize::new(0));
    let (tell, mut seen) = mpsc::channel(64);
    let mut pages = JoinSet::new();
    for number in 0..5 {
        pages.spawn(page(student.clone(), number, opened.clone(), tell.clone()));
        let shown = async { while seen.recv().await.is_some_and(|(page, _)| page != number) {} };
        timeout(PATIENCE, shown).await.with_context(|| format!("page {number} shows nothing"))?;
    }
    let gone = timeout(PATIENCE, pages.join_next()).await.context("the pages throw each other out without end")?;
    assert_eq!(gone.context("all are gone")??, "elsewhere");
    teacher.command(&TeacherCommand::Attention { on: true }).await?;
    let mut told = BTreeSet::new();
    let all = async {
        while told.len() < 4 {
            let Some((page, attention)) = seen.recv().await else { break };
            if attention {
                told.insert(page);
            }
        }
    };
    timeout(PATIENCE, all).await.context("not all four are told")?;
    assert_eq!(told, BTreeSet::from([1, 2, 3, 4]), "the oldest gave way");
    assert_eq!(opened.load(Ordering::Relaxed), 5, "nobody came back by itself");
    Ok(())
}
