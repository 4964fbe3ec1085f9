//! Paints the scene: a thread that owns the canvas, repaints only the tiles that have a new picture, and hands each
//! finished picture to the window.
//!
//! There is no common clock of the tiles and no compositor that waits for all of them: a cast that stalls costs the
//! others nothing, and a picture is on its way to the window as soon as it is decoded.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use classroom_protocol::{SourceId, catalogue::Lang};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as app;
use gstreamer_video as video;

use crate::{
    geometry::{self, Rect},
    pictures::{self, Clock, House},
    slot::{Bell, Slot, lock},
    sprite::{Canvas, Sprite},
    stage::{Picture, Scene, TileScene},
};

/// Shortest time between two pictures for the window: one cast sets its own pace, several share 30 to 50 a second.
const PACE_ONE: Duration = Duration::from_millis(8);
const PACE_MANY: Duration = Duration::from_millis(22);
/// Without anything new the painter looks at the clock this often.
const IDLE: Duration = Duration::from_secs(1);
/// Behind a cast's picture: black in Y, U, V.
const BLACK: [u8; 3] = [16, 128, 128];

/// What is to be painted, and where the casts' pictures come from (in the order of the scene's tiles).
#[derive(Debug, Clone)]
pub(crate) struct Easel {
    pub(crate) scene: Scene,
    pub(crate) slots: Vec<Option<Arc<Slot>>>,
}

/// What the painter shares with the rest of the program.
#[derive(Debug)]
pub(crate) struct Studio {
    /// Rings for new pictures and new scenes.
    pub(crate) bell: Arc<Bell>,
    /// The newest scene; the painter takes it. The next one replaces it.
    next: Mutex<Option<Easel>>,
    /// Size of the window in pixels.
    size: Mutex<(u32, u32)>,
    stop: Mutex<bool>,
}

impl Studio {
    pub(crate) fn new(size: (u32, u32)) -> Self {
        Self { bell: Arc::default(), next: Mutex::default(), size: Mutex::new(even(size)), stop: Mutex::default() }
    }

    /// Paints this from now on.
    pub(crate) fn show(&self, easel: Easel) {
        *lock(&self.next) = Some(easel);
        self.bell.ring();
    }

    /// The window has this size from now on.
    pub(crate) fn resize(&self, size: (u32, u32)) {
        *lock(&self.size) = even(size);
        self.bell.ring();
    }

    /// Ends the painter's thread.
    pub(crate) fn close(&self) {
        *lock(&self.stop) = true;
        self.bell.ring();
    }
}

/// Sizes that a picture can have: even, not absurdly small or large.
fn even((width, height): (u32, u32)) -> (u32, u32) {
    (width.clamp(160, 7_680) & !1, height.clamp(120, 4_320) & !1)
}

/// One tile as it stands on the canvas.
struct Tile {
    place: Rect,
    scene: TileScene,
    slot: Option<Arc<Slot>>,
    captions: Vec<Sprite>,
    shown: Option<(u64, gst::Sample)>,
    scaler: Option<(video::VideoInfo, Rect, video::VideoConverter)>,
}

/// The canvas and all that stands on it.
pub(crate) struct Painter {
    studio: Arc<Studio>,
    out: app::AppSrc,
    lang: Lang,
    hub: String,
    info: video::VideoInfo,
    canvas: gst::Buffer,
    pool: gst::BufferPool,
    scene: Option<Scene>,
    clock: Option<Clock>,
    tiles: Vec<Tile>,
    /// The window has not got the newest canvas yet.
    behind: bool,
}

impl Painter {
    /// A painter for this window. `hub` is the address that a teacher is told while the panel is not paired.
    pub(crate) fn new(studio: Arc<Studio>, out: app::AppSrc, lang: Lang, hub: String) -> Result<Self> {
        let (info, canvas, pool) = stretch(&out, *lock(&studio.size))?;
        Ok(Self {
            studio,
            out,
            lang,
            hub,
            info,
            canvas,
            pool,
            scene: None,
            clock: None,
            tiles: Vec::new(),
            behind: false,
        })
    }

