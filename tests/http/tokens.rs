//! Credentials that are unknown, forged, over, or somebody else's.

use std::net::Ipv4Addr;

use anyhow::Result;
use classroom_protocol::{
    Envelope, ProblemCode, StudentCommand, StudentView, TeacherCommand, TeacherView, panel::PairWaiting,
    view::PanelState,
};
use harness::{
    hub::{Hub, program},
    people::{Caller, Proof},
};
use serde_json::{Value, json};

/// What the hub answers to a student's command with this token.
async fn ask(anyone: &Caller, token: &str) -> Result<ProblemCode> {
    anyone.bearer(token).post("/api/student/command", &StudentCommand::Ask).await?.code()
}

fn token(caller: &Caller) -> String {
    match &caller.proof {
        Proof::Bearer(token) => token.clone(),
        other => panic!("{other:?} is no token"),
    }
}

#[tokio::test]
async fn forged_and_unknown_tokens_are_nobodys() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let good = token(&anyone.join(&code, 1).await?.caller);
    let changed = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let long = "a".repeat(4000);
    let forged: Vec<String> =
        (0..good.len()).step_by(7).map(changed).chain([String::new(), "x".into(), format!("{good}x"), long]).collect();
    for token in forged {
        assert_eq!(ask(&anyone, &token).await?, ProblemCode::SignedOut, "{token:.60}");
    }
    for cookie in ["staff=", "staff=x", "staff=../../..", "other=1"] {
        let reply = anyone.with(Proof::Cookie(cookie.into())).get("/api/classes").await?;
        assert_eq!(reply.code()?, ProblemCode::SignedOut, "{cookie}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    Ok(())
}

#[tokio::test]
async fn a_pass_ends_with_its_lesson_and_with_its_seat() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let class = teacher.make_class(3).await?;
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    let code = teacher.room_code().await?;
    let ticket: Value = anyone.post("/api/join", &json!({ "code": code })).await?.json()?;
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let first = anyone.join(&code, 1).await?;
    let second = anyone.join(&code, 2).await?;

    // The teacher frees a seat: its page is told, its pass is void, the next one on the seat is another person.
    let mut page = first.caller.feed(None).await?;
    page.view::<StudentView>("the student's page", |_| true).await?;
    teacher.command(&TeacherCommand::FreeSeat { seat: first.seat }).await?;
    loop {
        if let Envelope::Bye { code } = page.next::<StudentView>().await? {
            assert_eq!(code, "signed-out");
            break;
        }
    }
    assert_eq!(ask(&anyone, &token(&first.caller)).await?, ProblemCode::SignedOut);
    let again = anyone.join(&code, 1).await?;
    assert_eq!(ask(&anyone, &token(&first.caller)).await?, ProblemCode::SignedOut);
    again.caller.ask(StudentCommand::Ask).await?;

    // The next lesson of the same class knows none of them.
    teacher.command(&TeacherCommand::EndLesson).await?;
    assert_eq!(ask(&anyone, &token(&second.caller)).await?, ProblemCode::SignedOut);
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    assert_eq!(ask(&anyone, &token(&second.caller)).await?, ProblemCode::SignedOut);
    let late = anyone.bearer(&ticket).post("/api/join/seat", &json!({ "seat": 3 })).await?;
    assert_eq!(late.code()?, ProblemCode::SignedOut);
    assert_ne!(teacher.room_code().await?, code, "each lesson has a code of its own");
    Ok(())
}

#[tokio::test]
async fn tokens_do_not_do_each_others_work() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let ticket: Value = anyone.post("/api/join", &json!({ "code": code })).await?.json()?;
    let ticket = ticket["ticket"].as_str().unwrap();
    let student = anyone.join(&code, 1).await?.caller;
    let panel = anyone.pair("螢幕", &teacher).await?;
    assert_eq!(ask(&anyone, ticket).await?, ProblemCode::NotAllowed);
    assert_eq!(ask(&anyone, &token(&panel)).await?, ProblemCode::NotAllowed);
    // A student's token in the cookie, a cookie's value as a token.
    let cookie = anyone.with(Proof::Cookie(format!("staff={}", token(&student))));
    assert_eq!(cookie.get("/api/classes").await?.code()?, ProblemCode::SignedOut);
    let Proof::Cookie(pair) = &teacher.proof else { panic!("a teacher has a cookie") };
    let value = pair.strip_prefix("staff=").unwrap();
    assert_eq!(anyone.bearer(value).get("/api/classes").await?.code()?, ProblemCode::SignedOut);
    // Someone on the seat twice.
    let twice = anyone.bearer(ticket).post("/api/join/seat", &json!({ "seat": 1 })).await?.problem()?;
    assert_eq!((twice.code, twice.rule.as_deref()), (ProblemCode::SeatTaken, Some("R-POL-16")));
    let none = anyone.bearer(ticket).post("/api/join/seat", &json!({ "seat": 77 })).await?;
    assert_eq!(none.code()?, ProblemCode::NoSuchSeat);
    Ok(())
}

