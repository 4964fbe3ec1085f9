//! Who took part from home stands in the lesson's record, for its teacher (R-LIVE-1).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use classroom_protocol::{
    HomeCommand, HomeView, ProblemCode, TeacherCommand, TeacherView,
    view::{HomeLink, HomePass},
};
use harness::{hub::Hub, people::Caller, wait::wait_for};
use serde_json::{Value, json};

const LONG: &str = "林莎瓦·巴魯·阿里夫·Tjuljaviya Ljavuras Pakedavai";
const FORMULA: &str = "=HYPERLINK(\"http://x\")";

async fn at_home(teacher: &Caller, seat: u8) -> Result<Caller> {
    let link: HomeLink = teacher.post(&format!("/api/seats/{seat}/home-link"), &json!({})).await?.json()?;
    let (_, token) = link.url.split_once("/home#link=").context("a link to /home")?;
    let pass: HomePass = teacher.bearer(token).post("/api/home/join", &json!({ "take_over": false })).await?.json()?;
    Ok(teacher.bearer(pass.token))
}

#[tokio::test]
async fn the_lessons_teacher_sees_who_was_there_from_home_and_nobody_else_does() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let other = hub.another_teacher(&teacher).await?;
    let names = ["學生一", LONG, FORMULA];
    let students: Vec<Value> = (1..).zip(names).map(|(n, name)| json!({ "seat": n, "name": name })).collect();
    let made = teacher.post("/api/classes", &json!({ "name": "五年三班", "students": students })).await?;
    let class = made.json::<Value>()?["id"].as_i64().context("the class")?;
    let days = format!("class={class}&from=2026-01-01&to=2099-12-31");
    let asked = format!("/api/attendance?{days}");
    let list = async |who: &Caller| who.get(&asked).await?.json::<Vec<Value>>();
    ensure!(list(&teacher).await?.is_empty());

    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    let mut desk = teacher.feed(None).await?;
    let there = |n: usize| {
        move |view: &TeacherView| view.seats.iter().filter(|s| s.home.as_ref().is_some_and(|h| h.online)).count() == n
    };
    let mut feeds = Vec::new();
    let mut callers = Vec::new();
    for seat in [3, 1, 2] {
        let student = at_home(&teacher, seat).await?;
        let mut feed = student.feed(None).await?;
        feed.view::<HomeView>("the lesson", |_| true).await?;
        feeds.push(feed);
        callers.push(student);
    }
    desk.view("three at home", there(3)).await?;
    let running = wait_for("the record", Duration::from_secs(5), async || {
        let found = list(&teacher).await?;
        ensure!(found.len() == 1 && found[0]["students"].as_array().is_some_and(|all| all.len() == 3), "{found:?}");
        Ok(found)
    })
    .await?;
    ensure!(running[0]["ended_at"].is_null() && running[0]["students"][0]["times"][0]["to"].is_null(), "{running:?}");
    // The first leaves and comes back once.
    let gone = &callers[1];
    gone.post("/api/home/command", &HomeCommand::Leave).await?.done()?;
    let again = at_home(&teacher, 1).await?;
    let mut feed = again.feed(None).await?;
    feed.view::<HomeView>("the lesson once more", |_| true).await?;
    desk.view("three again", there(3)).await?;
    teacher.command(&TeacherCommand::EndLesson).await?;

    let ended = wait_for("the whole record", Duration::from_secs(5), async || {
        let found = list(&teacher).await?;
        let students = found.first().and_then(|lesson| lesson["students"].as_array()).context("students")?;
        let times = || students.iter().flat_map(|student| student["times"].as_array().into_iter().flatten());
        ensure!(times().count() == 4 && times().all(|time| time["to"].is_u64()), "{found:?}");
        Ok(found)
    })
    .await?;
    let lesson = &ended[0];
    let told: Vec<_> = lesson["students"].as_array().into_iter().flatten().map(|s| s["name"].as_str()).collect();
    ensure!(told == names.map(Some), "by seat: {lesson}");
    ensure!(lesson["teacher"] == "王老師" && lesson["ended_at"].is_u64() && lesson["class_name"] == "五年三班");

    for (lang, heading) in
        [("zh-Hant-TW", "班級,上課,下課,教師,座號,姓名,進入,離開,分鐘"), ("en", "Class,Lesson began")]
    {
        let file = teacher.get(&format!("/api/attendance.csv?{days}&lang={lang}")).await?;
        file.done()?;
        let text = file.text();
        ensure!(text.starts_with(&format!("\u{feff}{heading}")), "{text}");
        ensure!(text.lines().count() == 5 && text.contains(LONG), "{text}");
        ensure!(text.contains("'=HYPERLINK") && !text.contains(",=") && !text.contains(",\"="), "{text}");
    }
    ensure!(list(&other).await?.is_empty(), "another teacher's lessons are not shown");
    let file = other.get(&format!("/api/attendance.csv?{days}")).await?.text();
    ensure!(file.lines().count() == 1 && !file.contains("學生一"), "{file}");
    for wrong in ["class=1", &format!("{days}&lang=de"), &days.replace("2026-01-01", "gestern")] {
        ensure!(teacher.get(&format!("/api/attendance?{wrong}")).await?.code()? == ProblemCode::BadInput, "{wrong}");
    }
    Ok(())
}
