//! `box.toml`: read once, every key known, handed down as values. `appliance/box.example.toml` shows all of it; a test
//! compares that page with the defaults here.

mod check;
mod keeping;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
    str::FromStr,
};

use appliance_core::figures::{Counting, Parameters, Views};
use classroom_protocol::{
    Millis,
    catalogue::{self, Lang},
};
use serde::{Deserialize, Deserializer, de};

pub use keeping::{Backup, Library, Staff, StoreFolder};

/// Where the file is looked for when no other is named.
pub const PATH: &str = "/etc/classroom/box.toml";

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The room.
    pub room: Room,
    /// Pages and API without encryption, for this machine only.
    pub http: Http,
    /// Pages and API for the room.
    pub https: Https,
    /// Pictures and sound.
    pub media: Media,
    /// Students at home.
    pub home: Home,
    /// The line to the world outside.
    pub uplink: UplinkProbes,
    /// What the box keeps.
    pub store: StoreFolder,
    /// Copies of what the box keeps.
    pub backup: Backup,
    /// Learning content kept in the room.
    pub library: Library,
    /// Announcing the room to tablets.
    pub discovery: Discovery,
    /// Take-home devices.
    pub agents: Agents,
    /// Accounts.
    pub staff: Staff,
    /// Figures for monitoring.
    pub metrics: Metrics,
    /// Trying the box out.
    pub demo: Demo,
    /// How use is counted.
    pub figures: FigureNumbers,
    /// The room's DNS, a process of its own.
    pub resolver: Resolver,
    /// The use rules.
    pub policy: Policy,
    /// How much the box takes on.
    pub limits: Limits,
    /// The log.
    pub log: Log,
    /// Delivering usage records.
    pub upstream: Upstream,
}

/// `[room]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Room {
    /// The room's name as people say it; 1 to 40 characters. Default `教室`.
    pub name: String,
    /// A sentence that the panel and the console show until the box starts without it: what is wrong with the box's
    /// settings (`appliance card`). Default none.
    pub notice: Option<String>,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Loopback addresses only: browsers share a screen only from a secure page, and passwords would cross the network
    /// in the clear. Default `["127.0.0.1:8080"]`.
    pub listen: Vec<Listen>,
}

/// `[https]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Https {
    /// E.g. `["[::]:443"]` (IPv4 and IPv6) or `["systemd:https"]`. Default none: no HTTPS.
    pub listen: Vec<Listen>,
    /// Where people who type the name without `https://` are sent on to it: e.g. `["[::]:80"]` or `["systemd:http"]`.
    /// Nothing is served there. Default none.
    pub redirect: Vec<Listen>,
    /// PEM file with the certificate and those between it and the root. Needed with `listen`.
    pub certificate: Option<PathBuf>,
    /// PEM file with its key. Needed with `listen`.
    pub key: Option<PathBuf>,
    /// The name people type, e.g. `room501.school.example`; must stand in the certificate. Default: the first name of
    /// the certificate.
    pub name: Option<String>,
}

/// `[media]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// The one UDP port for all pictures and sound, or `systemd:media`. Default `0.0.0.0:8801`.
    pub udp: Listen,
    /// The one TCP port for clients whose network blocks UDP (ICE-TCP, RFC 6544), or `systemd:media`. Default
    /// `0.0.0.0:8801`.
    pub tcp: Listen,
    /// Addresses that clients reach the box at. Default none: learned, and learned again when the network changes.
    pub addresses: Vec<IpAddr>,
}

/// `[home]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Home {
    /// Where the gateway's tunnel ends, e.g. `["127.0.0.1:8444"]`: loopback addresses only. Every connection begins with the
    /// PROXY protocol's header (version 2), and nothing but what homes need is served. Default none: no way from homes.
    pub listen: Vec<Listen>,
    /// Address at which homes reach the box through the gateway, e.g. `https://room501.live.school.example`. Default: the
    /// address of the pages.
    pub url: Option<String>,
    /// Relays for pictures and sound, in the words of RFC 7064 and RFC 7065. Default none.
    pub relays: Vec<String>,
    /// File whose first line is the secret that box and relay share. Needed with `turn:` and `turns:`.
    pub secret_file: Option<PathBuf>,
    /// The gateway's STUN server, host and port: it tells the box which address the school has outside.
    pub stun: Option<String>,
}

/// `[uplink]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UplinkProbes {
    /// Hosts, each with its port, that accept connections when the line outside is there, e.g. the school's name server
    /// `"10.0.0.53:53"`. Default none: the box does not look, and says nothing when the line is cut.
    pub probe: Vec<String>,
}

/// `[discovery]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// Announce the room by mDNS as `_classroom._tcp`. Default `true`.
    pub mdns: bool,
}

