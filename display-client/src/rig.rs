//! One WebRTC session of one cast in GStreamer: webrtcbin, the decoder, and the newest picture into a [`Slot`].
//!
//! A rig is built with its offer in hand and thrown away as a whole: nothing of a broken session is left to repair.
//! All functions block for some milliseconds; call them where that is allowed.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result, bail};
use classroom_peer as peer;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as app;
use gstreamer_webrtc as webrtc;
use tokio::sync::mpsc;

use crate::slot::Slot;

/// Events of one session that nobody has read yet; more are dropped, the first ones tell all.
const EVENTS: usize = 16;

/// How sessions are made.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    /// Milliseconds that the jitter buffer may wait for a lost packet.
    pub(crate) latency: u32,
    /// Where sound goes, in the words of gst-launch; none is played without.
    pub(crate) sound: Option<String>,
    /// Addresses to offer instead of those that libnice finds by itself (it never finds the loopback).
    pub(crate) addresses: Vec<IpAddr>,
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum RigEvent {
    /// Packets can flow.
    Connected,
    /// It is over; make a new one.
    Broken(String),
}

/// A session.
#[derive(Debug)]
pub(crate) struct Rig {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    /// Where the pictures go, once it is known whose they are.
    slot: Arc<OnceLock<Arc<Slot>>>,
    /// The SDP offer with all candidates.
    pub(crate) offer: String,
    /// What happens.
    pub(crate) events: mpsc::Receiver<RigEvent>,
}

/// Codecs in the order in which the panel likes them: H.264 decodes in hardware on most boxes. Dynamic payload types;
/// the feedback messages let the hub repair losses (NACK), refresh the picture (PLI, FIR) and measure the line (TWCC).
fn video_caps() -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let twcc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    for (codec, payload) in [("H264", 96), ("VP8", 98), ("VP9", 100)] {
        let mut one = gst::Structure::builder("application/x-rtp")
            .field("media", "video")
            .field("encoding-name", codec)
            .field("payload", payload)
            .field("clock-rate", 90_000)
            .field("rtcp-fb-nack", true)
            .field("rtcp-fb-nack-pli", true)
            .field("rtcp-fb-ccm-fir", true)
            .field("rtcp-fb-transport-cc", true)
            .field("extmap-3", twcc)
            .build();
        if codec == "H264" {
            one.set("packetization-mode", "1");
            one.set("profile-level-id", "42e01f");
            one.set("level-asymmetry-allowed", "1");
        }
        caps.make_mut().append_structure(one);
    }
    caps
}

fn audio_caps() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "audio")
        .field("encoding-name", "OPUS")
        .field("payload", 111)
        .field("clock-rate", 48_000)
        .field("encoding-params", "2")
        .build()
}

/// The hub is a few milliseconds away, so a packet that was lost twice is asked for a third and a fourth time before the
/// wait is over. The wait costs nothing while nothing is lost: pictures are shown as they come.
fn ask_again_soon(webrtc: &gst::Element) -> Result<()> {
    let bin = webrtc.dynamic_cast_ref::<gst::Bin>().context("webrtcbin is a bin")?;
    bin.connect_deep_element_added(|_, _, element| {
        if element.factory().is_some_and(|factory| factory.name() == "rtpjitterbuffer") {
            element.set_property("rtx-retry-timeout", 25i32);
            element.set_property("rtx-min-retry-timeout", 20i32);
        }
    });
    Ok(())
}

impl Rig {
    /// Builds a session up to its offer; it can be for any cast.
    pub(crate) fn prepare(making: &Making) -> Result<Self> {
        let pipeline = gst::Pipeline::new();
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property("latency", making.latency)
            .build()?;
        ask_again_soon(&webrtc)?;
        pipeline.add(&webrtc)?;
        let (tell, events) = mpsc::channel(EVENTS);
        watch_bus(&pipeline, &tell);
        watch_state(&webrtc, &tell);
        let slot = Arc::default();
        receive(&pipeline, &webrtc, &slot, making.sound.clone());
        let mut rig = Self { offer: String::new(), pipeline, webrtc, slot, events };
        rig.pipeline.set_state(gst::State::Playing).context("webrtcbin does not start")?;
        rig.offer = rig.make_offer(making)?;
        Ok(rig)
    }

