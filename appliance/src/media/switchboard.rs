//! All sessions and sources: which datagram belongs to whom, and what becomes of what it brings.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use appliance_core::home::Program;
use str0m::{
    Event, IceConnectionState, Input, Output,
    config::{CryptoProvider, DtlsCert},
    net::{Protocol, Receive, Transmit},
    rtp::RawPacket,
};
use tokio::sync::mpsc;

use super::{
    GRACE, Limits, MediaEvent, SessionId,
    net::Net,
    outside::Outside,
    sessions::{GATHER, Role, Session, Source},
    stun,
    viewer::{Path, Wants},
};

/// Addresses remembered for one session; a client with more is not honest.
const MAX_ADDRESSES: usize = 64;
/// Layer choice, keyframe requests, dead sessions.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A path is dead when nothing was heard for this long: clients answer a check of ours each second. (str0m itself waits 15
/// seconds.)
const SILENT: Duration = Duration::from_secs(4);
/// Ticks between a viewer's sender reports.
const REPORT_TICKS: u64 = 10;

/// Whose packets come from an address.
pub(super) struct Route {
    pub(super) session: usize,
    /// The session's own credentials vouched for the address.
    proven: bool,
}

/// Everything but the receiving socket.
pub(super) struct Switchboard {
    pub(super) net: Net,
    pub(super) crypto: Arc<CryptoProvider>,
    pub(super) cert: DtlsCert,
    pub(super) limits: Limits,
    pub(super) udp_local: SocketAddr,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) sessions: Vec<Option<Session>>,
    pub(super) by_id: HashMap<SessionId, usize>,
    pub(super) by_ufrag: HashMap<String, usize>,
    pub(super) routes: HashMap<(Protocol, SocketAddr), Route>,
    pub(super) sources: Vec<Source>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    events: mpsc::Sender<MediaEvent>,
    pub(super) events_dropped: u64,
    next_stream: u64,
    ticks: u64,
    next_tick: Instant,
    pub(super) junk: u64,
    pub(super) forwarded_before: u64,
    /// What students at home are given now.
    pub(super) program: Program,
    /// The box's address as the gateway's STUN server sees it.
    pub(super) outside: Outside,
}

