//! Media clients for tests: str0m over real loopback sockets, against the real media thread.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

use std::{
    collections::{HashMap, HashSet},
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    time::{Duration, Instant},
};

use appliance::media::{Limits, MediaConfig, MediaEvent, MediaHandle, MediaStats};
use classroom_protocol::SourceId;
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::{SdpAnswer, SdpPendingOffer},
    format::Codec,
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive, TcpType},
    rtp::{RtpPacket, RtpWrite},
};
use tokio::sync::mpsc;

pub const PATIENCE: Duration = Duration::from_secs(15);

/// The hub under test with a folder of its own.
pub struct Box {
    pub media: MediaHandle,
    pub events: mpsc::Receiver<MediaEvent>,
    pub udp: SocketAddr,
    dir: PathBuf,
}

impl Drop for Box {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub fn start(name: &str, limits: Limits) -> Box {
    let dir = std::env::temp_dir().join(format!("media-{name}-{}", std::process::id()));
    let udp = SocketAddr::from((Ipv4Addr::UNSPECIFIED, free_port()));
    let (media, events) = appliance::media::start(MediaConfig {
        udp: udp.into(),
        tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        data_dir: dir.clone(),
        limits,
    })
    .unwrap();
    Box { media, events, udp: SocketAddr::from((Ipv4Addr::LOCALHOST, udp.port())), dir }
}

pub fn source(name: &str) -> SourceId {
    name.parse().unwrap()
}

/// One client.
pub struct Peer {
    pub rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    tcp: Option<TcpStream>,
    tcp_read: Vec<u8>,
    answered: String,
    pub video: Option<Mid>,
    pub audio: Option<Mid>,
    pub second: Option<Mid>,
    spoken: u64,
    pub connected: bool,
    pub received: Vec<RtpPacket>,
    pub keyframe_requests: usize,
    pub paused: bool,
    /// Receives: drop every n-th media packet.
    pub lose: Option<usize>,
    count: usize,
    sequences: HashMap<Option<Rid>, u64>,
    timestamp: u32,
    pub rids: Vec<Rid>,
    buffer: Vec<u8>,
}

fn codecs() -> str0m::RtcConfig {
    let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
    config.codec_config().add_h264(108.into(), Some(109.into()), true, 0x42e01f);
    config
}

impl Peer {
    pub fn new(config: str0m::RtcConfig) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        Self {
            rtc,
            socket,
            local,
            pending: None,
            tcp: None,
            tcp_read: Vec::new(),
            answered: String::new(),
            video: None,
            audio: None,
            second: None,
            spoken: 0,
            connected: false,
            received: Vec::new(),
            keyframe_requests: 0,
            paused: false,
            lose: None,
            count: 0,
            sequences: HashMap::new(),
            timestamp: 90_000,
            rids: Vec::new(),
            buffer: vec![0; 2000],
        }
    }

