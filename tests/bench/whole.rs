//! Family `box`: what everything that runs on a box takes of its memory while a lesson is on.
//!
//! Hub, resolver with a list of a million names, studio, the panel's window and the tunnel, as on the box; around them, on
//! networks of their own, a class of which four cast, a student at home, and a video that all of them open.

use std::{
    fs,
    io::{BufWriter, Write as _},
    net::{IpAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{Seat, StudentCommand, StudentView, TeacherCommand, TeacherView};
use futures_util::future::try_join_all;
use harness::{
    clip::Clip,
    home::{self, Student as AtHome},
    hub::{Hub, Options, program},
    load::Publisher,
    netns::{Lan, Ns, Tasks},
    origin::{Origin, noise},
    outside::{Outside, logged},
    panel::Panel,
    people::{Caller, Student},
    proc::{Memory, memory},
    resolver::{NameServer, Resolver},
    wait::wait_for_blocking,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Settings, memory::jpeg, report::Row};

/// The smallest board that is sold with what we need has 2 GB; half of it is for the system and its cache of files.
const GOAL: f64 = 1000.0;
const BOX: u8 = 1;
const CLASS: u8 = 10;
const NAMES_ABOVE: u8 = 20;
const STUDENTS: u8 = 35;
const CASTS: u8 = 4;
const SEAT_AT_HOME: u8 = 36;
const LISTED: u32 = 1_000_000;
const QUESTIONS: u16 = 2_000;
const VIDEO: usize = 20_000_000;
/// Rounds of thumbnails, one each three seconds.
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// `box.memory`.
pub(crate) fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if !settings.wants("box.memory") {
        return;
    }
    let (mut ours, mut notes) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        match one() {
            Ok((megabytes, parts)) => {
                ours.push(megabytes);
                notes.push(parts);
            }
            Err(error) => notes.push(format!("{error:#}")),
        }
    }
    let told = "resident, what two programs share counted in each; without the system and its compositor".to_owned();
    let note = [vec![told], notes].concat().join(" | ");
    rows.push(Row::alone(("box.memory", "MB"), &ours, GOAL, &note));
}

/// Megabytes in all, and of which program.
fn one() -> Result<(f64, String)> {
    let lan = Lan::new()?;
    let (hub_ns, class_ns) = (lan.machine("hub", BOX)?, lan.machine("class", CLASS)?);
    let names_ns = lan.machine("names", NAMES_ABOVE)?;
    let above = Lan::address(NAMES_ABOVE);
    let _above = NameServer::start(&names_ns, above, above, 3600)?;
    let outside = Outside::new(&lan)?;
    let origin_at = hub_ns.tasks()?;
    let origin = origin_at.run(Origin::start())?;
    origin.put_bytes("/lesson.mp4", noise(1, VIDEO), "\"a\"");

    // The box.
    let at = Lan::address(BOX);
    let config = format!(
        "{}[resolver]\nlisten = [\"{at}:53\"]\nupstream = [\"{above}:53\"]\n[policy]\nportal = [\"{at}:80\"]\n\
         [agents]\nlisten = [\"{at}:8442\"]\n[library]\nprivate_hosts = [\"{}\"]\nnight_mb = 0\n",
        outside.box_config(),
        origin.host()
    );
    let (hub, teacher, code, panel) = hub_ns.block_on(|| async {
        let hub = Hub::start_with(Options { mdns: true, config, ..Options::inside(&hub_ns, at) }).await?;
        let teacher = hub.teacher().await?;
        let code = teacher.start_lesson(SEAT_AT_HOME).await?;
        let panel = Panel::start(&hub, &teacher, Some(hub_ns.name())).await?;
        anyhow::Ok((hub, teacher, code, panel))
    })??;
    list(&hub)?;
    let resolver = Resolver::start(&hub_ns, hub.home())?;
    let key = hub.home().join("data/studio-key").display().to_string();
    let studio = ["--hub", "http://127.0.0.1:8080", "--key-file", &key, "--video=test", "--audio=test"];
    let studio = logged(&hub_ns, outside.folder(), "studio.log", program("studio")?, &studio)?;
    let tunnel = outside.tunnel(&hub_ns)?;
    wait_for_blocking("the tunnel", PATIENCE, || outside.reaches_the_room())?;

    // The lesson.
    let tasks = class_ns.tasks()?;
    let class = Arc::new(class(&tasks, &hub, &code)?);
    let _casts = cast(&hub_ns, &tasks, &teacher, &class)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let link = hub_ns.block_on(|| home::link(&teacher, SEAT_AT_HOME))??;
    let at_home: AtHome = runtime.block_on(outside.student(&hub, &link, (1280, 800)))?;
    runtime.block_on(at_home.enter())?;
    // Four casts stand on the panel; the first of them is what homes see.
    ask_for_names(&class_ns)?;
    watch(&hub_ns, &tasks, &teacher, &class, &origin.url("/lesson.mp4"))?;
    thumbnails(&tasks, &class)?;

    let all_there = |view: &TeacherView| {
        let pictures = view.seats.iter().filter(|seat| seat.thumbnail.is_some()).count();
        view.room_live
            && view.marks.live
            && pictures == usize::from(STUDENTS)
            && view.panels.iter().all(|panel| panel.online && panel.lost.is_empty())
            && view.stage.tiles.iter().flatten().filter(|tile| tile.live).count() == usize::from(CASTS)
    };
    hub_ns.block_on(|| async { teacher.feed(None).await?.view("everything to be there", all_there).await })??;
    outside.reaches_the_room()?;
    let ssh = tunnel.pid()?;
    let parts = [
        ("hub", hub.pid()),
        ("resolver", resolver.pid()),
        ("studio", studio.pid()),
        ("panel", panel.pid()),
        ("tunnel", ssh),
    ];
    let parts = parts.into_iter().map(|(name, pid)| Ok((name, memory(pid)?))).collect::<Result<Vec<_>>>()?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let each = |(name, taken): &(&str, Memory)| format!("{name} {:.0}", megabytes(taken.resident));
    let told = parts.iter().map(each).collect::<Vec<_>>().join(", ");
    Ok((megabytes(parts.iter().map(|(_, taken)| taken.resident).sum()), told))
}