    fn make_offer(&self, making: &Making) -> Result<String> {
        peer::offer_addresses(&self.webrtc, &making.addresses);
        let receive = webrtc::WebRTCRTPTransceiverDirection::Recvonly;
        let video =
            self.webrtc.emit_by_name::<webrtc::WebRTCRTPTransceiver>("add-transceiver", &[&receive, &video_caps()]);
        video.set_property("do-nack", true);
        if making.sound.is_some() {
            self.webrtc.emit_by_name::<webrtc::WebRTCRTPTransceiver>("add-transceiver", &[&receive, &audio_caps()]);
        }
        peer::offer(&self.webrtc)
    }

    /// The hub's answer: the session connects by itself from here on, pictures go into `slot`.
    pub(crate) fn accept(&self, answer: &str, slot: Arc<Slot>) -> Result<()> {
        if self.slot.set(slot).is_err() {
            bail!("the session has been answered before");
        }
        peer::accept(&self.webrtc, answer)
    }

    /// Ends the session and frees all it had.
    pub(crate) fn close(self) {
        drop(self);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("a session did not close cleanly");
        }
    }
}

/// Turns errors of any element into the session's end.
fn watch_bus(pipeline: &gst::Pipeline, tell: &mpsc::Sender<RigEvent>) {
    let Some(bus) = pipeline.bus() else { return };
    let (tell, weak) = (tell.clone(), pipeline.downgrade());
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                let from = error.src().map(|from| from.name()).unwrap_or_default();
                let of_sound = error.src().is_some_and(is_sound);
                let text = format!("{from}: {} ({})", error.error(), error.debug().unwrap_or_default());
                if of_sound {
                    tracing::warn!("no sound: {text}");
                } else {
                    // Full means that an earlier event tells the same.
                    drop(tell.try_send(RigEvent::Broken(text)));
                }
            }
            gst::MessageView::Latency(_) => {
                if let Some(pipeline) = weak.upgrade() {
                    pipeline.call_async(|pipeline| {
                        if pipeline.recalculate_latency().is_err() {
                            tracing::debug!("latency not settled yet");
                        }
                    });
                }
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// Whether an element belongs to the sound's branch, which may fail without harm.
fn is_sound(element: &gst::Object) -> bool {
    let mut at = Some(element.clone());
    while let Some(object) = at {
        if object.name() == "sound" {
            return true;
        }
        at = object.parent();
    }
    false
}

fn watch_state(webrtc: &gst::Element, tell: &mpsc::Sender<RigEvent>) {
    let tell = tell.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        use webrtc::WebRTCPeerConnectionState as State;
        let event = match webrtc.property::<State>("connection-state") {
            State::Connected => RigEvent::Connected,
            State::Failed => RigEvent::Broken("the connection failed".into()),
            State::Closed => RigEvent::Broken("the hub closed the connection".into()),
            _ => return,
        };
        // Full means that an earlier event tells the same.
        drop(tell.try_send(event));
    });
}

/// Decodes whatever arrives.
fn receive(pipeline: &gst::Pipeline, webrtc: &gst::Element, slot: &Arc<OnceLock<Arc<Slot>>>, sound: Option<String>) {
    let (pipeline, slot) = (pipeline.downgrade(), slot.clone());
    webrtc.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Some(slot)) = (pipeline.upgrade(), slot.get()) else { return };
        if pad.direction() != gst::PadDirection::Src {
            return;
        }
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let codec = caps.structure(0).and_then(|form| form.get::<String>("encoding-name").ok()).unwrap_or_default();
        let chain = match codec.to_ascii_uppercase().as_str() {
            "H264" => picture(slot, "rtph264depay", Some("h264parse"), "video/x-h264"),
            "VP8" => picture(slot, "rtpvp8depay", None, "video/x-vp8"),
            "VP9" => picture(slot, "rtpvp9depay", Some("vp9parse"), "video/x-vp9"),
            "OPUS" => match &sound {
                Some(sink) => hear(sink),
                None => make("fakesink").map(|sink| vec![sink]),
            },
            _ => make("fakesink").map(|sink| vec![sink]),
        };
        let joined = chain.and_then(|chain| join(&pipeline, pad, &chain));
        if let Err(error) = joined {
            tracing::error!("a stream of {codec} can't be played: {error:#}");
        }
    });
}

