//! What the forwarder takes and gives.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use appliance_core::forward::Layer;
use classroom_protocol::{ProblemCode, SourceId};

/// A socket that the forwarder opens itself, or that was opened for it.
#[derive(Debug)]
pub enum Door<S> {
    /// The unspecified address serves all interfaces; port 0 picks a free port.
    Address(SocketAddr),
    /// Bound already.
    Open(S),
}

impl<S> From<SocketAddr> for Door<S> {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// How the forwarder is set up. Read once at the start.
#[derive(Debug)]
pub struct MediaConfig {
    /// The one UDP socket.
    pub udp: Door<UdpSocket>,
    /// Where ICE-TCP is served, if at all (RFC 6544, passive candidates only).
    pub tcp: Option<Door<TcpListener>>,
    /// Addresses offered to clients as host candidates. libnice does not use loopback: name the LAN addresses too.
    pub addresses: Vec<IpAddr>,
    /// Folder for the DTLS certificate (`media-identity.pem`), made at the first start and kept for the later ones.
    pub data_dir: PathBuf,
    /// How much is served at once.
    pub limits: Limits,
}

impl MediaConfig {
    /// For a forwarder that serves nobody outside of the machine: any free port of the loopback, no TCP.
    pub fn on_loopback(data_dir: &Path) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            udp: any.into(),
            tcp: None,
            addresses: vec![any.ip()],
            data_dir: data_dir.into(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on what is served at once; beyond them the answer is [`MediaError::Full`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// WHIP sessions.
    pub publishers: usize,
    /// WHEP sessions.
    pub viewers: usize,
    /// ICE-TCP connections, also those that never prove to be anyone's.
    pub tcp_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { publishers: 64, viewers: 256, tcp_connections: 256 }
    }
}

/// Name of one WHIP or WHEP session: 128 random bits, 32 hexadecimal digits. Knowing it is not a permission.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// A new name from the system's random source.
    ///
    /// # Errors
    /// [`MediaError::Internal`] when the system gives no random bytes.
    pub(crate) fn random() -> Result<Self, MediaError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| MediaError::Internal(format!("no random bytes: {error}")))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first digits tell sessions apart in a log and are of no use to anyone who reads it.
        write!(f, "{:08x}…", self.0 >> 96)
    }
}

impl FromStr for SessionId {
    type Err = MediaError;
    fn from_str(text: &str) -> Result<Self, MediaError> {
        let fits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !fits {
            return Err(MediaError::NotFound);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| MediaError::NotFound)
    }
}

/// The answer to an offer: what WHIP and WHEP send back with 201 (RFC 9725 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The session that was made; it goes into `Location`.
    pub session: SessionId,
    /// The SDP answer, `application/sdp`, with all candidates of the box in it.
    pub sdp: String,
    /// The entity tag of the ICE session, with its quotes, for `ETag`.
    pub etag: String,
}

/// Why the forwarder says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaError {
    /// The offer can't be understood, or it lacks what is needed; the text names it.
    BadSdp(String),
    /// Someone publishes this source already.
    SourceBusy,
    /// Nobody publishes this source now.
    SourceSilent,
    /// No such session.
    NotFound,
    /// The ICE session is not the one of this entity tag.
    StaleEtag,
    /// [`Limits`] are reached.
    Full,
    /// The box could not do it; the text is for the log.
    Internal(String),
}

impl MediaError {
    /// The problem that the web shows for it.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::BadSdp(_) => ProblemCode::BadSdp,
            Self::SourceBusy => ProblemCode::SourceBusy,
            Self::SourceSilent => ProblemCode::SourceSilent,
            Self::NotFound => ProblemCode::NotFound,
            Self::StaleEtag => ProblemCode::StaleEtag,
            Self::Full => ProblemCode::Full,
            Self::Internal(_) => ProblemCode::Internal,
        }
    }
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSdp(why) => write!(f, "the SDP is not usable: {why}"),
            Self::SourceBusy => f.write_str("someone publishes this source already"),
            Self::SourceSilent => f.write_str("nobody publishes this source now"),
            Self::NotFound => f.write_str("no such media session"),
            Self::StaleEtag => f.write_str("the ICE session has changed"),
            Self::Full => f.write_str("no further media session can be served"),
            Self::Internal(why) => write!(f, "the forwarder failed: {why}"),
        }
    }
}

impl std::error::Error for MediaError {}

