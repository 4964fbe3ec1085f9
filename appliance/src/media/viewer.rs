//! A viewer's leg: which packets it gets, under which numbers, sealed for it; and what it says back.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use appliance_core::forward::{Estimator, Layer, LayerChooser, LayerInput, PictureNumbers, Rewriter, VideoCodec};
use str0m::{
    net::Protocol,
    rtp::rtcp::{ReceptionReport, Rtcp},
};

use super::{
    net::Net,
    packet::{Media, Packet, SenderClock},
    sdp::PayloadTypes,
    seal::Sealer,
};

/// Packets kept for retransmission, by number: 2.8 seconds of video at 3 Mbit/s, 20 of audio. Payloads are shared with the
/// other viewers.
const VIDEO_HISTORY: usize = 1024;
const AUDIO_HISTORY: usize = 64;
/// Packets sent again at most within one [`RESEND_WINDOW`]: a viewer that asks for everything gets no more than that.
const RESENDS: u32 = 128;
const RESEND_WINDOW: Duration = Duration::from_millis(200);
/// The same packet is not sent again sooner.
const RESEND_AGAIN: u32 = 20;
/// What a path is believed to carry before anything is known: the top layer of a tablet's screen.
const INITIAL_ESTIMATE: u64 = 4_000_000;
/// Header extension block with the transport-wide sequence number (one-byte form, RFC 8285).
const EXTENSION: usize = 8;
const HEADER: usize = 12;

/// How one of the viewer's tracks was negotiated.
#[derive(Debug, Clone)]
pub(super) struct TrackSetup {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    /// Payload types, for video in the order of [`super::sdp::PREFERENCE`], for audio the first.
    pub(super) payload_types: [Option<PayloadTypes>; 3],
    /// Id of the transport-wide sequence number extension.
    pub(super) twcc: Option<u8>,
    pub(super) clock_rate: u32,
}

struct Sent {
    sequence: u64,
    timestamp: u32,
    payload: Arc<[u8]>,
    /// Milliseconds since the viewer began, of the last time it was sent again.
    resent: u32,
    twcc: u16,
    marker: bool,
    payload_type: PayloadTypes,
}

struct Track {
    setup: TrackSetup,
    rewriter: Rewriter,
    pictures: PictureNumbers,
    history: Vec<Option<Sent>>,
    rtx_sequence: u64,
    packets: u32,
    octets: u32,
    /// The middle 32 bits of the last sender report's NTP time, and when it went out.
    reported: Option<(u32, Instant)>,
}

impl Track {
    fn new(setup: TrackSetup, history: usize, seed: u16) -> Self {
        Self {
            rewriter: Rewriter::new(setup.clock_rate, seed),
            setup,
            pictures: PictureNumbers::default(),
            history: std::iter::repeat_with(|| None).take(history).collect(),
            rtx_sequence: u64::from(seed & 0x7fff),
            packets: 0,
            octets: 0,
            reported: None,
        }
    }
}

/// Where the viewer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) protocol: Protocol,
    pub(super) local: IpAddr,
    pub(super) remote: SocketAddr,
}

/// The sound tracks that a viewer can have. Everyone has the first; viewers of the program have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ear {
    /// The sound that goes with the picture, or the room's.
    Room,
    /// The student who speaks from home.
    Speaker,
}

/// What of a source a viewer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Picture and sound, as they come.
    All,
    /// Only the picture: the sound is chosen apart.
    Picture,
    /// Only the sound, on this track.
    Sound(Ear),
}

/// The viewer's wishes that a publisher must hear of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) keyframe: bool,
}

/// One WHEP session's media.
pub(super) struct Viewer {
    began: Instant,
    video: Option<Track>,
    audio: [Option<Track>; 2],
    sealer: Option<Sealer>,
    pub(super) path: Option<Path>,
    twcc: u16,
    estimator: Estimator,
    hears_twcc: bool,
    chooser: LayerChooser,
    pub(super) max: Layer,
    /// Lane being sent and lane to go to at its next keyframe.
    pub(super) current: Option<usize>,
    pub(super) wanted: Option<usize>,
    resends: (u32, Instant),
    last_rate: (Instant, u64),
    pub(super) counts: Counts,
}

/// What is counted of a viewer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) loss: f32,
    pub(super) rtt: Option<Duration>,
    pub(super) nacks: u64,
    pub(super) plis: u64,
    pub(super) dropped: u64,
}

