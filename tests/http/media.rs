//! WHIP and WHEP before any media flows: who may, which offers, whose sessions (RFC 9725).

use anyhow::{Context, Result};
use classroom_protocol::{ProblemCode, StudentCommand, TeacherCommand};
use harness::{
    hub::Hub,
    people::{Caller, Student},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::offer;

struct Lesson {
    hub: Hub,
    teacher: Caller,
    student: Student,
    other: Student,
}

/// A lesson with a student who may share and one who may not.
async fn lesson() -> Result<Lesson> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?;
    let other = hub.anyone()?.join(&code, 2).await?;
    student.caller.ask(StudentCommand::Ask).await?;
    teacher.command(&TeacherCommand::Approve { seat: student.seat }).await?;
    Ok(Lesson { hub, teacher, student, other })
}

#[tokio::test]
async fn offers_that_are_none_are_bad_sdp() -> Result<()> {
    let Lesson { hub: _hub, teacher, student, .. } = lesson().await?;
    let good = offer::sending();
    let broken = [
        String::new(),
        "hello".into(),
        "v=0\r\n".into(),
        "v=1\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".into(),
        good.chars().take(good.len() / 2).collect(),
        good.replace("m=video", "m=hologram"),
        good.replace("H264", "H999").replace("opus", "xpus"),
        good.replace("a=ice-pwd:0123456789abcdef01234567\r\n", ""),
        good.replace("a=fingerprint", "a=fingerprint:sha-256 zz\r\na=x"),
        good.replace("a=mid:1", "a=mid:0"),
        good.replace("m=video 9", "m=video 99999999"),
        "a=".repeat(20_000),
        "v=0\r\n".repeat(10_000),
    ];
    for sdp in broken {
        let reply = student.caller.offer("/whip/seat-01", &sdp).await?;
        let code = reply.code().with_context(|| format!("{sdp:?}"))?;
        assert_eq!(code, ProblemCode::BadSdp, "{sdp:.60?}: {}", reply.text());
    }
    // The source is silent to the viewer until a good offer came.
    let reply = teacher.offer("/whep/seat-01", &offer::receiving()).await?;
    assert_eq!(reply.code()?, ProblemCode::SourceSilent);
    assert!(!reply.header("retry-after").is_empty(), "{:?}", reply.headers);
    let request = student.caller.request(Method::POST, "/whip/seat-01").header("content-type", "application/sdp");
    let reply = student.caller.send(request.body(vec![0xff; 400])).await?;
    assert!(reply.status.is_client_error(), "{}", reply.status);
    Ok(())
}

#[tokio::test]
async fn nobody_publishes_before_the_teacher_agrees() -> Result<()> {
    let Lesson { hub: _hub, teacher, student, other, .. } = lesson().await?;
    let ask = |who: &Student| {
        let (caller, path) = (who.caller.clone(), format!("/whip/{}", who.source));
        async move { caller.offer(&path, &offer::sending()).await?.problem() }
    };
    let refused = ask(&other).await?;
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::NotApproved, Some("R-CAST-3")));
    other.caller.ask(StudentCommand::Ask).await?;
    assert_eq!(ask(&other).await?.code, ProblemCode::NotApproved, "asking is not enough");
    let stranger = other.caller.offer("/whip/seat-01", &offer::sending()).await?;
    assert_eq!(stranger.code()?, ProblemCode::NotAllowed);
    teacher.command(&TeacherCommand::Decline { seat: student.seat }).await?;
    assert_eq!(ask(&student).await?.code, ProblemCode::NotApproved);
    teacher.command(&TeacherCommand::EndLesson).await?;
    let over = ask(&student).await?;
    assert_eq!(over.code, ProblemCode::SignedOut);
    Ok(())
}

