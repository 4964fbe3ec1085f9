//! Bodies that are wrong: each answer names what is wrong, and the hub goes on.

use anyhow::Result;
use classroom_protocol::{ProblemCode, StudentCommand, TeacherCommand};
use harness::hub::Hub;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn json_that_is_none_is_bad_input() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let long = "[".repeat(20_000);
    for body in ["", "{", "null", "[]", "\"code\"", "{\"code\":", "{\"code\":1}", "\u{0}", "{\"code\":\"1\"}x", &long] {
        let request = anyone.request(Method::POST, "/api/join").header("content-type", "application/json");
        let reply = anyone.send(request.body(body.to_owned())).await?;
        let lesson = reply.code()?;
        assert_eq!(lesson, ProblemCode::BadInput, "{:.40}: {}", body, reply.text());
    }
    let request = anyone.request(Method::POST, "/api/join").header("content-type", "application/json");
    let reply = anyone.send(request.body(vec![0xff, 0xfe, b'{', b'}'])).await?;
    assert_eq!(reply.code()?, ProblemCode::BadInput);
    Ok(())
}

#[tokio::test]
async fn the_wrong_field_is_named() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let cases: &[(&str, Value, &str)] = &[
        ("/api/join", json!({ "code": "123456", "name": "x" }), "name"),
        ("/api/join", json!({}), "code"),
        ("/api/classes", json!({ "name": "a", "students": [], "teacher": 1 }), "teacher"),
        ("/api/classes", json!({ "name": "a", "students": [{ "seat": 0, "name": "x" }] }), "students[0].seat"),
        ("/api/classes", json!({ "name": "a", "students": [{ "seat": 300, "name": "x" }] }), "students[0].seat"),
        ("/api/classes", json!({ "name": "", "students": [] }), "name"),
        ("/api/room/command", json!({ "do": "dance" }), "do"),
        ("/api/room/command", json!({ "do": "lock" }), "on"),
    ];
    for (path, body, field) in cases {
        let problem = teacher.post(path, body).await?.problem()?;
        assert_eq!(problem.code, ProblemCode::BadInput, "{path} {body}: {problem:?}");
        assert_eq!(problem.field.as_deref(), Some(*field), "{path} {body}: {problem:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_wrong_field_of_a_command_is_named_whoever_finds_it() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let cases = [
        (json!({ "do": "approve", "seat": 0 }), "seat"),
        (json!({ "do": "approve", "seat": 100 }), "seat"),
        (json!({ "do": "show", "source": "Nobody's" }), "source"),
        (json!({ "do": "show", "source": "seat-01", "tile": 9 }), "tile"),
        (json!({ "do": "layout", "tiles": 3 }), "tiles"),
        (json!({ "do": "layout", "tiles": 300 }), "tiles"),
        (json!({ "do": "open-sharing", "minutes": 121 }), "minutes"),
        (json!({ "do": "swap", "a": 0, "b": 9 }), "b"),
        (json!({ "do": "swap", "a": 9, "b": 0 }), "a"),
        (json!({ "do": "end-lesson", "class": 1 }), "class"),
    ];
    let students = [(json!({ "do": "ask", "x": 1 }), "x"), (json!({ "do": "leave", "seat": 1 }), "seat")];
    let all = [(&teacher, "/api/room/command", &cases[..]), (&student, "/api/student/command", &students[..])];
    for (who, path, cases) in all {
        for (body, field) in cases {
            let problem = who.post(path, body).await?.problem()?;
            let found = (problem.code, problem.field.as_deref());
            assert_eq!(found, (ProblemCode::BadInput, Some(*field)), "{body}: {problem:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_wrong_kind_of_body_is_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let wrong = [
        (&teacher, Method::POST, "/api/room/command", "text/plain"),
        (&teacher, Method::POST, "/api/classes", "application/x-www-form-urlencoded"),
        (&teacher, Method::POST, "/whep/seat-01", "application/json"),
        (&teacher, Method::POST, "/whip/teacher", "text/plain"),
        (&student, Method::PUT, "/api/student/thumbnail", "image/png"),
        (&student, Method::POST, "/api/student/command", "multipart/form-data"),
    ];
    for (who, method, path, kind) in wrong {
        let request = who.request(method, path).header("content-type", kind).body("{}");
        assert_eq!(who.send(request).await?.code()?, ProblemCode::WrongContentType, "{path} as {kind}");
    }
    let request = teacher.request(Method::POST, "/api/room/command").body("{}");
    assert_eq!(teacher.send(request).await?.code()?, ProblemCode::WrongContentType, "without a Content-Type");
    Ok(())
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let mut picture = vec![0xff, 0xd8, 0xff];
    picture.resize(64 * 1024 + 1, 0);
    let too_large = [
        (&teacher, Method::POST, "/api/classes", "application/json", vec![b' '; 70_000]),
        (&teacher, Method::POST, "/whip/teacher", "application/sdp", vec![b'a'; 70_000]),
        (&student, Method::PUT, "/api/student/thumbnail", "image/jpeg", picture.clone()),
        (&student, Method::POST, "/api/student/command", "application/json", vec![b' '; 5_000_000]),
    ];
    for (who, method, path, kind, body) in too_large {
        let request = who.request(method, path).header("content-type", kind).body(body);
        match who.send(request).await {
            Ok(reply) => assert_eq!(reply.code()?, ProblemCode::TooLarge, "{path}"),
            // The hub may hang up on who goes on sending after the answer.
            Err(error) => assert!(path == "/api/student/command", "{path}: {error:#}"),
        }
    }
    picture.truncate(64 * 1024);
    student.ask(StudentCommand::Ask).await?;
    let request = student.request(Method::PUT, "/api/student/thumbnail").header("content-type", "image/jpeg");
    student.send(request.body(picture)).await?.done()
}

#[tokio::test]
async fn a_thumbnail_is_a_jpeg_and_comes_back_as_one() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let send = async |body: &[u8]| {
        let request = student.request(Method::PUT, "/api/student/thumbnail").header("content-type", "image/jpeg");
        student.send(request.body(body.to_vec())).await
    };
    assert_eq!(send(b"<svg onload=alert(1)>").await?.code()?, ProblemCode::BadInput);
    assert_eq!(send(b"").await?.code()?, ProblemCode::BadInput);
    assert_eq!(teacher.get("/api/seats/1/thumbnail").await?.code()?, ProblemCode::NotFound);
    let picture = [&[0xff, 0xd8, 0xff, 0xe0][..], b"<script>"].concat();
    let refused = send(&picture).await?.problem()?;
    assert_eq!((refused.code, refused.rule.as_deref()), (ProblemCode::NotApproved, Some("R-CAST-3")));
    assert_eq!(teacher.get("/api/seats/1/thumbnail").await?.code()?, ProblemCode::NotFound, "who does not ask");
    student.ask(StudentCommand::Ask).await?;
    send(&picture).await?.done()?;
    let back = teacher.get("/api/seats/1/thumbnail").await?;
    assert_eq!((back.header("content-type"), &back.body), ("image/jpeg", &picture));
    assert_eq!(back.header("x-content-type-options"), "nosniff");
    for seat in ["0", "100", "-1", "1e3", "x"] {
        assert!(teacher.get(&format!("/api/seats/{seat}/thumbnail")).await?.status.is_client_error(), "{seat}");
    }
    teacher.command(&TeacherCommand::Decline { seat: 1.try_into()? }).await?;
    assert_eq!(teacher.get("/api/seats/1/thumbnail").await?.code()?, ProblemCode::NotFound, "declined is forgotten");
    assert_eq!(send(&picture).await?.code()?, ProblemCode::NotApproved);
    Ok(())
}

#[tokio::test]
async fn evidence_wants_a_class_and_two_days() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let class = teacher.make_class(3).await?;
    for query in [
        "".to_owned(),
        format!("?class={class}&from=2026-01-01"),
        format!("?class={class}&from=2026-02-30&to=2026-03-01"),
        format!("?class={class}&from=yesterday&to=today"),
        "?class=x&from=2026-01-01&to=2026-01-02".to_owned(),
        format!("?class={class}&from=2026-01-01&to=2026-01-02&all=1"),
        format!("?class={class}&from=99999999-01-01&to=99999999-01-02"),
    ] {
        let reply = teacher.get(&format!("/api/evidence.csv{query}")).await?;
        assert_eq!(reply.code()?, ProblemCode::BadInput, "{query}: {}", reply.text());
    }
    let csv = teacher.get(&format!("/api/evidence.csv?class={class}&from=2026-01-01&to=2026-12-31")).await?;
    csv.done()?;
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.header("content-type"));
    Ok(())
}