    /// Paints until [`Studio::close`].
    pub(crate) fn run(mut self) {
        let mut last = Instant::now() - IDLE;
        let mut complaint = String::new();
        loop {
            self.studio.bell.wait(IDLE);
            let pace = if self.tiles.len() > 1 { PACE_MANY } else { PACE_ONE };
            if let Some(rest) = pace.checked_sub(last.elapsed()) {
                std::thread::sleep(rest);
            }
            if *lock(&self.studio.stop) {
                break;
            }
            match self.paint() {
                Ok(true) => last = Instant::now(),
                Ok(false) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    if complaint != error {
                        tracing::error!("painting failed: {error}");
                        complaint = error;
                    }
                }
            }
        }
        if self.pool.set_active(false).is_err() {
            tracing::debug!("the picture pool was already closed");
        }
    }

    /// Brings the canvas up to date. Tells whether there was anything to do.
    fn paint(&mut self) -> Result<bool> {
        let size = *lock(&self.studio.size);
        let resized = size != (self.info.width(), self.info.height());
        if resized {
            (self.info, self.canvas, self.pool) = stretch(&self.out, size)?;
        }
        let next = lock(&self.studio.next).take();
        let clock = clock(self.lang);
        if next.is_some() || resized || (self.scene.is_some() && self.clock.as_ref() != Some(&clock)) {
            self.set_up(next, clock, resized)?;
            for n in 0..self.tiles.len() {
                self.paint_tile(n, true)?;
            }
        } else {
            let mut changed = self.behind;
            for n in 0..self.tiles.len() {
                changed |= self.paint_tile(n, false)?;
            }
            if !changed {
                return Ok(false);
            }
        }
        self.hand_over()?;
        Ok(true)
    }

    /// A new scene, size or minute: all but the casts' pictures is drawn anew.
    fn set_up(&mut self, next: Option<Easel>, clock: Clock, resized: bool) -> Result<()> {
        let (width, height) = (self.info.width(), self.info.height());
        let (scene, slots) = match next {
            Some(easel) => (easel.scene, easel.slots),
            None => {
                let Some(scene) = self.scene.take() else { return Ok(()) };
                (scene, self.tiles.iter().map(|tile| tile.slot.clone()).collect())
            }
        };
        let house = House { lang: self.lang, hub: &self.hub };
        let base = pictures::base(width, height, &scene, &clock, house).context("drawing the panel's own picture")?;
        let frame = self.canvas.get_mut().context("the canvas is in use")?;
        let mut frame = video::VideoFrameRef::from_buffer_ref_writable(frame, &self.info)?;
        base.blend(&mut Canvas::new(&mut frame));
        drop(frame);

        let mut before = std::mem::take(&mut self.tiles);
        if let Scene::Tiles { tiles, .. } = &scene {
            let places = geometry::tiles(width, height, tiles.len());
            let one = tiles.len() == 1;
            for (n, (place, tile)) in places.into_iter().zip(tiles).enumerate() {
                let slot = slots.get(n).cloned().flatten();
                let Some(tile) = tile else {
                    self.tiles.push(free(place));
                    continue;
                };
                let captions = pictures::caption(place, height, tile, one, house).context("drawing a name")?;
                let old = before.iter().position(|old| old.slot.is_some() && old.scene.source == tile.source);
                let (shown, scaler) = match old.map(|old| before.swap_remove(old)) {
                    Some(old) if old.place == place && !resized => (old.shown, old.scaler),
                    Some(old) => (old.shown, None),
                    None => (None, None),
                };
                self.tiles.push(Tile { place, scene: tile.clone(), slot, captions, shown, scaler });
            }
        }
        self.scene = Some(scene);
        self.clock = Some(clock);
        Ok(())
    }

    /// Paints the newest picture of a tile, if there is a new one or if all is to be painted.
    fn paint_tile(&mut self, n: usize, all: bool) -> Result<bool> {
        let Some(tile) = self.tiles.get_mut(n) else { return Ok(false) };
        let still = tile.scene.picture == Picture::Frozen && tile.shown.is_some();
        if !still && let Some(slot) = &tile.slot {
            let seen = tile.shown.as_ref().map_or(0, |(count, _)| *count);
            match slot.newer_than(seen) {
                Some(newer) => tile.shown = Some(newer),
                None if !all => return Ok(false),
                None => {}
            }
        } else if !all {
            return Ok(false);
        }
        let Some((_, sample)) = &tile.shown else { return Ok(false) };
        let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else { return Ok(false) };
        let info = video::VideoInfo::from_caps(caps).context("a picture of unknown form")?;
        let pixel = (info.par().numer().unsigned_abs(), info.par().denom().unsigned_abs());
        let target = geometry::fit(tile.place, info.width(), info.height(), pixel);
        if !tile.scaler.as_ref().is_some_and(|(of, to, _)| *of == info && *to == target) {
            tile.scaler = Some((info.clone(), target, scaler(&info, &self.info, target)?));
        }
        let canvas = self.canvas.get_mut().context("the canvas is in use")?;
        let mut canvas = video::VideoFrameRef::from_buffer_ref_writable(canvas, &self.info)?;
        if target != tile.place {
            Canvas::new(&mut canvas).fill(tile.place, BLACK);
        }
        let picture = video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
        if let Some((_, _, scaler)) = &tile.scaler {
            scaler.frame_ref(&picture, &mut canvas);
        }
        let mut canvas = Canvas::new(&mut canvas);
        if tile.scene.picture == Picture::Lost {
            canvas.dim(target);
        }
        for caption in &tile.captions {
            caption.blend(&mut canvas);
        }
        Ok(true)
    }

    /// Gives a copy of the canvas to the window. Without a free buffer the window is behind: then this picture is
    /// skipped, the next one holds all that it holds.
    fn hand_over(&mut self) -> Result<()> {
        let wait_not = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        let mut buffer = match self.pool.acquire_buffer(Some(&wait_not)) {
            Ok(buffer) => buffer,
            Err(gst::FlowError::Eos) => {
                self.behind = true;
                self.studio.bell.ring();
                return Ok(());
            }
            Err(error) => return Err(error).context("no buffer for the window"),
        };
        {
            let canvas = self.canvas.map_readable()?;
            let mut copy = buffer.get_mut().context("a pooled buffer is in use")?.map_writable()?;
            let length = canvas.len().min(copy.len());
            copy[..length].copy_from_slice(&canvas[..length]);
        }
        self.behind = false;
        self.out.push_buffer(buffer).map(drop).context("the window takes no pictures")
    }
}

