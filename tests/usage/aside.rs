//! A database that can't be read is set aside and the box goes on with an empty one: every person who looks after it is
//! told, after each start, until one says that they know or the backup is back. On the real hub.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{PanelView, TeacherView, keeping::Keeping, view::RoomInfo};
use harness::{
    hub::{Hub, Options, program},
    people::Caller,
    wait::wait_for,
};

/// The name of the damage, what is done to the data folder.
type Damage = (&'static str, fn(&Path) -> Result<()>);

const DAMAGES: [Damage; 6] = [
    ("an empty file", |data| Ok(fs::write(data.join("box.db"), [])?)),
    ("truncated", |data| Ok(fs::File::options().write(true).open(data.join("box.db"))?.set_len(1000)?)),
    ("zeroed head", |data| over(data, 0)),
    ("garbage in the middle", |data| over(data, 4096 * 3)),
    ("no key", |data| Ok(fs::remove_file(data.join("store.key"))?)),
    ("another key", |data| Ok(fs::write(data.join("store.key"), [7; 32])?)),
];

fn over(data: &Path, from: usize) -> Result<()> {
    let path = data.join("box.db");
    let mut bytes = fs::read(&path)?;
    bytes[from..].iter_mut().take(4096).for_each(|byte| *byte = 0);
    Ok(fs::write(&path, bytes)?)
}

fn doctor(hub: &Hub) -> Result<(bool, String)> {
    let done = Command::new(program("appliance")?)
        .args(["doctor", "--config"])
        .arg(hub.home().join("box.toml"))
        .current_dir(hub.home())
        .env("LC_ALL", "en_US.UTF-8")
        .output()?;
    Ok((done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned()))
}

fn appliance(hub: &Hub, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program("appliance")?);
    command.args(arguments).arg("--config").arg(hub.home().join("box.toml")).current_dir(hub.home());
    let done = command.output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// The one-time code that the hub printed last.
fn newest_code(hub: &Hub) -> Result<String> {
    let log = hub.log();
    let (_, rest) = log.rsplit_once("/teach#code=").context("no link")?;
    Ok(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
}

async fn told(teacher: &Caller) -> Result<bool> {
    let answer: Keeping = teacher.get("/api/box/keeping").await?.json()?;
    let view: TeacherView = teacher.feed(None).await?.view("the room", |_| true).await?;
    ensure!(answer == view.keeping, "the office and the teacher are told the same: {answer:?} {:?}", view.keeping);
    Ok(answer.set_aside.is_some())
}

#[tokio::test]
async fn whatever_became_of_the_database_people_are_told_until_they_know() -> Result<()> {
    for (name, damage) in DAMAGES {
        let mut hub = Hub::start_with(Options { demo: true, ..Options::default() }).await?;
        hub.teacher().await?;
        let info: RoomInfo = hub.anyone()?.get("/api/room").await?.json()?;
        ensure!(!info.set_aside && !info.setup, "{name}");
        hub.stop()?;
        let data = hub.home().join("data");
        damage(&data).context(name)?;
        hub.again().await?;
        // Once more: the empty database is whole, and people do not know yet.
        for start in ["the first start", "the second start"] {
            let info: RoomInfo = hub.anyone()?.get("/api/room").await?.json()?;
            ensure!(info.set_aside && info.setup, "{name}, {start}: who can't sign in is told why");
            let lines = ["⚠", "box.db.damaged-", "appliance restore"];
            wait_for("the console", Duration::from_secs(5), async || {
                let log = hub.log();
                let newest = log.rsplit_once("/teach#code=").context("no link")?.1;
                ensure!(lines.iter().all(|line| newest.contains(line)), "{name}, {start}: the console says {newest}");
                Ok(())
            })
            .await?;
            let (well, said) = doctor(&hub)?;
            ensure!(!well && said.contains("box.db.damaged-"), "{name}, {start}: {said}");
            hub.restart().await?;
        }
        // Each start prints another code; the fourth one's is good.
        wait_for("the console", Duration::from_secs(5), async || {
            let codes = hub.log().matches("/teach#code=").count();
            ensure!(codes == 4, "{codes} codes");
            Ok(())
        })
        .await?;
        let teacher = hub.anyone()?.first_sign_in(&newest_code(&hub)?, "wang", "王老師").await?;
        ensure!(told(&teacher).await?, "{name}");
        let panel = hub.anyone()?.pair("前面的螢幕", &teacher).await?;
        let shown: PanelView = panel.feed(None).await?.view("the panel", |_| true).await?;
        ensure!(shown.notice.is_some(), "{name}: the panel says so while nothing is cast");
        let keeping: Keeping = teacher.get("/api/box/keeping").await?.json()?;
        let files = keeping.set_aside.context("told")?.files;
        ensure!(files.len() == 1 && hub.home().join(&files[0]).exists(), "{name}: {files:?}");

        teacher.delete("/api/box/set-aside").await?.done()?;
        ensure!(teacher.delete("/api/box/set-aside").await?.done().is_err(), "there is nothing more to know");
        ensure!(!told(&teacher).await?, "{name}");
        hub.restart().await?;
        ensure!(!told(&teacher).await?, "{name}: it stays known");
        ensure!(!doctor(&hub)?.1.contains("box.db.damaged-"), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_backup_comes_back_in_the_place_of_the_empty_database() -> Result<()> {
    let mut hub = Hub::start_with(Options { demo: true, ..Options::default() }).await?;
    let teacher = hub.teacher().await?;
    let (data, key) = (hub.home().join("data"), hub.home().join("kept-elsewhere.key"));
    fs::copy(data.join("store.key"), &key)?;
    appliance(&hub, &["backup", "backups"])?;
    hub.stop()?;
    fs::remove_file(data.join("store.key"))?;
    hub.again().await?;
    ensure!(teacher.get("/api/classes").await?.done().is_err(), "the account is not in the empty database");
    hub.stop()?;
    appliance(&hub, &["restore", "backups", "--key", &key.to_string_lossy()])?;
    hub.again().await?;
    let teacher = hub.anyone()?.sign_in("wang").await?;
    ensure!(!told(&teacher).await?, "the backup is back");
    let left: Vec<String> =
        fs::read_dir(&data)?.map(|e| Ok(e?.file_name().to_string_lossy().into())).collect::<Result<_>>()?;
    for begin in ["box.db.damaged-", "box.db.anew-", "store.key.anew-"] {
        ensure!(left.iter().any(|name| name.starts_with(begin)), "{begin} is kept: {left:?}");
    }
    Ok(())
}
