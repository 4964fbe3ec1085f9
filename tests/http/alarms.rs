//! A student tells of a bad site with one tap; the teacher of the lesson and the office see it and take note (R-POL-19).

use anyhow::{Result, ensure};
use classroom_protocol::{ProblemCode, TeacherView};
use harness::{hub::Hub, people::Caller};
use serde_json::{Value, json};

async fn view(teacher: &Caller, what: &str, fits: impl Fn(&TeacherView) -> bool) -> Result<TeacherView> {
    teacher.feed(None).await?.view(what, fits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_student_tells_of_a_bad_site_and_the_teacher_takes_note() -> Result<()> {
    let mut hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let other = hub.another_teacher(&teacher).await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 2).await?;
    for _ in 0..3 {
        student.caller.post("/api/student/report", &json!({})).await?.done()?;
    }
    view(&teacher, "the report at once", |view| !view.reports.is_empty()).await?;
    // In order, so that the lesson, which is written a tenth of a second later, is there again as well.
    hub.restart().await?;
    let told = view(&teacher, "the report", |view| !view.reports.is_empty()).await?;
    // One, or two when a minute ended between the taps.
    ensure!(told.reports.len() <= 2, "{:?}", told.reports);
    let name = told.seats.iter().find(|seat| seat.seat == student.seat).map(|seat| seat.name.clone());
    for report in &told.reports {
        ensure!(report.seat == student.seat && Some(&report.name) == name.as_ref() && !report.home, "{report:?}");
    }
    let others = view(&other, "the room", |view| view.lesson.is_some()).await?;
    ensure!(others.reports.is_empty(), "not the own lesson: {:?}", others.reports);

    let seen = |id: i64| format!("/api/reports/{id}/seen");
    for report in &told.reports {
        let refused = other.post(&seen(report.id), &json!({})).await?.problem()?;
        ensure!(refused.code == ProblemCode::NotHolder, "{refused:?}");
    }
    let refused = teacher.post(&seen(999_999), &json!({})).await?.problem()?;
    ensure!(refused.code == ProblemCode::NotFound, "{refused:?}");
    for report in &told.reports {
        teacher.post(&seen(report.id), &json!({})).await?.done()?;
    }
    view(&teacher, "nothing more to tell", |view| view.reports.is_empty()).await?;

    // The office sees what was told and who took note; the audit, too.
    let listed: Value = teacher.get("/api/school/alarms").await?.json()?;
    let first = &listed[0];
    ensure!(first["kind"] == "reported-site" && first["seat"] == 2 && first["name"] == json!(name), "{listed}");
    ensure!(first["seen"]["by"] == told.you && first["place"] == "school", "{listed}");
    let audit: Value = teacher.get("/api/audit").await?.json()?;
    ensure!(audit.to_string().contains("alarm-seen"), "{audit}");
    Ok(())
}