fn make(factory: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(factory).build().with_context(|| format!("no {factory}"))
}

/// From packets to the newest picture.
fn picture(slot: &Arc<Slot>, depay: &str, parse: Option<&str>, coded: &str) -> Result<Vec<gst::Element>> {
    let depay = make(depay)?;
    depay.set_property("request-keyframe", true);
    depay.set_property("wait-for-keyframe", true);
    let mut chain = vec![depay];
    if let Some(parse) = parse {
        chain.push(make(parse)?);
    }
    chain.push(decoder(coded)?);
    let slot = slot.clone();
    let newest = app::AppSink::builder()
        .caps(&gst::Caps::new_empty_simple("video/x-raw"))
        .max_buffers(1)
        .drop(true)
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    slot.put(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        )
        .build();
    newest.set_qos(false);
    chain.push(newest.upcast());
    Ok(chain)
}

/// The best decoder of this box: the one of the highest rank that gives pictures in ordinary memory.
fn decoder(coded: &str) -> Result<gst::Element> {
    let kind = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
    let all = gst::ElementFactory::factories_with_type(kind, gst::Rank::MARGINAL);
    let wanted = gst::Caps::new_empty_simple(coded);
    let mut fitting: Vec<gst::ElementFactory> = all
        .into_iter()
        .filter(|factory| factory.can_sink_any_caps(&wanted))
        .filter(|factory| factory.can_src_any_caps(&gst::Caps::new_empty_simple("video/x-raw")))
        .collect();
    fitting.sort_by_key(|factory| std::cmp::Reverse(factory.rank()));
    for factory in fitting {
        let Ok(decoder) = factory.create().build() else { continue };
        for (property, value) in [
            ("automatic-request-sync-points", "true"),
            ("output-corrupt", "false"),
            // Frame threads hold back a picture for each thread.
            ("thread-type", "slice"),
            ("qos", "false"),
        ] {
            if decoder.has_property(property) {
                decoder.set_property_from_str(property, value);
            }
        }
        return Ok(decoder);
    }
    bail!("no decoder for {coded}")
}

/// From packets to the loudspeaker. One bin, so that its errors are known for sound's.
fn hear(sink: &str) -> Result<Vec<gst::Element>> {
    let sound = gst::Bin::with_name("sound");
    let chain = ["rtpopusdepay", "opusdec", "audioconvert", "audioresample", "queue"];
    let mut chain = chain.into_iter().map(make).collect::<Result<Vec<_>>>()?;
    let sink = gst::parse::bin_from_description(sink, true).with_context(|| format!("--sound {sink}"))?;
    chain.push(sink.upcast());
    if let [depay, .., queue, _] = chain.as_slice() {
        sound.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        // Sound that comes late is dropped, oldest first: 200 ms at most wait.
        queue.set_property("max-size-time", 200_000_000_u64);
        queue.set_property_from_str("leaky", "downstream");
        let inner = depay.static_pad("sink").context("rtpopusdepay has no sink pad")?;
        sound.add_pad(&gst::GhostPad::with_target(&inner)?)?;
    }
    Ok(vec![sound.upcast()])
}

/// Links a chain behind a pad and starts it.
fn join(pipeline: &gst::Pipeline, pad: &gst::Pad, chain: &[gst::Element]) -> Result<()> {
    pipeline.add_many(chain)?;
    gst::Element::link_many(chain)?;
    for element in chain.iter().rev() {
        element.sync_state_with_parent()?;
    }
    let first = chain.first().and_then(|first| first.static_pad("sink")).context("nothing to link to")?;
    pad.link(&first)?;
    Ok(())
}
