//! Students at home: who may go where, and links that are no good (R-LIVE-1).

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{
    HomeCommand, HomeView, ProblemCode, Seat, TeacherCommand, TeacherView,
    view::{HomeLink, HomePass, Microphone, Watching},
};
use harness::{hub::Hub, people::Caller, wait::wait_for};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::routes::{TABLE, outcome};

fn seat(n: u8) -> Seat {
    Seat::try_from(n).unwrap()
}

/// The link of a seat, as the one who opens it.
async fn invited(teacher: &Caller, n: u8) -> Result<Caller> {
    let link: HomeLink = teacher.post(&format!("/api/seats/{n}/home-link"), &json!({})).await?.json()?;
    ensure!(link.qr.contains("<svg"), "no QR code");
    let (_, token) = link.url.split_once("/home#link=").context("a link to /home with its token in the fragment")?;
    Ok(teacher.bearer(token))
}

async fn enter(link: &Caller, take_over: bool) -> Result<(Caller, HomePass)> {
    let pass: HomePass = link.post("/api/home/join", &json!({ "take_over": take_over })).await?.json()?;
    Ok((link.bearer(pass.token.clone()), pass))
}

/// Where a student at home and a link get through, beside what is open to everyone. Everything else is `not-allowed`.
const HOME: &[(&str, &str)] = &[
    ("POST", "/api/home/command"),
    ("GET", "/api/ws"),
    ("GET", "/api/library"),
    ("GET", "/library/{key}/poster"),
    ("GET", "/library/{key}/c/{*name}"),
    ("PATCH", "/whip/{source}/{session}"),
    ("DELETE", "/whip/{source}/{session}"),
    ("PATCH", "/whep/{source}/{session}"),
    ("DELETE", "/whep/{source}/{session}"),
    ("POST", "/whep/{source}/{session}/layer"),
];
const LINK: &[(&str, &str)] = &[("POST", "/api/home/join")];

#[tokio::test]
async fn every_route_admits_students_at_home_as_the_table_says() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(30).await?;
    let link = invited(&teacher, 1).await?;
    let (student, _) = enter(&link, false).await?;
    let mut wrong = Vec::new();
    for (method, declared, path, body, expected) in TABLE {
        let open_to_all = expected.starts_with('+');
        for (role, caller, own) in [("home", &student, HOME), ("link", &link, LINK)] {
            let path = path.replace("{ext}", "ext-1");
            // Taking over would end the very session that asks here.
            let body = if *declared == "/api/home/join" { "{}" } else { *body };
            let expected = if open_to_all || own.contains(&(*method, *declared)) { "+" } else { "x" };
            let found = outcome(caller, method, &path, body).await.with_context(|| format!("{method} {path}"))?;
            if found.0 != expected {
                wrong.push(format!("{method} {path} as {role}: expected {expected}, got {} ({})", found.0, found.1));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} calls went another way:\n  {}", wrong.len(), wrong.join("\n  "));
    let listed: BTreeSet<(&str, &str)> = TABLE.iter().map(|row| (row.0, row.1)).collect();
    ensure!(HOME.iter().chain(LINK).all(|row| listed.contains(row)), "a row here names a route that is gone");
    Ok(())
}

#[tokio::test]
async fn a_student_at_home_has_the_program_and_the_own_voice_and_nothing_else() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(30).await?;
    let (student, pass) = enter(&invited(&teacher, 7).await?, false).await?;
    ensure!(pass.source == seat(7).home_source());
    let mut feed = student.feed(None).await?;
    let view: HomeView = feed.view("the first view", |_| true).await?;
    ensure!(view.watching == Watching::Nothing && view.microphone == Microphone::Closed && !view.marks.recording);

    let (offer, both) = (&crate::offer::receiving(), &crate::offer::sending());
    for source in ["seat-07", "seat-01", "teacher", "room", "home-07", "home-08"] {
        assert_eq!(
            student.offer(&format!("/whep/{source}"), offer).await?.code()?,
            ProblemCode::NotAllowed,
            "{source}"
        );
    }
    for source in ["seat-07", "home-08", "program", "room"] {
        assert_eq!(student.offer(&format!("/whip/{source}"), both).await?.code()?, ProblemCode::NotAllowed, "{source}");
    }
    let watching = student.offer("/whep/program", offer).await?;
    assert_eq!(watching.status.as_u16(), 201, "{}", watching.text());

    assert_eq!(student.offer("/whip/home-07", both).await?.code()?, ProblemCode::MicrophoneClosed);
    teacher.command(&TeacherCommand::Microphone { seat: seat(7), on: true }).await?;
    feed.view::<HomeView>("the microphone to open", |view| view.microphone == Microphone::Open).await?;
    assert_eq!(student.offer("/whip/home-07", both).await?.code()?, ProblemCode::BadSdp, "a picture from home");
    teacher.command(&TeacherCommand::Microphone { seat: seat(7), on: false }).await?;
    feed.view::<HomeView>("the microphone to close", |view| view.microphone == Microphone::Closed).await?;
    assert_eq!(student.offer("/whip/home-07", both).await?.code()?, ProblemCode::MicrophoneClosed);
    Ok(())
}