    fn offer(&mut self, direction: Direction, simulcast: Option<Simulcast>) -> String {
        let mut api = self.rtc.sdp_api();
        self.audio = Some(api.add_media(MediaKind::Audio, direction, None, None, None));
        self.video = Some(api.add_media(MediaKind::Video, direction, None, None, simulcast));
        let (offer, pending) = api.apply().unwrap();
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn answer(&mut self, sdp: &str) {
        self.answered = sdp.to_owned();
        let answer = SdpAnswer::from_sdp_string(sdp).unwrap();
        self.rtc.sdp_api().accept_answer(self.pending.take().unwrap(), answer).unwrap();
    }

    pub async fn publish(hub: &Box, name: &str, replace: bool) -> Self {
        let mut peer = Self::new(codecs());
        let offer = peer.offer(Direction::SendOnly, None);
        let answer = hub.media.publish(source(name), offer, replace).await.unwrap();
        assert!(answer.sdp.contains("a=recvonly"));
        peer.answer(&answer.sdp);
        peer
    }

    pub async fn publish_layers(hub: &Box, name: &str) -> Self {
        let mut peer = Self::new(codecs());
        let mut simulcast = Simulcast::new();
        for rid in ["l", "m", "h"] {
            simulcast.add_send_layer(SimulcastLayer::new(rid));
            peer.rids.push(rid.into());
        }
        let offer = peer.offer(Direction::SendOnly, Some(simulcast));
        let answer = hub.media.publish(source(name), offer, false).await.unwrap();
        assert!(answer.sdp.contains("a=simulcast:recv l;m;h"), "{}", answer.sdp);
        peer.answer(&answer.sdp);
        peer
    }

    pub async fn view(hub: &Box, name: &str) -> (Self, appliance::media::SessionId) {
        let mut peer = Self::new(codecs());
        let offer = peer.offer(Direction::RecvOnly, None);
        let answer = hub.media.view(source(name), offer).await.unwrap();
        assert!(answer.sdp.contains("a=sendonly"));
        peer.answer(&answer.sdp);
        (peer, answer.session)
    }

    /// A viewer of the program: one picture, two sounds.
    pub async fn follow(hub: &Box, own: Option<&str>) -> (Self, appliance::media::SessionId) {
        let mut peer = Self::new(codecs());
        let mut api = peer.rtc.sdp_api();
        peer.video = Some(api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None));
        peer.audio = Some(api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None));
        peer.second = Some(api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None));
        let (offer, pending) = api.apply().unwrap();
        peer.pending = Some(pending);
        let answer = hub.media.view_program(offer.to_sdp_string(), own.map(source)).await.unwrap();
        peer.answer(&answer.sdp);
        (peer, answer.session)
    }

    /// One who sends sound and no picture.
    pub async fn speak(hub: &Box, name: &str) -> Self {
        let mut peer = Self::new(codecs());
        let mut api = peer.rtc.sdp_api();
        peer.audio = Some(api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None));
        let (offer, pending) = api.apply().unwrap();
        peer.pending = Some(pending);
        let answer = hub.media.publish(source(name), offer.to_sdp_string(), false).await.unwrap();
        peer.answer(&answer.sdp);
        peer
    }

    /// Sends 20 ms of sound.
    pub fn sound(&mut self, mark: u8) {
        let (pt, mid) = (self.pt(Codec::Opus), self.audio.unwrap());
        self.spoken += 1;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let time = (self.spoken * 960) as u32;
        stream.write_rtp(RtpWrite::new(pt, (1000 + self.spoken).into(), time, Instant::now(), vec![mark; 80]));
        self.step();
    }

    /// The packets of one m-line, in the order in which they came.
    pub fn of(&mut self, mid: Option<Mid>) -> Vec<&RtpPacket> {
        let mid = mid.unwrap();
        let Self { received, rtc, .. } = self;
        let of_mid = |packet: &&RtpPacket| {
            rtc.direct_api().stream_rx(&packet.header.ssrc).is_some_and(|stream| stream.mid() == mid)
        };
        received.iter().filter(of_mid).collect()
    }

    /// A viewer that has nothing but TCP.
    pub async fn view_tcp(hub: &Box, name: &str) -> Self {
        let mut peer = Self::new(codecs());
        let udp = Candidate::host(peer.local, "udp").unwrap();
        peer.rtc.direct_api().invalidate_candidate(&udp);
        let offer = peer.offer(Direction::RecvOnly, None);
        let answer = hub.media.view(source(name), offer).await.unwrap();
        let passive = answer.sdp.lines().find(|line| line.contains("tcptype passive")).unwrap();
        let remote = Candidate::from_sdp_string(passive.strip_prefix("a=").unwrap()).unwrap().addr();
        let stream = TcpStream::connect(remote).unwrap();
        stream.set_nonblocking(true).unwrap();
        peer.local = stream.local_addr().unwrap();
        let active = Candidate::builder().tcp().host(peer.local).tcptype(TcpType::Active).build().unwrap();
        peer.rtc.add_local_candidate(active);
        peer.tcp = Some(stream);
        peer.answer(&answer.sdp);
        peer
    }

    /// Begins an ICE restart: the fragment for the hub.
    pub fn restart_fragment(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().unwrap();
        self.pending = Some(pending);
        let offer = offer.to_sdp_string();
        let line = |name: &str| offer.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        format!("{}\r\n{}\r\n", line("a=ice-ufrag:"), line("a=ice-pwd:"))
    }

    /// Takes the hub's fragment: the old answer with the new credentials.
    pub fn restarted(&mut self, fragment: &str) {
        let line = |name: &str| fragment.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let lines = self.answered.lines().map(|old| match old {
            old if old.starts_with("a=ice-ufrag:") => line("a=ice-ufrag:"),
            old if old.starts_with("a=ice-pwd:") => line("a=ice-pwd:"),
            old => old.to_owned(),
        });
        let sdp: String = lines.map(|line| line + "\r\n").collect();
        self.answer(&sdp);
    }

    /// The client's candidates as a trickle fragment.
    pub fn candidates(&self) -> String {
        let host = Candidate::host(self.local, "udp").unwrap().to_sdp_string();
        format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na={host}\r\na=end-of-candidates\r\n")
    }

    pub fn view_offer() -> String {
        Self::new(codecs()).offer(Direction::RecvOnly, None)
    }

    /// Does what is to be done now.
    pub fn step(&mut self) {
        let now = Instant::now();
        loop {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((size, from)) => {
                    let contents = &self.buffer[..size];
                    let media = size > 12 && contents[0] & 0xc0 == 0x80 && !(64..96).contains(&(contents[1] & 0x7f));
                    self.count += usize::from(media);
                    if self.paused || media && self.lose.is_some_and(|n| self.count.is_multiple_of(n)) {
                        continue;
                    }
                    let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, contents) else { continue };
                    let _ = self.rtc.handle_input(Input::Receive(now, receive));
                    self.drain();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.step_tcp(now);
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain();
    }

    fn step_tcp(&mut self, now: Instant) {
        let Some(stream) = &mut self.tcp else { return };
        while let Ok(size @ 1..) = stream.read(&mut self.buffer) {
            self.tcp_read.extend_from_slice(&self.buffer[..size]);
        }
        let remote = stream.peer_addr().unwrap();
        loop {
            let [high, low, rest @ ..] = self.tcp_read.as_slice() else { return };
            let Some(packet) = rest.get(..usize::from(u16::from_be_bytes([*high, *low]))) else { return };
            let packet = packet.to_vec();
            self.tcp_read.drain(..2 + packet.len());
            if let Ok(receive) = Receive::new(Protocol::Tcp, remote, self.local, &packet) {
                let _ = self.rtc.handle_input(Input::Receive(now, receive));
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at > Instant::now() => return,
                Ok(Output::Timeout(_)) => self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap(),
                Ok(Output::Transmit(transmit)) => {
                    if !self.paused && transmit.proto == Protocol::Udp {
                        let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                    }
                    if let Some(stream) = self.tcp.as_mut().filter(|_| transmit.proto == Protocol::Tcp) {
                        let size = (transmit.contents.len() as u16).to_be_bytes();
                        stream.write_all(&[&size[..], &transmit.contents].concat()).unwrap();
                    }
                }
                Ok(Output::Event(Event::Connected)) => self.connected = true,
                Ok(Output::Event(Event::RtpPacket(packet))) => self.received.push(packet),
                Ok(Output::Event(Event::KeyframeRequest(_))) => self.keyframe_requests += 1,
                Ok(Output::Event(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// Sends one video frame of `packets` packets on one encoding; a keyframe begins with an SPS.
    pub fn frame(&mut self, rid: Option<Rid>, keyframe: bool, packets: usize, mark: u8) {
        let pt = self.pt(Codec::H264);
        let mid = self.video.unwrap();
        self.timestamp = self.timestamp.wrapping_add(3000);
        for n in 0..packets {
            let mut payload = vec![mark; 1000];
            payload[0] = match (keyframe, n) {
                (true, 0) => 0x67,
                _ => 0x41,
            };
            let mut api = self.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, rid) else { panic!("no stream for {rid:?}") };
            let sequence = self.sequences.entry(rid).or_insert(1000);
            let write = RtpWrite::new(pt, (*sequence).into(), self.timestamp, Instant::now(), payload);
            stream.write_rtp(write.marker(n + 1 == packets).nackable(true));
            *sequence += 1;
            self.step();
        }
    }

    pub fn pt(&self, codec: Codec) -> Pt {
        self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec).unwrap().pt()
    }

    pub fn ask_keyframe(&mut self) {
        let ssrc = self.received.last().unwrap().header.ssrc;
        self.rtc.direct_api().stream_rx(&ssrc).unwrap().request_keyframe(KeyframeRequestKind::Pli);
        self.step();
    }

    pub fn video_marks(&self) -> Vec<u8> {
        self.received.iter().filter_map(|p| p.payload.get(1).copied()).collect()
    }

    /// The sequence numbers are without a gap.
    pub fn is_unbroken(&self) -> bool {
        let numbers: HashSet<u64> = self.received.iter().map(|p| *p.seq_no).collect();
        let (first, last) = (numbers.iter().min().copied().unwrap_or(0), numbers.iter().max().copied().unwrap_or(0));
        numbers.len() as u64 == last - first + 1
    }
}

/// Steps all peers until the condition holds; panics when it does not in time.
pub async fn until<T>(peers: &mut [&mut Peer], what: &str, mut done: impl FnMut(&mut [&mut Peer]) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        for peer in peers.iter_mut() {
            peer.step();
        }
        if let Some(value) = done(peers) {
            return value;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn connect(peers: &mut [&mut Peer]) {
    until(peers, "all connect", |peers| peers.iter().all(|p| p.connected).then_some(())).await;
}

/// Waits for an event, stepping the peers.
pub async fn event(hub: &mut Box, peers: &mut [&mut Peer], wanted: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        for peer in peers.iter_mut() {
            peer.step();
        }
        while let Ok(event) = hub.events.try_recv() {
            if wanted(&event) {
                return event;
            }
        }
        assert!(Instant::now() < end, "the event did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn stats(hub: &Box) -> MediaStats {
    hub.media.stats().await.unwrap()
}
