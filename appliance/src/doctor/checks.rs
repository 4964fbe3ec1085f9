//! The checks, one function each.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use appliance_core::{calendar, servers::Servers, usage::key::Standing};
use classroom_protocol::{
    Millis,
    policy::{Instead, ListFault, PolicyList, UnusedDocument},
};
use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};
use socket2::SockRef;

use super::{
    Finding,
    Grade::{Bad, Good, Warning},
    holder::{self, Transport},
};
use crate::{
    config::{Config, Listen},
    dns::{self, lists::Lists, names::Key},
    net,
    policy::document::{InUse, in_use},
    store::{self as kept, StoreError, backup::Held},
    tls::{Certificate, TlsError},
    usage::SchoolKey,
};

const DAY: Millis = 86_400_000;
const MIB: u64 = 1024 * 1024;

/// The group of mDNS (RFC 6762).
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// How long the echo of a multicast may take. It does not leave the machine.
const ECHO: Duration = Duration::from_millis(500);

/// Below this the kernel drops packets when nine pictures begin at once: 9 × 3 Mbit/s and 0.3 s without a turn.
const BUFFER: u64 = MIB;

/// Every port is free, or held by the hub itself.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let pages = config.http.listen.iter().chain(&config.https.listen).chain(&config.https.redirect);
    let pages = pages.map(|listen| (Transport::Tcp, listen));
    let media = [(Transport::Udp, &config.media.udp), (Transport::Tcp, &config.media.tcp)];
    let opened = pages.chain(media).filter_map(|(transport, listen)| match listen {
        Listen::Address(address) => Some((transport, *address)),
        // systemd holds it for us.
        Listen::Systemd(_) => None,
    });
    opened.map(|(transport, address)| port(transport, address)).collect()
}

fn port(transport: Transport, address: SocketAddr) -> Finding {
    let (tried, name) = match transport {
        Transport::Tcp => (TcpListener::bind(address).map(drop), "TCP"),
        Transport::Udp => (UdpSocket::bind(address).map(drop), "UDP"),
    };
    let at = ("port", format!("{name} {address}"));
    let error = match tried {
        Ok(()) => return Finding::new("port", Good, "console.doctor-port-free", [at]),
        Err(error) => error,
    };
    match (error.kind(), holder::of(transport, address.port())) {
        (io::ErrorKind::AddrInUse, Some(program)) if program.is_hub() => {
            Finding::new("port", Good, "console.doctor-port-ours", [at, ("pid", program.pid.to_string())])
        }
        (io::ErrorKind::AddrInUse, Some(program)) => {
            let by = [at, ("program", program.name), ("pid", program.pid.to_string())];
            Finding::new("port", Bad, "console.doctor-port-held", by)
        }
        (io::ErrorKind::AddrInUse, None) => Finding::new("port", Bad, "console.doctor-port-held-unknown", [at]),
        (io::ErrorKind::AddrNotAvailable, _) => Finding::new("port", Bad, "console.doctor-port-not-here", [at]),
        (io::ErrorKind::PermissionDenied, _) => Finding::new("port", Bad, "console.doctor-port-denied", [at]),
        _ => Finding::new("port", Bad, "console.doctor-port-failed", [at, ("reason", error.to_string())]),
    }
}

/// The machine has an address that tablets can reach.
pub(super) fn addresses(config: &Config) -> Vec<Finding> {
    let found = match net::addresses() {
        Ok(found) => found,
        Err(error) => {
            let why = [("reason", error.to_string())];
            return vec![Finding::new("addresses", Bad, "console.doctor-addresses-failed", why)];
        }
    };
    let list = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let strange: Vec<IpAddr> = config.media.addresses.iter().copied().filter(|ip| !found.contains(ip)).collect();
    let mut findings = Vec::new();
    if !strange.is_empty() {
        let which = [("addresses", list(&strange))];
        findings.push(Finding::new("addresses", Warning, "console.doctor-addresses-strange", which));
    }
    findings.push(if found.is_empty() {
        Finding::new("addresses", Bad, "console.doctor-addresses-none", [])
    } else {
        Finding::new("addresses", Good, "console.doctor-addresses", [("addresses", list(&found))])
    });
    findings
}

