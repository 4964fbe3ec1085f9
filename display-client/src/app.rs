//! The wiring: link → stage → players and painter.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use classroom_protocol::SourceId;
use gstreamer as gst;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    hub::Hub,
    keeping::Keeping,
    link::{self, News},
    options::Options,
    painter::{Easel, Painter, Studio},
    player::Player,
    rig::Making,
    screen::Screen,
    slot::Slot,
    spare::Spares,
    stage::{Play, Scene, Stage},
    window::Window,
};

/// News of the link that the director has not read yet; the link waits when it is full.
const NEWS: usize = 16;
/// How often the age of the pictures is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Pause after a spare session could not be made.
const STOCK_AGAIN: Duration = Duration::from_secs(5);
/// How long sessions may take to end when the program ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// The picture's size with `--windowed`, and on a full screen that scales it itself (Wayland).
const WINDOW: (u32, u32) = (1280, 720);
const SCREEN: (u32, u32) = (1920, 1080);

/// Where sound goes when nothing else is named.
const SOUND: &str = "autoaudiosink";

/// Elements without which nothing can be shown, and the Debian package that has each.
const NEEDED: &[(&str, &str)] = &[
    ("webrtcbin", "gstreamer1.0-plugins-bad"),
    ("nicesrc", "gstreamer1.0-nice"),
    ("dtlsdec", "gstreamer1.0-plugins-bad"),
    ("srtpdec", "gstreamer1.0-plugins-bad"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
];

/// Runs the panel until it is told to end or its window is closed.
pub(crate) async fn run(options: Options) -> Result<()> {
    check_elements()?;
    let start = Instant::now();
    let hub = Hub::new(options.hub.clone()).context("no HTTP client")?;
    let keeping = Keeping::new(&options.state_dir, options.hub.as_str());
    if let Some(from) = &options.pair_token {
        let token = read_token(from)?;
        keeping.store(&token).with_context(|| format!("can't keep the token in {}", options.state_dir.display()))?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let window = tokio::select! {
        window = Window::open(options.sink.as_deref(), !options.windowed) => window?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let screen = if window.on_x11 && !options.windowed { Some(Screen::open()?) } else { None };
    let size = match &screen {
        Some(screen) => screen.size(),
        None if options.windowed => WINDOW,
        None => SCREEN,
    };
    let studio = Arc::new(Studio::new(size));
    // Held to the end: it keeps the window in its place.
    let _keeper = screen.map(|screen| screen.keep(studio.clone())).transpose()?;
    let address = options.hub.as_str().trim_end_matches('/').to_owned();
    let painter = Painter::new(studio.clone(), window.out.clone(), options.lang, address)?;
    let painting = std::thread::Builder::new().name("painter".into()).spawn(move || painter.run())?;

    let (tell_news, mut news) = mpsc::channel(NEWS);
    let (report, reports) = watch::channel((0, Vec::new()));
    let mut tasks = JoinSet::new();
    tasks.spawn(link::follow(hub.clone(), keeping, options.name.clone(), tell_news));
    tasks.spawn(link::report(hub.clone(), reports));

    let sound = match options.sound {
        _ if options.mute => None,
        Some(sink) => Some(sink),
        None => has_sound().then(|| SOUND.to_owned()),
    };
    let making = Making { latency: options.latency, sound, addresses: addresses(&hub) };
    let mut director = Director {
        start,
        hub,
        spares: Spares::new(making),
        studio: studio.clone(),
        stage: Stage::new(),
        players: BTreeMap::new(),
        leaving: JoinSet::new(),
        stocking: JoinSet::new(),
        report,
        shown: None,
        away: false,
    };
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Some(heard) => director.hear(heard),
                None => break Err(anyhow::anyhow!("the link to the hub ended")),
            },
            _ = tick.tick() => {}
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            why = window.ended() => {
                tracing::info!("the window ended: {why}");
                break Ok(());
            }
        }
        director.direct();
    };
    tracing::info!("closing");
    drop(news);
    director.close().await;
    tasks.abort_all();
    studio.close();
    if painting.join().is_err() {
        tracing::warn!("the painter did not end cleanly");
    }
    ended
}

/// Holds all the ends: what is known, who plays, what is shown.
struct Director {
    start: Instant,
    hub: Hub,
    spares: Spares,
    studio: Arc<Studio>,
    stage: Stage,
    players: BTreeMap<SourceId, Player>,
    leaving: JoinSet<()>,
    /// Makes the spare session; one task at most.
    stocking: JoinSet<()>,
    report: watch::Sender<(u64, Vec<SourceId>)>,
    shown: Option<Scene>,
    away: bool,
}

impl Director {
    fn hear(&mut self, news: News) {
        let now = self.start.elapsed();
        let back = matches!(news, News::View(_) | News::Unchanged);
        match news {
            News::Unpaired(code) => self.stage.unpaired(code),
            News::View(view) => self.stage.view(*view, now),
            News::Unchanged => self.stage.hub_back(now),
            News::Gone => self.stage.hub_gone(now),
        }
        if back && self.away {
            // A restarted hub knows neither the sessions nor what was reported.
            self.players.values().for_each(Player::hurry);
            self.report.send_modify(|(epoch, _)| *epoch += 1);
        }
        self.away = !back;
    }

