//! Names as people have them, and as someone hostile writes them: they come back as they went in, or are refused.

use anyhow::Result;
use classroom_protocol::{ProblemCode, TeacherCommand, TeacherView, view::JoinTicket};
use harness::hub::Hub;
use serde_json::json;

#[tokio::test]
async fn names_of_all_kinds_come_back_unchanged() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let names = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "'; DROP TABLE students; --",
        "{name} ${name} %s",
        "林莎瓦·巴魯·阿里夫",
        "👩‍👩‍👧‍👦 🇹🇼",
        "陳\u{20BB7}\u{0301}",
        "=HYPERLINK(\"x\")",
        "Ana \"Ani\" O'Neill & Søn",
        "ابن‌سینا",
    ];
    let students: Vec<_> = (1u8..).zip(names).map(|(seat, name)| json!({ "seat": seat, "name": name })).collect();
    let made = teacher.post("/api/classes", &json!({ "name": "<b>五年三班</b>", "students": students })).await?;
    let class = made.json::<serde_json::Value>()?["id"].as_i64().unwrap();
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    let mut page = teacher.feed(None).await?;
    let view: TeacherView = page.view("the class", |view: &TeacherView| view.seats.len() == names.len()).await?;
    let ticket: JoinTicket = anyone.post("/api/join", &json!({ "code": view.code })).await?.json()?;
    for ((seat, open), name) in view.seats.iter().zip(&ticket.seats).zip(names) {
        assert_eq!((seat.name.as_str(), open.name.as_str()), (name, name));
    }
    assert_eq!(ticket.class_name, "<b>五年三班</b>");
    Ok(())
}

#[tokio::test]
async fn names_that_are_none_are_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let long = "王".repeat(5000);
    let unseen = ["王\u{200b}小明", "王\u{202e}小明", "\u{200d}", "a\u{2066}b", "\u{3164}", "\u{fe0f}", "\u{2800}"];
    for name in ["", " ", "\u{3000}", "a\nb", "a\u{0}b", "\u{1b}[31m", long.as_str()].into_iter().chain(unseen) {
        let class = json!({ "name": name, "students": [] });
        assert_eq!(teacher.post("/api/classes", &class).await?.code()?, ProblemCode::BadInput, "class {name:.20?}");
        let student = json!({ "name": "a", "students": [{ "seat": 1, "name": name }] });
        let problem = teacher.post("/api/classes", &student).await?.problem()?;
        assert_eq!(problem.code, ProblemCode::BadInput, "student {name:.20?}");
        assert_eq!(problem.field.as_deref(), Some("students[0].name"));
        let panel = hub.anyone()?.post("/api/panel/pair", &json!({ "name": name })).await?;
        assert_eq!(panel.code()?, ProblemCode::BadInput, "panel {name:.20?}");
        let source = teacher.post("/api/sources", &json!({ "label": name })).await?;
        assert_eq!(source.code()?, ProblemCode::BadInput, "source {name:.20?}");
    }
    let twice = json!({ "name": "a", "students": [{ "seat": 1, "name": "x" }, { "seat": 1, "name": "y" }] });
    assert_eq!(teacher.post("/api/classes", &twice).await?.problem()?.field.as_deref(), Some("students[1].seat"));
    let none = json!({ "name": "a", "students": [] });
    assert_eq!(teacher.put("/api/classes/999999", &none).await?.code()?, ProblemCode::NotFound);
    assert!(teacher.put("/api/classes/-1", &none).await?.status.is_client_error());
    assert!(teacher.put("/api/classes/x", &none).await?.status.is_client_error());
    Ok(())
}

#[tokio::test]
async fn the_wrong_field_of_a_command_is_named() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    for (path, body, field) in [
        ("/api/room/command", json!({ "do": "dance" }), "do"),
        ("/api/room/command", json!({ "do": "lock", "on": "maybe" }), "on"),
        ("/api/room/command", json!({ "do": "start-lesson", "class": "5-3" }), "class"),
        ("/api/staff/invite", json!({ "roles": ["king"] }), "roles"),
        ("/api/room/command", json!(7), "body"),
    ] {
        let problem = teacher.post(path, &body).await?.problem()?;
        assert_eq!(problem.code, ProblemCode::BadInput, "{body}: {problem:?}");
        let named = problem.field.as_deref().unwrap_or_default();
        assert!(named.split(['.', '[']).next() == Some(field), "{body}: {problem:?} should name {field}");
    }
    Ok(())
}
