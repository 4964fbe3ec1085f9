//! `box.toml`: read once, every key known, handed down as values. `appliance/box.example.toml` shows all of it; a test
//! compares that page with the defaults here.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
    str::FromStr,
};

use appliance_core::library::night::Minute;
use classroom_protocol::{
    Millis,
    catalogue::{self, Lang},
};
use serde::{Deserialize, Deserializer, de};

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
    /// What the box keeps.
    pub store: StoreFolder,
    /// Learning content kept in the room.
    pub library: Library,
    /// Announcing the room to tablets.
    pub discovery: Discovery,
    /// Figures for monitoring.
    pub metrics: Metrics,
    /// Trying the box out.
    pub demo: Demo,
    /// How much the box takes on.
    pub limits: Limits,
    /// The log.
    pub log: Log,
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

/// `[store]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreFolder {
    /// Folder of the database, the box's key and the media certificate. Default `/var/lib/classroom`.
    pub path: PathBuf,
}

/// `[library]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Library {
    /// Folder of the content. Default none: `library` in the folder of `[store]`.
    pub path: Option<PathBuf>,
    /// Most megabytes of content. Default 20000.
    pub most_mb: u64,
    /// Megabytes of the disk that stay free for everything else. Default 1000.
    pub keep_free_mb: u64,
    /// Most megabytes of one upload. Default 4000.
    pub upload_mb: u64,
    /// When fetching at night begins, on the school's clock. Default `22:00`.
    #[serde(deserialize_with = "minute")]
    pub night_from: Minute,
    /// When it ends. Default `06:00`. The same as `night_from`: at any time.
    #[serde(deserialize_with = "minute")]
    pub night_until: Minute,
    /// Most megabytes of one night. Default 10000.
    pub night_mb: u64,
    /// If not empty: the only hosts that content may come from. Default none: any public host that a teacher names.
    pub hosts: Vec<String>,
    /// Hosts that content may come from although their address is not public, with a port if it is not the usual one.
    pub private_hosts: Vec<String>,
}

fn minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Minute, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

impl Default for Library {
    fn default() -> Self {
        Self {
            path: None,
            most_mb: 20_000,
            keep_free_mb: 1_000,
            upload_mb: 4_000,
            night_from: Minute::at(22, 0),
            night_until: Minute::at(6, 0),
            night_mb: 10_000,
            hosts: Vec::new(),
            private_hosts: Vec::new(),
        }
    }
}

/// `[discovery]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// Announce the room by mDNS as `_classroom._tcp`. Default `true`.
    pub mdns: bool,
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

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Students in one lesson (R-CAST-2 asks for 40). Default 60.
    pub students: NonZeroU16,
    /// Media sessions that watch at the same time (WHEP); up to 64 more may send. Default 160.
    pub sessions: NonZeroU16,
    /// Pages that are kept up to date at the same time. Default 200.
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

