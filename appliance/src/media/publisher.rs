//! A publisher's leg: its encodings, what is known of each, and when to ask for a keyframe.

use std::time::{Duration, Instant};

use appliance_core::forward::{Freezes, KeyframeThrottle, Layer, PictureFields, VideoCodec};
use str0m::{
    Rtc,
    media::{KeyframeRequestKind, MediaKind, Mid, Rid},
    rtp::{RtpPacket, Ssrc},
};

use super::{
    LayerStats,
    packet::{Media, Packet, SenderClock},
    sdp,
    viewer::ntp_of,
};

/// An encoding that has sent nothing for this long is not chosen for viewers. Of a still screen pages send 15 frames a second.
const STALE: Duration = Duration::from_millis(2500);
const WINDOW: Duration = Duration::from_secs(1);

struct Encoding {
    stream: u64,
    ssrc: Ssrc,
    payload_type: u8,
    media: Media,
    packets: u64,
    bytes: u64,
    first: u64,
    newest: u64,
    keyframes: u64,
    keyframe_at: Option<u32>,
    last: Instant,
    freezes: Freezes,
    window: (Instant, u64, u32),
    bitrate: u64,
    frames_per_second: u32,
    clock: Option<SenderClock>,
}

/// One WHIP session's media.
pub(super) struct Publisher {
    /// What was answered; what arrives is read from each packet. `None`: sound only.
    pub(super) codec: Option<VideoCodec>,
    /// Media came and the path is up.
    pub(super) up: bool,
    /// Lanes 0 to 2, then audio.
    encodings: [Option<Encoding>; 4],
    throttles: [KeyframeThrottle; 3],
    /// Rids that are none of ours, in the order in which they appeared.
    foreign_rids: Vec<Rid>,
    simulcast: bool,
    pub(super) keyframe_requests: u64,
}

const AUDIO: usize = 3;
/// The lane of a publisher that sends one encoding.
const SINGLE: usize = 2;

impl Publisher {
    pub(super) fn new(codec: Option<VideoCodec>) -> Self {
        Self {
            codec,
            up: false,
            encodings: [const { None }; 4],
            throttles: Default::default(),
            foreign_rids: Vec::new(),
            simulcast: false,
            keyframe_requests: 0,
        }
    }

