//! The glass-to-glass stamp: a picture that carries the moment at which it was drawn.
//!
//! The top eighth of the picture holds two rows of 24 cells, black or white, chroma untouched. The 48 bits, highest
//! first, are 32 bits of milliseconds since 1970 (it wraps after 49 days), 8 bits of a sequence number and a CRC-8.
//! Cells are large, so the stamp lives through H.264, VP8, scaling and a place in a grid of nine.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use gstreamer_video::{VideoCapsBuilder, VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};

use crate::proc::Owned;

/// Defines `drawStamp(context2d, width, height)` and `showStamp(rate)` in a page; the latter lays the stamp over the
/// page's whole width so that a capture of the tab has it.
pub const SCRIPT: &str = include_str!("stamp.js");

const COLUMNS: usize = 24;

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970, the low 32 bits.
    pub millis: u32,
    /// Counts the drawn stamps, wraps.
    pub sequence: u8,
}

impl Stamp {
    /// A stamp of this moment.
    pub fn now(sequence: u8) -> Self {
        Self { millis: now_millis(), sequence }
    }

    fn bits(self) -> u64 {
        let [a, b, c, d] = self.millis.to_be_bytes();
        let bytes = [a, b, c, d, self.sequence];
        bytes.into_iter().chain([crc8(&bytes)]).fold(0, |bits, byte| bits << 8 | u64::from(byte))
    }

    fn from_bits(bits: u64) -> Option<Self> {
        let [_, _, a, b, c, d, sequence, crc] = bits.to_be_bytes();
        (crc8(&[a, b, c, d, sequence]) == crc).then_some(Self { millis: u32::from_be_bytes([a, b, c, d]), sequence })
    }

    /// Draws the stamp into a luma plane of `width` × `height` with `stride` bytes a line.
    pub fn draw(self, luma: &mut [u8], width: usize, height: usize, stride: usize) {
        let bits = self.bits();
        for (y, line) in luma.chunks_mut(stride).take(height / 16 * 2).enumerate() {
            let row = y / (height / 16).max(1);
            for (x, pixel) in line.iter_mut().take(width).enumerate() {
                let cell = row * COLUMNS + x * COLUMNS / width;
                *pixel = if bits >> (47 - cell) & 1 == 1 { 235 } else { 16 };
            }
        }
    }

    /// Reads the stamp of the picture that lies at `area` in the frame. None when there is none or it is unclear.
    pub fn read(frame: &Frame<'_>, area: Area) -> Option<Self> {
        let (cell_width, cell_height) = (area.width / COLUMNS as f64, area.height / 16.0);
        let mut levels = [0.0; 2 * COLUMNS];
        for (cell, level) in levels.iter_mut().enumerate() {
            let left = area.left + (cell % COLUMNS) as f64 * cell_width;
            let top = area.top + (cell / COLUMNS) as f64 * cell_height;
            // The middle of the cell only: its edges are blurred by the codec and by scaling.
            *level = frame.mean(
                (left + cell_width * 0.3, left + cell_width * 0.7),
                (top + cell_height * 0.3, top + cell_height * 0.7),
            )?;
        }
        let (low, high) = levels.iter().fold((255.0_f64, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
        let middle = (low + high) / 2.0;
        let clear = (high - low) * 0.2;
        if high - low < 80.0 || levels.iter().any(|level| (level - middle).abs() < clear) {
            return None;
        }
        Self::from_bits(levels.iter().fold(0, |bits, level| bits << 1 | u64::from(*level > middle)))
    }
}

/// Milliseconds since 1970, the low 32 bits, as in a stamp.
pub fn now_millis() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() & u128::from(u32::MAX)) as u32
}

/// Neither all black nor all white has a good one.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0xa5, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