impl Default for StoreFolder {
    fn default() -> Self {
        Self { path: "/var/lib/classroom".into() }
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self { mdns: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const fn some(n: u16) -> NonZeroU16 {
            match NonZeroU16::new(n) {
                Some(n) => n,
                None => NonZeroU16::MIN,
            }
        }
        Self { students: some(60), sessions: some(160), pages: some(200), idle_minutes: NonZeroU32::from(some(60)) }
    }
}

impl Limits {
    /// Idle time after which a teacher is signed out.
    pub fn idle(&self) -> Millis {
        Millis::from(self.idle_minutes.get()) * 60_000
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

    fn check(&self) -> Result<(), (&'static str, String)> {
        let length = self.room.name.trim().chars().count();
        if !(1..=40).contains(&length) || self.room.name.chars().any(char::is_control) {
            return Err(("[room] name", "give the room a name of 1 to 40 characters".into()));
        }
        for listen in &self.http.listen {
            if let Listen::Address(address) = listen {
                plain_allowed(*address).map_err(|reason| ("[http] listen", reason))?;
            }
        }
        if self.http.listen.is_empty() && self.https.listen.is_empty() {
            return Err(("[https] listen", "the box listens nowhere; name an address here or under [http]".into()));
        }
        let mend = "HTTPS needs a certificate and its key; name both files, or leave [https] listen empty";
        if !self.https.listen.is_empty() {
            self.https.certificate.as_ref().ok_or(("[https] certificate", mend.to_owned()))?;
            self.https.key.as_ref().ok_or(("[https] key", mend.to_owned()))?;
        }
        if let Some(bad) = self.media.addresses.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            let reason =
                format!("{bad} is no address that a client can reach; leave the list empty to have it learned");
            return Err(("[media] addresses", reason));
        }
        if self.library.upload_mb > self.library.most_mb {
            return Err(("[library] upload_mb", "an upload must fit into the library; write at most most_mb".into()));
        }
        if let Some(url) = &self.home.url
            && (!url.starts_with("https://") || url.ends_with('/') || url.chars().any(char::is_whitespace))
        {
            let reason =
                format!("\"{url}\" is no address for a link; write e.g. \"https://room501.live.school.example\"");
            return Err(("[home] url", reason));
        }
        let relay = |text: &String| {
            let rest = ["turns:", "turn:", "stun:"].iter().find_map(|scheme| text.strip_prefix(scheme));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;\"".contains(&b))
            })
        };
        if let Some(bad) = self.home.relays.iter().find(|text| !relay(text)) {
            let reason = format!("\"{bad}\" is no relay; write e.g. \"turn:gw.school.example:3478?transport=udp\"");
            return Err(("[home] relays", reason));
        }
        if self.home.secret_file.is_none() && self.home.relays.iter().any(|text| text.starts_with("turn")) {
            return Err(("[home] secret_file", "a relay takes nobody without its secret; name the file".into()));
        }
        if self.home.stun.as_ref().is_some_and(|stun| {
            stun.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        }) {
            return Err(("[home] stun", "write host and port, e.g. \"gw.school.example:3478\"".into()));
        }
        if self.limits.students.get() > 99 {
            return Err(("[limits] students", "a class has seats 1 to 99; write at most 99".into()));
        }
        Ok(())
    }

    fn resolve(&mut self, folder: &Path) {
        let https = [&mut self.https.certificate, &mut self.https.key];
        let others = [&mut self.metrics.bearer_file, &mut self.home.secret_file];
        for path in https.into_iter().chain(others).flatten() {
            *path = folder.join(&*path);
        }
        self.store.path = folder.join(&self.store.path);
        if let Some(path) = &mut self.library.path {
            *path = folder.join(&*path);
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const EXAMPLE: &str = include_str!("../box.example.toml");

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/classroom/box.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_says_the_defaults() {
        assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    /// Lines like `#key = value` are keys that have no default.
    #[test]
    fn the_example_names_every_key_and_what_it_comments_out_is_valid() {
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase())).unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let table: toml::Table = uncommented.parse().unwrap();
        let config = parse(&uncommented).unwrap();
        assert!(config.https.certificate.is_some() && config.metrics.bearer_file.is_some());
        // `Debug` of a struct names each of its fields once.
        let fields = format!("{config:#?}")
            .lines()
            .filter(|line| line.starts_with("        ") && !line.starts_with("         ") && line.contains(": "))
            .count();
        let keys: usize = table.values().map(|section| section.as_table().unwrap().len()).sum();
        assert_eq!(keys, fields, "a key is missing in the example");
    }

    #[test]
    fn mistakes_are_told_with_place_and_mend() {
        for (text, place, mend) in [
            ("[rom]\nname = 'x'", "line 1", "unknown field `rom`, expected one of `room`"),
            ("[room]\nnam = 'x'", "line 2", "unknown field `nam`, expected `name`"),
            ("[room]\nname = 7", "line 2", "invalid type"),
            ("[room\n", "line 1", ""),
            (
                "[http]\nlisten = ['0.0.0.0:80']",
                "[http] listen",
                "use 127.0.0.1 or [::1] here, and [https] for the room",
            ),
            ("[http]\nlisten = ['8080']", "line 2", "write e.g. \"127.0.0.1:8080\""),
            ("[http]\nlisten = []", "[https] listen", "listens nowhere"),
            ("[https]\nlisten = ['[::]:443']", "[https] certificate", "name both files"),
            ("[https]\nlisten = ['systemd:']\n", "line 2", "name of the socket"),
            ("[room]\nname = ''", "[room] name", "1 to 40"),
            ("[media]\naddresses = ['0.0.0.0']", "[media] addresses", "leave the list empty"),
            ("[limits]\nstudents = 0", "line 2", "nonzero"),
            ("[limits]\nstudents = 100", "[limits] students", "at most 99"),
            ("[library]\nnight_from = '25:00'", "line 2", "write it as \"22:00\""),
            ("[library]\nmost_mb = 1", "[library] upload_mb", "at most most_mb"),
            ("[log]\nformat = 'xml'", "line 2", "expected `text` or `json`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with("/etc/classroom/box.toml"), "{error}");
            assert!(error.contains(place) && error.contains(mend), "{text:?} gave: {error}");
        }
        let error = Config::load(Some(Path::new("/nowhere/box.toml"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/box.toml") && error.contains("--config"), "{error}");
    }

    #[test]
    fn loopback_in_all_its_forms_is_plain_and_nothing_else() {
        for (address, plain) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("[::]:1", false),
            ("192.168.1.2:1", false),
            ("[::ffff:192.168.1.2]:1", false),
        ] {
            assert_eq!(plain_allowed(address.parse().unwrap()).is_ok(), plain, "{address}");
        }
    }

    #[test]
    fn paths_begin_at_the_file() {
        let config = parse("[https]\nlisten=['systemd:https']\ncertificate='tls/a.pem'\nkey='/k.pem'").unwrap();
        assert_eq!(config.https.certificate.unwrap(), Path::new("/etc/classroom/tls/a.pem"));
        assert_eq!(config.https.key.unwrap(), Path::new("/k.pem"));
        assert_eq!(config.https.listen, [Listen::Systemd("https".into())]);
    }

    #[test]
    fn the_demo_stays_on_this_machine() {
        let config = Config::demo(Path::new("/tmp/demo"));
        config.check().unwrap();
        assert!(config.demo.class && config.https.listen.is_empty());
        assert_eq!(config.store.path, Path::new("/tmp/demo"));
    }
}