impl Viewer {
    pub(super) fn new(
        now: Instant,
        video: Option<TrackSetup>,
        [room, speaker]: [Option<TrackSetup>; 2],
        seed: [u16; 3],
    ) -> Self {
        let sound = |setup: Option<TrackSetup>, seed| setup.map(|setup| Track::new(setup, AUDIO_HISTORY, seed));
        Self {
            began: now,
            video: video.map(|setup| Track::new(setup, VIDEO_HISTORY, seed[0])),
            audio: [sound(room, seed[1]), sound(speaker, seed[2])],
            sealer: None,
            path: None,
            twcc: 0,
            estimator: Estimator::new(now, INITIAL_ESTIMATE),
            hears_twcc: false,
            chooser: LayerChooser::default(),
            max: Layer::High,
            current: None,
            wanted: None,
            resends: (0, now),
            last_rate: (now, 0),
            counts: Counts::default(),
        }
    }

    pub(super) fn set_sealer(&mut self, sealer: Sealer) {
        self.sealer = Some(sealer);
    }

    /// Media can be sent.
    pub(super) fn ready(&self) -> bool {
        self.sealer.is_some() && self.path.is_some()
    }

    pub(super) fn estimate(&self) -> u64 {
        self.estimator.bits_per_second()
    }

    /// Forgets the stream it was on: the next keyframe of any wanted lane begins the next one.
    pub(super) fn detach(&mut self) {
        self.current = None;
        self.wanted = None;
        self.chooser = LayerChooser::default();
    }

    /// Chooses the lane. True when a keyframe of the wanted lane is needed.
    pub(super) fn choose(&mut self, now: Instant, bitrates: [Option<u64>; 3]) -> bool {
        let input = LayerInput {
            bitrates,
            estimate: self.estimator.bits_per_second(),
            congested: self.estimator.congested(now),
            max: self.max,
        };
        if let Some(layer) = self.chooser.choose(now, input) {
            self.wanted = Some(layer.index());
        }
        self.video.is_some() && self.wanted.is_some() && self.wanted != self.current
    }

    /// Sends what it should get of these packets, in order.
    pub(super) fn forward(&mut self, now: Instant, packets: &[Packet], wants: Wants, net: &mut Net) {
        let (Some(path), Some(sealer)) = (self.path, self.sealer.as_ref()) else { return };
        let mut out = net.batch(path);
        for packet in packets {
            let (track, payload_types) = match packet.media {
                Media::Video { .. } if matches!(wants, Wants::Sound(_)) => continue,
                Media::Audio if wants == Wants::Picture => continue,
                Media::Video { lane, codec } => {
                    if self.current != Some(lane) {
                        let wanted = self.wanted.is_none_or(|wanted| wanted == lane);
                        if !packet.keyframe || !wanted {
                            continue;
                        }
                        self.current = Some(lane);
                        self.wanted = Some(lane);
                    }
                    let Some(track) = self.video.as_mut() else { continue };
                    let types = track.setup.payload_types[codec as usize];
                    (track, types)
                }
                Media::Audio => {
                    let ear = if let Wants::Sound(ear) = wants { ear } else { Ear::Room };
                    let Some(track) = self.audio[ear as usize].as_mut() else { continue };
                    let types = track.setup.payload_types[0];
                    (track, types)
                }
            };
            let Some(payload_type) = payload_types else { continue };
            let Some(to) = track.rewriter.push(packet.stream, packet.sequence, packet.timestamp, now) else { continue };
            let payload = match packet.media {
                Media::Video { codec: VideoCodec::Vp8 | VideoCodec::Vp9, .. } => {
                    let mut own = packet.payload.to_vec();
                    track.pictures.rewrite(packet.pictures, to.switched, &mut own);
                    own.into()
                }
                _ => packet.payload.clone(),
            };
            let sent = Sent {
                sequence: to.sequence,
                timestamp: to.timestamp,
                payload,
                resent: 0,
                twcc: self.twcc,
                marker: packet.marker,
                payload_type,
            };
            let rtp =
                Outgoing { ssrc: track.setup.ssrc, payload_type: payload_type.media, sequence: to.sequence, osn: None };
            let size = rtp.write(&sent, track.setup.twcc, sent.twcc, sealer, &mut out);
            if track.setup.twcc.is_some() {
                self.estimator.on_sent(self.twcc, size, now);
                self.twcc = self.twcc.wrapping_add(1);
            }
            track.packets = track.packets.wrapping_add(1);
            track.octets = track.octets.wrapping_add(sent.payload.len() as u32);
            self.counts.packets += 1;
            self.counts.bytes += size as u64;
            let slot = (to.sequence % track.history.len() as u64) as usize;
            track.history[slot] = Some(sent);
        }
        self.counts.dropped += out.finish();
    }