/// What happened by itself. The queue holds 1024; when nobody reads it, the newest are dropped and counted in
/// [`MediaStats::events_dropped`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// The first media of a publisher arrived, or media flow again after [`MediaEvent::SourceDown`].
    SourceUp {
        /// What is published.
        source: SourceId,
        /// By which session.
        session: SessionId,
    },
    /// The publisher is gone: closed, replaced, or its path has been dead for about four seconds. In the last case the session
    /// lives on for [`crate::media::GRACE`] and may come back.
    SourceDown {
        /// What was published.
        source: SourceId,
        /// By which session.
        session: SessionId,
    },
    /// A viewer is connected.
    ViewerUp {
        /// What is viewed.
        source: SourceId,
        /// By which session.
        session: SessionId,
    },
    /// A viewer is gone, or its path is dead; in the second case [`MediaEvent::ViewerUp`] may follow.
    ViewerDown {
        /// What was viewed.
        source: SourceId,
        /// By which session.
        session: SessionId,
    },
    /// A session of either kind is no more, whether it was ever up or not: nothing of it follows.
    Ended {
        /// Which one.
        session: SessionId,
    },
}

/// A snapshot of everything the forwarder counts. Counters run since the session began.
#[derive(Debug, Clone, Default)]
pub struct MediaStats {
    /// Each source that is published or viewed, ordered by name.
    pub sources: Vec<SourceStats>,
    /// Datagrams thrown away because they belong to no session.
    pub junk: u64,
    /// Datagrams the kernel did not take (full socket buffer).
    pub send_dropped: u64,
    /// Events dropped because nobody read them.
    pub events_dropped: u64,
    /// RTP packets sent to viewers since the start, resent ones included.
    pub forwarded: u64,
}

/// One source.
#[derive(Debug, Clone)]
pub struct SourceStats {
    /// The source.
    pub source: SourceId,
    /// Paused by [`super::MediaHandle::pause_source`].
    pub paused: bool,
    /// Who publishes it, if anyone does.
    pub publisher: Option<PublisherStats>,
    /// Who views it.
    pub viewers: Vec<ViewerStats>,
}

/// The publishing side of a source.
#[derive(Debug, Clone)]
pub struct PublisherStats {
    /// The WHIP session.
    pub session: SessionId,
    /// Its path is up (ICE and DTLS).
    pub connected: bool,
    /// Media came and the path is up: what [`MediaEvent::SourceUp`] says.
    pub up: bool,
    /// Name of the video codec: `H264`, `VP8`, `VP9`.
    pub video: Option<&'static str>,
    /// Each encoding that sent something: video first, lowest layer first, then audio.
    pub layers: Vec<LayerStats>,
    /// Keyframes asked of the publisher.
    pub keyframe_requests: u64,
}

/// One encoding of a publisher.
#[derive(Debug, Clone)]
pub struct LayerStats {
    /// Which simulcast layer; `None` is the only video encoding.
    pub layer: Option<Layer>,
    /// Video or audio.
    pub video: bool,
    /// Packets received.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Packets that never came, resent ones not counted.
    pub lost: u64,
    /// Bits per second over the last second.
    pub bitrate: u64,
    /// Keyframes begun.
    pub keyframes: u64,
    /// Complete frames over the last second (video).
    pub frames_per_second: u32,
    /// Time since the last packet.
    pub age: Duration,
    /// Gaps between frames well above the usual one while someone was given them ([`appliance_core::forward::Freezes`]), an
    /// estimate: the box decodes nothing.
    pub freezes: u64,
}

/// One viewer.
#[derive(Debug, Clone)]
pub struct ViewerStats {
    /// The WHEP session.
    pub session: SessionId,
    /// Its path is up (ICE and DTLS).
    pub connected: bool,
    /// RTP packets sent, resent ones included.
    pub packets: u64,
    /// RTP bytes sent.
    pub bytes: u64,
    /// Packets that the viewer says it lost in the last report interval, 0 to 1.
    pub loss: f32,
    /// Bits per second that the path can carry, by estimate.
    pub estimate: u64,
    /// The simulcast layer being sent; `None` when nothing is sent yet or the source has one encoding.
    pub layer: Option<Layer>,
    /// Round trip, once known.
    pub rtt: Option<Duration>,
    /// Packets asked for again.
    pub nacks: u64,
    /// Keyframes asked for.
    pub plis: u64,
    /// Packets that were thrown away before sending because the viewer's TCP connection is too slow.
    pub dropped: u64,
}
