//! Pre-encoded pictures for many publishers at once: encoded once, cut into RTP payloads, sent again and again.
//!
//! Two cores cannot encode nine screens live. Each frame carries the stamp with its own number as `sequence`, so that a
//! reader of the panel sees that pictures move and which one it is; `millis` counts frames too and is no time.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSrc};

use crate::stamp::Stamp;

/// Frames a second.
pub const RATE: u32 = 30;
/// A keyframe every second: where a publisher may jump to when a keyframe is asked for.
const KEYFRAMES: usize = RATE as usize;
/// Frames in a clip; fits the stamp's sequence.
const FRAMES: usize = 3 * KEYFRAMES;
/// Most bytes of payload in a packet.
const PAYLOAD: usize = 1100;

/// An endless piece of H.264 video (constrained baseline), cut into RTP payloads (RFC 6184).
#[derive(Debug)]
pub struct Clip {
    frames: Vec<Vec<Bytes>>,
}

impl Clip {
    /// Draws and encodes three seconds. Takes about a second of a core for 1280×720.
    pub fn encode(width: usize, height: usize, kilobits: u32) -> Result<Arc<Self>> {
        gst::init()?;
        let line = format!(
            "appsrc name=in format=time caps=video/x-raw,format=GRAY8,width={width},height={height},framerate={RATE}/1 \
             ! videoconvert ! x264enc tune=zerolatency speed-preset=superfast bitrate={kilobits} vbv-buf-capacity=200 \
             key-int-max={KEYFRAMES} option-string=scenecut=0 ! video/x-h264,profile=constrained-baseline,\
             stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&line).context("x264enc of gstreamer1.0-plugins-ugly")?;
        let bin = pipeline.downcast_ref::<gst::Bin>().context("a pipeline")?;
        let source = bin.by_name("in").and_then(|e| e.downcast::<AppSrc>().ok()).context("appsrc")?;
        let sink = bin.by_name("out").and_then(|e| e.downcast::<AppSink>().ok()).context("appsink")?;
        pipeline.set_state(gst::State::Playing)?;
        let mut frames = Vec::new();
        for number in 0..FRAMES {
            let mut buffer = gst::Buffer::from_slice(draw(number, width, height));
            let pts = gst::ClockTime::from_mseconds(number as u64 * 1000 / u64::from(RATE));
            buffer.get_mut().context("a buffer of our own")?.set_pts(pts);
            source.push_buffer(buffer)?;
        }
        source.end_of_stream()?;
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(60)) {
            let map = sample.buffer().context("no buffer")?.map_readable()?;
            frames.push(payloads(&map));
        }
        pipeline.set_state(gst::State::Null)?;
        ensure!(frames.len() == FRAMES, "{} of {FRAMES} frames were encoded", frames.len());
        Ok(Arc::new(Self { frames }))
    }

    /// RTP payloads of frame `at`; the clip repeats.
    pub fn frame(&self, at: usize) -> &[Bytes] {
        &self.frames[at % FRAMES]
    }

    /// The number of the next frame after `at` that is a keyframe.
    pub fn next_keyframe(&self, at: usize) -> usize {
        at.next_multiple_of(KEYFRAMES)
    }
}

/// Slow shapes under a stamp, as a page that scrolls.
fn draw(number: usize, width: usize, height: usize) -> Vec<u8> {
    let mut luma = vec![200; width * height];
    for (y, line) in luma.chunks_mut(width).enumerate() {
        for (x, pixel) in line.iter_mut().enumerate() {
            let row = (y + number * 2) / 24;
            if (y + number * 2) % 24 < 12 && (x / 6 * 7 + row * 13) % 11 < 5 {
                *pixel = 60;
            }
        }
    }
    Stamp { millis: number as u32, sequence: number as u8 }.draw(&mut luma, width, height, width);
    luma
}

/// Cuts an access unit (Annex B) into payloads: a small NAL unit as it is, a large one in fragments (FU-A).
fn payloads(access_unit: &[u8]) -> Vec<Bytes> {
    let mut out = Vec::new();
    for nal in nal_units(access_unit) {
        // The delimiter says nothing on RTP, where the marker ends a picture.
        if nal[0] & 0x1f == 9 {
            continue;
        }
        if nal.len() <= PAYLOAD {
            out.push(Bytes::copy_from_slice(nal));
            continue;
        }
        let parts: Vec<&[u8]> = nal[1..].chunks(PAYLOAD - 2).collect();
        for (n, part) in parts.iter().enumerate() {
            let start = if n == 0 { 0x80 } else { 0 };
            let end = if n + 1 == parts.len() { 0x40 } else { 0 };
            let header = [nal[0] & 0xe0 | 28, nal[0] & 0x1f | start | end];
            out.push([header.as_slice(), part].concat().into());
        }
    }
    out
}

fn nal_units(access_unit: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..access_unit.len()).filter(|i| access_unit[*i..].starts_with(&[0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([access_unit.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let unit = &access_unit[start + 3..end];
        // Zero bytes before the next start code belong to it.
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &unit[..length]
    });
    units.filter(|unit| !unit.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clip_has_small_packets_and_a_keyframe_each_second() {
        let clip = Clip::encode(320, 180, 300).unwrap();
        for at in 0..FRAMES {
            let packets = clip.frame(at);
            assert!(!packets.is_empty() && packets.iter().all(|p| p.len() <= PAYLOAD), "frame {at}");
            assert_eq!(packets.iter().any(|p| p[0] & 0x1f == 7), at % KEYFRAMES == 0, "parameter sets in frame {at}");
        }
        assert_eq!((clip.next_keyframe(0), clip.next_keyframe(1), clip.next_keyframe(89)), (0, 30, 90));
        assert_eq!(clip.frame(90), clip.frame(0));
    }

    #[test]
    fn units_are_found_behind_both_start_codes() {
        let unit = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 0, 3];
        assert_eq!(nal_units(&unit), [&[0x67, 1][..], &[0x68, 2], &[0x65, 0, 3]]);
    }
}