/// Where a picture lies, in pixels of the frame; parts of pixels are fine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Area {
    /// From whole pixels.
    pub fn new(left: u32, top: u32, width: u32, height: u32) -> Self {
        Self { left: left.into(), top: top.into(), width: width.into(), height: height.into() }
    }

    /// Tile `index` of a square grid of `tiles` (1, 4, 9) or of two side by side (2).
    pub fn tile(self, tiles: u8, index: u8) -> Self {
        let (columns, rows) = match tiles {
            0 | 1 => (1, 1),
            2 => (2, 1),
            3 | 4 => (2, 2),
            _ => (3, 3),
        };
        let (width, height) = (self.width / f64::from(columns), self.height / f64::from(rows));
        let (column, row) = (index % columns, index / columns);
        let (left, top) = (self.left + width * f64::from(column), self.top + height * f64::from(row));
        Self { left, top, width, height }
    }

    /// The largest area of this shape in the middle: where a picture lies that is shown whole, with bars.
    pub fn fit(self, width: u32, height: u32) -> Self {
        let scale = (self.width / f64::from(width)).min(self.height / f64::from(height));
        let (w, h) = (f64::from(width) * scale, f64::from(height) * scale);
        Self { left: self.left + (self.width - w) / 2.0, top: self.top + (self.height - h) / 2.0, width: w, height: h }
    }
}

/// Pixels to read from: a luma plane, or RGB in any order, where green stands for brightness.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The first byte to look at is that of the upper left pixel.
    pub data: &'a [u8],
    /// Bytes from line to line.
    pub stride: usize,
    /// Bytes from pixel to pixel.
    pub step: usize,
    /// Which byte of a pixel holds the brightness.
    pub byte: usize,
}

impl<'a> Frame<'a> {
    /// A luma plane.
    pub fn luma(data: &'a [u8], stride: usize) -> Self {
        Self { data, stride, step: 1, byte: 0 }
    }

    /// 4 bytes a pixel with green second or third of four (RGBx, BGRx: 1; xRGB, xBGR: 2).
    pub fn rgb32(data: &'a [u8], stride: usize, green: usize) -> Self {
        Self { data, stride, step: 4, byte: green }
    }

    /// Mean brightness of a rectangle; at least one pixel is looked at. None outside the frame.
    fn mean(&self, (left, right): (f64, f64), (top, bottom): (f64, f64)) -> Option<f64> {
        if left < 0.0 || top < 0.0 {
            return None;
        }
        let range = |from: f64, to: f64| (from as usize)..(to as usize).max(from as usize + 1);
        let (mut sum, mut count) = (0_u64, 0_u32);
        for y in range(top, bottom) {
            for x in range(left, right) {
                sum += u64::from(*self.data.get(y * self.stride + x * self.step + self.byte)?);
                count += 1;
            }
        }
        Some(sum as f64 / f64::from(count))
    }
}

/// A virtual X display (Xvfb) of its own, ended when dropped.
#[derive(Debug)]
pub struct Display {
    /// Name for `DISPLAY`, such as `:7`.
    pub name: String,
    _server: Owned,
}

impl Display {
    /// Starts Xvfb on a display number that is free.
    pub fn start(width: u32, height: u32) -> Result<Self> {
        let mut server = Owned::spawn("Xvfb", |command| {
            command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"]);
            command.arg(format!("{width}x{height}x24")).stdout(Stdio::piped()).stderr(Stdio::null());
        })?;
        let output = server.child().stdout.take().context("Xvfb has no output")?;
        let mut number = String::new();
        // Ends at the latest when Xvfb gives up and closes its output.
        BufReader::new(output).read_line(&mut number)?;
        if number.trim().is_empty() {
            bail!("Xvfb did not start");
        }
        Ok(Self { name: format!(":{}", number.trim()), _server: server })
    }
}

/// One grab of a display.
#[derive(Debug)]
pub struct Grab {
    /// When it was grabbed, on the clock of the stamps.
    pub millis: u32,
    width: u32,
    height: u32,
    stride: usize,
    data: Vec<u8>,
}

impl Grab {
    /// The stamp of the picture at `area`.
    pub fn stamp(&self, area: Area) -> Option<Stamp> {
        Stamp::read(&Frame::rgb32(&self.data, self.stride, 1), area)
    }

