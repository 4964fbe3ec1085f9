//! The panel: display-client on a virtual display, and what it shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use classroom_protocol::TeacherView;

use crate::{
    hub::{Hub, program},
    people::{Caller, Proof},
    proc::Owned,
    stamp::{Area, Display, Stamp, WindowReader, screenshot},
};

/// The panel's pixels.
pub const SIZE: (u32, u32) = (1280, 720);

/// Where a picture for people is kept: `target/shots/{name}.png`.
pub fn shot(name: &str) -> Result<PathBuf> {
    let target = program("appliance")?.ancestors().nth(2).context("the target folder")?.to_owned();
    Ok(target.join("shots").join(format!("{name}.png")))
}

/// A running panel. Ends when dropped.
#[derive(Debug)]
pub struct Panel {
    process: Owned,
    // Before the display that it reads: a reader whose display is gone ends the whole program.
    reader: WindowReader,
    display: Display,
    home: PathBuf,
}

impl Panel {
    /// Starts display-client on a display of its own, paired with the room of `hub` by `teacher`, and waits until the
    /// room knows it is there. With `netns` it lives on that machine and reaches the hub by HTTPS.
    pub async fn start(hub: &Hub, teacher: &Caller, netns: Option<&str>) -> Result<Self> {
        Self::start_with(hub, teacher, netns, "--mute").await
    }

    /// [`Panel::start`] with the sound going to a file, as raw 16-bit samples of one channel, 48000 a second.
    pub async fn start_heard(hub: &Hub, teacher: &Caller, netns: Option<&str>, file: &Path) -> Result<Self> {
        let sound = format!(
            "--sound=audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1 \
             ! filesink buffer-mode=unbuffered location={}",
            file.display()
        );
        Self::start_with(hub, teacher, netns, &sound).await
    }

    async fn start_with(hub: &Hub, teacher: &Caller, netns: Option<&str>, sound: &str) -> Result<Self> {
        let name = format!("panel-{}-{}", std::process::id(), hub.http);
        let Proof::Bearer(token) = teacher.with(Proof::Nobody).pair(&name, teacher).await?.proof else {
            anyhow::bail!("a panel has a token")
        };
        let home = hub.home().join(&name);
        fs::create_dir_all(&home)?;
        fs::write(home.join("token"), token)?;
        let display = Display::start(SIZE.0, SIZE.1)?;
        let reader = WindowReader::open(&display.name, 60)?;
        let client = program("display-client")?;
        let base = if netns.is_some() { hub.https_base()? } else { hub.base() };
        let log = fs::File::create(home.join("panel.log"))?;
        let outer = if netns.is_some() { PathBuf::from("ip") } else { client.clone() };
        let process = Owned::spawn(outer, |command| {
            if let Some(netns) = netns {
                command.args(["netns", "exec", netns]).arg(&client);
            }
            command
                // Without a window manager nobody makes a window as large as the display; this one is.
                .args(["--windowed", "--hub", &base, sound, "--pair-token"])
                .arg(home.join("token"))
                .arg("--state-dir")
                .arg(home.join("state"))
                .env("DISPLAY", &display.name)
                .env("SSL_CERT_FILE", hub.home().join("ca.pem"))
                // No kiosk compositor and no GPU here.
                .env_remove("WAYLAND_DISPLAY")
                .stdout(Stdio::null())
                .stderr(log);
            if netns.is_none() {
                command.env_remove("SSL_CERT_FILE");
            }
        })?;
        let panel = Self { process, reader, display, home };
        let mut page = teacher.feed(None).await?;
        page.view("the panel to be online", |view: &TeacherView| {
            view.panels.iter().any(|known| known.name == name && known.online)
        })
        .await
        .with_context(|| panel.log())?;
        Ok(panel)
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("panel.log")).unwrap_or_default()
    }

    /// Its pid, to be measured.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The display on which it draws.
    pub fn display(&self) -> &Display {
        &self.display
    }

    /// Reads the display.
    pub fn reader(&self) -> &WindowReader {
        &self.reader
    }

    /// Keeps what it shows now as `target/shots/{name}.png`.
    pub fn screenshot(&self, name: &str) -> Result<()> {
        screenshot(&self.display.name, shot(name)?)
    }

    /// Where a picture of this shape stands: tile `index`, counted from 0, of `tiles`.
    ///
    /// The slim bar takes the lowest 6 %, tiles stand in a grid with gaps, a picture keeps its shape.
    pub fn area(tiles: u8, index: u8, shape: (u32, u32)) -> Area {
        let even = |n: u32| n & !1;
        let (width, height) = SIZE;
        let stage = height - even(height * 6 / 100);
        let (columns, rows) = match tiles {
            1 => (1, 1),
            2 => (2, 1),
            4 => (2, 2),
            _ => (3, 3),
        };
        let gap = if tiles == 1 { 0 } else { even(height / 108) };
        let (w, h) = (even((width - gap * (columns + 1)) / columns), even((stage - gap * (rows + 1)) / rows));
        let (left, top) =
            (even((width - w * columns - gap * (columns - 1)) / 2), even((stage - h * rows - gap * (rows - 1)) / 2));
        let (column, row) = (u32::from(index) % columns, u32::from(index) / columns);
        Area::new(left + column * (w + gap), top + row * (h + gap), w, h).fit(shape.0, shape.1)
    }

    /// Waits until a stamp at `area` is as `wanted` says.
    pub fn wait_for_stamp(&self, area: Area, within: Duration, wanted: impl Fn(Stamp) -> bool) -> Result<Stamp> {
        let began = std::time::Instant::now();
        let mut last = None;
        while began.elapsed() < within {
            last = self.reader.grab(Duration::from_secs(5))?.stamp(area).or(last);
            if let Some(stamp) = last.filter(|stamp| wanted(*stamp)) {
                return Ok(stamp);
            }
        }
        anyhow::bail!("no such picture on the panel within {within:?}, last {last:?}; it said: {}", self.log())
    }

    /// Every stamp that is seen at `area` for a time, each once, with the moment at which it was first seen (milliseconds
    /// as in [`crate::stamp::now_millis`]). For pictures whose stamp counts and tells no time.
    pub fn stamps(&self, area: Area, during: Duration) -> Result<Vec<(u32, Stamp)>> {
        let until = std::time::Instant::now() + during;
        let mut seen: Vec<(u32, Stamp)> = Vec::new();
        while std::time::Instant::now() < until {
            let grab = self.reader.grab(Duration::from_secs(5))?;
            if let Some(stamp) = grab.stamp(area)
                && seen.last().is_none_or(|(_, last)| *last != stamp)
            {
                seen.push((grab.millis, stamp));
            }
        }
        Ok(seen)
    }
}
