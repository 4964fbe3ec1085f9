//! R-DATA-5: a backup beside a working box, restored into an empty folder, counted and used.

use std::{os::unix::fs::MetadataExt, path::Path, process::Command};

use anyhow::{Result, ensure};
use harness::hub::{Hub, Options, program};
use serde_json::Value;

use super::{Folder, TOKEN, import, opened};

fn appliance(arguments: &[&str], paths: &[&Path]) -> Result<(bool, String)> {
    let done = Command::new(program("appliance")?).args(arguments).args(paths).output()?;
    let said = [done.stdout, done.stderr].concat();
    Ok((done.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// Rows of a table as `appliance backup` and `appliance restore` print them.
fn rows(printed: &str, table: &str) -> Option<u64> {
    let line = printed.lines().find(|line| line.split_whitespace().nth(1) == Some(table))?;
    line.split_whitespace().next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_made_restored_and_counted() -> Result<()> {
    let folder = Folder::new("backup")?;
    let token = folder.file("ops", TOKEN)?;
    let config = format!("[metrics]\nbearer_file = {token:?}\n");
    let hub = Hub::start_with(Options { demo: true, config, ..Options::default() }).await?;
    let operator = hub.anyone()?.bearer(TOKEN);
    let load = |from: usize| (from..from + 500).map(opened).collect::<Vec<Value>>();
    import(&operator, &load(0)).await?;
    let (backups, there) = (folder.0.join("backups"), folder.0.join("there"));
    let hub_toml = hub.home().join("box.toml");
    // Taken while the box takes more events.
    let (busy, taken) = tokio::join!(
        async {
            for n in 1..10 {
                import(&operator, &load(n * 500)).await?;
            }
            anyhow::Ok(())
        },
        tokio::task::spawn_blocking({
            let (backups, hub_toml) = (backups.clone(), hub_toml.clone());
            move || appliance(&["backup"], &[&backups, Path::new("--config"), &hub_toml])
        })
    );
    busy?;
    let (good, said) = taken??;
    ensure!(good, "{said}");
    let counted = rows(&said, "usage_event").unwrap_or_default();
    ensure!((500..=5000).contains(&counted) && rows(&said, "outbox") == Some(counted), "of one moment: {said}");
    ensure!(rows(&said, "student") == Some(30), "{said}");

    let other = folder.file("other.toml", &format!("[store]\npath = {there:?}\n[demo]\nclass = false\n"))?;
    let key = hub.home().join("data/store.key");
    let to = [Path::new("--key"), &key, Path::new("--config"), &other];
    let (good, told) = appliance(&["restore", &backups.to_string_lossy()], &to)?;
    ensure!(good && rows(&told, "usage_event") == Some(counted) && rows(&told, "student") == Some(30), "{told}");
    let (good, told) = appliance(&["restore", &backups.to_string_lossy()], &to)?;
    ensure!(!good, "a folder that holds a database is not overwritten: {told}");
    let wrong = folder.file("wrong.key", &"x".repeat(32))?;
    let empty = folder.file("empty.toml", &format!("[store]\npath = {:?}\n", folder.0.join("empty")))?;
    let to = [Path::new("--key"), &wrong, Path::new("--config"), &empty];
    let (good, told) = appliance(&["restore", &backups.to_string_lossy()], &to)?;
    ensure!(!good && told.contains("damaged"), "a wrong key opens nothing: {told}");
    #[expect(clippy::print_stdout, reason = "the proof's figures")]
    {
        println!("backup of a working box: {counted} events and 30 students, restored and counted the same");
    }
    Ok(())
}

/// A backup is brought back by root; the hub is user `classroom` and must be able to read all of it.
#[tokio::test]
async fn what_root_brings_back_belongs_to_the_owner_of_the_folder() -> Result<()> {
    const OWNER: u32 = 54_321;
    let folder = Folder::new("owner")?;
    let mut hub = Hub::start_with(Options { demo: true, ..Options::default() }).await?;
    hub.stop()?;
    let (data, backups, there) = (hub.home().join("data"), folder.0.join("backups"), folder.0.join("there"));
    std::fs::create_dir_all(data.join("policy/lists"))?;
    std::fs::write(data.join("policy/lists/games.hosts"), "games.example\n")?;
    let toml = hub.home().join("own.toml");
    std::fs::write(&toml, format!("[store]\npath = {data:?}\n"))?;
    let (good, said) = appliance(&["backup"], &[&backups, Path::new("--config"), &toml])?;
    ensure!(good, "{said}");
    std::fs::create_dir(&there)?;
    std::os::unix::fs::chown(&there, Some(OWNER), Some(OWNER))?;
    let other = folder.file("other.toml", &format!("[store]\npath = {there:?}\n"))?;
    let to = [Path::new("--key"), &data.join("store.key"), Path::new("--config"), &other];
    let (good, said) = appliance(&["restore", &backups.to_string_lossy()], &to)?;
    ensure!(good, "{said}");
    let mut looked = 0;
    let mut folders = vec![there];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let (path, meta) = (entry.as_ref().map(|e| e.path()).unwrap_or_default(), entry?.metadata()?);
            ensure!((meta.uid(), meta.gid()) == (OWNER, OWNER), "{} belongs to {}", path.display(), meta.uid());
            looked += 1;
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    ensure!(looked >= 8, "box.db, box.lock, the keys, policy/, lists/, the list: {looked}");
    Ok(())
}