/// `[agents]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agents {
    /// Where take-home devices talk to the box, e.g. `["[::]:8442"]` or `["systemd:agents"]`. Default none: no devices.
    pub listen: Vec<Listen>,
    /// Where homes reach this listener, e.g. `["room501.school.example:8442"]`. Default none: in the room only.
    pub home_addresses: Vec<String>,
    /// End programs that are not approved (R-POL-3). Default `false`: the student is told.
    pub end_programs: bool,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// File whose first line is the bearer token for `/metrics` from other machines. Default none: this machine only.
    pub bearer_file: Option<PathBuf>,
}

/// `[demo]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demo {
    /// Make a class of 30 invented students when there is no class yet. Default `false`.
    pub class: bool,
}

/// `[figures]`: the numbers of the counting rules (R-USE-1), printed beside every figure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FigureNumbers {
    /// Names this set of numbers; 1 to 20 characters. Change it with any of them. Default `2026-1`.
    pub version: String,
    /// A day counts from so many active minutes on, 1 to 1440. Default 1.
    pub minutes: u32,
    /// A month counts from so many such days on, 1 to 28. Default 1.
    pub days: u32,
    /// A week counts from so many such days on, 1 to 7. Default 1.
    pub week_days: u32,
    /// Minutes of the strict view. Default 10.
    pub strict_minutes: u32,
    /// Days of a month in the strict view. Default 4.
    pub strict_days: u32,
    /// Days of a week in the strict view. Default 2.
    pub strict_week_days: u32,
}

/// `[resolver]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resolver {
    /// UDP and TCP. Default `["0.0.0.0:53"]`; `["systemd:dns"]` for sockets from systemd.
    pub listen: Vec<Listen>,
    /// The school's name servers, e.g. `["10.1.0.1:53"]`. Default none: those that the machine itself asks.
    pub upstream: Vec<SocketAddr>,
}

/// `[policy]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Plain HTTP for refused hosts, with nothing but the page that says why, e.g. `["0.0.0.0:80"]`. Default none:
    /// people see a browser's error instead.
    pub portal: Vec<Listen>,
    /// Folder whose `document.json` and `lists/` are taken at start into the data folder's `policy/`, where they count.
    /// Default none: what lies there already counts.
    pub from: Option<PathBuf>,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Students in one lesson (R-CAST-2 asks for 40). Default 60.
    pub students: NonZeroU16,
    /// Media sessions that watch at the same time (WHEP); up to 64 more may send. Default 160.
    pub sessions: NonZeroU16,
    /// Pages that are kept up to date at the same time; some are kept for staff and panels ([`appliance_core::crowd`]).
    /// Default 200.
    pub pages: NonZeroU16,
    /// Minutes without use after which a teacher is signed out (R-DATA-6). Default 60.
    pub idle_minutes: NonZeroU32,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
    /// What is logged, in the words of tracing's EnvFilter. Default `info`.
    pub filter: String,
}

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Address of the learning record store (xAPI), to which `/statements` is added; the only host that is talked to.
    /// Default none: everything is kept until there is one.
    pub lrs: Option<String>,
    /// File whose first line is `user:password` for the store. Default none.
    pub credentials_file: Option<PathBuf>,
    /// Certificates (PEM) to trust beside those of the system, for a store of the county's own CA. Default none.
    pub ca_file: Option<PathBuf>,
    /// IRI of the school in statements; `{semester}` in it becomes e.g. `115-1`. Needed with `lrs`.
    pub home_page: Option<String>,
    /// How events become statements; see `appliance/core/data/xapi.json`. Default: that page.
    pub vocabulary_file: Option<PathBuf>,
    /// When to deliver. Default `always`.
    pub when: DeliverWhen,
    /// Hour at which the night begins, 0 to 23. Default 22.
    pub night_from: u8,
    /// Hour at which the night ends. Default 5.
    pub night_to: u8,
    /// Most statements in one request. Default 200.
    pub batch: NonZeroU16,
    /// Seconds between two looks for new records. Default 60.
    pub look_seconds: NonZeroU16,
}

/// When usage records are delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliverWhen {
    /// As it happens.
    #[default]
    Always,
    /// At night.
    Night,
    /// In the first five nights of each month.
    Month,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Where to listen: an address, or a socket that systemd hands over by name (`systemd:https`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Address and port.
    Address(SocketAddr),
    /// `FileDescriptorName=` of the systemd socket.
    Systemd(String),
}

impl Default for Room {
    fn default() -> Self {
        Self { name: catalogue::text(Lang::ZhHantTw, "console.room-name").into(), notice: None }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: vec![Listen::Address((Ipv4Addr::LOCALHOST, 8080).into())] }
    }
}