#[tokio::test]
async fn a_removed_panel_and_a_removed_source_are_out_at_once() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let panel = anyone.pair("螢幕", &teacher).await?;
    let report = json!({ "lost": [] });
    panel.post("/api/panel/report", &report).await?.done()?;
    let named = |known: &&PanelState| known.name == "螢幕";
    let view: TeacherView =
        teacher.feed(None).await?.view("the panel", |view: &TeacherView| view.panels.iter().any(|p| named(&p))).await?;
    let id = view.panels.iter().find(named).expect("it was just seen").id;
    teacher.delete(&format!("/api/panels/{id}")).await?.done()?;
    assert_eq!(panel.post("/api/panel/report", &report).await?.code()?, ProblemCode::SignedOut);

    let source: Value = teacher.post("/api/sources", &json!({ "label": "OBS" })).await?.json()?;
    let (name, key) = (source["source"].as_str().unwrap(), source["key"].as_str().unwrap());
    teacher.delete(&format!("/api/sources/{name}")).await?.done()?;
    let reply = anyone.bearer(key).offer(&format!("/whip/{name}"), &super::offer::sending()).await?;
    assert_eq!(reply.code()?, ProblemCode::SignedOut);
    Ok(())
}

#[tokio::test]
async fn a_signed_out_teacher_is_out_and_codes_work_once() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let code = hub.first_code().await?;
    let wrong = json!({ "code": "WRONGONE", "account": "wang", "name": "王", "password": harness::people::PASSWORD });
    assert_eq!(anyone.post("/api/staff/first-sign-in", &wrong).await?.code()?, ProblemCode::WrongCode);
    let weak = json!({ "code": code, "account": "wang", "name": "王", "password": "12345" });
    assert_eq!(anyone.post("/api/staff/first-sign-in", &weak).await?.code()?, ProblemCode::WeakPassword);
    let teacher = hub.teacher().await?;
    assert!(anyone.first_sign_in(&code, "li", "李老師").await.is_err(), "the first code works once");

    let invited: Value = teacher.post("/api/staff/invite", &json!({})).await?.json()?;
    let invitation = invited["code"].as_str().unwrap();
    anyone.first_sign_in(invitation, "chen", "陳老師").await?;
    assert!(anyone.first_sign_in(invitation, "lin", "林老師").await.is_err(), "an invitation works once");

    let mut page = teacher.feed(None).await?;
    page.view::<TeacherView>("the page", |_| true).await?;
    teacher.post("/api/staff/sign-out", &json!({})).await?.done()?;
    assert_eq!(teacher.get("/api/classes").await?.code()?, ProblemCode::SignedOut);
    assert!(teacher.feed(None).await.is_err());
    anyone.sign_in("wang").await?.get("/api/classes").await?.done()
}

#[tokio::test]
async fn guessing_is_throttled() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    assert_eq!(anyone.post("/api/join", &json!({ "code": "123456" })).await?.code()?, ProblemCode::NoLesson);
    let code = teacher.start_lesson(3).await?;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let mut seen = Vec::new();
    for _ in 0..60 {
        let problem = anyone.post("/api/join", &json!({ "code": wrong })).await?.problem()?;
        seen.push(problem.code);
        if problem.code == ProblemCode::TooManyTries {
            assert!(problem.retry_after.is_some_and(|seconds| seconds > 0), "{problem:?}");
            break;
        }
    }
    assert_eq!(seen.last(), Some(&ProblemCode::TooManyTries), "{seen:?}");
    assert!(seen[..seen.len() - 1].iter().all(|code| *code == ProblemCode::WrongCode), "{seen:?}");
    assert!(seen.len() <= 30, "{} tries before a wait", seen.len());

    // Passwords: 5 failures, then a wait (R-DATA-6), whoever knocks.
    let knock = json!({ "account": "wang", "password": "not this one" });
    for _ in 0..5 {
        assert_eq!(anyone.post("/api/staff/sign-in", &knock).await?.code()?, ProblemCode::WrongPassword);
    }
    let problem = anyone.post("/api/staff/sign-in", &knock).await?.problem()?;
    assert_eq!(problem.code, ProblemCode::TooManyTries);
    assert!(problem.retry_after.is_some_and(|seconds| seconds > 600), "{problem:?}");
    // The person whose account it is comes from another address and is let in.
    let teacher = Caller::from(&hub.base(), Ipv4Addr::new(127, 0, 0, 9))?.sign_in("wang").await?;
    teacher.get("/api/classes").await?.done()?;
    assert_eq!(anyone.post("/api/staff/sign-in", &knock).await?.code()?, ProblemCode::TooManyTries);
    let unknown = json!({ "account": "nobody", "password": "not this one" });
    assert_eq!(anyone.post("/api/staff/sign-in", &unknown).await?.code()?, ProblemCode::WrongPassword);
    Ok(())
}

