//! The whole screen on X11: how large it is, and that the sink's window covers it.
//!
//! The sinks open windows of their own and take no wishes about them without `unsafe`. So a second connection to the X
//! server finds the window by its owner (X-Resource 1.2, QueryClientIds) and treats it as a window manager would.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use x11rb::{
    connection::{Connection as _, RequestConnection as _},
    protocol::{
        dpms::{self, ConnectionExt as _},
        randr::{self, ConnectionExt as _},
        res::{self, ConnectionExt as _},
        xproto::{
            Atom, AtomEnum, Blanking, ChangeWindowAttributesAux, ClientMessageEvent, ConfigureWindowAux,
            ConnectionExt as _, CreateGCAux, Cursor, EventMask, Exposures, GetScreenSaverReply, MapState, PropMode,
            Rectangle, StackMode, Window,
        },
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

use crate::painter::Studio;

/// How often the window is looked for until it is there, and how often it is looked after from then on.
const SEEK: Duration = Duration::from_millis(100);
const TEND: Duration = Duration::from_secs(1);
/// A window manager puts a window into frames of frames, but not deeper than this.
const FRAMES: usize = 4;
/// `_NET_WM_STATE_ADD`, and "a normal application asks" (EWMH 1.5, `_NET_WM_STATE`).
const STATE_ADD: u32 = 1;
const FROM_APPLICATION: u32 = 1;

/// A place on the root window in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    x: i16,
    y: i16,
    w: u16,
    h: u16,
}

/// A connection to the X server and what was done there.
#[derive(Debug)]
pub(crate) struct Screen {
    x: RustConnection,
    root: Window,
    area: Area,
    /// The sink's window, once it is there.
    window: Option<Window>,
    blank: Cursor,
    state: Atom,
    state_full: Atom,
    manager: Atom,
}

/// Keeps the window over the whole screen until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The monitor to fill: the primary one, else the largest, else (RandR tells none) the root window.
fn choose(monitors: impl Iterator<Item = (bool, Area)>, root: Area) -> Area {
    monitors
        .filter(|(_, area)| area.w > 0 && area.h > 0)
        .max_by_key(|(primary, area)| (*primary, u32::from(area.w) * u32::from(area.h)))
        .map_or(root, |(_, area)| area)
}

/// Whether a resource belongs to one of the clients: ids of a client differ only in the bits of `mask` (X11 protocol,
/// "Connection Setup", resource-id-mask).
fn owned(resource: u32, clients: &[u32], mask: u32) -> bool {
    clients.iter().any(|client| client & !mask == resource & !mask)
}

impl Screen {
    /// Connects to the X server that DISPLAY names, and measures its screen.
    pub(crate) fn open() -> Result<Self> {
        let (x, number) = x11rb::connect(None).context("the X server does not answer")?;
        let root = x.setup().roots.get(number).context("the X server has no such screen")?.root;
        let atom = |name: &str| -> Result<Atom> { Ok(x.intern_atom(false, name.as_bytes())?.reply()?.atom) };
        let state = atom("_NET_WM_STATE")?;
        let state_full = atom("_NET_WM_STATE_FULLSCREEN")?;
        let manager = atom("_NET_SUPPORTING_WM_CHECK")?;
        let blank = blank(&x, root)?;
        let area = Area { x: 0, y: 0, w: 0, h: 0 };
        let mut screen = Self { x, root, area, window: None, blank, state, state_full, manager };
        screen.area = screen.measure()?;
        Ok(screen)
    }