/// A place without a cast.
fn free(place: Rect) -> Tile {
    let scene = TileScene { source: SourceId::teacher(), label: String::new(), picture: Picture::Waiting };
    Tile { place, scene, slot: None, captions: Vec::new(), shown: None, scaler: None }
}

/// Canvas and buffers of a size, announced to the window. Four buffers: one is shown, one waits, one is painted, and
/// one for a sink that holds on to its last.
fn stretch(out: &app::AppSrc, (width, height): (u32, u32)) -> Result<(video::VideoInfo, gst::Buffer, gst::BufferPool)> {
    let colours: video::VideoColorimetry = "bt601".parse()?;
    let info = video::VideoInfo::builder(video::VideoFormat::I420, width, height)
        .fps(gst::Fraction::new(30, 1))
        .colorimetry(&colours)
        .build()?;
    let caps = info.to_caps()?;
    let canvas = gst::Buffer::with_size(info.size())?;
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    let size = u32::try_from(info.size())?;
    config.set_params(Some(&caps), size, 4, 4);
    pool.set_config(config)?;
    pool.set_active(true)?;
    out.set_caps(Some(&caps));
    Ok((info, canvas, pool))
}

/// Scales pictures of `from` into the rectangle `target` of the canvas.
fn scaler(from: &video::VideoInfo, canvas: &video::VideoInfo, target: Rect) -> Result<video::VideoConverter> {
    let mut config = video::VideoConverterConfig::new();
    let pixels = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    config.set_dest_x(pixels(target.x));
    config.set_dest_y(pixels(target.y));
    config.set_dest_width(Some(pixels(target.w)));
    config.set_dest_height(Some(pixels(target.h)));
    config.set_fill_border(false);
    config.set_resampler_method(video::VideoResamplerMethod::Linear);
    config.set_dither_method(video::VideoDitherMethod::None);
    config.set_matrix_mode(video::VideoMatrixMode::None);
    config.set_gamma_mode(video::VideoGammaMode::None);
    config.set_primaries_mode(video::VideoPrimariesMode::None);
    // A converter compares the rates too, which mean nothing here.
    let from = video::VideoInfo::builder(from.format(), from.width(), from.height())
        .fps(canvas.fps())
        .par(from.par())
        .colorimetry(&from.colorimetry())
        .build()?;
    video::VideoConverter::new(&from, canvas, Some(config)).context("pictures of a form that can't be scaled")
}

/// The time on the panel.
fn clock(lang: Lang) -> Clock {
    let Ok(now) = gst::glib::DateTime::now_local() else {
        return Clock { time: String::new(), date: String::new() };
    };
    let weekday = classroom_protocol::catalogue::text(lang, &format!("console.display-weekday-{}", now.day_of_week()));
    let (month, day) = (now.month().to_string(), now.day_of_month().to_string());
    let values = [("weekday", weekday), ("month", &month), ("day", &day)];
    let date = classroom_protocol::catalogue::fill(lang, "console.display-date", &values);
    Clock { time: format!("{:02}:{:02}", now.hour(), now.minute()), date }
}
