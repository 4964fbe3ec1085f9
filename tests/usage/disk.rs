//! A full disk is told to who asks, costs no lesson, and ends when there is room again. On a real file system that is full.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use harness::hub::{Hub, Options};
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
    hub.anyone()?.get("/healthz").await?.done()?;
    hub.anyone()?.join(&code, 2).await.context("the lesson goes on without the disk")?;
    ensure!(hub.log().contains("disk is full"), "and it is told");

    fs::remove_file(&filler)?;
    fs::remove_file(&more)?;
    ensure!(import(&operator, &events(kept * 200)).await? == 200, "there is room again: the same delivery is kept");
    let state: Value = operator.get("/api/usage/upstream").await?.json()?;
    ensure!(state["waiting"].as_u64() >= Some((kept as u64 + 1) * 200), "what was acknowledged is there: {state}");
    Ok(())
}
