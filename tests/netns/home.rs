//! A student at home, from end to end (R-LIVE-1): school LAN – translator – internet with the gateway – translator – home.
//!
//! The gateway runs HAProxy, coturn and sshd from the very files of `image/gateway`, the box its tunnel by the very command
//! of `systemd/classroom-tunnel.service`. The browser at home is real, so is the panel's window; camera and microphone are
//! `studio`'s test sources.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{Seat, StudentCommand, TeacherCommand, TeacherView};
use harness::{
    clip::Clip,
    home::{self, Student},
    hub::{Hub, Options},
    load::Publisher,
    netns::{Lan, Ns},
    outside::{HOME_OUT, Outside, Tunnel},
    panel::Panel,
    people::Caller,
    proc::Owned,
    studio,
    talk::Talk,
};

use crate::room::{HUB, until};

/// The student's seat.
const SEAT: u8 = 7;
/// A browser, an encoder and a panel share this machine's two cores.
const PATIENCE: Duration = Duration::from_secs(40);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// School, gateway and home. The order of the fields is the order in which it is taken down.
struct Town {
    student: Student,
    runtime: tokio::runtime::Runtime,
    tunnel: Tunnel,
    panel: Panel,
    _studio: Owned,
    hub: Hub,
    teacher: Caller,
    code: String,
    heard: PathBuf,
    outside: Outside,
    _panel_ns: Ns,
    hub_ns: Ns,
    lan: Lan,
}

impl Drop for Town {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}", self.outside.logs());
        }
    }
}

impl Town {
    /// With `only_443` the home's line lets out TCP to port 443 and nothing else.
    fn new(only_443: bool) -> Result<Self> {
        let lan = Lan::new()?;
        let (hub_ns, panel_ns) = (lan.machine("hub", HUB)?, lan.machine("panel", 2)?);
        let outside = Outside::new(&lan)?;
        if only_443 {
            outside.only_port_443()?;
        }
        let heard = outside.folder().join("heard.raw");
        let config = outside.box_config();
        let (hub, teacher, code, panel, link) = hub_ns.block_on(|| async {
            let options = Options { config, ..Options::inside(&hub_ns, Lan::address(HUB)) };
            let hub = Hub::start_with(options).await?;
            let teacher = hub.teacher().await?;
            let code = teacher.start_lesson(30).await?;
            let panel = Panel::start_heard(&hub, &teacher, Some(panel_ns.name()), &heard).await?;
            let link = home::link(&teacher, SEAT).await?;
            anyhow::Ok((hub, teacher, code, panel, link))
        })??;
        let studio = studio::start(&hub, &hub_ns, outside.folder())?;
        let tunnel = outside.tunnel(&hub_ns)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let teacher_sees = |view: &TeacherView| view.room_live;
        hub_ns.block_on(|| async { teacher.feed(None).await?.view("the studio", teacher_sees).await })??;
        until("the tunnel", PATIENCE, || outside.reaches_the_room())?;
        let student = runtime.block_on(outside.student(&hub, &link, (1280, 800)));
        let student = student.with_context(|| outside.logs())?;
        Ok(Self {
            student,
            runtime,
            tunnel,
            panel,
            _studio: studio,
            hub,
            teacher,
            code,
            heard,
            outside,
            _panel_ns: panel_ns,
            hub_ns,
            lan,
        })
    }

    fn tell(&self, command: TeacherCommand) -> Result<()> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| teacher.command(&command))?
    }

    fn desk(&self, what: &str, fits: impl Fn(&TeacherView) -> bool + Send) -> Result<TeacherView> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| async { teacher.feed(None).await?.view(what, fits).await })?
    }

    fn shot(&self, name: &str) -> Result<()> {
        self.runtime.block_on(async {
            let browser = &self.student.page.browser;
            browser.screenshot(harness::panel::shot(name)?).await?;
            for (width, height, name) in [(390, 844, format!("{name}-phone")), (1280, 800, String::new())] {
                let size =
                    serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
                browser.devtools("Emulation.setDeviceMetricsOverride", size).await?;
                if !name.is_empty() {
                    browser.screenshot(harness::panel::shot(&name)?).await?;
                }
            }
            Ok(())
        })
    }

    /// By the way of the homes a room code gives no seat and no password is asked for, however often someone tries; who is
    /// in the room notices nothing of it, and the audit says from where the lesson was entered.
    fn nothing_else_by_that_way(&self) -> Result<()> {
        let join = serde_json::json!({ "code": self.code }).to_string();
        let wrong = serde_json::json!({ "account": "wang", "password": "not the one" }).to_string();
        let mut tries = vec![("/api/join", Some(join.as_str())), ("/teach", None), ("/join", None), ("/healthz", None)];
        tries.extend([("/api/staff/sign-in", Some(wrong.as_str())); 6]);
        for (path, body) in tries {
            let status = self.outside.asks(path, body)?;
            ensure!(status == "404", "{path} from home: {status}");
        }
        let home = HOME_OUT[1].to_string();
        let (hub, code, teacher) = (&self.hub, &self.code, &self.teacher);
        self.hub_ns.block_on(|| async {
            let here = hub.anyone()?;
            here.sign_in("wang").await.context("the box's own browser, after wrong passwords from a home")?;
            here.join(code, 4).await.context("a student in the room, after tries from a home")?;
            let audit: Vec<serde_json::Value> = teacher.get("/api/audit").await?.json()?;
            let entered = audit.iter().find(|entry| entry["action"] == "home-join").context("no home in the audit")?;
            ensure!(entered["place"] == home.as_str() && entered["who"] == "home-07", "{entered}");
            Ok(())
        })?
    }

    /// The student raises the hand, the teacher opens the microphone, the student taps, and the panel plays the tone.
    fn speak(&self) -> Result<Duration> {
        let talk = Talk {
            student: &self.student,
            runtime: &self.runtime,
            seat: Seat::try_from(SEAT)?,
            teacher: &self.teacher,
            hub_ns: &self.hub_ns,
            heard: &self.heard,
            patience: PATIENCE,
        };
        talk.opens()?;
        self.shot("home-may-speak")?;
        let heard = talk.is_heard().with_context(|| self.panel.log())?;
        talk.closes()?;
        let silent = fs::metadata(&self.heard)?.len();
        self.runtime.block_on(self.student.page.sees("home.hand-raise"))?;
        let after = fs::metadata(&self.heard)?.len();
        ensure!(after - silent < 48_000 * 2 * 2, "the panel went on playing: {silent} then {after} bytes");
        Ok(heard)
    }
}