    /// Turns what str0m received into what is forwarded. `new_stream` names an encoding that was not known.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        rtp: RtpPacket,
        new_stream: impl FnOnce() -> u64,
    ) -> Option<Packet> {
        let payload_type = *rtp.header.payload_type;
        let known = |encoding: &Encoding| encoding.ssrc == rtp.header.ssrc && encoding.payload_type == payload_type;
        let lane = match self.encodings.iter().position(|e| e.as_ref().is_some_and(known)) {
            Some(lane) => lane,
            None => self.learn(now, rtc, &rtp, new_stream)?,
        };
        let encoding = self.encodings[lane].as_mut()?;
        let sequence = *rtp.seq_no;
        if rtp.payload.is_empty() {
            return None;
        }
        let (keyframe, pictures) = match encoding.media {
            Media::Video { codec, .. } => {
                (codec.begins_keyframe(&rtp.payload), PictureFields::parse(codec, &rtp.payload))
            }
            Media::Audio => (false, PictureFields::default()),
        };
        encoding.count(now, &rtp, keyframe);
        if keyframe {
            self.throttles[lane.min(SINGLE)].came();
        }
        Some(Packet {
            stream: encoding.stream,
            media: encoding.media,
            sequence,
            timestamp: rtp.header.timestamp,
            marker: rtp.header.marker,
            keyframe,
            pictures,
            payload: rtp.payload,
        })
    }

    fn learn(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        rtp: &RtpPacket,
        new_stream: impl FnOnce() -> u64,
    ) -> Option<usize> {
        let (mid, rid): (Mid, Option<Rid>) = {
            let mut api = rtc.direct_api();
            let stream = api.stream_rx(&rtp.header.ssrc)?;
            (stream.mid(), stream.rid())
        };
        let payload_type = *rtp.header.payload_type;
        let (lane, media) = match rtc.media(mid)?.kind() {
            MediaKind::Audio => (AUDIO, Media::Audio),
            MediaKind::Video => {
                let codec = sdp::video_codec(rtc, payload_type)?;
                let lane = rid.map_or(SINGLE, |rid| self.lane_of(rid));
                self.simulcast |= rid.is_some();
                (lane, Media::Video { lane, codec })
            }
        };
        self.encodings[lane] = Some(Encoding {
            stream: new_stream(),
            ssrc: rtp.header.ssrc,
            payload_type,
            media,
            packets: 0,
            bytes: 0,
            first: *rtp.seq_no,
            newest: *rtp.seq_no,
            keyframes: 0,
            keyframe_at: None,
            last: now,
            freezes: Freezes::default(),
            window: (now, 0, 0),
            bitrate: 0,
            frames_per_second: 0,
            clock: None,
        });
        Some(lane)
    }

    fn lane_of(&mut self, rid: Rid) -> usize {
        if let Some(layer) = Layer::from_rid(&rid) {
            return layer.index();
        }
        let place = self.foreign_rids.iter().position(|known| *known == rid).unwrap_or_else(|| {
            self.foreign_rids.push(rid);
            self.foreign_rids.len() - 1
        });
        place.min(SINGLE)
    }

    /// Bits per second of each lane that viewers can be given.
    pub(super) fn bitrates(&self, now: Instant) -> [Option<u64>; 3] {
        std::array::from_fn(|lane| {
            let encoding = self.encodings[lane].as_ref()?;
            let fresh = now.saturating_duration_since(encoding.last) < STALE;
            // A publisher with one encoding has no other to offer, however still its picture is.
            (fresh || !self.simulcast).then_some(encoding.bitrate)
        })
    }

    /// Rolls the measuring windows. `watched` says whether the picture is given to anyone now.
    pub(super) fn roll(&mut self, now: Instant, watched: bool) {
        for encoding in self.encodings.iter_mut().flatten() {
            if !watched {
                encoding.freezes.rest();
            }
            let (since, bytes, frames) = encoding.window;
            let length = now.saturating_duration_since(since);
            if length >= WINDOW {
                encoding.bitrate = (bytes as f64 * 8.0 / length.as_secs_f64()) as u64;
                encoding.frames_per_second = (f64::from(frames) / length.as_secs_f64()).round() as u32;
                encoding.window = (now, 0, 0);
            }
        }
    }

    /// A viewer needs a keyframe of a lane; of every lane when it has none yet.
    pub(super) fn want_keyframe(&mut self, lane: Option<usize>) {
        for (index, throttle) in self.throttles.iter_mut().enumerate() {
            if lane.is_none_or(|lane| lane == index) {
                throttle.want();
            }
        }
    }

    /// Asks for the keyframes that are due. True when something was asked.
    pub(super) fn ask_keyframes(&mut self, now: Instant, rtc: &mut Rtc) -> bool {
        let mut asked = false;
        for (lane, throttle) in self.throttles.iter_mut().enumerate() {
            // Lanes that send nothing are asked when they begin; then they send a keyframe anyway.
            let Some(encoding) = &self.encodings[lane] else { continue };
            if throttle.poll(now) {
                let mut api = rtc.direct_api();
                if let Some(stream) = api.stream_rx(&encoding.ssrc) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                    self.keyframe_requests += 1;
                    asked = true;
                }
            }
        }
        asked
    }

    /// The newest sender reports.
    pub(super) fn clocks(&self) -> [Option<SenderClock>; 4] {
        std::array::from_fn(|lane| self.encodings[lane].as_ref().and_then(|encoding| encoding.clock))
    }

    pub(super) fn stats(&self, now: Instant) -> Vec<LayerStats> {
        let stats = |(lane, encoding): (usize, &Encoding)| LayerStats {
            layer: (self.simulcast && lane < AUDIO).then(|| Layer::ALL[lane]),
            video: lane != AUDIO,
            packets: encoding.packets,
            bytes: encoding.bytes,
            lost: (encoding.newest - encoding.first + 1).saturating_sub(encoding.packets),
            bitrate: encoding.bitrate,
            keyframes: encoding.keyframes,
            frames_per_second: encoding.frames_per_second,
            age: now.saturating_duration_since(encoding.last),
            freezes: encoding.freezes.count(),
        };
        self.encodings.iter().enumerate().filter_map(|(lane, e)| Some(stats((lane, e.as_ref()?)))).collect()
    }
}

impl Encoding {
    fn count(&mut self, now: Instant, rtp: &RtpPacket, keyframe: bool) {
        self.packets += 1;
        self.bytes += rtp.payload.len() as u64;
        self.newest = self.newest.max(*rtp.seq_no);
        self.first = self.first.min(*rtp.seq_no);
        self.last = now;
        self.window.1 += rtp.payload.len() as u64;
        if keyframe && self.keyframe_at != Some(rtp.header.timestamp) {
            self.keyframes += 1;
            self.keyframe_at = Some(rtp.header.timestamp);
        }
        if rtp.header.marker && matches!(self.media, Media::Video { .. }) {
            self.window.2 += 1;
            self.freezes.frame(now);
        }
        if let Some(info) = &rtp.last_sender_info {
            let timestamp = info.rtp_time.numer() as u32;
            self.clock = Some(SenderClock { stream: self.stream, ntp: ntp_of(info.ntp_time), timestamp });
        }
    }
}
