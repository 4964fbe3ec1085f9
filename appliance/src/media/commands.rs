//! What the rest of the box asks of the forwarder.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use appliance_core::forward::{Layer, VideoCodec};
use classroom_protocol::SourceId;
use str0m::{
    Candidate, Input, RtcConfig,
    format::Codec,
    media::{MediaKind, Mid},
    net::TcpType,
    rtp::Extension,
};

use super::{
    Answer, MediaError, MediaStats, PublisherStats, SessionId, SourceStats, ViewerStats,
    handle::Command,
    publisher::Publisher,
    sdp::{self, Side},
    sessions::{Follower, Role, Session},
    switchboard::Switchboard,
    viewer::{TrackSetup, Viewer},
};

/// STUN: a check each second on the path in use.
const STUN_FIRST: Duration = Duration::from_millis(250);
const STUN_SLOWEST: Duration = Duration::from_millis(1000);
const STUN_TRIES: usize = 5;
/// How often a viewer's nominated path is looked up.
const PATH_INTERVAL: Duration = Duration::from_millis(500);

impl Switchboard {
    /// Carries out one command. False when it was the last one.
    pub(super) fn command(&mut self, now: Instant, command: Command) -> bool {
        // Whoever asked may have gone away; then nobody needs the answer.
        match command {
            Command::Publish { source, offer, replace, reply } => {
                let _ = reply.send(self.publish(now, &source, offer, replace));
            }
            Command::View { source, offer, reply } => {
                let _ = reply.send(self.view(now, &source, offer));
            }
            Command::ViewProgram { offer, own, reply } => {
                let _ = reply.send(self.view_program(now, offer, own));
            }
            Command::SetProgram { program, reply } => {
                self.set_program(now, program);
                let _ = reply.send(());
            }
            Command::CloseFollowers { own, reply } => {
                self.close_followers(own.as_ref());
                let _ = reply.send(());
            }
            Command::AskOutside { server, reply } => {
                self.ask_outside(server);
                let _ = reply.send(());
            }
            Command::Trickle { session, etag, fragment, reply } => {
                let _ = reply.send(self.trickle(now, session, &etag, &fragment));
            }
            Command::Restart { session, fragment, reply } => {
                let _ = reply.send(self.restart(now, session, &fragment));
            }
            Command::SwitchSource { session, source, reply } => {
                let _ = reply.send(self.switch_source(now, session, &source));
            }
            Command::Close { session, reply } => {
                let found = self.by_id.get(&session).copied();
                let _ = reply.send(found.map(|index| self.remove(index)).ok_or(MediaError::NotFound));
            }
            Command::CloseSource { source, reply } => {
                self.close_source(now, &source);
                let _ = reply.send(());
            }
            Command::SetMaxLayer { session, max, reply } => {
                let _ = reply.send(self.set_max_layer(session, max));
            }
            Command::PauseSource { source, paused, reply } => {
                self.pause_source(now, &source, paused);
                let _ = reply.send(());
            }
            Command::SetAddresses { addresses, reply } => {
                self.set_addresses(now, addresses);
                let _ = reply.send(());
            }
            Command::Stats { reply } => {
                let _ = reply.send(self.stats(now));
            }
            Command::Stop { reply } => {
                for index in 0..self.sessions.len() {
                    self.remove(index);
                }
                let _ = reply.send(());
                return false;
            }
        }
        true
    }

