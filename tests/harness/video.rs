//! Small real videos, drawn and encoded here: a file, and the same as HLS and as DASH.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use gstreamer::{self as gst, prelude::*};

const PICTURE: &str = "videotestsrc pattern=ball num-buffers=240 \
    ! video/x-raw,width=640,height=360,framerate=30/1 ! videoconvert \
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max=30 \
    ! video/x-h264,profile=constrained-baseline ! h264parse";
/// Seconds of each video.
pub const SECONDS: u64 = 8;

fn run(line: &str) -> Result<()> {
    gst::init()?;
    let pipeline = gst::parse::launch(line)?;
    let bus = pipeline.bus().context("a bus")?;
    pipeline.set_state(gst::State::Playing)?;
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
    pipeline.set_state(gst::State::Null)?;
    match message.context("the video took too long")?.view() {
        gst::MessageView::Error(error) => bail!("{}", error.error()),
        _ => Ok(()),
    }
}

/// An MP4 with its index in front.
pub fn mp4(path: &Path) -> Result<()> {
    run(&format!("{PICTURE} ! mp4mux faststart=true ! filesink location={}", path.display()))
}

/// `index.m3u8` with its segments, in `folder`.
pub fn hls(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let at = folder.display();
    run(&format!(
        "{PICTURE} ! hlssink2 name=sink location={at}/%05d.ts playlist-location={at}/index.m3u8 target-duration=2 \
         max-files=0 playlist-length=0"
    ))
}

/// `index.mpd` with its segments, in `folder`: a fragmented MP4 cut at its boxes.
pub fn dash(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let whole = folder.join("whole.mp4");
    run(&format!("{PICTURE} ! mp4mux fragment-duration=1000 streamable=true ! filesink location={}", whole.display()))?;
    let bytes = fs::read(&whole)?;
    fs::remove_file(&whole)?;
    let (mut at, mut init, mut segments) = (0, Vec::new(), Vec::<Vec<u8>>::new());
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into()?) as usize;
        ensure!(size >= 8 && at + size <= bytes.len(), "a box of {size} bytes at {at}");
        let part = &bytes[at..at + size];
        match &part[4..8] {
            b"ftyp" | b"moov" => init.extend_from_slice(part),
            b"moof" => segments.push(part.to_vec()),
            b"mdat" => segments.last_mut().context("data without a fragment")?.extend_from_slice(part),
            _ => {}
        }
        at += size;
    }
    fs::write(folder.join("init.mp4"), init)?;
    for (n, segment) in segments.iter().enumerate() {
        fs::write(folder.join(format!("s{}.m4s", n + 1)), segment)?;
    }
    let text = format!(
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT{}S\" minBufferTime=\"PT1S\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\">\
         <Period><AdaptationSet mimeType=\"video/mp4\" contentType=\"video\" segmentAlignment=\"true\">\
         <SegmentTemplate timescale=\"1\" duration=\"1\" startNumber=\"1\" media=\"s$Number$.m4s\" \
         initialization=\"init.mp4\"/><Representation id=\"v\" bandwidth=\"600000\" width=\"640\" height=\"360\" \
         codecs=\"avc1.42c01e\"/></AdaptationSet></Period></MPD>\n",
        segments.len()
    );
    Ok(fs::write(folder.join("index.mpd"), text)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_form_has_its_parts() {
        let folder = std::env::temp_dir().join(format!("classroom-video-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        mp4(&folder.join("a.mp4")).unwrap();
        hls(&folder.join("hls")).unwrap();
        dash(&folder.join("dash")).unwrap();
        let count = |name: &str| fs::read_dir(folder.join(name)).unwrap().count();
        assert!(fs::metadata(folder.join("a.mp4")).unwrap().len() > 10_000);
        assert!(count("hls") >= 4 && count("dash") as u64 >= SECONDS);
        fs::remove_dir_all(&folder).unwrap();
    }
}
