//! The panel as people see it: the display-client's window on a virtual display, and a reader of its pixels.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use harness::{
    browser::{Browser, Options, SHARING_BAR, Screen},
    hub::program,
    proc::Owned,
    stamp::{self, Area, Display, Reading, WindowReader},
};
use tokio::task::block_in_place;

/// The window's size with `--windowed`.
const WINDOW: (u32, u32) = (1280, 720);
/// Height of the line with the room's code under the stage.
const BAR: u32 = 42;

/// A panel with its window.
#[derive(Debug)]
pub(crate) struct Panel {
    reader: WindowReader,
    _window: Owned,
    display: Display,
    home: PathBuf,
}

impl Panel {
    /// Opens the panel of the hub at `base` (or of its stand-in).
    pub(crate) fn open(base: &str, token: &str) -> Result<Self> {
        let home = std::env::temp_dir().join(format!("classroom-bench-panel-{}", std::process::id()));
        fs::create_dir_all(&home)?;
        fs::write(home.join("token"), token)?;
        let display = Display::start(WINDOW.0, WINDOW.1)?;
        let log = fs::File::create(home.join("log"))?;
        let window = Owned::spawn(program("display-client")?, |command| {
            command.args(["--windowed", "--mute", "--sink", "ximagesink", "--hub", base, "--pair-token"]);
            command.arg(home.join("token")).arg("--state-dir").arg(home.join("state"));
            command.env("DISPLAY", &display.name).stdout(Stdio::null()).stderr(log);
        })?;
        let reader = WindowReader::open(&display.name, 60)?;
        Ok(Self { reader, _window: window, display, home })
    }

    /// Where the one cast of the stage is.
    pub(crate) fn area() -> Area {
        Area::new(0, 0, WINDOW.0, WINDOW.1 - BAR).fit(1280, 720)
    }

    /// Waits until the one cast shows a picture that was drawn after `since` (milliseconds as in a stamp).
    pub(crate) fn fresh(&self, since: u32, within: Duration) -> Result<Reading> {
        let drawn_after = |reading: &Reading| reading.stamp.millis.wrapping_sub(since).cast_signed() >= 0;
        let seen = block_in_place(|| self.reader.wait_for(Self::area(), within, drawn_after));
        seen.with_context(|| {
            let _ = stamp::screenshot(&self.display.name, "target/bench-panel.png");
            format!("see target/bench-panel.png; the panel said: {}", self.log())
        })
    }

    /// Waits until the one cast shows no stamp any more.
    pub(crate) fn gone(&self, within: Duration) -> Result<()> {
        let until = std::time::Instant::now() + within;
        block_in_place(|| {
            while self.reader.grab(within)?.stamp(Self::area()).is_some() {
                anyhow::ensure!(std::time::Instant::now() < until, "the picture stays on the panel");
            }
            Ok(())
        })
    }

    /// Every different picture that was seen for a time.
    pub(crate) fn readings(&self, during: Duration) -> Result<Vec<Reading>> {
        block_in_place(|| self.reader.readings(Self::area(), during))
    }

    /// What the window shows, as PNG.
    pub(crate) fn screenshot(&self, path: &str) -> Result<()> {
        block_in_place(|| stamp::screenshot(&self.display.name, path))
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        // What it said in the last round, for whoever asks why a figure is as it is.
        let _ = fs::copy(self.home.join("log"), "target/bench-panel.log");
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A tablet: a browser that shares its own tab, 1280×720 under the bar that says so.
pub(crate) async fn tablet() -> Result<Browser> {
    // Addresses as they are: the stand-in has no mDNS to resolve hidden ones. Both ways get the same browser.
    let args = vec!["--disable-features=WebRtcHideLocalIpsWithMdns".into()];
    let size = (1280, 720 + SHARING_BAR);
    Browser::start(Options { screen: Screen::ThisTab, size, args, ..Options::default() }).await
}

/// Covers a tablet's page with the stamp and the same content everywhere.
pub(crate) async fn cover(tablet: &Browser) -> Result<()> {
    tablet.run(&format!("{}\n{}", stamp::SCRIPT, include_str!("cover.js"))).await.map(drop)
}