    /// The picture at `area`: its stamp and how old it is.
    pub fn reading(&self, area: Area) -> Option<Reading> {
        let stamp = self.stamp(area)?;
        let age = self.millis.wrapping_sub(stamp.millis).cast_signed();
        // The page's clock may be a millisecond ahead in its rounding. Far ahead or long ago is no stamp: one in 256
        // pictures of sharp edges has a good CRC-8 by chance.
        let plausible = (-50..600_000).contains(&age);
        plausible.then(|| Reading { stamp, age: Duration::from_millis(age.max(0).unsigned_abs().into()) })
    }

    /// The whole grab as an area.
    pub fn area(&self) -> Area {
        Area::new(0, 0, self.width, self.height)
    }

    /// Whether the area has anything but one colour.
    pub fn has_picture(&self, area: Area) -> bool {
        let frame = Frame::rgb32(&self.data, self.stride, 1);
        let spots = (0..400).filter_map(|i| {
            let (x, y) = (f64::from(i % 20), f64::from(i / 20));
            let (x, y) = (area.left + area.width * (x + 0.5) / 20.0, area.top + area.height * (y + 0.5) / 20.0);
            frame.mean((x, x), (y, y))
        });
        let (low, high) = spots.fold((255.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        high - low > 24.0
    }
}

/// A stamp that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it said.
    pub stamp: Stamp,
    /// How long before the grab it was drawn.
    pub age: Duration,
}

/// Grabs a display many times a second. Keeps the newest grab only: a slow reader misses grabs and stays up to date.
#[derive(Debug)]
pub struct WindowReader {
    pipeline: gst::Pipeline,
    grabs: mpsc::Receiver<Grab>,
}

impl WindowReader {
    /// Reads the whole of `display` (such as `:7`), `rate` times a second.
    pub fn open(display: &str, rate: i32) -> Result<Self> {
        gst::init()?;
        let source = gst::ElementFactory::make("ximagesrc")
            .property("display-name", display)
            .property("use-damage", false)
            .property("show-pointer", false)
            .build()
            .context("ximagesrc of gstreamer1.0-plugins-good is missing")?;
        let caps = VideoCapsBuilder::new().format(VideoFormat::Bgrx).framerate(gst::Fraction::new(rate, 1)).build();
        let (sender, grabs) = mpsc::sync_channel(1);
        let sink = AppSink::builder().caps(&caps).sync(false).max_buffers(1).drop(true);
        let sink =
            sink.callbacks(AppSinkCallbacks::builder().new_sample(move |sink| take(sink, &sender)).build()).build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&source, sink.upcast_ref()])?;
        source.link(&sink)?;
        pipeline.set_state(gst::State::Playing).with_context(|| format!("cannot read display {display}"))?;
        Ok(Self { pipeline, grabs })
    }

    /// The next grab that starts after this call.
    pub fn grab(&self, within: Duration) -> Result<Grab> {
        let asked = now_millis();
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let grab = self.grabs.recv_timeout(left).context("the display gives no picture")?;
            if grab.millis.wrapping_sub(asked).cast_signed() >= 0 {
                return Ok(grab);
            }
        }
    }

    /// Waits until the picture at `area` satisfies `wanted`, and gives its reading.
    pub fn wait_for(&self, area: Area, within: Duration, wanted: impl Fn(&Reading) -> bool) -> Result<Reading> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let grab = self.grab(left.max(Duration::from_millis(1)));
            match grab.with_context(|| format!("no such stamp at {area:?} within {within:?}"))?.reading(area) {
                Some(reading) if wanted(&reading) => return Ok(reading),
                _ => {}
            }
        }
    }

    /// Every new stamp that is seen at `area` for a time. Repeats of the same stamp are left out, so that the number of
    /// readings is the number of different pictures shown and an age is that at first sight.
    pub fn readings(&self, area: Area, during: Duration) -> Result<Vec<Reading>> {
        let until = Instant::now() + during;
        let mut seen: Vec<Reading> = Vec::new();
        while Instant::now() < until {
            if let Some(reading) = self.grab(Duration::from_secs(5))?.reading(area)
                && seen.last().is_none_or(|last| last.stamp != reading.stamp)
            {
                seen.push(reading);
            }
        }
        Ok(seen)
    }
}