    /// Takes what the viewer reports.
    pub(super) fn on_rtcp(&mut self, now: Instant, rtcp: &Rtcp, net: &mut Net) -> Wishes {
        let mut wishes = Wishes::default();
        let video = self.video.as_ref().map(|track| track.setup.ssrc);
        match rtcp {
            Rtcp::Nack(nack) => {
                for entry in nack.reports.iter() {
                    let numbers =
                        (0..16u16).filter(|bit| entry.blp & (1 << bit) != 0).map(|bit| entry.pid.wrapping_add(bit + 1));
                    for number in std::iter::once(entry.pid).chain(numbers) {
                        self.resend(now, *nack.ssrc, number, net);
                    }
                }
            }
            Rtcp::Pli(pli) if Some(*pli.ssrc) == video => wishes.keyframe = true,
            Rtcp::Fir(fir) => wishes.keyframe = fir.reports.iter().any(|entry| Some(*entry.ssrc) == video),
            Rtcp::Twcc(twcc) => {
                self.hears_twcc = true;
                // Only differences between arrivals matter; any instant serves as their zero.
                let zero = self.began;
                let near = 1u64 << 32 | u64::from(self.twcc);
                let packets = twcc.clone().into_iter(zero, near.into());
                let arrivals = packets.map(|(number, _, arrival)| {
                    let arrival = arrival.map(|at| at.saturating_duration_since(zero).as_micros() as i64);
                    (*number as u16, arrival)
                });
                self.estimator.on_feedback(now, arrivals);
            }
            Rtcp::Remb(remb) if !self.hears_twcc => self.estimator.on_remb(f64::from(remb.bitrate)),
            Rtcp::ReceiverReport(report) => report.reports.iter().for_each(|report| self.on_report(now, report)),
            Rtcp::SenderReport(report) => report.reports.iter().for_each(|report| self.on_report(now, report)),
            _ => {}
        }
        if wishes.keyframe {
            self.counts.plis += 1;
        }
        wishes
    }

    fn on_report(&mut self, now: Instant, report: &ReceptionReport) {
        let track =
            std::iter::once(&self.video).chain(&self.audio).flatten().find(|track| track.setup.ssrc == *report.ssrc);
        let Some(track) = track else { return };
        if let Some((_, at)) = track.reported.filter(|(ntp, _)| *ntp == report.last_sr_time && *ntp != 0) {
            let held = Duration::from_secs_f64(f64::from(report.last_sr_delay) / 65_536.0);
            self.counts.rtt = Some(now.saturating_duration_since(at).saturating_sub(held));
        }
        if self.video.as_ref().is_some_and(|video| video.setup.ssrc == *report.ssrc) {
            let fraction = f32::from(report.fraction_lost) / 256.0;
            self.counts.loss = fraction;
            let (since, bytes) = std::mem::replace(&mut self.last_rate, (now, self.counts.bytes));
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            if !self.hears_twcc && seconds > 0.2 {
                let rate = (self.counts.bytes - bytes) as f64 * 8.0 / seconds;
                self.estimator.on_report(now, fraction.into(), rate);
            }
        }
    }

    fn resend(&mut self, now: Instant, ssrc: u32, number: u16, net: &mut Net) {
        self.counts.nacks += 1;
        let (Some(path), Some(sealer)) = (self.path, self.sealer.as_ref()) else { return };
        if now.saturating_duration_since(self.resends.1) >= RESEND_WINDOW {
            self.resends = (0, now);
        }
        let mut tracks = std::iter::once(&mut self.video).chain(&mut self.audio).flatten();
        let Some(track) = tracks.find(|track| track.setup.ssrc == ssrc) else { return };
        let slot = usize::from(number) % track.history.len();
        let Some(sent) = track.history[slot].as_mut().filter(|sent| sent.sequence as u16 == number) else { return };
        let at = now.saturating_duration_since(self.began).as_millis() as u32;
        if self.resends.0 >= RESENDS || (sent.resent != 0 && at.wrapping_sub(sent.resent) < RESEND_AGAIN) {
            return;
        }
        self.resends.0 += 1;
        sent.resent = at.max(1);
        let mut out = net.batch(path);
        let size = match (track.setup.rtx_ssrc, sent.payload_type.rtx) {
            (Some(ssrc), Some(payload_type)) => {
                let sequence = track.rtx_sequence;
                track.rtx_sequence += 1;
                let twcc = self.twcc;
                let rtp = Outgoing { ssrc, payload_type, sequence, osn: Some(number) };
                let size = rtp.write(sent, track.setup.twcc, twcc, sealer, &mut out);
                if track.setup.twcc.is_some() {
                    self.estimator.on_sent(twcc, size, now);
                    self.twcc = twcc.wrapping_add(1);
                }
                size
            }
            // Without RTX the very same datagram goes out again: same nonce, so every byte must be the same, the
            // transport-wide number too.
            _ => {
                let rtp = Outgoing { ssrc, payload_type: sent.payload_type.media, sequence: sent.sequence, osn: None };
                rtp.write(sent, track.setup.twcc, sent.twcc, sealer, &mut out)
            }
        };
        self.counts.packets += 1;
        self.counts.bytes += size as u64;
        self.counts.dropped += out.finish();
    }