    fn config(&self) -> RtcConfig {
        let mut config = RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.cert.clone())
            .set_rtp_mode(true);
        config.set_initial_stun_rto(STUN_FIRST);
        config.set_max_stun_rto(STUN_SLOWEST);
        config.set_max_stun_retransmits(STUN_TRIES);
        config
    }

    fn candidates(&self) -> Vec<Candidate> {
        let bound = self.udp_local;
        let addresses = self.addresses.iter().copied();
        let udp = addresses
            .filter(|ip| reaches(bound.ip(), *ip))
            .filter_map(|ip| Candidate::host(SocketAddr::new(ip, bound.port()), "udp").ok());
        let outside = self.outside.address().and_then(|(outside, card)| {
            Candidate::server_reflexive(outside, SocketAddr::new(card, bound.port()), "udp").ok()
        });
        let tcp_bound = self.net.tcp.as_ref().map(super::tcp::Tcp::local);
        let tcp = tcp_bound.into_iter().flat_map(|bound| {
            self.addresses.iter().filter(move |ip| reaches(bound.ip(), **ip)).filter_map(move |ip| {
                Candidate::builder()
                    .tcp()
                    .host(SocketAddr::new(*ip, bound.port()))
                    .tcptype(TcpType::Passive)
                    .build()
                    .ok()
            })
        });
        udp.chain(outside).chain(tcp).collect()
    }

    fn count(&self, publishers: bool) -> usize {
        self.sessions.iter().flatten().filter(|s| matches!(s.role, Role::Publisher(_)) == publishers).count()
    }

    fn publish(&mut self, now: Instant, id: &SourceId, offer: String, replace: bool) -> Result<Answer, MediaError> {
        let no_codec = || MediaError::BadSdp("the offer has none of H264, VP8 and VP9".into());
        // One codec for the whole session, so that viewers can be answered before the first packet. From home comes a
        // voice and no picture.
        let codec = if id.home_seat().is_some() {
            sdp::only_sound(&offer)?;
            None
        } else {
            Some(*sdp::offered(&offer)?.first().ok_or_else(no_codec)?)
        };
        let source = self.source(now, id).ok_or(MediaError::Full)?;
        let before = self.sources[source].publisher;
        if before.is_some() && !replace {
            return Err(MediaError::SourceBusy);
        }
        if before.is_none() && self.count(true) >= self.limits.publishers {
            return Err(MediaError::Full);
        }
        let config = sdp::configure(self.config(), Side::Publisher, codec.as_slice());
        let mut rtc = config.build(now);
        for candidate in self.candidates() {
            rtc.add_local_candidate(candidate);
        }
        let answer = sdp::accept(&mut rtc, Side::Publisher, &offer)?;
        if let Some(codec) = codec {
            let mid = sdp::first_mid(&answer, &rtc, MediaKind::Video).ok_or_else(no_codec)?;
            sdp::payload_types(&rtc, mid, sdp::codec_of(codec)).ok_or_else(no_codec)?;
        }
        let (session, etag) = (SessionId::random()?, new_etag()?);
        if let Some(before) = before {
            self.remove(before);
        }
        let role = Role::Publisher(Box::new(Publisher::new(codec)));
        tracing::info!(?session, source = %id, codec = codec.map_or("sound", VideoCodec::name), "a publisher was answered");
        self.insert(now, Session::new(now, session, source, rtc, role, offer, etag.clone()));
        Ok(Answer { session, sdp: answer, etag })
    }

    /// The video codec of whoever publishes the source; `Some(None)` for one who only speaks.
    fn codec(&self, source: usize) -> Option<Option<VideoCodec>> {
        match &self.sessions[self.sources[source].publisher?].as_ref()?.role {
            Role::Publisher(publisher) => Some(publisher.codec),
            Role::Viewer(_) => None,
        }
    }

    fn view(&mut self, now: Instant, id: &SourceId, offer: String) -> Result<Answer, MediaError> {
        let offered = sdp::offered(&offer)?;
        let source = self.sources.iter().position(|source| source.id == *id).ok_or(MediaError::SourceSilent)?;
        let needed = self.codec(source).ok_or(MediaError::SourceSilent)?;
        if let Some(needed) = needed.filter(|needed| !offered.contains(needed)) {
            let why = format!("the source is sent as {}, which the offer does not have", needed.name());
            return Err(MediaError::BadSdp(why));
        }
        // All that the viewer knows, so that it can be switched to a source with another codec.
        let mut codecs = Vec::from_iter(needed);
        codecs.extend(offered.into_iter().filter(|codec| Some(*codec) != needed));
        self.answer_viewer(now, source, offer, &codecs, None).map(|(answer, _)| answer)
    }

    /// Makes the session of a viewer: its answer and its place. The first of `codecs` must be negotiated.
    pub(super) fn answer_viewer(
        &mut self,
        now: Instant,
        source: usize,
        offer: String,
        codecs: &[VideoCodec],
        follower: Option<Follower>,
    ) -> Result<(Answer, usize), MediaError> {
        if self.count(false) >= self.limits.viewers {
            return Err(MediaError::Full);
        }
        let config = sdp::configure(self.config(), Side::Viewer, codecs)
            .enable_raw_packets(true)
            .set_stats_interval(Some(PATH_INTERVAL));
        let mut rtc = config.build(now);
        for candidate in self.candidates() {
            rtc.add_local_candidate(candidate);
        }
        let answer = sdp::accept(&mut rtc, Side::Viewer, &offer)?;
        let video = sdp::first_mid(&answer, &rtc, MediaKind::Video).and_then(|mid| video_track(&mut rtc, mid));
        let mut ears = sdp::mids(&answer, &rtc, MediaKind::Audio).into_iter();
        let audio = [ears.next(), ears.next()].map(|mid| mid.and_then(|mid| audio_track(&mut rtc, mid)));
        drop_streams(&mut rtc, &answer);
        let [a, b, c, d, e, f] = random::<6>()?;
        let seeds = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
        let viewer = Viewer::new(now, video, audio, seeds);
        if let Some(needed) = codecs.first().filter(|needed| !viewer.speaks(**needed)) {
            return Err(MediaError::BadSdp(format!("{} could not be agreed on", needed.name())));
        }
        let (id, etag) = (SessionId::random()?, new_etag()?);
        let role = Role::Viewer(Box::new(viewer));
        let mut session = Session::new(now, id, source, rtc, role, offer, etag.clone());
        session.follower = follower;
        tracing::info!(session = ?id, source = %self.name_of(&session), "a viewer was answered");
        let index = self.insert(now, session);
        Ok((Answer { session: id, sdp: answer, etag }, index))
    }

    fn find(&mut self, id: SessionId) -> Result<(usize, &mut Session), MediaError> {
        let index = *self.by_id.get(&id).ok_or(MediaError::NotFound)?;
        Ok((index, self.sessions[index].as_mut().ok_or(MediaError::NotFound)?))
    }

    fn find_viewer(&mut self, id: SessionId) -> Result<(usize, usize, &mut Viewer), MediaError> {
        match self.find(id)? {
            (index, Session { role: Role::Viewer(viewer), source, .. }) => Ok((index, *source, viewer)),
            _ => Err(MediaError::NotFound),
        }
    }

    fn trickle(&mut self, now: Instant, id: SessionId, etag: &str, fragment: &str) -> Result<(), MediaError> {
        let (index, session) = self.find(id)?;
        if session.etag != etag {
            return Err(MediaError::StaleEtag);
        }
        for candidate in sdp::parse_fragment(fragment)?.candidates {
            session.rtc.add_remote_candidate(candidate);
        }
        self.wake(now, index);
        Ok(())
    }

    fn restart(&mut self, now: Instant, id: SessionId, fragment: &str) -> Result<(String, String), MediaError> {
        let fragment = sdp::parse_fragment(fragment)?;
        let malformed = || MediaError::BadSdp("a restart needs a new ice-ufrag and ice-pwd".into());
        let (ufrag, password) = fragment.credentials.ok_or_else(malformed)?;
        let etag = new_etag()?;
        let candidates = self.candidates();
        let (index, session) = self.find(id)?;
        let offer = sdp::with_credentials(&session.offer, &ufrag, &password);
        if offer == session.offer {
            return Err(malformed());
        }
        for candidate in candidates {
            session.rtc.add_local_candidate(candidate);
        }
        let side = if matches!(session.role, Role::Viewer(_)) { Side::Viewer } else { Side::Publisher };
        let answer = sdp::accept(&mut session.rtc, side, &offer)?;
        if side == Side::Viewer {
            drop_streams(&mut session.rtc, &answer);
        }
        for candidate in fragment.candidates {
            session.rtc.add_remote_candidate(candidate);
        }
        let ufrag = session.rtc.direct_api().local_ice_credentials().ufrag;
        let old = std::mem::replace(&mut session.ufrag, ufrag.clone());
        session.offer = offer;
        session.etag.clone_from(&etag);
        self.by_ufrag.remove(&old);
        self.by_ufrag.insert(ufrag, index);
        self.wake(now, index);
        Ok((sdp::fragment_of(&answer), etag))
    }

    fn switch_source(&mut self, now: Instant, id: SessionId, to: &SourceId) -> Result<(), MediaError> {
        let to = self.source(now, to).ok_or(MediaError::Full)?;
        let (index, _, _) = self.find_viewer(id)?;
        self.move_viewer(now, index, to);
        Ok(())
    }

    fn close_source(&mut self, now: Instant, id: &SourceId) {
        let Some(source) = self.sources.iter().position(|source| source.id == *id) else { return };
        let sessions: Vec<_> =
            self.sources[source].viewers.iter().copied().chain(self.sources[source].publisher).collect();
        for index in sessions {
            // Who follows the program stays: the next picture will come.
            if self.sessions[index].as_ref().is_some_and(|session| session.follower.is_some()) {
                if let Some(idle) = self.source(now, &SourceId::program()) {
                    self.move_viewer(now, index, idle);
                }
            } else {
                self.remove(index);
            }
        }
    }

    fn set_max_layer(&mut self, id: SessionId, max: Layer) -> Result<(), MediaError> {
        let (_, _, viewer) = self.find_viewer(id)?;
        viewer.max = max;
        Ok(())
    }

    fn pause_source(&mut self, now: Instant, id: &SourceId, paused: bool) {
        let Some(source) = self.source(now, id) else { return };
        let was = std::mem::replace(&mut self.sources[source].paused, paused);
        if was && !paused {
            // What was not sent is missing for the decoders: all begin anew.
            for index in self.sources[source].viewers.clone() {
                if let Some(Session { role: Role::Viewer(viewer), .. }) = self.sessions[index].as_mut() {
                    viewer.detach();
                }
            }
            self.want_keyframe(now, source, None);
        }
    }

    fn set_addresses(&mut self, now: Instant, addresses: Vec<IpAddr>) {
        self.addresses = addresses;
        let candidates = self.candidates();
        for index in 0..self.sessions.len() {
            let Some(session) = self.sessions[index].as_mut() else { continue };
            for candidate in &candidates {
                session.rtc.add_local_candidate(candidate.clone());
            }
            if session.rtc.handle_input(Input::Timeout(now)).is_ok() {
                self.drain(now, index);
            }
        }
    }

    fn stats(&self, now: Instant) -> MediaStats {
        let mut forwarded = self.forwarded_before;
        let mut sources = Vec::new();
        for source in &self.sources {
            if source.publisher.is_none() && source.viewers.is_empty() {
                continue;
            }
            let publisher = source.publisher.and_then(|index| self.sessions[index].as_ref()).and_then(|session| {
                let Role::Publisher(publisher) = &session.role else { return None };
                Some(PublisherStats {
                    session: session.id,
                    connected: session.connected,
                    up: publisher.up,
                    video: publisher.codec.map(VideoCodec::name),
                    layers: publisher.stats(now),
                    keyframe_requests: publisher.keyframe_requests,
                })
            });
            let simulcast = publisher.as_ref().is_some_and(|p| p.layers.iter().any(|layer| layer.layer.is_some()));
            let mut viewers = Vec::new();
            for session in source.viewers.iter().filter_map(|&index| self.sessions[index].as_ref()) {
                let Role::Viewer(viewer) = &session.role else { continue };
                let counts = viewer.counts;
                forwarded += counts.packets;
                viewers.push(ViewerStats {
                    session: session.id,
                    connected: session.connected && viewer.ready(),
                    packets: counts.packets,
                    bytes: counts.bytes,
                    loss: counts.loss,
                    estimate: viewer.estimate(),
                    layer: session.layer().filter(|_| simulcast),
                    rtt: counts.rtt,
                    nacks: counts.nacks,
                    plis: counts.plis,
                    dropped: counts.dropped,
                });
            }
            sources.push(SourceStats { source: source.id.clone(), paused: source.paused, publisher, viewers });
        }
        sources.sort_by(|a, b| a.source.cmp(&b.source));
        let (junk, send_dropped) = (self.junk, self.net.udp.dropped);
        MediaStats { sources, junk, send_dropped, events_dropped: self.events_dropped, forwarded }
    }
}