#[test]
fn a_student_at_home_sees_hears_asks_and_speaks() -> Result<()> {
    let town = Town::new(false)?;
    town.shot("home-door")?;
    let began = Instant::now();
    town.runtime.block_on(town.student.enter())?;
    let age = town.runtime.block_on(town.student.sees_the_room(PATIENCE))?;
    println!("at home: the room's picture after {:?}, {age} ms old", began.elapsed());
    town.desk("the student at home", |view| view.marks.live)?;
    town.shot("home-room")?;
    town.nothing_else_by_that_way()?;

    // The teacher's tap changes the picture; the session stays the same.
    let tasks = town.lan.machine("tablet", 10)?.tasks()?;
    let (anyone, code) = (town.hub.anyone_far()?, town.code.clone());
    let tablet = tasks.run(async move { anyone.join(&code, 3).await })?;
    town.tell(TeacherCommand::Approve { seat: tablet.seat })?;
    let (caller, path) = (tablet.caller.clone(), format!("/whip/{}", tablet.source));
    let clip = Clip::encode(640, 360, 800)?;
    let _cast = tasks.run(async move {
        caller.ask(StudentCommand::Ask).await?;
        Publisher::start(&caller, &path, clip, IpAddr::V4(Lan::address(10))).await
    })?;
    town.desk("the cast", |view| {
        view.seats
            .iter()
            .any(|seat| seat.seat == tablet.seat && seat.sharing == classroom_protocol::view::Sharing::Live)
    })?;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let tap = now();
        town.tell(TeacherCommand::Show { source: tablet.source.clone(), tile: None })?;
        there.push(town.runtime.block_on(town.student.sees_another(tap, PATIENCE))? - tap);
        town.runtime.block_on(town.student.page.sees_words("學生3"))?;
        if there.len() == 1 {
            town.shot("home-panel")?;
        }
        let tap = now();
        town.tell(TeacherCommand::Remove { source: tablet.source.clone() })?;
        back.push(town.runtime.block_on(town.student.sees_the_room_again(tap, PATIENCE))? - tap);
    }
    there.sort_unstable();
    back.sort_unstable();
    println!("a tap to the new picture at home: {there:?} ms; back to the room's camera: {back:?} ms");
    ensure!(there[1] <= 500 && back[1] <= 500, "the switch took longer than 500 ms");

    println!("the panel plays the voice {:?} after the student's tap", town.speak()?);

    // The teacher freezes the panel: the picture stands still, and the room's sound, which comes with it, goes on.
    town.tell(TeacherCommand::Show { source: tablet.source.clone(), tile: None })?;
    town.runtime.block_on(town.student.page.sees_words("學生3"))?;
    town.tell(TeacherCommand::Freeze { source: tablet.source.clone(), on: true })?;
    let still = "!document.querySelector('canvas').hidden && document.querySelector('canvas').width > 300 \
                 && !document.querySelector('video').paused";
    town.runtime.block_on(town.student.page.browser.wait_for(still, PATIENCE))?;
    town.shot("home-frozen")?;
    town.tell(TeacherCommand::Freeze { source: tablet.source.clone(), on: false })?;
    let moves = "document.querySelector('canvas').hidden";
    town.runtime.block_on(town.student.page.browser.wait_for(moves, PATIENCE))?;
    town.tell(TeacherCommand::Remove { source: tablet.source.clone() })?;

    // The tunnel is killed: pictures go on by their own way, and the page is back by itself.
    let killed = Instant::now();
    town.tunnel.kill()?;
    until("the gateway to notice", PATIENCE, || ensure_closed(&town.outside))?;
    until("the tunnel to be back", Duration::from_secs(10), || town.outside.reaches_the_room())?;
    let back = killed.elapsed();
    println!("the tunnel was killed and back after {back:?}");
    ensure!(back <= Duration::from_secs(10), "the tunnel took {back:?}");
    town.desk("the student to be back", |view| view.marks.live)?;
    town.runtime.block_on(town.student.sees_the_room(PATIENCE))?;

    // The bell.
    town.tell(TeacherCommand::EndLesson)?;
    town.runtime.block_on(town.student.page.sees("home.ended"))?;
    town.shot("home-ended")
}

fn ensure_closed(outside: &Outside) -> Result<()> {
    ensure!(outside.reaches_the_room().is_err(), "it still answers");
    Ok(())
}

#[test]
fn a_home_that_lets_out_nothing_but_port_443() -> Result<()> {
    let town = Town::new(true)?;
    let began = Instant::now();
    town.runtime.block_on(town.student.enter())?;
    let age = town.runtime.block_on(town.student.sees_the_room(PATIENCE))?;
    println!("with UDP blocked, by TURN over TLS: the room's picture after {:?}, {age} ms old", began.elapsed());
    println!("the panel plays the voice {:?} after the student's tap", town.speak()?);
    Ok(())
}
