//! The classroom and everything around it, as it stands before the first lesson.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use appliance_core::calendar::day_and_hour;
use classroom_protocol::{Seat, TeacherCommand, TeacherView};
use harness::{
    device::Device,
    home::{self, Student as AtHome},
    hub::{Hub, Options},
    load::Publisher,
    netns::{Lan, Ns, Tasks, cable},
    outside::{Outside, Tunnel},
    pages::Page,
    panel::Panel,
    people::{Caller, Student},
    proc::Owned,
    resolver::{AsksAt, NameServer, Resolver, dig},
    studio,
    wait::{wait_for, wait_for_blocking},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    timetable::note,
    world::{self, World},
};

/// Numbers of the machines on the school's network.
const BOX: u8 = 1;
const PANEL: u8 = 2;
pub(crate) const CLASS: u8 = 10;
const TABLET: u8 = 11;
const DEVICE: u8 = 12;
/// The take-home device's home.
pub(crate) const ROUTER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 168, 5, 1);
const AT_HOME: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 168, 5, 2);
/// Who sits where: the tablet that is a real browser, the student at home; the other 38 are load clients.
pub(crate) const SEAT_OF_TABLET: u8 = 7;
pub(crate) const SEAT_AT_HOME: u8 = 40;
/// Whose cast comes from a load client, on the machine of the whole class.
pub(crate) const SEAT_OF_CLIP: u8 = 3;
pub(crate) const SEATS: u8 = 40;
/// A busy machine: browsers, an encoder and a panel share two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The office's list of devices, and to which seats they are lent.
const LENT: &str = "機型,MAC\niPad,ac:de:48:00:00:01\niPad,ac:de:48:00:00:02\niPad,ac:de:48:00:00:03\n";
const LENT_TO: [u8; 3] = [1, 2, SEAT_OF_TABLET];
const TOKEN: &str = "operators-only-0123456789abcdef";

/// The order of the fields is the order in which it is taken down.
pub(crate) struct Classroom {
    /// The day went well; else the programs' last words are printed.
    pub(crate) well: bool,
    pub(crate) at_home: Option<AtHome>,
    pub(crate) tablet: Option<Page>,
    pub(crate) casts: Vec<Publisher>,
    pub(crate) students: Vec<Student>,
    pub(crate) tasks: Tasks,
    /// Where the browsers' drivers are.
    pub(crate) runtime: Runtime,
    pub(crate) device: Device,
    _house_names: NameServer,
    _tunnel: Tunnel,
    _studio: Owned,
    pub(crate) panel: Panel,
    pub(crate) resolver: Resolver,
    pub(crate) hub: Hub,
    pub(crate) teacher: Caller,
    pub(crate) operator: Caller,
    pub(crate) class: i64,
    /// When everyone sat.
    pub(crate) began: Instant,
    pub(crate) code: String,
    /// Address of the pinned video's content.
    pub(crate) video: String,
    /// What the panel plays.
    pub(crate) heard: PathBuf,
    pub(crate) world: World,
    pub(crate) outside: Outside,
    _asks: AsksAt,
    pub(crate) tablet_ns: Ns,
    _class_ns: Ns,
    _house: Ns,
    _panel_ns: Ns,
    pub(crate) hub_ns: Ns,
    pub(crate) lan: Lan,
}

/// The student of a seat: number and name.
pub(crate) fn student(seat: u8) -> (String, String) {
    const FAMILY: [&str; 8] = ["王", "李", "張", "劉", "陳", "楊", "黃", "趙"];
    const GIVEN: [&str; 5] = ["小明", "美華", "家豪", "怡君", "志偉"];
    let (row, column) = (usize::from(seat - 1) / 8, usize::from(seat - 1) % 8);
    let name = match seat {
        // Names as they are, not as a form would like them.
        9 => "谷辣斯·尤達卡．撒云·諾命（Kolas Yotaka）".to_owned(),
        _ => format!("{}{}", FAMILY[column], GIVEN[row]),
    };
    (format!("1150{seat:02}"), name)
}

/// Lines of `box.toml` for the night's hours: from this hour for two hours.
pub(crate) fn night(from: u8) -> String {
    format!("night_from = {}\nnight_to = {}\n", from % 24, (from + 2) % 24)
}