    /// Width and height of the screen in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.area.w.into(), self.area.h.into())
    }

    fn has(&self, extension: &'static str) -> Result<bool> {
        Ok(self.x.extension_information(extension)?.is_some())
    }

    fn measure(&self) -> Result<Area> {
        let root = self.x.get_geometry(self.root)?.reply()?;
        let root = Area { x: 0, y: 0, w: root.width, h: root.height };
        if !self.has(randr::X11_EXTENSION_NAME)? {
            return Ok(root);
        }
        let version = self.x.randr_query_version(1, 5)?.reply()?;
        if (version.major_version, version.minor_version) < (1, 5) {
            return Ok(root);
        }
        let monitors = self.x.randr_get_monitors(self.root, true)?.reply()?.monitors;
        let areas = monitors.iter().map(|m| (m.primary, Area { x: m.x, y: m.y, w: m.width, h: m.height }));
        Ok(choose(areas, root))
    }

    /// The sink's window, if it is mapped already: the outermost one that this process owns.
    fn find(&self) -> Result<Option<Window>> {
        let all = res::ClientIdSpec { client: 0, mask: res::ClientIdMask::LOCAL_CLIENT_PID };
        let clients: Vec<u32> = self
            .x
            .res_query_client_ids(&[all])?
            .reply()?
            .ids
            .into_iter()
            .filter(|id| id.value == [std::process::id()])
            .map(|id| id.spec.client)
            .collect();
        let mask = self.x.setup().resource_id_mask;
        let mut level = vec![self.root];
        for _ in 0..FRAMES {
            let mut next = Vec::new();
            for window in level {
                // Windows of others may vanish at any time.
                let Ok(tree) = self.x.query_tree(window)?.reply() else { continue };
                next.extend(tree.children);
            }
            for window in next.iter().copied().filter(|window| owned(*window, &clients, mask)) {
                let Ok(attributes) = self.x.get_window_attributes(window)?.reply() else { continue };
                if attributes.map_state == MapState::VIEWABLE {
                    return Ok(Some(window));
                }
            }
            level = next;
        }
        Ok(None)
    }

    /// Whether a window manager runs: it keeps a window of its own behind this property (EWMH 1.5).
    fn managed(&self) -> Result<bool> {
        let property = self.x.get_property(false, self.root, self.manager, AtomEnum::WINDOW, 0, 1)?.reply()?;
        let Some(window) = property.value32().and_then(|mut windows| windows.next()) else { return Ok(false) };
        Ok(self.x.get_geometry(window)?.reply().is_ok())
    }

    /// Where the window stands now; `None` when it is gone.
    fn stands(&self, window: Window) -> Result<Option<Area>> {
        let (Ok(size), Ok(at)) =
            (self.x.get_geometry(window)?.reply(), self.x.translate_coordinates(window, self.root, 0, 0)?.reply())
        else {
            return Ok(None);
        };
        Ok(Some(Area { x: at.dst_x, y: at.dst_y, w: size.width, h: size.height }))
    }

    /// Puts the window over the whole screen: a window manager is asked to, and without one it is simply done.
    fn cover(&self, window: Window) -> Result<()> {
        let Area { x, y, w, h } = self.area;
        if self.managed()? {
            let data = [STATE_ADD, self.state_full, 0, FROM_APPLICATION, 0];
            let ask = ClientMessageEvent::new(32, window, self.state, data);
            let to_manager = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
            // A window manager fills the monitor on which the window stands.
            self.x.configure_window(window, &ConfigureWindowAux::new().x(i32::from(x)).y(i32::from(y)))?;
            self.x.send_event(false, self.root, to_manager, ask)?;
        } else {
            // A window manager that comes later reads the wish from here.
            self.x.change_property32(PropMode::REPLACE, window, self.state, AtomEnum::ATOM, &[self.state_full])?;
            let place = ConfigureWindowAux::new().x(i32::from(x)).y(i32::from(y)).width(u32::from(w));
            let place = place.height(u32::from(h)).border_width(0).stack_mode(StackMode::ABOVE);
            self.x.configure_window(window, &place)?;
        }
        self.x.change_window_attributes(window, &ChangeWindowAttributesAux::new().cursor(self.blank))?;
        self.x.flush()?;
        Ok(())
    }

    /// Looks after the window. Tells whether the screen has another size than before.
    fn tend(&mut self) -> Result<bool> {
        let area = self.measure()?;
        let changed = area != self.area;
        self.area = area;
        let stands = match self.window {
            Some(window) => self.stands(window)?,
            None => None,
        };
        if stands.is_none() {
            self.window = self.find()?;
            if self.window.is_some() {
                tracing::info!("the window covers the screen of {}×{}", area.w, area.h);
            }
        }
        if let Some(window) = self.window
            && stands != Some(self.area)
        {
            self.cover(window)?;
        }
        Ok(changed)
    }

    /// Nobody touches a panel that shows a lesson: the screen must not go dark meanwhile. Returns what was set before.
    fn keep_awake(&self) -> Result<Awake> {
        let saver = self.x.get_screen_saver()?.reply()?;
        self.x.set_screen_saver(0, 0, Blanking::NOT_PREFERRED, Exposures::DEFAULT)?;
        let mut power = false;
        if self.has(dpms::X11_EXTENSION_NAME)? {
            power = self.x.dpms_info()?.reply()?.state;
            self.x.dpms_disable()?;
        }
        self.x.flush()?;
        Ok(Awake { saver, power })
    }

    fn let_sleep(&self, was: &Awake) -> Result<()> {
        let seconds = |n: u16| i16::try_from(n).unwrap_or(i16::MAX);
        let Awake { saver, power } = was;
        let (timeout, interval) = (seconds(saver.timeout), seconds(saver.interval));
        self.x.set_screen_saver(timeout, interval, saver.prefer_blanking, saver.allow_exposures)?;
        if *power {
            self.x.dpms_enable()?;
        }
        self.x.sync()?;
        Ok(())
    }

    /// Covers the screen from now on; the canvas follows the screen's size.
    pub(crate) fn keep(mut self, studio: Arc<Studio>) -> Result<Keeper> {
        // Nothing is ever sent on it: hanging up is the word to stop.
        let (stop, stopped) = mpsc::sync_channel(0);
        let thread = std::thread::Builder::new().name("screen".into()).spawn(move || {
            let awake = self.keep_awake();
            if let Err(error) = &awake {
                tracing::warn!("the screen may go dark by itself: {error:#}");
            }
            loop {
                match self.tend() {
                    Ok(false) => {}
                    Ok(true) => {
                        let (width, height) = self.size();
                        tracing::info!("the screen has {width}×{height} now");
                        studio.resize((width, height));
                    }
                    Err(error) => {
                        tracing::warn!("the window no longer follows the screen, a restart is needed: {error:#}");
                        break;
                    }
                }
                let pause = if self.window.is_some() { TEND } else { SEEK };
                if stopped.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
            if let Ok(awake) = awake
                && let Err(error) = self.let_sleep(&awake)
            {
                tracing::debug!("the screen saver stays off: {error:#}");
            }
        })?;
        Ok(Keeper { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Hanging up is the word to stop.
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the screen's thread did not end cleanly");
        }
    }
}

/// What kept the screen dark or awake before us.
#[derive(Debug)]
struct Awake {
    saver: GetScreenSaverReply,
    power: bool,
}

/// A cursor of which nothing is seen: its mask is empty.
fn blank(x: &RustConnection, root: Window) -> Result<Cursor> {
    let (pixmap, pen, cursor) = (x.generate_id()?, x.generate_id()?, x.generate_id()?);
    x.create_pixmap(1, pixmap, root, 1, 1)?;
    // A new pixmap holds anything.
    x.create_gc(pen, pixmap, &CreateGCAux::new().foreground(0))?;
    x.poly_fill_rectangle(pixmap, pen, &[Rectangle { x: 0, y: 0, width: 1, height: 1 }])?;
    x.create_cursor(cursor, pixmap, pixmap, 0, 0, 0, 0, 0, 0, 0, 0)?.check()?;
    x.free_gc(pen)?;
    x.free_pixmap(pixmap)?;
    Ok(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_monitor_is_filled_else_the_largest_else_the_root() {
        let root = Area { x: 0, y: 0, w: 3200, h: 1080 };
        let small = Area { x: 1920, y: 0, w: 1280, h: 720 };
        let large = Area { x: 0, y: 0, w: 1920, h: 1080 };
        assert_eq!(choose([(false, large), (true, small)].into_iter(), root), small);
        assert_eq!(choose([(false, small), (false, large)].into_iter(), root), large);
        let off = Area { w: 0, h: 0, ..small };
        assert_eq!(choose([(true, off)].into_iter(), root), root);
    }

    #[test]
    fn a_window_belongs_to_the_client_whose_number_its_id_begins_with() {
        let mask = 0x001f_ffff;
        assert!(owned(0x0020_0002, &[0x0040_0000, 0x0020_0000], mask));
        assert!(!owned(0x0060_0002, &[0x0040_0000, 0x0020_0000], mask));
        assert!(!owned(0x0020_0002, &[], mask));
    }
}
