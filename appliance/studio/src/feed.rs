//! The pipeline: camera and microphone, encoded, into a `webrtcbin`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use classroom_peer as peer;
use gstreamer::{self as gst, prelude::*};
use gstreamer_video::VideoInfo;
use gstreamer_webrtc as webrtc;
use tokio::sync::mpsc;

use crate::{
    options::{Audio, Video},
    stamp,
};

/// A camera gives its first picture within this time.
const STARTS: Duration = Duration::from_secs(8);
/// News that nobody has read yet; the first tells enough.
const NEWS: usize = 8;

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum News {
    /// Packets can flow.
    Connected,
    /// It is over; make a new one.
    Broken(String),
}

/// A session.
pub(crate) struct Feed {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    /// When the last encoded picture left.
    last: Arc<Mutex<Instant>>,
    /// The SDP offer with all candidates.
    pub(crate) offer: String,
    /// What happens.
    pub(crate) news: mpsc::Receiver<News>,
}

impl Feed {
    /// Builds the pipeline up to its offer. Blocks.
    ///
    /// # Errors
    /// When a device or an element is missing.
    pub(crate) fn prepare(video: &Video, audio: &Audio, size: (u32, u32), bitrate: u32) -> Result<Self> {
        let pipeline = gst::parse::launch(&description(video, audio, size, bitrate))
            .with_context(|| format!("{video} can't be used"))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow::anyhow!("the description is no pipeline"))?;
        let element = |name: &str| pipeline.by_name(name).with_context(|| format!("no element {name}"));
        let webrtc = element("out")?;
        for pad in webrtc.sink_pads() {
            let transceiver = pad.property::<webrtc::WebRTCRTPTransceiver>("transceiver");
            transceiver.set_property("direction", webrtc::WebRTCRTPTransceiverDirection::Sendonly);
            transceiver.set_property("do-nack", true);
        }
        if *video == Video::Test {
            stamp_on(&element("stamped")?)?;
        }
        let (tell, news) = mpsc::channel(NEWS);
        watch(&pipeline, &webrtc, &tell);
        let last = Arc::new(Mutex::new(Instant::now()));
        let seen = last.clone();
        let coded = element("coded")?.static_pad("src").context("the encoder has no output")?;
        coded.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            gst::PadProbeReturn::Ok
        });
        let mut feed = Self { pipeline, webrtc, last, offer: String::new(), news };
        feed.pipeline.set_state(gst::State::Playing).with_context(|| format!("{video} does not start"))?;
        feed.wait_for_streams()?;
        feed.offer = peer::offer(&feed.webrtc)?;
        Ok(feed)
    }

    /// Waits until each stream has its name (SSRC): an offer without it leaves the hub guessing whose packets come.
    fn wait_for_streams(&self) -> Result<()> {
        let named = |pad: &gst::Pad| {
            pad.current_caps().is_some_and(|caps| caps.structure(0).is_some_and(|form| form.has_field("ssrc")))
        };
        let until = Instant::now() + STARTS;
        while !self.webrtc.sink_pads().iter().all(named) {
            anyhow::ensure!(Instant::now() < until, "the camera or the microphone gives nothing within {STARTS:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The hub's answer. Blocks.
    ///
    /// # Errors
    /// When it does not fit the offer.
    pub(crate) fn accept(&self, answer: &str) -> Result<()> {
        peer::accept(&self.webrtc, answer)
    }

    /// Time since the last picture left the encoder.
    pub(crate) fn age(&self) -> Duration {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("a session did not close cleanly");
        }
    }
}

/// The pipeline in the words of gst-launch. Old pictures are dropped before the encoder, sound is never held back.
fn description(video: &Video, audio: &Audio, (width, height): (u32, u32), bitrate: u32) -> String {
    let raw = format!("video/x-raw,format=I420,width={width},height={height}");
    let camera = match video {
        Video::V4l2(device) => {
            format!(
                "v4l2src device={device} do-timestamp=true ! decodebin ! videoconvert ! videoscale ! videorate ! {raw},framerate=30/1"
            )
        }
        Video::Test => {
            format!("videotestsrc is-live=true pattern=ball ! {raw},framerate=30/1 ! identity name=stamped")
        }
    };
    let sound = match audio {
        Audio::Alsa(device) => format!("alsasrc device={device}"),
        Audio::Pipewire => "pipewiresrc".into(),
        Audio::Test => "audiotestsrc is-live=true wave=sine freq=440 volume=0.1".into(),
        Audio::Silence => "audiotestsrc is-live=true wave=silence".into(),
        Audio::None => String::new(),
    };
    let sound = match audio {
        Audio::None => sound,
        _ => format!(
            "{sound} ! queue max-size-time=200000000 leaky=downstream ! audioconvert ! audioresample \
             ! audio/x-raw,rate=48000,channels=1 ! opusenc bitrate=48000 frame-size=20 inband-fec=true \
             ! rtpopuspay pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,encoding-params=(string)2 ! out."
        ),
    };
    format!(
        "webrtcbin name=out bundle-policy=max-bundle latency=50 \
         {camera} ! queue max-size-buffers=2 leaky=downstream \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={bitrate} key-int-max=300 bframes=0 name=coded \
         ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream \
         ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96 \
         ! application/x-rtp,media=video,encoding-name=H264,payload=96,packetization-mode=(string)1,\
         profile-level-id=(string)42e01f,level-asymmetry-allowed=(string)1 ! out. {sound}"
    )
}

/// Writes the time into every picture that passes.
fn stamp_on(element: &gst::Element) -> Result<()> {
    let pad = element.static_pad("src").context("no place for the stamp")?;
    let sequence = AtomicU8::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let (Some(buffer), Some(caps)) = (info.buffer_mut(), pad.current_caps()) else {
            return gst::PadProbeReturn::Ok;
        };
        let Ok(form) = VideoInfo::from_caps(&caps) else { return gst::PadProbeReturn::Ok };
        if let Ok(mut picture) = buffer.make_mut().map_writable() {
            let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
            let stride = form.stride().first().copied().unwrap_or_default().unsigned_abs() as usize;
            let size = (form.width() as usize, form.height() as usize);
            stamp::draw(picture.as_mut_slice(), stride, size, millis, sequence.fetch_add(1, Ordering::Relaxed));
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Turns errors and the end of the connection into news.
fn watch(pipeline: &gst::Pipeline, webrtc: &gst::Element, tell: &mpsc::Sender<News>) {
    if let Some(bus) = pipeline.bus() {
        let tell = tell.clone();
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let from = error.src().map(|from| from.name()).unwrap_or_default();
                // Full means that an earlier one tells the same.
                drop(tell.try_send(News::Broken(format!("{from}: {}", error.error()))));
            }
            gst::BusSyncReply::Drop
        });
    }
    let tell = tell.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        use webrtc::WebRTCPeerConnectionState as State;
        let news = match webrtc.property::<State>("connection-state") {
            State::Connected => News::Connected,
            State::Failed => News::Broken("the connection failed".into()),
            State::Closed => News::Broken("the hub closed the connection".into()),
            _ => return,
        };
        // Full means that an earlier one tells the same.
        drop(tell.try_send(news));
    });
}