#[tokio::test]
async fn hands_are_up_in_order_and_the_teacher_sees_who_is_at_home() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(30).await?;
    let mut desk = teacher.feed(None).await?;
    let (first, _) = enter(&invited(&teacher, 3).await?, false).await?;
    let (second, _) = enter(&invited(&teacher, 2).await?, false).await?;
    let (mut one, mut two) = (first.feed(None).await?, second.feed(None).await?);
    first.post("/api/home/command", &HomeCommand::RaiseHand { up: true }).await?.done()?;
    let raised = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    one.view::<HomeView>("the first hand", |view| view.hand == Some(1)).await?;
    // In the same millisecond the lower seat would stand first.
    wait_for("the next millisecond", Duration::from_secs(1), async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        ensure!(now > raised, "not yet");
        Ok(())
    })
    .await?;
    second.post("/api/home/command", &HomeCommand::RaiseHand { up: true }).await?.done()?;
    two.view::<HomeView>("the second hand", |view| view.hand == Some(2)).await?;
    let view: TeacherView = desk
        .view("both hands", |view: &TeacherView| {
            view.seats.iter().filter(|seat| seat.home.as_ref().is_some_and(|home| home.hand_at.is_some())).count() == 2
        })
        .await?;
    ensure!(view.marks.live, "everyone is told that home students watch");
    teacher.command(&TeacherCommand::Microphone { seat: seat(3), on: true }).await?;
    two.view::<HomeView>("the queue to move", |view| view.hand == Some(1)).await?;
    teacher.command(&TeacherCommand::LowerHand { seat: seat(2) }).await?;
    two.view::<HomeView>("the hand to be taken down", |view| view.hand.is_none()).await?;
    second.post("/api/home/command", &HomeCommand::Leave).await?.done()?;
    desk.view("one to have left", |view: &TeacherView| {
        view.seats.iter().filter(|seat| seat.home.as_ref().is_some_and(|home| home.online)).count() == 1
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn links_that_are_no_good_are_told_apart() -> Result<()> {
    let hub = Hub::start().await?;
    let (teacher, anyone) = (hub.teacher().await?, hub.anyone()?);
    teacher.start_lesson(30).await?;
    let join = async |caller: &Caller| caller.post("/api/home/join", &json!({})).await;
    let link = invited(&teacher, 5).await?;
    assert_eq!(join(&anyone.bearer("x.y")).await?.code()?, ProblemCode::SignedOut, "no link at all");
    assert_eq!(link.post("/api/home/join", &json!({ "seat": 6 })).await?.code()?, ProblemCode::BadInput);

    // A second device is told, may take over, and then the first is told.
    let (first, _) = enter(&link, false).await?;
    let mut feed = first.feed(None).await?;
    feed.view::<HomeView>("the first device", |_| true).await?;
    assert_eq!(join(&link).await?.code()?, ProblemCode::HomeTaken);
    let (second, _) = enter(&link, true).await?;
    let mut other = second.feed(None).await?;
    other.view::<HomeView>("the second device", |_| true).await?;
    let bye = feed.view::<HomeView>("nothing any more", |_| false).await.expect_err("the first device is told");
    ensure!(format!("{bye:#}").contains("bye: home-taken"), "{bye:#}");
    assert_eq!(first.post("/api/home/command", &HomeCommand::Leave).await?.code()?, ProblemCode::SignedOut);

    // Taken back.
    teacher.command(&TeacherCommand::RevokeHome { seat: seat(5) }).await?;
    let bye = other.view::<HomeView>("nothing any more", |_| false).await.expect_err("the link was taken back");
    ensure!(format!("{bye:#}").contains("bye: link-revoked"), "{bye:#}");
    assert_eq!(join(&link).await?.code()?, ProblemCode::LinkRevoked);
    let again = invited(&teacher, 5).await?;
    assert_eq!(join(&link).await?.code()?, ProblemCode::LinkRevoked, "the old link stays void");
    enter(&again, false).await?;

    // A seat that the class has not, a lesson that is over, and the next one.
    assert_eq!(teacher.post("/api/seats/99/home-link", &json!({})).await?.code()?, ProblemCode::NoSuchSeat);
    teacher.command(&TeacherCommand::EndLesson).await?;
    assert_eq!(join(&again).await?.code()?, ProblemCode::NoLesson);
    assert_eq!(teacher.post("/api/seats/5/home-link", &json!({})).await?.code()?, ProblemCode::NoLesson);
    teacher.start_lesson(30).await?;
    assert_eq!(join(&again).await?.code()?, ProblemCode::NoLesson, "a link is for its own lesson");
    Ok(())
}

/// What is on its way when the bell rings, or when the link is taken back, holds no more when it has come.
#[tokio::test]
async fn an_offer_that_is_on_its_way_when_the_lesson_ends_opens_nothing() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    teacher.start_lesson(30).await?;
    let (_, pass) = enter(&invited(&teacher, 1).await?, false).await?;
    let mut stream = TcpStream::connect(("127.0.0.1", hub.http)).await?;
    let head = format!(
        "POST /whep/program HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nContent-Type: application/sdp\r\n\
         Content-Length: 5\r\nConnection: close\r\n\r\nv=",
        hub.http, pass.token
    );
    stream.write_all(head.as_bytes()).await?;
    teacher.command(&TeacherCommand::EndLesson).await?;
    stream.write_all(b"0\r\n").await?;
    let mut answer = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    Ok(())
}