#[tokio::test]
async fn a_session_is_its_owners_alone() -> Result<()> {
    let Lesson { hub, teacher, student, other } = lesson().await?;
    let made = student.caller.offer("/whip/seat-01", &offer::sending()).await?;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    assert_eq!(made.header("content-type"), "application/sdp");
    let (session, etag) = (made.header("location").to_owned(), made.header("etag").to_owned());
    assert!(session.starts_with("/whip/seat-01/") && !etag.is_empty(), "{:?}", made.headers);
    assert!(made.text().contains("a=setup:passive") || made.text().contains("a=setup:active"), "{}", made.text());

    let panel = hub.anyone()?.pair("螢幕", &teacher).await?;
    let patch = async |who: &Caller, etag: Option<&str>, kind: &str, body: &str| {
        let mut request = who.request(Method::PATCH, &session).header("content-type", kind);
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        who.send(request.body(body.to_owned())).await
    };
    const KIND: &str = "application/trickle-ice-sdpfrag";
    let candidate = "a=ice-ufrag:test\r\na=ice-pwd:0123456789abcdef01234567\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                     a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n";
    // Somebody else's hands.
    for (who, stranger) in [(&other.caller, "another student"), (&teacher, "the teacher")] {
        assert_eq!(patch(who, Some(&etag), KIND, candidate).await?.code()?, ProblemCode::NotFound, "{stranger}");
        assert_eq!(who.delete(&session).await?.code()?, ProblemCode::NotFound, "{stranger}");
    }
    assert_eq!(panel.delete(&session).await?.code()?, ProblemCode::NotAllowed);
    // The owner's, in the wrong way.
    assert_eq!(patch(&student.caller, Some("\"old\""), KIND, candidate).await?.code()?, ProblemCode::StaleEtag);
    assert_eq!(patch(&student.caller, None, KIND, candidate).await?.status.as_u16(), 428);
    assert_eq!(
        patch(&student.caller, Some(&etag), "text/plain", candidate).await?.code()?,
        ProblemCode::WrongContentType
    );
    assert!(patch(&student.caller, Some(&etag), KIND, "garbage\u{0}").await?.status.is_client_error());
    // And in the right one.
    patch(&student.caller, Some(&etag), KIND, candidate).await?.done()?;
    let restart = "a=ice-ufrag:new1\r\na=ice-pwd:abcdef0123456789abcdef01\r\n";
    let restarted = patch(&student.caller, Some("*"), KIND, restart).await?;
    assert_eq!((restarted.status.as_u16(), restarted.header("content-type")), (200, KIND));
    assert!(restarted.text().contains("a=ice-ufrag:") && restarted.header("etag") != etag, "{}", restarted.text());
    assert_eq!(patch(&student.caller, Some(&etag), KIND, candidate).await?.code()?, ProblemCode::StaleEtag);
    student.caller.delete(&session).await?.done()?;
    assert_eq!(student.caller.delete(&session).await?.code()?, ProblemCode::NotFound);
    for path in
        ["/whip/seat-01/../../etc", "/whip/seat-01/999999999999999999999999", "/whip/UPPER/1", "/whip/seat-01/-1"]
    {
        assert!(student.caller.delete(path).await?.status.is_client_error(), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_publisher_on_the_seat_is_refused_and_a_reload_takes_over() -> Result<()> {
    let Lesson { hub, student, .. } = lesson().await?;
    let first = student.caller.offer("/whip/seat-01", &offer::sending()).await?;
    assert_eq!(first.status.as_u16(), 201, "{}", first.text());
    let key: Value = student.caller.post("/api/student/whip-key", &json!({})).await?.json()?;
    let program = hub.anyone()?.bearer(key["key"].as_str().unwrap());
    let second = program.offer("/whip/seat-01", &offer::sending()).await?;
    assert_eq!(second.code()?, ProblemCode::SourceBusy);
    // The same page, loaded again, does not have to wait until the old session has timed out.
    let again = student.caller.offer("/whip/seat-01", &offer::sending()).await?;
    assert_eq!(again.status.as_u16(), 201, "{}", again.text());
    assert_ne!(first.header("location"), again.header("location"));
    assert_eq!(student.caller.delete(first.header("location")).await?.code()?, ProblemCode::NotFound);
    student.caller.delete(again.header("location")).await?.done()?;
    assert_eq!(program.offer("/whip/seat-01", &offer::sending()).await?.status.as_u16(), 201);
    Ok(())
}

#[tokio::test]
async fn options_say_what_is_taken_and_name_no_public_stun() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    for path in ["/whip/seat-01", "/whep/seat-01"] {
        let reply = anyone.send(anyone.request(Method::OPTIONS, path)).await?;
        reply.done()?;
        assert_eq!(reply.header("accept-post"), "application/sdp");
        assert_eq!(reply.header("link"), "", "no ICE server is needed inside the room");
    }
    for method in [Method::GET, Method::PUT, Method::HEAD] {
        let reply = anyone.send(anyone.request(method, "/whip/seat-01")).await?;
        assert_eq!(reply.status.as_u16(), 405);
    }
    Ok(())
}

#[tokio::test]
async fn attention_and_the_other_teacher_keep_screens_away() -> Result<()> {
    let Lesson { hub, teacher, other, .. } = lesson().await?;
    let second = hub.another_teacher(&teacher).await?;
    let denied = second.offer("/whip/teacher", &offer::sending()).await?.problem()?;
    assert_eq!((denied.code, denied.rule.as_deref()), (ProblemCode::NotHolder, Some("R-CAST-3")));
    teacher.command(&TeacherCommand::Attention { on: true }).await?;
    let refused = other.caller.post("/api/student/command", &StudentCommand::Ask).await?.problem()?;
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::Attention, Some("R-POL-7")));
    teacher.command(&TeacherCommand::Attention { on: false }).await?;
    teacher.command(&TeacherCommand::Lock { on: true }).await?;
    let refused = other.caller.post("/api/student/command", &StudentCommand::Ask).await?.problem()?;
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::Locked, Some("R-CAST-3")));
    let late = hub.anyone()?.post("/api/join", &json!({ "code": teacher.room_code().await? })).await?;
    assert_eq!(late.code()?, ProblemCode::Locked);
    // Who takes over holds the room from now on.
    second.command(&TeacherCommand::TakeOver).await?;
    let former = teacher.post("/api/room/command", &TeacherCommand::NewCode).await?;
    assert_eq!(former.code()?, ProblemCode::NotHolder);
    second.command(&TeacherCommand::NewCode).await
}