    /// Sends a sender report for each track that has sent something. `clocks` are the publisher's own reports: video lanes,
    /// then audio. With them the viewer can play sound and picture in step.
    pub(super) fn report(&mut self, now: Instant, clocks: &[Option<SenderClock>], net: &mut Net) {
        let (Some(path), Some(sealer)) = (self.path, self.sealer.as_mut()) else { return };
        for track in std::iter::once(&mut self.video).chain(&mut self.audio).flatten() {
            let Some((timestamp, at)) = track.rewriter.last() else { continue };
            let clock = clocks.iter().flatten().find_map(|clock| {
                let timestamp = track.rewriter.map_timestamp(clock.stream, clock.timestamp)?;
                Some((clock.ntp, timestamp))
            });
            let (ntp, timestamp) = clock.unwrap_or_else(|| {
                let passed =
                    now.saturating_duration_since(at).as_micros() * u128::from(track.setup.clock_rate) / 1_000_000;
                (ntp_of(SystemTime::now()), timestamp.wrapping_add(passed as u32))
            });
            let packet = sender_report(track.setup.ssrc, ntp, timestamp, track.packets, track.octets);
            track.reported = Some(((ntp >> 16) as u32, now));
            match sealer.rtcp(&packet) {
                Ok(sealed) => net.send(path, &sealed),
                Err(_) => tracing::warn!("a sender report could not be sealed"),
            }
        }
    }

    /// Whether the codec was negotiated.
    pub(super) fn speaks(&self, codec: VideoCodec) -> bool {
        self.video.as_ref().is_some_and(|track| track.setup.payload_types[codec as usize].is_some())
    }
}

/// The header of one outgoing packet.
struct Outgoing {
    ssrc: u32,
    payload_type: u8,
    sequence: u64,
    /// For a retransmission: the number of the packet it repeats (RFC 4588 §4).
    osn: Option<u16>,
}

impl Outgoing {
    fn write(
        &self,
        sent: &Sent,
        twcc_id: Option<u8>,
        twcc: u16,
        sealer: &Sealer,
        out: &mut super::net::Batch<'_>,
    ) -> usize {
        let header = HEADER + if twcc_id.is_some() { EXTENSION } else { 0 };
        let with_osn;
        let payload: &[u8] = match self.osn {
            None => &sent.payload,
            Some(osn) => {
                with_osn = [&osn.to_be_bytes()[..], &sent.payload].concat();
                &with_osn
            }
        };
        let size = header + payload.len() + sealer.rtp_overhead();
        let Some(space) = out.reserve(size) else { return 0 };
        space[0] = 0x80 | if twcc_id.is_some() { 0x10 } else { 0 };
        space[1] = self.payload_type | if sent.marker { 0x80 } else { 0 };
        space[2..4].copy_from_slice(&(self.sequence as u16).to_be_bytes());
        space[4..8].copy_from_slice(&sent.timestamp.to_be_bytes());
        space[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        if let Some(id) = twcc_id {
            let [high, low] = twcc.to_be_bytes();
            space[12..20].copy_from_slice(&[0xbe, 0xde, 0, 1, id << 4 | 1, high, low, 0]);
        }
        match sealer.rtp(space, header, payload, self.ssrc, self.sequence) {
            Ok(()) => out.commit(size),
            Err(_) => return 0,
        }
        size
    }
}

/// 64-bit NTP time.
pub(super) fn ntp_of(time: SystemTime) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + FROM_1900_TO_1970) << 32 | fraction
}

/// SR and SDES with a CNAME (RFC 3550 §6.4.1, §6.5).
fn sender_report(ssrc: u32, ntp: u64, timestamp: u32, packets: u32, octets: u32) -> [u8; 44] {
    let mut out = [0; 44];
    out[..4].copy_from_slice(&[0x80, 200, 0, 6]);
    out[4..8].copy_from_slice(&ssrc.to_be_bytes());
    out[8..16].copy_from_slice(&ntp.to_be_bytes());
    out[16..20].copy_from_slice(&timestamp.to_be_bytes());
    out[20..24].copy_from_slice(&packets.to_be_bytes());
    out[24..28].copy_from_slice(&octets.to_be_bytes());
    out[28..32].copy_from_slice(&[0x81, 202, 0, 3]);
    out[32..36].copy_from_slice(&ssrc.to_be_bytes());
    out[36..44].copy_from_slice(&[1, 4, b'h', b'u', b'b', b'0', 0, 0]);
    out
}