#[tokio::test]
async fn a_visitor_who_asks_to_be_paired_in_a_loop_does_not_push_out_the_panel() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let anyone = hub.anyone()?;
    let waiting: PairWaiting = anyone.post("/api/panel/pair", &json!({ "name": "螢幕" })).await?.json()?;
    let visitor = Caller::from(&hub.base(), Ipv4Addr::new(127, 0, 0, 9))?;
    let mut asked = 0;
    let problem = loop {
        let reply = visitor.post("/api/panel/pair", &json!({ "name": "x" })).await?;
        if !reply.status.is_success() {
            break reply.problem()?;
        }
        asked += 1;
        assert!(asked < 100, "a visitor may ask in a loop");
    };
    assert_eq!(problem.code, ProblemCode::TooManyTries);
    assert!(asked > 8 && problem.retry_after.is_some(), "{asked}: {problem:?}");
    let status = anyone.get(&format!("/api/panel/pair/{}", waiting.id)).await?.status;
    assert_eq!(status.as_u16(), 202, "the panel still waits");
    teacher.post("/api/panels", &json!({ "code": waiting.code })).await?.done()
}

#[tokio::test]
async fn panels_at_one_address_wait_side_by_side() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let anyone = hub.anyone()?;
    let mut waiting: Vec<PairWaiting> = Vec::new();
    for name in ["左", "右"] {
        waiting.push(anyone.post("/api/panel/pair", &json!({ "name": name })).await?.json()?);
    }
    for panel in &waiting {
        let status = anyone.get(&format!("/api/panel/pair/{}", panel.id)).await?.status;
        assert_eq!(status.as_u16(), 202, "both wait");
    }
    for panel in &waiting {
        teacher.post("/api/panels", &json!({ "code": panel.code })).await?.done()?;
        let done: Value = anyone.get(&format!("/api/panel/pair/{}", panel.id)).await?.json()?;
        assert!(done["token"].is_string(), "{done}");
    }
    Ok(())
}

#[tokio::test]
async fn who_takes_the_evidence_is_kept_in_the_audit() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let class = teacher.make_class(3).await?;
    let path = format!("/api/evidence.csv?class={class}&from=2026-01-01&to=2026-12-31");
    teacher.get(&path).await?.done()?;
    let lines: Value = teacher.get("/api/audit").await?.json()?;
    let line = lines.as_array().unwrap().iter().find(|line| line["action"] == "evidence-download");
    let line = line.unwrap_or_else(|| panic!("no line: {lines}"));
    assert_eq!((&line["who"], &line["detail"]["class"]), (&json!("王老師"), &json!(class)));
    Ok(())
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_with_a_code_of_the_boxs_console() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    let teacher = hub.teacher().await?;
    let invite = |account: &[&str]| -> Result<std::process::Output> {
        let mut command = std::process::Command::new(program("appliance")?);
        command.current_dir(hub.home()).arg("invite").args(account).args(["--config", "box.toml"]);
        Ok(command.env("LANG", "en_US.UTF-8").env_remove("LC_ALL").env_remove("LC_MESSAGES").output()?)
    };
    let code = |said: std::process::Output| -> String {
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let (_, rest) = text.split_once("One-time code: ").unwrap_or_else(|| panic!("{said:?}"));
        rest.lines().next().unwrap().to_owned()
    };
    assert!(!invite(&["nobody"])?.status.success());
    let again = code(invite(&["Wang"])?);
    let enter = async |account: &str, password: &str| {
        let body = json!({ "code": again, "account": account, "name": "x", "password": password });
        anyone.post("/api/staff/first-sign-in", &body).await
    };
    assert_eq!(enter("li", "battery correct horse").await?.code()?, ProblemCode::WrongCode, "for no other account");
    enter("wang", "battery correct horse").await?.done()?;
    assert_eq!(teacher.get("/api/classes").await?.code()?, ProblemCode::SignedOut, "the old sessions end");
    assert!(anyone.sign_in("wang").await.is_err(), "the old password is void");
    let new = json!({ "account": "wang", "password": "battery correct horse" });
    anyone.post("/api/staff/sign-in", &new).await?.done()?;
    assert_ne!(enter("wang", "third horse battery").await?.status.as_u16(), 204, "it works once");

    // A further account, when nobody is left who could invite.
    let chen = anyone.first_sign_in(&code(invite(&[])?), "chen", "陳老師").await?;
    let me: Value = chen.get("/api/staff/me").await?.json()?;
    assert_eq!(me["roles"], json!({ "teacher": true, "office": true }), "{me}");
    Ok(())
}