/// A multicast that is sent on each network card comes back on it.
pub(super) fn multicast(config: &Config) -> Vec<Finding> {
    if !config.discovery.mdns {
        return Vec::new();
    }
    let cards = net::addresses().unwrap_or_default().into_iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    cards
        .map(|card| {
            let at = ("address", card.to_string());
            match echo(card) {
                Ok(()) => Finding::new("multicast", Good, "console.doctor-multicast", [at]),
                Err(error) => {
                    let why = ("reason", error.to_string());
                    Finding::new("multicast", Warning, "console.doctor-multicast-failed", [at, why])
                }
            }
        })
        .collect()
}

fn echo(card: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.join_multicast_v4(&MDNS, &card)?;
    SockRef::from(&socket).set_multicast_if_v4(&card)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_read_timeout(Some(ECHO))?;
    // To our own port, where no neighbour listens, and no further than this network.
    let own = socket.local_addr()?.port();
    socket.set_multicast_ttl_v4(0)?;
    socket.send_to(b"classroom doctor", SocketAddrV4::new(MDNS, own))?;
    let mut buffer = [0; 64];
    loop {
        let (size, _) = socket.recv_from(&mut buffer)?;
        if &buffer[..size] == b"classroom doctor" {
            return Ok(());
        }
    }
}

/// The resolver has somebody else than itself to ask.
pub(super) fn name_servers(config: &Config) -> Finding {
    /// What systemd opens for the resolver (`systemd/classroom-resolver.socket`).
    const BY_SYSTEMD: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 53);
    let listening = config.resolver.listen.iter().map(|listen| match listen {
        Listen::Address(address) => *address,
        Listen::Systemd(_) => BY_SYSTEMD,
    });
    let named = &config.resolver.upstream;
    name_servers_of(&dns::servers(named, &listening.collect::<Vec<_>>()), !named.is_empty())
}

pub(super) fn name_servers_of(servers: &Servers, named: bool) -> Finding {
    let Servers { above, itself } = servers;
    let list = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (asked, own) = (("servers", list(above)), ("own", list(itself)));
    match (above.is_empty(), itself.is_empty()) {
        (false, true) => Finding::new("names", Good, "console.doctor-names", [asked]),
        (false, false) => Finding::new("names", Warning, "console.doctor-names-some", [asked, own]),
        (true, false) => {
            // A computer that is no box has a name service of its own on its loopback, and nobody asks our resolver.
            let a_box = named || itself.iter().any(|server| !server.ip().is_loopback());
            Finding::new("names", if a_box { Bad } else { Warning }, "console.doctor-names-itself", [own])
        }
        // Maybe only for as long as the cable is out.
        (true, true) => Finding::new("names", Warning, "console.doctor-names-none", []),
    }
}

/// The clock is not behind the software itself, and someone keeps it right where that can be told.
pub(super) fn clock(now: Millis) -> Finding {
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|meta| meta.modified()).ok();
    let built = built.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_millis());
    let built = Millis::try_from(built).unwrap_or(0);
    clock_at(now, built, Path::new("/run/systemd/timesync"))
}

pub(super) fn clock_at(now: Millis, built: Millis, timesync: &Path) -> Finding {
    if now.saturating_add(DAY) < built {
        let days = (built - now) / DAY;
        return Finding::new("clock", Bad, "console.doctor-clock-behind", [("days", days.to_string())]);
    }
    if timesync.join("synchronized").exists() {
        return Finding::new("clock", Good, "console.doctor-clock", []);
    }
    if timesync.exists() {
        return Finding::new("clock", Warning, "console.doctor-clock-unsynced", []);
    }
    Finding::new("clock", Good, "console.doctor-clock-unknown", [])
}

/// The data folder can be written and has room.
pub(super) fn disk(config: &Config) -> Vec<Finding> {
    let folder = &config.store.path;
    let Some(there) = folder.ancestors().find(|path| path.exists()) else { return Vec::new() };
    let at = ("folder", folder.display().to_string());
    let mut findings = Vec::new();
    findings.push(match access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Finding::new("disk", Good, "console.doctor-folder", [at.clone()]),
        Err(error) => {
            let why = ("reason", error.desc().to_owned());
            Finding::new("disk", Bad, "console.doctor-folder-failed", [at.clone(), why])
        }
    });
    if let Ok(disk) = statvfs(there) {
        let free = disk.blocks_available().saturating_mul(disk.fragment_size()) / MIB;
        findings.push(room(at, free));
    }
    findings
}

