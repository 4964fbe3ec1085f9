//! R-DATA-1 on a box that had a database without encryption: it becomes an encrypted one at the next start, and a box that
//! is killed while that happens loses nothing.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{hub::program, ports, proc::Owned, wait::wait_for};
use nix::sys::signal::Signal;
use rusqlite::Connection;

use super::Folder;

const ROWS: u32 = 60_000;
const KILLS: u32 = 30;
const NAME: &str = "司馬光-小明";

fn plain(path: &Path) -> Result<()> {
    let mut db = Connection::open(path)?;
    db.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    let make = db.transaction()?;
    make.execute_batch(include_str!("../../appliance/src/store/migrations/0001_first.sql"))?;
    make.pragma_update(None, "user_version", 1)?;
    for n in 1..=ROWS {
        make.execute("INSERT INTO class (name) VALUES (?1)", [format!("{NAME} {n} {}", "一".repeat(60))])?;
    }
    Ok(make.commit()?)
}

#[tokio::test]
async fn a_box_killed_while_it_encrypts_loses_nothing() -> Result<()> {
    let folder = Folder::new("encrypt")?;
    let data = folder.0.join("data");
    fs::create_dir_all(&data)?;
    plain(&data.join("box.db"))?;
    let (http, media) = (ports::free()?, ports::free()?);
    let config = folder.file(
        "box.toml",
        &format!(
            "[http]\nlisten = [\"127.0.0.1:{http}\"]\n[media]\nudp = \"127.0.0.1:{media}\"\ntcp = \"127.0.0.1:{media}\"\n\
             [store]\npath = {data:?}\n[discovery]\nmdns = false\n"
        ),
    )?;
    let log = fs::File::create(folder.0.join("log"))?;
    let start = || -> Result<Owned> {
        let (first, second) = (log.try_clone()?, log.try_clone()?);
        Owned::spawn(program("appliance")?, |command| {
            command.arg("serve").arg("--config").arg(&config).stdout(first).stderr(second);
        })
    };
    let (mut killed, began) = (0, Instant::now());
    for n in 0..KILLS {
        let mut hub = start()?;
        // Each a little later than the one before, from the first moments to the end of the copy.
        let until = Instant::now() + Duration::from_millis(u64::from(n) * 12 + 5);
        wait_for("the moment to kill", Duration::from_secs(5), async || {
            ensure!(Instant::now() >= until);
            Ok(())
        })
        .await?;
        killed += u32::from(hub.running());
        hub.signal(Signal::SIGKILL)?;
        let _ = hub.child().wait();
    }
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let mut hub = start()?;
    wait_for("the hub to serve", Duration::from_secs(30), async || {
        client.get(format!("http://127.0.0.1:{http}/healthz")).send().await?.error_for_status()
    })
    .await?;
    ensure!(hub.terminate(Duration::from_secs(10)), "it ends");
    for entry in fs::read_dir(&data)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        ensure!(!name.contains("damaged") && !name.contains("encrypting"), "{name} is left");
        // The folders hold rules and content, no rows of the database.
        if path.is_dir() {
            continue;
        }
        let bytes = fs::read(&path)?;
        ensure!(!bytes.windows(NAME.len()).any(|window| window == NAME.as_bytes()), "{name} can be read");
    }
    let done = Command::new(program("appliance")?)
        .arg("backup")
        .arg(folder.0.join("b"))
        .arg("--config")
        .arg(&config)
        .output()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let line = said.lines().find(|line| line.ends_with("  class")).context(said.clone())?;
    ensure!(line.trim().starts_with(&format!("{ROWS} ")), "{line}");
    #[expect(clippy::print_stdout, reason = "the proof's figures")]
    {
        println!(
            "{ROWS} rows encrypted in place, killed {killed} times on the way: all there; {:.1?}",
            began.elapsed()
        );
    }
    Ok(())
}