/// The hour on the school's clock.
pub(crate) fn hour() -> u8 {
    day_and_hour(now()).1
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

impl Classroom {
    /// 07:50.
    pub(crate) fn opens() -> Result<Self> {
        // The networks and what is outside.
        let lan = Lan::new()?;
        let (hub_ns, panel_ns) = (lan.machine("hub", BOX)?, lan.machine("panel", PANEL)?);
        let (class_ns, tablet_ns) = (lan.machine("class", CLASS)?, lan.machine("tablet", TABLET)?);
        let outside = Outside::new(&lan)?;
        let world = World::new(&outside.internet)?;
        let asks = AsksAt::new(&tablet_ns, Lan::address(BOX))?;
        let device = Device::new(&lan, DEVICE, Lan::address(BOX))?;
        let house = Ns::new("house")?;
        cable(&device.ns, "eth1", AT_HOME, &house, "eth0", ROUTER)?;
        device.ns.ip("link set eth1 down")?;
        let house_names = NameServer::start(&house, ROUTER, world::AT, 3600)?;

        // The box and the programs beside it.
        let config = config(&outside, &world)?;
        let heard = outside.folder().join("heard.raw");
        let (hub, teacher, panel) = hub_ns.block_on(|| async {
            let options = Options { mdns: true, config, ..Options::inside(&hub_ns, Lan::address(BOX)) };
            let hub = Hub::start_with(options).await?;
            let teacher = hub.teacher().await?;
            let panel = Panel::start_heard(&hub, &teacher, Some(panel_ns.name()), &heard).await?;
            anyhow::Ok((hub, teacher, panel))
        })??;
        let resolver = Resolver::start(&hub_ns, hub.home())?;
        let studio = studio::start(&hub, &hub_ns, outside.folder())?;
        let tunnel = outside.tunnel(&hub_ns)?;
        let operator = hub.anyone()?.bearer(TOKEN);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let tasks = class_ns.tasks()?;
        let mut classroom = Self {
            well: false,
            at_home: None,
            tablet: None,
            casts: Vec::new(),
            students: Vec::new(),
            tasks,
            runtime,
            device,
            _house_names: house_names,
            _tunnel: tunnel,
            _studio: studio,
            panel,
            resolver,
            hub,
            teacher,
            operator,
            class: 0,
            began: Instant::now(),
            code: String::new(),
            video: String::new(),
            heard,
            world,
            outside,
            _asks: asks,
            tablet_ns,
            _class_ns: class_ns,
            _house: house,
            _panel_ns: panel_ns,
            hub_ns,
            lan,
        };
        classroom.office()?;
        classroom.shelf()?;
        wait_for_blocking("the tunnel", PATIENCE, || classroom.outside.reaches_the_room())?;
        Ok(classroom)
    }

    /// The office's work: lists, consents, two loans, one device with its agent and the guardian's hours.
    fn office(&mut self) -> Result<()> {
        let office = &self.teacher;
        let (class, code) = self.hub_ns.block_on(|| async {
            let mut list = String::from("學號,姓名,班級,座號\n");
            for seat in 1..=SEATS {
                let (number, name) = student(seat);
                list.push_str(&format!("{number},{name},五年三班,{seat}\n"));
            }
            office.import("students", &list).await?;
            office.import("devices", LENT).await?;
            let view = office.lend(&LENT_TO).await?;
            let count = |what: &str| view[what].as_array().map(Vec::len);
            ensure!(count("students") == Some(usize::from(SEATS)) && count("devices") == Some(LENT_TO.len()), "{view}");
            let own = view["devices"][0]["code"].as_str().context("the device's code")?;
            let hours = json!({ "hours": [{ "days": [1, 2, 3, 4, 5, 6, 7], "from": 19 * 60, "to": 21 * 60 }] });
            office.put(&format!("/api/school/agents/{own}/hours"), &hours).await?.done()?;
            let issued: Value = office.post("/api/school/agents", &json!({ "device": own })).await?.json()?;
            let code = issued["code"].as_str().context("the enrolment's code")?.to_owned();
            anyhow::Ok((view["classes"][0]["id"].as_i64().context("the class")?, code))
        })??;
        self.class = class;
        self.device.ns.ip("link set eth0 address ac:de:48:00:00:01")?;
        // Only registered devices may use the school's network (R-POL-2).
        self.tablet_ns.ip("link set eth0 address ac:de:48:00:00:03")?;
        self.device.set_clock(now())?;
        let (well, told) = self.device.say(&["enrol", &code])?;
        ensure!(well, "the device enrols: {told}");
        self.device.start()?;
        self.device.sees("agent.place.school").map(drop)
    }

    /// The teacher has pinned a video; the box has fetched it.
    fn shelf(&mut self) -> Result<()> {
        let teacher = &self.teacher;
        self.video = self.hub_ns.block_on(|| async {
            let body = json!({ "url": World::video(), "title": world::VIDEO.0, "tonight": false });
            let pinned: Value = teacher.post("/api/library/pins", &body).await?.json()?;
            let open = pinned["open"].as_str().context("its address")?.to_owned();
            wait_for("the video on the box", PATIENCE, async || {
                let list: Value = teacher.get("/api/library").await?.json()?;
                ensure!(list["items"][0]["state"] == "ready", "{list}");
                anyhow::Ok(())
            })
            .await?;
            anyhow::Ok(open)
        })??;
        note(&format!("40 students, 3 devices on loan, 1 enrolled; “{}” is on the box", world::VIDEO.0));
        Ok(())
    }

    /// The teacher's word.
    pub(crate) fn tell(&self, command: TeacherCommand) -> Result<()> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| teacher.command(&command))?
    }

    /// The teacher puts a seat on the panel.
    pub(crate) fn show(&self, seat: u8) -> Result<()> {
        self.tell(TeacherCommand::Show { source: Seat::try_from(seat)?.source(), tile: None })
    }

    /// Waits until the teacher's page is as `fits` says.
    pub(crate) fn desk(&self, what: &str, fits: impl Fn(&TeacherView) -> bool + Send + Sync) -> Result<TeacherView> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| wait_for(what, PATIENCE, async || teacher.feed(None).await?.view(what, &fits).await))?
    }

    /// Waits until the box's DNS answers the tablet with all of these signs; how long it took.
    pub(crate) fn name_is(&self, within: Duration, name: &str, signs: &[&str]) -> Result<Duration> {
        let began = Instant::now();
        wait_for_blocking(&format!("{name} with {signs:?}"), within, || {
            let answer = dig(&self.tablet_ns, Lan::address(BOX), &[name])?;
            ensure!(signs.iter().all(|sign| answer.contains(sign)), "{answer}");
            anyhow::Ok(())
        })
        .with_context(|| self.resolver.log())?;
        Ok(began.elapsed())
    }

    /// The personal link of the student at home.
    pub(crate) fn link(&self) -> Result<String> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| home::link(teacher, SEAT_AT_HOME))?
    }

    /// The box's address on the school's network.
    pub(crate) fn box_at() -> String {
        Lan::address(BOX).to_string()
    }
}