/// Whether a socket bound to `bound` is reached at `ip`.
fn reaches(bound: IpAddr, ip: IpAddr) -> bool {
    match (bound, ip) {
        (IpAddr::V4(bound), IpAddr::V4(ip)) => bound.is_unspecified() || bound == ip,
        (IpAddr::V6(bound), _) if bound.is_unspecified() => true,
        (bound, ip) => bound == ip,
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], MediaError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| MediaError::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn new_etag() -> Result<String, MediaError> {
    Ok(format!("\"{:016x}\"", u64::from_be_bytes(random()?)))
}

fn video_track(rtc: &mut str0m::Rtc, mid: Mid) -> Option<TrackSetup> {
    let payload_types = sdp::PREFERENCE.map(|codec| sdp::payload_types(rtc, mid, sdp::codec_of(codec)));
    track(rtc, mid, payload_types, 90_000)
}

fn audio_track(rtc: &mut str0m::Rtc, mid: Mid) -> Option<TrackSetup> {
    let opus = sdp::payload_types(rtc, mid, Codec::Opus)?;
    track(rtc, mid, [Some(opus), None, None], 48_000)
}

fn track(
    rtc: &mut str0m::Rtc,
    mid: Mid,
    payload_types: [Option<sdp::PayloadTypes>; 3],
    clock_rate: u32,
) -> Option<TrackSetup> {
    // Ids above 14 need the two-byte form; nobody uses them for this.
    let twcc = rtc.media(mid)?.remote_extmap().id_of(Extension::TransportSequenceNumber).filter(|id| *id <= 14);
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, None)?;
    let (ssrc, rtx_ssrc) = (*stream.ssrc(), stream.rtx().map(|ssrc| *ssrc));
    Some(TrackSetup { ssrc, rtx_ssrc, payload_types, twcc, clock_rate })
}

/// The sending streams of a viewer are ours ([`super::viewer`]): str0m must send nothing under their SSRCs, for it holds the
/// same keys.
fn drop_streams(rtc: &mut str0m::Rtc, answer: &str) {
    for mid in answer.lines().filter_map(|line| line.strip_prefix("a=mid:")) {
        let mut api = rtc.direct_api();
        while let Some(ssrc) = api.stream_tx_by_mid(Mid::from(mid.trim()), None).map(|stream| stream.ssrc()) {
            api.remove_stream_tx(ssrc);
        }
    }
}
