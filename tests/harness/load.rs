//! Many publishers and viewers in one process, on the crate `webrtc`: a second WebRTC stack against the hub's own.
//!
//! They speak WHIP and WHEP (RFC 9725) without trickle: all candidates are in the offer.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use rtc::{
    interceptor::{Attribute, Interceptor, Packet, Registry, Slot, StreamInfo, TaggedPacket},
    media_stream::MediaStreamTrack,
    peer_connection::configuration::media_engine::MIME_TYPE_H264,
    rtcp::payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
    rtp,
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
            RtpCodecKind,
        },
    },
    sansio::Protocol,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use webrtc::{
    media_stream::{
        track_local::{TrackLocal, TrackLocalEvent, static_rtp::TrackLocalStaticRTP},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder, register_default_interceptors,
    },
    rtp_transceiver::RtpSender,
};

use crate::{
    clip::{Clip, RATE},
    people::Caller,
};

/// Longest wait for candidates and for the connection.
const CONNECT: Duration = Duration::from_secs(30);

/// Sends a clip to the hub until it is dropped.
pub struct Publisher {
    session: Session,
    counts: Arc<Counts>,
    sending: JoinHandle<()>,
}

/// Watches a source until it is dropped.
pub struct Viewer {
    session: Session,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    packets: AtomicU64,
    frames: AtomicU64,
    lost: AtomicU64,
    keyframe_requests: AtomicU64,
    keyframe_wanted: AtomicBool,
    paused: AtomicBool,
}

/// A session at the hub with its peer connection.
struct Session {
    connection: Arc<dyn PeerConnection>,
    caller: Caller,
    location: String,
    state: watch::Receiver<RTCPeerConnectionState>,
}

impl Publisher {
    /// Publishes `clip` at `path` (`/whip/…`) as `caller`, from a UDP socket on `address`, and waits until it is connected.
    pub async fn start(caller: &Caller, path: &str, clip: Arc<Clip>, address: IpAddr) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let (handler, watched) = Handler::new(Arc::clone(&counts));
        let connection = connect(handler, address).await?;
        let ssrc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos() | 1;
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            "load".into(),
            "video".into(),
            "video".into(),
            RtpCodecKind::Video,
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
                codec: h264().rtp_codec,
                ..Default::default()
            }],
        )));
        let local: Arc<dyn TrackLocal> = track.clone();
        let sender = connection.add_track(local).await?;
        let session = Session::open(connection, caller, path, watched).await?;
        let payload_type = negotiated(&sender).await?;
        let listening = listen(Arc::clone(&track), Arc::clone(&counts));
        let sending = send(track, clip, ssrc, payload_type, Arc::clone(&counts));
        let sending = tokio::spawn(async move {
            tokio::join!(sending, listening);
        });
        Ok(Self { session, counts, sending })
    }

    /// Frames sent so far.
    pub fn frames(&self) -> u64 {
        self.counts.frames.load(Relaxed)
    }

    /// How often the hub asked for a keyframe.
    pub fn keyframe_requests(&self) -> u64 {
        self.counts.keyframe_requests.load(Relaxed)
    }

    /// Stays connected and sends nothing, or sends again.
    pub fn pause(&self, on: bool) {
        self.counts.paused.store(on, Relaxed);
        self.counts.keyframe_wanted.store(true, Relaxed);
    }

    /// State of the peer connection.
    pub fn state(&self) -> RTCPeerConnectionState {
        *self.session.state.borrow()
    }

    /// Ends the session in order (DELETE).
    pub async fn stop(self) -> Result<()> {
        self.sending.abort();
        self.session.close().await
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Viewer {
    /// Watches `path` (`/whep/…`) as `caller`, from a UDP socket on `address`, and waits until it is connected.
    pub async fn start(caller: &Caller, path: &str, address: IpAddr) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let (handler, watched) = Handler::new(Arc::clone(&counts));
        let connection = connect(handler, address).await?;
        let direction = RTCRtpTransceiverDirection::Recvonly;
        let init = RTCRtpTransceiverInit { direction, ..Default::default() };
        connection.add_transceiver_from_kind(RtpCodecKind::Video, Some(init)).await?;
        let session = Session::open(connection, caller, path, watched).await?;
        Ok(Self { session, counts })
    }

    /// Whole frames (packets with the marker) received so far.
    pub fn frames(&self) -> u64 {
        self.counts.frames.load(Relaxed)
    }

    /// Packets received so far.
    pub fn packets(&self) -> u64 {
        self.counts.packets.load(Relaxed)
    }

    /// Packets that are missing by their numbers so far; one that comes late is taken off again.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Relaxed)
    }

    /// State of the peer connection.
    pub fn state(&self) -> RTCPeerConnectionState {
        *self.session.state.borrow()
    }

    /// Ends the session in order (DELETE).
    pub async fn stop(self) -> Result<()> {
        self.session.close().await
    }
}

impl Session {
    async fn open(
        connection: Arc<dyn PeerConnection>,
        caller: &Caller,
        path: &str,
        mut watched: Watched,
    ) -> Result<Self> {
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        timeout(CONNECT, watched.gathered.wait_for(|done| *done)).await.context("candidates")??;
        let offer = connection.local_description().await.context("no offer")?;
        let reply = caller.offer(path, &offer.sdp).await?;
        reply.done()?;
        ensure!(reply.status == 201, "{path} answered {} where RFC 9725 wants 201", reply.status);
        let location = reply.header("location").to_owned();
        connection.set_remote_description(RTCSessionDescription::answer(reply.text())?).await?;
        let connected = watched.state.wait_for(|state| *state == RTCPeerConnectionState::Connected);
        timeout(CONNECT, connected).await.with_context(|| format!("{path}: no connection"))??;
        Ok(Self { connection, caller: caller.clone(), location, state: watched.state })
    }

