//! A classroom's network: hub, panel and tablets on a switch.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use classroom_protocol::{Seat, TeacherCommand, TeacherView, catalogue::Lang};
use harness::{
    browser::SHARING_BAR,
    clip::Clip,
    hub::{Hub, Options},
    load::Publisher,
    netns::{Lan, Ns, Tasks},
    pages::Page,
    panel::Panel,
    people::{Caller, Student},
    stamp::Area,
    wait::wait_for,
};

/// The hub's address, the panel's, and that of the first tablet.
pub(crate) const HUB: u8 = 1;
pub(crate) const PANEL: u8 = 2;
pub(crate) const TABLETS: u8 = 10;

/// Longest wait for a picture that has nothing in its way, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// 640 × 360 at 800 kbit/s, encoded once for all tests.
static CLIP: LazyLock<Arc<Clip>> = LazyLock::new(|| Clip::encode(640, 360, 800).expect("a clip"));
/// The shape of that picture.
pub(crate) const SHAPE: (u32, u32) = (640, 360);

/// The classroom. The order of the fields is the order in which it is taken down.
pub(crate) struct Room {
    pub(crate) panel: Panel,
    pub(crate) hub: Hub,
    pub(crate) teacher: Caller,
    /// The room code.
    pub(crate) code: String,
    pub(crate) panel_ns: Ns,
    pub(crate) hub_ns: Ns,
    pub(crate) lan: Lan,
}

impl Room {
    /// A hub with a lesson of 40 seats running and a panel that waits for it.
    pub(crate) fn new() -> Result<Self> {
        let lan = Lan::new()?;
        let hub_ns = lan.machine("hub", HUB)?;
        let panel_ns = lan.machine("panel", PANEL)?;
        let (hub, teacher, code, panel) = hub_ns.block_on(|| async {
            let hub = Hub::start_with(Options::inside(&hub_ns, Lan::address(HUB))).await?;
            let teacher = hub.teacher().await?;
            let code = teacher.start_lesson(40).await?;
            let panel = Panel::start(&hub, &teacher, Some(panel_ns.name())).await?;
            anyhow::Ok((hub, teacher, code, panel))
        })??;
        Ok(Self { panel, hub, teacher, code, panel_ns, hub_ns, lan })
    }

    /// The teacher's word.
    pub(crate) fn tell(&self, command: TeacherCommand) -> Result<()> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| teacher.command(&command))?
    }

    /// Shows the seat on the stage.
    pub(crate) fn show(&self, seat: u8, tile: Option<u8>) -> Result<()> {
        self.tell(TeacherCommand::Show { source: Seat::try_from(seat)?.source(), tile })
    }

    /// Waits until the teacher's view is as `fits` says.
    pub(crate) fn view(&self, what: &str, fits: impl Fn(&TeacherView) -> bool + Send) -> Result<TeacherView> {
        let teacher = &self.teacher;
        self.hub_ns.block_on(|| async { teacher.feed(None).await?.view(what, fits).await })?
    }

    /// A student on a machine of the network who may share, with the load client's prepared picture.
    pub(crate) fn publisher(&self, tasks: &Tasks, host: u8, seat: u8) -> Result<(Student, Publisher)> {
        self.publisher_at(tasks, Lan::address(host), seat)
    }

    /// [`Room::publisher`] on a machine that is elsewhere.
    pub(crate) fn publisher_at(&self, tasks: &Tasks, at: Ipv4Addr, seat: u8) -> Result<(Student, Publisher)> {
        let (anyone, code) = (self.hub.anyone_far()?, self.code.clone());
        let student = tasks.run(async move { anyone.join(&code, seat).await })?;
        self.tell(TeacherCommand::Approve { seat: student.seat })?;
        let (caller, path) = (student.caller.clone(), format!("/whip/{}", student.source));
        let publisher = tasks.run(async move {
            caller.ask(classroom_protocol::StudentCommand::Ask).await?;
            Publisher::start(&caller, &path, Arc::clone(&CLIP), IpAddr::V4(at)).await
        })?;
        Ok((student, publisher))
    }

    /// Waits for moving pictures at `area`: two different ones. Says how long it took.
    pub(crate) fn moves(&self, area: Area, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        let first = self.panel.wait_for_stamp(area, within, |_| true)?;
        let left = within.saturating_sub(began.elapsed()).max(Duration::from_millis(100));
        self.panel.wait_for_stamp(area, left, |stamp| stamp != first).context("the picture stands still")?;
        Ok(began.elapsed())
    }
}

/// A tablet with a real browser on a machine of its own, its page on a seat and sharing a stamped screen.
pub(crate) struct Tablet {
    pub(crate) page: Page,
    pub(crate) ns: Ns,
    pub(crate) outside: tokio::runtime::Runtime,
}

/// The tablet's screen: small, as it encodes in software beside everything else.
pub(crate) const TABLET: (u32, u32) = (800, 500);
/// Its picture: while a tab is shared, Chromium's bar that says so takes 56 lines of it.
pub(crate) const TABLET_SHAPE: (u32, u32) = (TABLET.0, TABLET.1 - SHARING_BAR);

impl Tablet {
    /// On the network as 10.77.0.`host`, on the stage as the only tile.
    pub(crate) fn on_stage(room: &Room, host: u8, seat: u8) -> Result<Self> {
        let ns = room.lan.machine("tablet", host)?;
        let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let page = outside.block_on(async {
            let page = Page::far_tablet(&room.hub, ns.name(), Lang::En, TABLET).await?;
            page.take_seat(&room.code, &format!("學生{seat}")).await?;
            page.stamp().await?;
            page.tap("join.share").await?;
            page.sees("join.asking").await?;
            anyhow::Ok(page)
        })?;
        room.show(seat, None)?;
        let tablet = Self { page, ns, outside };
        tablet.fresh(room, Panel::area(1, 0, TABLET_SHAPE), PATIENCE)?;
        Ok(tablet)
    }

    /// Waits until the panel shows what the tablet drew less than a second and a half ago. Says how long it took.
    pub(crate) fn fresh(&self, room: &Room, area: Area, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        let fits = |reading: &harness::stamp::Reading| reading.age < Duration::from_millis(1500);
        room.panel.reader().wait_for(area, within, fits).with_context(|| room.panel.log())?;
        Ok(began.elapsed())
    }

    /// Waits until the page shows the catalogue's words.
    pub(crate) fn sees(&self, key: &str) -> Result<()> {
        self.outside.block_on(self.page.sees(key))
    }
}

/// Waits until `look` is content, looking at the panel meanwhile is up to it.
pub(crate) fn until(what: &str, within: Duration, look: impl FnMut() -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut look = look;
    runtime.block_on(wait_for(what, within, async || look()))
}