impl Switchboard {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        now: Instant,
        net: Net,
        crypto: Arc<CryptoProvider>,
        cert: DtlsCert,
        limits: Limits,
        udp_local: SocketAddr,
        addresses: Vec<IpAddr>,
        events: mpsc::Sender<MediaEvent>,
    ) -> Self {
        Self {
            net,
            crypto,
            cert,
            limits,
            udp_local,
            addresses,
            sessions: Vec::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            routes: HashMap::new(),
            sources: Vec::new(),
            timers: BinaryHeap::new(),
            events,
            events_dropped: 0,
            next_stream: 0,
            ticks: 0,
            next_tick: now,
            junk: 0,
            forwarded_before: 0,
            program: Program::default(),
            outside: Outside::default(),
        }
    }

    /// One received packet. What is neither STUN for a session of ours nor from a known address is dropped after a look
    /// into one table.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
        contents: &[u8],
    ) -> bool {
        if self.outside.answered(from, contents) {
            return true;
        }
        let request = stun::request_for(contents);
        let session = match request {
            Some(ufrag) => self.by_ufrag.get(ufrag).copied(),
            None => self.routes.get(&(protocol, from)).map(|route| route.session),
        };
        let Some(index) = session else {
            self.junk += 1;
            return false;
        };
        let Some(session) = self.sessions[index].as_mut() else { return false };
        let Ok(receive) = Receive::new(protocol, from, to, contents) else {
            self.junk += 1;
            return false;
        };
        let input = Input::Receive(now, receive);
        if request.is_some() {
            if !session.rtc.accepts(&input) {
                self.junk += 1;
                return false;
            }
            self.route(index, (protocol, from), true);
        }
        let Some(session) = self.sessions[index].as_mut() else { return false };
        session.heard = now;
        let back = !session.connected && session.rtc.is_connected();
        if let Err(error) = session.rtc.handle_input(input) {
            tracing::debug!(session = ?session.id, %error, "a packet was refused");
        }
        self.drain(now, index);
        if back {
            self.connected(now, index);
        }
        true
    }

    fn route(&mut self, index: usize, address: (Protocol, SocketAddr), proven: bool) {
        if let Some(route) = self.routes.get_mut(&address) {
            if route.session == index {
                route.proven |= proven;
                return;
            }
            // An address that a session only named itself must not take another's packets.
            if !proven {
                return;
            }
        }
        let Some(session) = self.sessions[index].as_mut() else { return };
        if session.addresses.len() < MAX_ADDRESSES {
            session.addresses.push(address);
            self.routes.insert(address, Route { session: index, proven });
        }
    }

    /// Lets a session do what it has to do now.
    pub(super) fn drain(&mut self, now: Instant, index: usize) {
        loop {
            let Some(session) = self.sessions[index].as_mut() else { return };
            let output = session.rtc.poll_output();
            session.take_keys();
            match output {
                Ok(Output::Transmit(transmit)) => self.transmit(index, &transmit),
                Ok(Output::Event(event)) => self.event(now, index, event),
                Ok(Output::Timeout(at)) => {
                    if at != session.timer {
                        session.timer = at;
                        self.timers.push(Reverse((at, index)));
                    }
                    break;
                }
                Err(error) => {
                    tracing::info!(session = ?session.id, %error, "a session failed");
                    session.broken = true;
                    break;
                }
            }
        }
        let Some(session) = self.sessions[index].as_mut() else { return };
        if session.broken || !session.rtc.is_alive() {
            self.remove(index);
        }
    }

    fn transmit(&mut self, index: usize, transmit: &Transmit) {
        let path = Path { protocol: transmit.proto, local: transmit.source.ip(), remote: transmit.destination };
        if stun::is_stun(&transmit.contents) {
            self.route(index, (path.protocol, path.remote), false);
        } else if let Some(Session { role: Role::Viewer(viewer), .. }) = self.sessions[index].as_mut() {
            // DTLS goes where ICE has found a path.
            viewer.path = Some(path);
        }
        self.net.send(path, &transmit.contents);
    }

    fn event(&mut self, now: Instant, index: usize, event: Event) {
        let Some(session) = self.sessions[index].as_mut() else { return };
        match (event, &mut session.role) {
            (Event::RtpPacket(rtp), Role::Publisher(publisher)) => {
                let Some(packet) = publisher.packet(now, &mut session.rtc, rtp, || {
                    self.next_stream += 1;
                    self.next_stream
                }) else {
                    return;
                };
                let source = &mut self.sources[session.source];
                if !publisher.up {
                    publisher.up = true;
                    publisher.want_keyframe(None);
                    let event = MediaEvent::SourceUp { source: source.id.clone(), session: session.id };
                    self.tell(event);
                    let Some(session) = self.sessions[index].as_ref() else { return };
                    let source = &mut self.sources[session.source];
                    source.push(now, packet);
                    return;
                }
                source.push(now, packet);
            }
            (Event::RawPacket(raw), Role::Viewer(viewer)) => {
                if let RawPacket::RtcpRx(rtcp) = *raw {
                    let wishes = viewer.on_rtcp(now, &rtcp, &mut self.net);
                    if wishes.keyframe {
                        let (source, lane) = (session.source, viewer.current.or(viewer.wanted));
                        self.want_keyframe(now, source, lane);
                    }
                }
            }
            (Event::PeerStats(stats), Role::Viewer(viewer)) => {
                if let Some(pair) = stats.selected_candidate_pair {
                    let (local, remote) = (pair.local.addr.ip(), pair.remote.addr);
                    viewer.path = Some(Path { protocol: pair.protocol, local, remote });
                }
            }
            (Event::Connected, _) => self.connected(now, index),
            (Event::IceConnectionStateChange(IceConnectionState::Disconnected), _) => self.disconnected(now, index),
            (Event::Closed, _) => session.broken = true,
            _ => {}
        }
    }

    fn connected(&mut self, now: Instant, index: usize) {
        let Some(session) = self.sessions[index].as_mut() else { return };
        session.dead_since = None;
        if std::mem::replace(&mut session.connected, true) {
            return;
        }
        let Some(session) = self.sessions[index].as_ref() else { return };
        let (at, id, views) = (session.source, session.id, matches!(session.role, Role::Viewer(_)));
        let source = self.name_of(session);
        tracing::info!(session = ?id, %source, "a media path is up");
        if views {
            self.tell(MediaEvent::ViewerUp { source, session: id });
            self.want_keyframe(now, at, None);
        }
    }

    fn disconnected(&mut self, now: Instant, index: usize) {
        let Some(session) = self.sessions[index].as_mut() else { return };
        session.dead_since.get_or_insert(now);
        if !std::mem::replace(&mut session.connected, false) {
            return;
        }
        let id = session.id;
        // A viewer's path was up; of a publisher it matters whether media came.
        let (views, was_up) = match &mut session.role {
            Role::Publisher(publisher) => (false, std::mem::replace(&mut publisher.up, false)),
            Role::Viewer(_) => (true, true),
        };
        let Some(session) = self.sessions[index].as_ref() else { return };
        let source = self.name_of(session);
        tracing::info!(session = ?id, %source, "a media path is dead");
        match (views, was_up) {
            (true, _) => self.tell(MediaEvent::ViewerDown { source, session: id }),
            (false, true) => self.tell(MediaEvent::SourceDown { source, session: id }),
            (false, false) => {}
        }
    }

    pub(super) fn tell(&mut self, event: MediaEvent) {
        if self.events.try_send(event).is_err() {
            self.events_dropped += 1;
        }
    }

    /// A viewer of the source needs a keyframe: the first wish goes out at once.
    pub(super) fn want_keyframe(&mut self, now: Instant, source: usize, lane: Option<usize>) {
        let Some(index) = self.sources[source].publisher else { return };
        let Some(Session { role: Role::Publisher(publisher), rtc, .. }) = self.sessions[index].as_mut() else { return };
        publisher.want_keyframe(lane);
        if publisher.ask_keyframes(now, rtc) {
            self.wake(now, index);
        }
    }

    /// Lets a session act on what was just asked of it.
    pub(super) fn wake(&mut self, now: Instant, index: usize) {
        if let Some(session) = self.sessions[index].as_mut() {
            if let Err(error) = session.rtc.handle_input(Input::Timeout(now)) {
                tracing::info!(session = ?session.id, %error, "a session failed");
                session.broken = true;
            }
            self.drain(now, index);
        }
    }

    /// Sends on what has gathered.
    pub(super) fn forward(&mut self, now: Instant) {
        for source in &mut self.sources {
            if source.inbox.is_empty() || !source.due(now) {
                continue;
            }
            if !source.paused {
                let picture = source.viewers.iter().map(|&viewer| (viewer, None));
                let sound = source.listeners.iter().map(|&(viewer, ear)| (viewer, Some(ear)));
                for (viewer, ear) in picture.chain(sound) {
                    if let Some(Session { role: Role::Viewer(viewer), connected: true, follower, .. }) =
                        self.sessions[viewer].as_mut()
                    {
                        let wants = match (ear, follower) {
                            (Some(ear), _) => Wants::Sound(ear),
                            (None, Some(_)) => Wants::Picture,
                            (None, None) => Wants::All,
                        };
                        viewer.forward(now, &source.inbox, wants, &mut self.net);
                    }
                }
            }
            source.inbox.clear();
            source.frame_complete = false;
        }
    }

    /// When [`Self::run_timers`] or [`Self::forward`] has something to do.
    pub(super) fn next_due(&self) -> Instant {
        let gathering = self.sources.iter().filter(|s| !s.inbox.is_empty()).map(|s| s.inbox_since + GATHER);
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        gathering.chain(timer).min().map_or(self.next_tick, |at| at.min(self.next_tick))
    }

    /// Runs what is due.
    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(&Reverse((at, index))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            // Entries that were overtaken by a newer timeout are passed over.
            let current = self.sessions[index].as_mut().filter(|session| session.timer == at);
            if let Some(session) = current {
                // Whatever the session says next is a new entry.
                session.timer = far_future(now);
                self.wake(now, index);
            }
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.ticks += 1;
        for index in 0..self.sessions.len() {
            let silent = |s: &Session| s.connected && now.saturating_duration_since(s.heard) >= SILENT;
            if self.sessions[index].as_ref().is_some_and(silent) {
                self.disconnected(now, index);
            }
        }
        for index in 0..self.sources.len() {
            self.tick_source(now, index);
        }
        if self.ticks.is_multiple_of(REPORT_TICKS) {
            if let Some(tcp) = &mut self.net.tcp {
                tcp.sweep(now);
            }
            self.report_followers(now);
            for index in 0..self.sessions.len() {
                let dead =
                    |s: &Session| s.dead_since.is_some_and(|since| now.saturating_duration_since(since) >= GRACE);
                if self.sessions[index].as_ref().is_some_and(dead) {
                    self.remove(index);
                }
            }
        }
    }

    fn tick_source(&mut self, now: Instant, index: usize) {
        let source = &self.sources[index];
        let Some(publisher_index) = source.publisher else { return };
        let Some(Session { role: Role::Publisher(publisher), .. }) = self.sessions[publisher_index].as_mut() else {
            return;
        };
        publisher.roll(now, !source.paused && !source.viewers.is_empty());
        let (bitrates, clocks) = (publisher.bitrates(now), publisher.clocks());
        let mut wanted = [false; 3];
        for &viewer_index in &source.viewers {
            let session = self.sessions[viewer_index].as_mut();
            let Some(Session { role: Role::Viewer(viewer), connected: true, follower, .. }) = session else { continue };
            if viewer.choose(now, bitrates)
                && let Some(lane) = viewer.wanted
            {
                wanted[lane] = true;
            }
            // Spread over the second, so that the reports of a class do not leave in one burst.
            if follower.is_none() && (self.ticks + viewer_index as u64).is_multiple_of(REPORT_TICKS) {
                viewer.report(now, &clocks, &mut self.net);
            }
        }
        let Some(Session { role: Role::Publisher(publisher), rtc, .. }) = self.sessions[publisher_index].as_mut()
        else {
            return;
        };
        for (lane, wanted) in wanted.into_iter().enumerate() {
            if wanted && !source.paused {
                publisher.want_keyframe(Some(lane));
            }
        }
        if publisher.ask_keyframes(now, rtc) {
            self.wake(now, publisher_index);
        }
    }
}

pub(super) fn far_future(now: Instant) -> Instant {
    now + Duration::from_secs(3600 * 24 * 365)
}