impl Default for Media {
    fn default() -> Self {
        let any = Listen::Address((Ipv4Addr::UNSPECIFIED, 8801).into());
        Self { udp: any.clone(), tcp: any, addresses: Vec::new() }
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self { mdns: true }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self { listen: vec![Listen::Address((Ipv4Addr::UNSPECIFIED, 53).into())], upstream: Vec::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { students: some(60), sessions: some(160), pages: some(200), idle_minutes: NonZeroU32::from(some(60)) }
    }
}

impl Limits {
    /// Idle time after which a teacher is signed out.
    pub fn idle(&self) -> Millis {
        Millis::from(self.idle_minutes.get()) * 60_000
    }
}

impl Default for FigureNumbers {
    fn default() -> Self {
        let Parameters { version, month, week } = Parameters::default();
        Self {
            version,
            minutes: month.plain.minutes,
            days: month.plain.days,
            week_days: week.plain.days,
            strict_minutes: month.strict.minutes,
            strict_days: month.strict.days,
            strict_week_days: week.strict.days,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            lrs: None,
            credentials_file: None,
            ca_file: None,
            home_page: None,
            vocabulary_file: None,
            when: DeliverWhen::Always,
            night_from: 22,
            night_to: 5,
            batch: some(200),
            look_seconds: some(60),
        }
    }
}

impl FigureNumbers {
    /// The numbers as the core has them.
    pub fn parameters(&self) -> Parameters {
        let views = |plain, strict| Views {
            plain: Counting { minutes: self.minutes, days: plain },
            strict: Counting { minutes: self.strict_minutes, days: strict },
        };
        Parameters {
            version: self.version.clone(),
            month: views(self.days, self.strict_days),
            week: views(self.week_days, self.strict_week_days),
        }
    }
}

const fn some(n: u16) -> NonZeroU16 {
    match NonZeroU16::new(n) {
        Some(n) => n,
        None => NonZeroU16::MIN,
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("systemd:") {
            Some("") => Err("write the name of the socket after \"systemd:\"".into()),
            Some(name) => Ok(Self::Systemd(name.into())),
            None => text.parse().map(Self::Address).map_err(|_| {
                format!("\"{text}\" is no address with a port; write e.g. \"127.0.0.1:8080\", \"[::]:443\" or \"systemd:https\"")
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Listen {
    /// The port; none for a socket that systemd hands over.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Address(address) => Some(address.port()),
            Self::Systemd(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Why there is no configuration. The sentences name the place and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is not TOML, or a key is unknown or of the wrong kind.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, 1 is the first; 0 if it is no single line.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A value that can't be used.
    Value {
        /// The file.
        path: PathBuf,
        /// Section and key.
        field: &'static str,
        /// What is wrong and how to mend it.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                write!(f, "{}: can't be read ({reason}); name another file with --config", path.display())
            }
            Self::Syntax { path, line: 0, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Syntax { path, line, reason } => write!(f, "{}, line {line}: {reason}", path.display()),
            Self::Value { path, field, reason } => write!(f, "{}, {field}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file that is named; without a name [`PATH`], and the defaults when that file is not there.
    ///
    /// # Errors
    /// [`ConfigError`], to be shown to the person as it is.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(PATH));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(e) if path.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(ConfigError::Unreadable { path: file.into(), reason: e.to_string() }),
        }
    }

    /// The configuration of `make run`: this machine only, with the demo class, everything kept in `folder`.
    pub fn demo(folder: &Path) -> Self {
        Self { store: StoreFolder { path: folder.into() }, demo: Demo { class: true }, ..Self::default() }
    }

    /// Reads the text of a configuration; `path` is for messages, and relative paths in it begin at its folder.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::read(text, path)?;
        config.check().map_err(|(field, reason)| ConfigError::Value { path: path.into(), field, reason })?;
        if let Some(folder) = path.parent() {
            config.resolve(folder);
        }
        Ok(config)
    }

    /// Reads the text alone: every key is known and of the right kind; whether the values fit each other is not asked.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub fn read(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            ConfigError::Syntax { path: path.into(), line, reason: error.message().trim().replace('\n', "; ") }
        })
    }
}

/// Whether HTTP without encryption may be served at this address. Asked again for sockets that systemd hands over.
///
/// # Errors
/// The sentence for the person.
pub fn plain_allowed(address: SocketAddr) -> Result<(), String> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{address} is reached from other machines, and plain HTTP is only for this one: browsers do not share a screen \
         from it and passwords could be read on the way; use 127.0.0.1 or [::1] here, and [https] for the room"
    ))
}

/// Whether the tunnel may end at this address. Asked again for sockets that systemd hands over.
///
/// # Errors
/// The sentence for the person.
pub fn home_allowed(address: SocketAddr) -> Result<(), String> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{address} is reached from other machines, and whoever comes here says which home it is of: only the gateway's \
         tunnel may; use 127.0.0.1 or [::1], and [https] for the room"
    ))
}

#[cfg(test)]
mod tests;