    /// Brings players, picture and report in line with what is known.
    fn direct(&mut self) {
        let now = self.start.elapsed();
        let players = &self.players;
        let plan = self.stage.plan(now, |source| players.get(source).and_then(|player| player.slot.decoded()));

        let on_stage: BTreeSet<&SourceId> = match &plan.scene {
            Scene::Tiles { tiles, .. } => tiles.iter().flatten().map(|tile| &tile.source).collect(),
            _ => BTreeSet::new(),
        };
        let gone: Vec<SourceId> = self
            .players
            .keys()
            .filter(|source| plan.play.iter().all(|play| play.source != **source))
            .cloned()
            .collect();
        for source in gone {
            if let Some(player) = self.players.remove(&source) {
                let task = player.stop();
                self.leaving.spawn(async move {
                    if task.await.is_err() {
                        tracing::warn!("a player did not end cleanly");
                    }
                });
            }
        }
        while self.leaving.try_join_next().is_some() {}
        for play in &plan.play {
            let paused = matches!(plan.scene, Scene::Attention(_));
            let player = self.players.entry(play.source.clone()).or_insert_with(|| {
                tracing::info!(source = %play.source, "playing");
                let slot = Arc::new(Slot::new(self.start, self.studio.bell.clone()));
                Player::start(self.hub.clone(), self.spares.clone(), slot, play.clone())
            });
            player.want(play.clone());
            player.slot.keep(paused || on_stage.contains(&play.source));
        }
        // A spare is made when nobody waits for a picture: making one would take the processor from it.
        let no_picture = |play: &&Play| self.players.get(&play.source).is_some_and(|player| player.slot.count() == 0);
        let waiting = plan.play.iter().filter(|play| play.expected).any(|play| no_picture(&play));
        if !waiting && self.hub.token().is_some() && self.stocking.is_empty() && !self.spares.stocked() {
            let spares = self.spares.clone();
            self.stocking.spawn(async move {
                if let Err(error) = spares.stock().await {
                    tracing::warn!("no session can be made ahead: {error:#}");
                    sleep(STOCK_AGAIN).await;
                }
            });
        }
        while self.stocking.try_join_next().is_some() {}
        if self.shown.as_ref() != Some(&plan.scene) {
            let slots = match &plan.scene {
                Scene::Tiles { tiles, .. } => tiles
                    .iter()
                    .map(|tile| tile.as_ref().and_then(|tile| self.players.get(&tile.source)))
                    .map(|player| player.map(|player| player.slot.clone()))
                    .collect(),
                _ => Vec::new(),
            };
            self.studio.show(Easel { scene: plan.scene.clone(), slots });
            self.shown = Some(plan.scene);
        }
        self.report.send_if_modified(|(_, lost)| {
            let changed = *lost != plan.lost;
            *lost = plan.lost;
            changed
        });
    }

    /// Ends all sessions and tells the hub.
    async fn close(mut self) {
        for (_, player) in std::mem::take(&mut self.players) {
            let task = player.stop();
            self.leaving.spawn(async move { drop(task.await) });
        }
        let all = async { while self.leaving.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::info!("not all sessions ended in time");
        }
    }
}

/// The token of a file, or of standard input.
fn read_token(from: &str) -> Result<String> {
    let mut token = String::new();
    if from == "-" {
        std::io::stdin().take(4_096).read_to_string(&mut token)?;
    } else {
        token = std::fs::read_to_string(from).with_context(|| format!("can't read the token from {from}"))?;
    }
    let token = token.trim().to_owned();
    if token.is_empty() {
        bail!("--pair-token {from}: there is no token in it");
    }
    Ok(token)
}

/// libnice never offers the loopback. A panel on the box itself needs it when the network cable is out: then all
/// addresses of the machine are named, the loopback among them.
fn addresses(hub: &Hub) -> Vec<IpAddr> {
    let near = match hub.base().host_str() {
        Some("localhost") => true,
        Some(host) => host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    if !near {
        return Vec::new();
    }
    let of_interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut all: Vec<IpAddr> = of_interfaces
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    all.push(Ipv4Addr::LOCALHOST.into());
    all
}

/// Whether there is anything that sound could be played on.
fn has_sound() -> bool {
    use gst::prelude::*;
    let Ok(sink) = gst::ElementFactory::make("autoaudiosink").build() else { return false };
    let works = sink.set_state(gst::State::Ready).is_ok();
    // Without a device autoaudiosink takes a fakesink.
    let real = sink.downcast_ref::<gst::Bin>().is_some_and(|bin| {
        bin.iterate_elements()
            .into_iter()
            .flatten()
            .all(|child| child.factory().is_none_or(|factory| factory.name() != "fakesink"))
    });
    let closed = sink.set_state(gst::State::Null).is_ok();
    let found = works && real && closed;
    tracing::info!("{}", if found { "sound is played" } else { "no sound device: pictures only" });
    found
}

fn check_elements() -> Result<()> {
    let missing: BTreeSet<&str> = NEEDED
        .iter()
        .filter(|(element, _)| gst::ElementFactory::find(element).is_none())
        .map(|(element, package)| {
            tracing::error!("GStreamer has no {element}; it is in the package {package}");
            *package
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("install what is missing: apt install {}", missing.into_iter().collect::<Vec<_>>().join(" "))
}
