//! The sessions and the sources, how they come and how they go.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use appliance_core::forward::Layer;
use classroom_protocol::SourceId;
use str0m::{Output, Rtc, net::Protocol};

use super::{
    MediaEvent, SessionId, keys,
    packet::{Media, Packet},
    publisher::Publisher,
    seal::Sealer,
    switchboard::{Switchboard, far_future},
    viewer::{Ear, Path, Viewer},
};

/// Packets of a source wait for the end of their frame, so that they leave in runs; at most this long…
pub(super) const GATHER: Duration = Duration::from_millis(1);
/// …and this many, and only when there are more viewers than this.
const GATHER_PACKETS: usize = 48;
const GATHER_VIEWERS: usize = 3;

/// What a session is for.
pub(super) enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

/// One WHIP or WHEP session.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) source: usize,
    pub(super) rtc: Rtc,
    pub(super) role: Role,
    pub(super) offer: String,
    pub(super) etag: String,
    pub(super) ufrag: String,
    pub(super) connected: bool,
    /// Since when the path is dead, or the session waits for its first one.
    pub(super) dead_since: Option<Instant>,
    pub(super) addresses: Vec<(Protocol, SocketAddr)>,
    /// When a packet last came that was its client's.
    pub(super) heard: Instant,
    pub(super) timer: Instant,
    pub(super) broken: bool,
    /// A viewer of the program: the hub chooses what it sees and hears.
    pub(super) follower: Option<Follower>,
}

/// What is known of a viewer of the program.
pub(super) struct Follower {
    /// What its own client publishes: that is not played back to it.
    pub(super) own: Option<SourceId>,
}

/// A name that can be published and viewed.
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) publisher: Option<usize>,
    pub(super) viewers: Vec<usize>,
    /// Sessions that get its sound only, and on which of their tracks.
    pub(super) listeners: Vec<(usize, Ear)>,
    pub(super) paused: bool,
    pub(super) inbox: Vec<Packet>,
    pub(super) inbox_since: Instant,
    pub(super) frame_complete: bool,
}

impl Switchboard {
    /// Puts a session into its place.
    pub(super) fn insert(&mut self, now: Instant, mut session: Session) -> usize {
        session.timer = far_future(now);
        let index = self.sessions.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.by_id.insert(session.id, index);
        self.by_ufrag.insert(session.ufrag.clone(), index);
        let source = &mut self.sources[session.source];
        match session.role {
            Role::Publisher(_) => source.publisher = Some(index),
            Role::Viewer(_) => source.viewers.push(index),
        }
        self.sessions[index] = Some(session);
        self.wake(now, index);
        index
    }

    /// Takes a session out and says goodbye to its client.
    pub(super) fn remove(&mut self, index: usize) {
        let Some(mut session) = self.sessions[index].take() else { return };
        if session.rtc.close().is_ok() {
            // RTCP BYE and DTLS close_notify, as far as they are ready now; nobody waits for an answer.
            while let Ok(Output::Transmit(transmit)) = session.rtc.poll_output() {
                let path = Path { protocol: transmit.proto, local: transmit.source.ip(), remote: transmit.destination };
                self.net.send(path, &transmit.contents);
            }
        }
        self.by_id.remove(&session.id);
        self.by_ufrag.remove(&session.ufrag);
        for address in &session.addresses {
            if self.routes.get(address).is_some_and(|route| route.session == index) {
                self.routes.remove(address);
            }
        }
        let name = self.name_of(&session);
        for source in &mut self.sources {
            source.listeners.retain(|(listener, _)| *listener != index);
        }
        let source = &mut self.sources[session.source];
        tracing::info!(session = ?session.id, source = %name, "a media session ended");
        match session.role {
            Role::Publisher(publisher) => {
                if source.publisher == Some(index) {
                    source.publisher = None;
                    source.inbox.clear();
                    for &viewer in &source.viewers {
                        if let Some(Session { role: Role::Viewer(viewer), .. }) = self.sessions[viewer].as_mut() {
                            viewer.detach();
                        }
                    }
                }
                if publisher.up {
                    self.tell(MediaEvent::SourceDown { source: name, session: session.id });
                }
            }
            Role::Viewer(viewer) => {
                source.viewers.retain(|&viewer| viewer != index);
                self.forwarded_before += viewer.counts.packets;
                if session.connected {
                    self.tell(MediaEvent::ViewerDown { source: name, session: session.id });
                }
            }
        }
        self.tell(MediaEvent::Ended { session: session.id });
    }

    /// The place of a source, made when it is new. `None` when there is no room for another name.
    pub(super) fn source(&mut self, now: Instant, id: &SourceId) -> Option<usize> {
        if let Some(index) = self.sources.iter().position(|source| source.id == *id) {
            return Some(index);
        }
        let source = Source {
            id: id.clone(),
            publisher: None,
            viewers: Vec::new(),
            listeners: Vec::new(),
            paused: false,
            inbox: Vec::new(),
            inbox_since: now,
            frame_complete: false,
        };
        let unused = |s: &Source| s.publisher.is_none() && s.viewers.is_empty() && s.listeners.is_empty() && !s.paused;
        if let Some(index) = self.sources.iter().position(unused) {
            self.sources[index] = source;
            return Some(index);
        }
        let room = self.sources.len() < self.limits.publishers + self.limits.viewers;
        room.then(|| {
            self.sources.push(source);
            self.sources.len() - 1
        })
    }
}

impl Session {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        now: Instant,
        id: SessionId,
        source: usize,
        mut rtc: Rtc,
        role: Role,
        offer: String,
        etag: String,
    ) -> Self {
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        Self {
            id,
            source,
            rtc,
            role,
            offer,
            etag,
            ufrag,
            connected: false,
            dead_since: Some(now),
            addresses: Vec::new(),
            heard: now,
            timer: now,
            broken: false,
            follower: None,
        }
    }

    /// The keys of the session's handshake, in the moment in which it makes them.
    pub(super) fn take_keys(&mut self) {
        let Some(tapped) = keys::take() else { return };
        // A publisher's are not needed; taken all the same, so that nobody else finds them.
        let Role::Viewer(viewer) = &mut self.role else { return };
        match Sealer::new(&tapped) {
            Ok(sealer) => viewer.set_sealer(sealer),
            Err(_) => self.broken = true,
        }
    }

    /// The layer that a viewer is being sent, where the source has several.
    pub(super) fn layer(&self) -> Option<Layer> {
        match &self.role {
            Role::Viewer(viewer) => viewer.current.map(|lane| Layer::ALL[lane]),
            Role::Publisher(_) => None,
        }
    }
}

impl Source {
    pub(super) fn push(&mut self, now: Instant, packet: Packet) {
        if self.paused || (self.viewers.is_empty() && self.listeners.is_empty()) {
            return;
        }
        if self.inbox.is_empty() {
            self.inbox_since = now;
        }
        // Sound is never held back.
        self.frame_complete |= packet.marker || packet.media == Media::Audio;
        self.inbox.push(packet);
    }

    pub(super) fn due(&self, now: Instant) -> bool {
        self.frame_complete
            || self.viewers.len() <= GATHER_VIEWERS
            || self.inbox.len() >= GATHER_PACKETS
            || now.saturating_duration_since(self.inbox_since) >= GATHER
    }
}