/// Everything that this school has set in `box.toml`.
fn config(outside: &Outside, world: &World) -> Result<String> {
    let (secret, token) = (outside.folder().join("lrs.secret"), outside.folder().join("ops"));
    fs::write(&secret, harness::lrs::Lrs::CREDENTIALS)?;
    fs::write(&token, TOKEN)?;
    let (at, world_at) = (Lan::address(BOX), world::AT);
    Ok(format!(
        "{}[resolver]\nlisten = [\"{at}:53\"]\nupstream = [\"{world_at}:53\"]\n[policy]\nportal = [\"{at}:80\"]\n\
         [agents]\nlisten = [\"{at}:8442\"]\n[uplink]\nprobe = [\"{world_at}:80\"]\n\
         [library]\nprivate_hosts = [\"{world_at}:8085\"]\nnight_mb = 0\n[metrics]\nbearer_file = {token:?}\n\
         [upstream]\nlrs = \"https://{world_at}:8444/xAPI\"\ncredentials_file = {secret:?}\nca_file = {:?}\n\
         home_page = \"https://school.example/{{semester}}\"\nlook_seconds = 1\nwhen = \"night\"\n{}",
        outside.box_config(),
        world.ca_file(),
        night(hour() + 8)
    ))
}

impl Drop for Classroom {
    fn drop(&mut self) {
        if !self.well {
            let log = self.hub.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("{}\nthe box:\n{}", self.outside.logs(), lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