impl Drop for WindowReader {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn take(sink: &AppSink, grabs: &mpsc::SyncSender<Grab>) -> Result<gst::FlowSuccess, gst::FlowError> {
    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
    let millis = now_millis();
    let caps = sample.caps().ok_or(gst::FlowError::NotNegotiated)?;
    let info = VideoInfo::from_caps(caps).map_err(|_| gst::FlowError::NotNegotiated)?;
    let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).map_err(|_| gst::FlowError::Error)?;
    let data = frame.plane_data(0).map_err(|_| gst::FlowError::Error)?.to_vec();
    let stride = usize::try_from(frame.plane_stride()[0]).map_err(|_| gst::FlowError::Error)?;
    // Full: the reader still has one to look at, this one is dropped.
    let _ = grabs.try_send(Grab { millis, width: info.width(), height: info.height(), stride, data });
    Ok(gst::FlowSuccess::Ok)
}

/// Writes what `display` shows as PNG; makes the folder.
pub fn screenshot(display: &str, path: impl AsRef<Path>) -> Result<()> {
    gst::init()?;
    let path = std::path::absolute(path)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // The display's name is part of the line: linking already opens the display.
    let line = format!(
        "ximagesrc display-name={display} use-damage=false show-pointer=false num-buffers=1 \
         ! videoconvert ! pngenc ! filesink name=out"
    );
    let pipeline = gst::parse::launch(&line)?;
    let bin = pipeline.downcast_ref::<gst::Bin>().context("a pipeline")?;
    bin.by_name("out").context("sink")?.set_property("location", path.to_str().context("path")?);
    pipeline.set_state(gst::State::Playing)?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends));
    pipeline.set_state(gst::State::Null)?;
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        other => bail!("no screenshot of {display}: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::browser::{Browser, Options, Screen};

    fn drawn(stamp: Stamp, width: usize, height: usize) -> Vec<u8> {
        let mut luma = vec![128; width * height];
        stamp.draw(&mut luma, width, height, width);
        luma
    }

    /// Nearest-neighbour scaling followed by a box blur of radius `blur`.
    fn scaled(luma: &[u8], from: (usize, usize), to: (usize, usize), blur: usize) -> Vec<u8> {
        let at = |x: usize, y: usize| luma[y * from.1 / to.1 * from.0 + x * from.0 / to.0];
        let mut out = Vec::new();
        for y in 0..to.1 {
            for x in 0..to.0 {
                let xs = x.saturating_sub(blur)..(x + blur + 1).min(to.0);
                let all: Vec<u32> = xs
                    .flat_map(|x| (y.saturating_sub(blur)..(y + blur + 1).min(to.1)).map(move |y| (x, y)))
                    .map(|(x, y)| u32::from(at(x, y)))
                    .collect();
                out.push((all.iter().sum::<u32>() / all.len() as u32) as u8);
            }
        }
        out
    }

    #[test]
    fn what_was_drawn_is_read_at_any_size() {
        for (n, to) in [(1280, 720), (1920, 1080), (640, 360), (427, 240), (320, 180)].into_iter().enumerate() {
            let stamp =
                Stamp { millis: 0x9e37_79b9_u32.wrapping_mul(n as u32 + 1), sequence: (n as u8).wrapping_mul(77) };
            let blurred = scaled(&drawn(stamp, 1280, 720), (1280, 720), to, to.0 / 320);
            let area = Area::new(0, 0, to.0 as u32, to.1 as u32);
            assert_eq!(Stamp::read(&Frame::luma(&blurred, to.0), area), Some(stamp), "{to:?}");
        }
    }

    #[test]
    fn a_tile_in_a_window_is_read_and_its_neighbour_is_not() {
        let stamp = Stamp { millis: 123_456_789, sequence: 200 };
        let tile = drawn(stamp, 640, 360);
        let mut window = vec![30_u8; 1280 * 800 * 4];
        for y in 0..360 {
            for x in 0..640 {
                window[((y + 20) * 1280 + x + 640) * 4 + 1] = tile[y * 640 + x];
            }
        }
        let frame = Frame::rgb32(&window, 1280 * 4, 1);
        let place = |index| Area::new(0, 0, 1280, 800).tile(4, index).fit(1280, 720);
        assert_eq!(place(1), Area::new(640, 20, 640, 360));
        assert_eq!(Stamp::read(&frame, place(1)), Some(stamp));
        assert_eq!(Stamp::read(&frame, place(0)), None);
        assert_eq!(Stamp::read(&frame, Area::new(900, 500, 640, 360)), None, "beyond the edge");
    }

    #[test]
    fn plain_pictures_hold_no_stamp() {
        assert_eq!(Stamp::from_bits(0), None);
        assert_eq!(Stamp::from_bits((1 << 48) - 1), None);
        let steps: Vec<u8> = (0..1280 * 720).map(|i| (i % 256) as u8).collect();
        assert_eq!(Stamp::read(&Frame::luma(&steps, 1280), Area::new(0, 0, 1280, 720)), None);
    }

    /// Through x264 at a low rate and back: what a network picture looks like at worst.
    #[test]
    fn the_stamp_lives_through_h264() {
        gst::init().unwrap();
        let line = "appsrc name=in format=time caps=video/x-raw,format=GRAY8,width=1280,height=720,framerate=30/1 \
            ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 ! avdec_h264 ! videoconvert \
            ! videoscale ! video/x-raw,format=GRAY8,width=480,height=270 ! appsink name=out sync=false";
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sent: Vec<Stamp> = (0..20).map(|n| Stamp { millis: 4_000_000_000 + n * 33, sequence: n as u8 }).collect();
        for (n, stamp) in sent.iter().enumerate() {
            let mut luma = drawn(*stamp, 1280, 720);
            // Something that costs bits below the stamp.
            for (i, pixel) in luma.iter_mut().enumerate().skip(1280 * 90) {
                *pixel = (((i % 1280 + 9 * stamp.sequence as usize) / 4) ^ (i / 1280 / 4)) as u8;
            }
            let mut buffer = gst::Buffer::from_slice(luma);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(n as u64 * 33));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        let mut read = Vec::new();
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
            let map = sample.buffer().unwrap().map_readable().unwrap();
            read.push(Stamp::read(&Frame::luma(&map, 480), Area::new(0, 0, 480, 270)));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(read, sent.into_iter().map(Some).collect::<Vec<_>>());
    }

    /// A browser's window on a virtual display shows the page's stamp, and the reader reads it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_page_on_a_display_is_read() {
        // Room for the browser's own bars above the page.
        let display = Display::start(1280, 960).unwrap();
        let options = Options {
            display: Some(display.name.clone()),
            screen: Screen::ThisTab,
            size: (1280, 720),
            args: vec!["--window-position=0,0".into()],
            ..Options::default()
        };
        let browser = Browser::start(options).await.unwrap();
        browser.client.goto("data:text/html,<title>stamp</title>").await.unwrap();
        browser.run(&format!("{SCRIPT}; showStamp(30)")).await.unwrap();
        let bars = browser.eval("outerHeight - innerHeight").await.unwrap().as_u64().unwrap();
        let reader = WindowReader::open(&display.name, 60).unwrap();
        let whole = Area::new(0, u32::try_from(bars).unwrap(), 1280, 720);
        let found = tokio::task::block_in_place(|| {
            reader.wait_for(whole, Duration::from_secs(20), |reading| reading.age < Duration::from_millis(500))
        });
        if let Err(error) = found {
            screenshot(&display.name, "../target/stamp-window.png").unwrap();
            panic!("{error:#}; see target/stamp-window.png");
        }
        let seen = tokio::task::block_in_place(|| reader.readings(whole, Duration::from_secs(2))).unwrap();
        assert!(seen.len() > 10, "saw {seen:?}");
        let path = std::env::temp_dir().join(format!("classroom-screenshot-{}.png", std::process::id()));
        screenshot(&display.name, &path).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        std::fs::remove_file(&path).unwrap();
        assert!(size > 1000, "{size} bytes");
    }
}