    async fn close(&self) -> Result<()> {
        let path = self.location.strip_prefix(&self.caller.base).unwrap_or(&self.location);
        let request = self.caller.request(Method::DELETE, path);
        self.caller.send(request).await?.done()?;
        Ok(self.connection.close().await?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its driver runs on as long as nobody closes it. Without a runtime it has ended already.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let connection = Arc::clone(&self.connection);
            runtime.spawn(async move { connection.close().await });
        }
    }
}

struct Watched {
    gathered: watch::Receiver<bool>,
    state: watch::Receiver<RTCPeerConnectionState>,
}

struct Handler {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
    counts: Arc<Counts>,
}

impl Handler {
    fn new(counts: Arc<Counts>) -> (Arc<Self>, Watched) {
        let (gathered, gathered_seen) = watch::channel(false);
        let (state, state_seen) = watch::channel(RTCPeerConnectionState::New);
        (Arc::new(Self { gathered, state, counts }), Watched { gathered: gathered_seen, state: state_seen })
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let counts = Arc::clone(&self.counts);
        // Ends with the track, when the connection ends.
        tokio::spawn(async move {
            let mut newest: Option<u16> = None;
            while let Some(event) = track.poll().await {
                let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
                counts.packets.fetch_add(1, Relaxed);
                if packet.header.marker {
                    counts.frames.fetch_add(1, Relaxed);
                }
                let number = packet.header.sequence_number;
                match newest.map(|newest| number.wrapping_sub(newest)) {
                    // A late one fills its gap.
                    Some(step) if step > 0x8000 => {
                        let _ = counts.lost.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
                    }
                    step => {
                        counts.lost.fetch_add(step.map_or(0, |step| u64::from(step.saturating_sub(1))), Relaxed);
                        newest = Some(number);
                    }
                }
            }
        });
    }
}

async fn connect(handler: Arc<Handler>, address: IpAddr) -> Result<Arc<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    media.register_codec(h264(), RtpCodecKind::Video)?;
    let registry = register_default_interceptors(Registry::new(), &mut media)?.with(LAST, KeyframeRequests::default());
    let settings = SettingEngineBuilder::new().with_include_loopback_candidate(true).build();
    let builder = PeerConnectionBuilder::new().with_media_engine(media).with_interceptor_registry(registry);
    let builder = builder.with_setting_engine(settings).with_handler(handler);
    Ok(Arc::new(builder.with_udp_addrs(vec![SocketAddr::new(address, 0)]).build().await?))
}

fn h264() -> RTCRtpCodecParameters {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: MIME_TYPE_H264.into(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".into(),
            rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
        },
        payload_type: 102,
    }
}

/// The only payload type that may be written is the one that was agreed on.
async fn negotiated(sender: &Arc<dyn RtpSender>) -> Result<u8> {
    let parameters = sender.get_parameters().await?;
    Ok(parameters.rtp_parameters.codecs.first().context("no codec was agreed on")?.payload_type)
}

async fn send(track: Arc<TrackLocalStaticRTP>, clip: Arc<Clip>, ssrc: u32, payload_type: u8, counts: Arc<Counts>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut at, mut sequence_number) = (0, 0_u16);
    let began = Instant::now();
    loop {
        ticks.tick().await;
        if counts.paused.load(Relaxed) {
            continue;
        }
        if counts.keyframe_wanted.swap(false, Relaxed) {
            at = clip.next_keyframe(at);
        }
        let packets = clip.frame(at);
        // Milliseconds × 90 are the ticks of RTP's video clock; it wraps.
        let timestamp = (began.elapsed().as_millis() as u64).wrapping_mul(90) as u32;
        for (n, payload) in packets.iter().enumerate() {
            let marker = n + 1 == packets.len();
            let header = rtp::Header {
                version: 2,
                marker,
                payload_type,
                sequence_number,
                timestamp,
                ssrc,
                ..Default::default()
            };
            // An error is a connection that is gone; its state tells.
            let _ = track.write_rtp(rtp::Packet { header, payload: payload.clone() }).await;
            sequence_number = sequence_number.wrapping_add(1);
        }
        counts.packets.fetch_add(packets.len() as u64, Relaxed);
        counts.frames.fetch_add(1, Relaxed);
        at += 1;
    }
}

async fn listen(track: Arc<TrackLocalStaticRTP>, counts: Arc<Counts>) {
    while let Some(event) = track.poll().await {
        if matches!(event, TrackLocalEvent::OnRtcpPacket(_)) {
            counts.keyframe_requests.fetch_add(1, Relaxed);
            counts.keyframe_wanted.store(true, Relaxed);
        }
    }
}

/// After all others, so that they have seen all feedback.
const LAST: Slot = Slot::Custom(14_000);

/// Hands requests for a keyframe to the application. The crate keeps all feedback to itself otherwise.
#[derive(Default)]
struct KeyframeRequests {
    read: VecDeque<TaggedPacket>,
    written: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = webrtc::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> webrtc::error::Result<()> {
        if let Packet::Rtcp(packets) = &mut message.message.packet {
            packets.retain(|packet| {
                packet.as_any().is::<PictureLossIndication>() || packet.as_any().is::<FullIntraRequest>()
            });
            if packets.is_empty() {
                return Ok(());
            }
            message.message.add(Attribute::DeliverToApplication);
        }
        self.read.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> webrtc::error::Result<()> {
        self.written.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.written.pop_front()
    }
}

impl Interceptor for KeyframeRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