pub(super) fn room(at: (&'static str, String), free: u64) -> Finding {
    let (grade, key) = match free {
        0..100 => (Bad, "console.doctor-disk-full"),
        100..1024 => (Warning, "console.doctor-disk-short"),
        _ => (Good, "console.doctor-disk"),
    };
    Finding::new("disk", grade, key, [at, ("free", free.to_string())])
}

/// The certificate fits its key, its name and the day.
pub(super) fn certificate(config: &Config, now: Millis) -> Option<Finding> {
    let (Some(path), Some(key)) = (&config.https.certificate, &config.https.key) else { return None };
    let checked = Certificate::load(path, key).and_then(|certificate| {
        let facts = certificate.facts();
        facts.check(path, config.https.name.as_deref(), now).map(|()| facts)
    });
    let file = ("file", path.display().to_string());
    Some(match checked {
        Ok(facts) => {
            let days = facts.not_after.saturating_sub(now) / DAY;
            let (grade, key) = if days < 14 {
                (Warning, "console.doctor-certificate-soon")
            } else {
                (Good, "console.doctor-certificate")
            };
            let values = [file, ("days", days.to_string()), ("names", facts.names.join(", "))];
            Finding::new("certificate", grade, key, values)
        }
        Err(error) => {
            let key = match &error {
                TlsError::Unreadable(..) => "console.doctor-certificate-unreadable",
                TlsError::NoCertificate(..) => "console.doctor-certificate-none",
                TlsError::NoKey(..) | TlsError::Setup(_) => "console.doctor-certificate-no-key",
                TlsError::Mismatch(..) => "console.doctor-certificate-mismatch",
                TlsError::Expired(_) => "console.doctor-certificate-expired",
                TlsError::NotYet(_) => "console.doctor-certificate-not-yet",
                TlsError::WrongName(..) => "console.doctor-certificate-name",
            };
            let name = ("name", config.https.name.clone().unwrap_or_default());
            Finding::new("certificate", Bad, key, [file, name, ("reason", error.to_string())])
        }
    })
}

/// The kernel lets the media socket have a receive buffer that bridges a pause.
pub(super) fn buffer() -> Option<Finding> {
    let most: u64 = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()?;
    let (grade, key) =
        if most < BUFFER { (Warning, "console.doctor-buffer-small") } else { (Good, "console.doctor-buffer") };
    Some(Finding::new("buffer", grade, key, [("bytes", most.to_string()), ("wanted", BUFFER.to_string())]))
}

/// A backup was made in the last days, unless the box is so new that it keeps nothing (R-DATA-5); and none is dated ahead,
/// as by a clock that was once wrong.
pub(super) fn backup(config: &Config, now: Millis) -> Vec<Finding> {
    /// The timer makes one a day; a weekend and a holiday may pass.
    const DAYS: Millis = 5;
    let folder = config.backup_folder();
    let at = ("folder", folder.display().to_string());
    if !matches!(kept::check(&config.store.path), Ok(Some(_))) {
        return Vec::new();
    }
    let Held { newest, ahead } = match kept::backup::held(&folder, now) {
        Ok(held) => held,
        Err(error) => {
            let values = [at, ("reason", error.to_string())];
            return vec![Finding::new("backup", Warning, "console.doctor-backup-failed", values)];
        }
    };
    let mut findings = vec![match newest {
        Some(made) => {
            let days = now.saturating_sub(made) / DAY;
            let key = if days > DAYS { "console.doctor-backup-old" } else { "console.doctor-backup" };
            let grade = if days > DAYS { Warning } else { Good };
            Finding::new("backup", grade, key, [at.clone(), ("days", days.to_string())])
        }
        None if ahead > 0 => Finding::new("backup", Warning, "console.doctor-backup-none-now", [at.clone()]),
        None => Finding::new("backup", Warning, "console.doctor-backup-none", [at.clone()]),
    }];
    if ahead > 0 {
        let values = [at, ("count", ahead.to_string())];
        findings.push(Finding::new("backup", Warning, "console.doctor-backup-ahead", values));
    }
    findings
}

/// Whether a damaged database was set aside and nobody has said that this is known.
pub(super) fn set_aside(config: &Config) -> Option<Finding> {
    let told = kept::aside::told(&config.store.path)?;
    let (files, backups) = (told.files.join(", "), config.backup_folder().display().to_string());
    let values = [("day", calendar::local_time(told.at)), ("backups", backups), ("files", files)];
    Some(Finding::new("store", Bad, "console.doctor-store-aside", values))
}

/// The school's document and lists are what counts, and not older ones in their place.
pub(super) fn rules(config: &Config) -> Vec<Finding> {
    let folder = config.store.path.join("policy");
    let file = ("file", folder.join("document.json").display().to_string());
    let (Ok(InUse { document, unused }), Ok(key)) = (in_use(&folder, None), Key::random()) else { return Vec::new() };
    let known = |category: &str| document.categories.contains_key(category);
    let rules = ("revision", document.revision.clone());
    let mut findings = vec![match unused {
        None => Finding::new("rules", Good, "console.doctor-rules", [rules]),
        Some(UnusedDocument { reason, instead: Instead::LastGood }) => {
            Finding::new("rules", Warning, "console.doctor-rules-last-good", [file, rules, ("reason", reason)])
        }
        Some(UnusedDocument { reason, instead: Instead::Standard }) => {
            Finding::new("rules", Bad, "console.doctor-rules-standard", [file, ("reason", reason)])
        }
    }];
    let lists = Lists::load(key, &folder.join("lists"), &folder.join("good"), &Lists::none(key));
    for PolicyList { file, names, fault, last_good } in lists.told(known) {
        let file = ("file", folder.join("lists").join(file).display().to_string());
        let count = ("names", names.to_string());
        let Some(fault) = fault else {
            findings.push(Finding::new("list", Good, "console.doctor-list", [file, count]));
            continue;
        };
        let key = match fault {
            ListFault::NoCategory => "console.doctor-list-no-category",
            ListFault::NoForm => "console.doctor-list-no-form",
            _ if last_good => "console.doctor-list-last-good",
            _ => "console.doctor-list-spoilt",
        };
        findings.push(Finding::new("list", Warning, key, [file, count]));
    }
    findings
}

/// The database can be read and is whole.
pub(super) fn store(config: &Config) -> Finding {
    let at = ("folder", config.store.path.display().to_string());
    match kept::check(&config.store.path) {
        Ok(None) => Finding::new("store", Good, "console.doctor-store-new", [at]),
        Ok(Some(size)) => {
            Finding::new("store", Good, "console.doctor-store", [at, ("kib", size.div_ceil(1024).to_string())])
        }
        Err(error) => {
            let key = match &error {
                StoreError::Damaged(_) => "console.doctor-store-damaged",
                StoreError::Newer(..) => "console.doctor-store-newer",
                _ => "console.doctor-store-failed",
            };
            Finding::new("store", Bad, key, [at, ("reason", error.to_string())])
        }
    }
}

/// The school's key is there and is the one under which the records are (R-DATA-2).
pub(super) fn school_key(config: &Config) -> Option<Finding> {
    let folder = &config.store.path;
    // What else is wrong with the store is told by its own check.
    let noted = kept::noted_key(folder).ok()??;
    let at = ("folder", folder.display().to_string());
    let key = match SchoolKey::standing(folder, noted) {
        Ok(Standing::Gone) => "console.doctor-key-gone",
        Ok(Standing::Other) => "console.doctor-key-other",
        Ok(Standing::Good | Standing::First | Standing::Make) => {
            return Some(Finding::new("school-key", Good, "console.doctor-key", [at]));
        }
        Err(error) => {
            let why = ("reason", error.to_string());
            return Some(Finding::new("school-key", Bad, "console.doctor-key-failed", [at, why]));
        }
    };
    // The box goes on; only what goes upstream stands still.
    Some(Finding::new("school-key", Warning, key, [at]))
}