/// The list of a million names.
fn list(hub: &Hub) -> Result<()> {
    let lists = hub.home().join("data/policy/lists");
    fs::create_dir_all(&lists)?;
    let mut file = BufWriter::new(fs::File::create(lists.join("new"))?);
    for n in 0..LISTED {
        writeln!(file, "site-{n}.listed.example")?;
    }
    file.flush()?;
    Ok(fs::rename(lists.join("new"), lists.join("games.domains"))?)
}

/// Everyone sits, with the page open.
fn class(tasks: &Tasks, hub: &Hub, code: &str) -> Result<Vec<Student>> {
    let (far, code) = (hub.anyone_far()?, code.to_owned());
    tasks.run(async move {
        let students = try_join_all((1..=STUDENTS).map(|seat| far.join(&code, seat))).await?;
        for student in &students {
            let mut page = student.caller.feed(None).await?;
            // Open until the end.
            drop(tokio::spawn(async move { while page.next::<StudentView>().await.is_ok() {} }));
            student.caller.ask(StudentCommand::Ask).await?;
        }
        Ok(students)
    })
}

/// The first seats cast, side by side on the panel.
fn cast(hub_ns: &Ns, tasks: &Tasks, teacher: &Caller, class: &Arc<Vec<Student>>) -> Result<Vec<Publisher>> {
    let clip = Clip::encode(1280, 720, 1500)?;
    hub_ns.block_on(|| async {
        teacher.command(&TeacherCommand::Layout { tiles: CASTS }).await?;
        for seat in 1..=CASTS {
            let source = Seat::try_from(seat)?.source();
            teacher.command(&TeacherCommand::Show { source, tile: None }).await?;
        }
        anyhow::Ok(())
    })??;
    let class = Arc::clone(class);
    tasks.run(async move {
        let mut casts = Vec::new();
        for student in class.iter().take(CASTS.into()) {
            let path = format!("/whip/{}", student.source);
            let address = IpAddr::V4(Lan::address(CLASS));
            casts.push(Publisher::start(&student.caller, &path, clip.clone(), address).await?);
        }
        Ok(casts)
    })
}

/// Names that a class asks for: every fourth is listed.
fn ask_for_names(class_ns: &Ns) -> Result<()> {
    let socket = class_ns.enter(|| UdpSocket::bind((Lan::address(CLASS), 0)))??;
    socket.connect((Lan::address(BOX), 53))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (mut question, mut answer) = (Vec::new(), [0; 1500]);
    let mut refused = |n: u16, name: &str| -> Result<bool> {
        crate::policy::ask(&mut question, n, name);
        socket.send(&question)?;
        let size = socket.recv(&mut answer).with_context(|| name.to_owned())?;
        Ok(crate::policy::refused(&answer[..size], Lan::address(BOX)))
    };
    wait_for_blocking("the list to be loaded", PATIENCE, || {
        ensure!(refused(0, &format!("site-{}.listed.example", LISTED - 1))?, "not yet");
        anyhow::Ok(())
    })?;
    for n in 0..QUESTIONS {
        let listed = n % 4 == 0;
        let name = if listed { format!("site-{n}.listed.example") } else { format!("name-{n}.example") };
        ensure!(refused(n, &name)? == listed, "{name}");
    }
    Ok(())
}

/// The whole class opens a video that the box does not have yet.
fn watch(hub_ns: &Ns, tasks: &Tasks, teacher: &Caller, class: &Arc<Vec<Student>>, url: &str) -> Result<()> {
    let body = json!({ "url": url, "tonight": false });
    let pinned: Value = hub_ns.block_on(|| async { teacher.post("/api/library/pins", &body).await?.json() })??;
    let open = pinned["open"].as_str().context("its address")?.to_owned();
    let class = Arc::clone(class);
    tasks.run(async move {
        let readers = class.iter().map(|student| async {
            let mut response = student.caller.request(Method::GET, &open).timeout(PATIENCE).send().await?;
            let mut came = 0;
            while let Some(chunk) = response.chunk().await? {
                came += chunk.len();
            }
            ensure!(came == VIDEO, "{came} bytes came");
            anyhow::Ok(())
        });
        try_join_all(readers).await.map(drop)
    })
}

/// Everyone's small picture, again and again.
fn thumbnails(tasks: &Tasks, class: &Arc<Vec<Student>>) -> Result<()> {
    let (picture, class) = (jpeg()?, Arc::clone(class));
    tasks.run(async move {
        let mut rounds = tokio::time::interval(Duration::from_secs(3));
        for _ in 0..ROUNDS {
            rounds.tick().await;
            for student in class.iter() {
                let put = student.caller.request(Method::PUT, "/api/student/thumbnail");
                let put = put.header("content-type", "image/jpeg").body(picture.clone());
                student.caller.send(put).await?.done()?;
            }
        }
        Ok(())
    })
}
