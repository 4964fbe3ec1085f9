//! A full disk is told to who asks, costs no lesson, and ends when there is room again. On a real file system that is full.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{TeacherCommand, TeacherView};
use harness::{
    hub::{Hub, Options},
    people::Caller,
    wait::wait_for,
};
use serde_json::Value;

use super::{Folder, TOKEN, import, opened};

/// A file system of its own, of this many KiB; needs root, as the network tests do.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(path: &Path, kib: u32) -> Result<Self> {
        fs::create_dir_all(path)?;
        let size = format!("size={kib}k");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status()?;
        ensure!(done.success(), "mount -t tmpfs: {done}");
        Ok(Self(path.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Records that wait, as the box's figures tell.
async fn waiting(operator: &Caller) -> Result<f64> {
    let text = operator.get("/metrics").await?.text();
    let line = text.lines().find(|line| line.starts_with("classroom_records_waiting ")).context("no such figure")?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_lesson_goes_on() -> Result<()> {
    let folder = Folder::new("disk")?;
    let token = folder.file("ops", TOKEN)?;
    let small = Small::mount(&folder.0.join("small"), 16 * 1024)?;
    let config = format!("[metrics]\nbearer_file = {token:?}\n");
    let mut hub = Hub::start_with(Options { demo: true, config, ..Options::default() }).await?;
    // The same box with its data on the small disk.
    let teacher = hub.teacher().await?;
    hub.stop()?;
    let data = small.0.join("data");
    let copied = Command::new("cp").arg("-a").arg(hub.home().join("data")).arg(&data).status()?;
    ensure!(copied.success());
    fs::remove_dir_all(hub.home().join("data"))?;
    std::os::unix::fs::symlink(&data, hub.home().join("data"))?;
    hub.again().await?;

    let operator = hub.anyone()?.bearer(TOKEN);
    let code = teacher.start_lesson(5).await?;
    let events = |from: usize| (from..from + 200).map(opened).collect::<Vec<Value>>();
    import(&operator, &events(0)).await?;
    let filler = small.0.join("filler");
    let mut bytes = vec![0u8; 64 * 1024 * 1024];
    // As much as there is room for.
    while fs::write(&filler, &bytes).is_err() && bytes.len() > 4096 {
        bytes.truncate(bytes.len() / 2);
    }
    let more = small.0.join("more");
    let _ = fs::write(&more, vec![0u8; 1024 * 1024 * 16]);
    let mut kept = 1;
    let refused = loop {
        match import(&operator, &events(kept * 200)).await {
            Ok(_) => kept += 1,
            Err(error) => break error.to_string(),
        }
        ensure!(kept < 200, "the disk never was full");
    };
    ensure!(refused.contains("500"), "{refused}");
    // The last free blocks: not even one record has room.
    let mut single = 0;
    let mut refused = 0;
    while refused < 3 {
        match import(&operator, &[opened(1_000_000 + single)]).await {
            Ok(_) => refused = 0,
            Err(_) => refused += 1,
        }
        single += 1;
        ensure!(single < 2000, "there is always room for one more");
    }
    hub.anyone()?.get("/healthz").await?.done()?;
    hub.anyone()?.join(&code, 2).await.context("the lesson goes on without the disk")?;
    ensure!(hub.log().contains("disk is full"), "and it is told");
    // What the lessons leave waits, and who teaches is told.
    let mut page = teacher.feed(None).await?;
    page.view("the notice", |view: &TeacherView| view.keeping.records_wait).await?;
    teacher.command(&TeacherCommand::EndLesson).await?;
    let classes: Vec<Value> = teacher.get("/api/classes").await?.json()?;
    let class = classes.last().and_then(|class| class["id"].as_i64()).context("a class")?;
    teacher.command(&TeacherCommand::StartLesson { class }).await?;
    teacher.command(&TeacherCommand::EndLesson).await?;
    let health = hub.anyone()?.get("/healthz").await?;
    health.done()?;
    ensure!(health.text().contains("records wait"), "{}", health.text());
    ensure!(waiting(&operator).await? >= 3.0, "an end, a beginning and an end");

    fs::remove_file(&filler)?;
    fs::remove_file(&more)?;
    ensure!(import(&operator, &events(kept * 200)).await? == 200, "there is room again: the same delivery is kept");
    wait_for("the records to be written", Duration::from_secs(20), async || {
        ensure!(waiting(&operator).await? == 0.0);
        Ok(())
    })
    .await?;
    page.view("the notice to go", |view: &TeacherView| !view.keeping.records_wait).await?;
    let day = "from=2026-01-01&to=2099-12-31";
    let evidence = teacher.get(&format!("/api/evidence.csv?class={class}&{day}")).await?;
    let text = evidence.text();
    let lessons: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    ensure!(lessons.len() == 2, "both lessons are there: {text}");
    ensure!(lessons.iter().all(|cells| !cells[1].is_empty() && !cells[2].is_empty()), "with their ends: {text}");
    hub.restart().await?;
    let again = hub.anyone()?.sign_in("wang").await?.get(&format!("/api/evidence.csv?class={class}&{day}")).await?;
    ensure!(again.text() == text, "on the disk");
    let state: Value = operator.get("/api/usage/upstream").await?.json()?;
    ensure!(state["waiting"].as_u64() >= Some((kept as u64 + 1) * 200), "what was acknowledged is there: {state}");
    Ok(())
}
