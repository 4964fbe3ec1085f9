//! Announces the room by mDNS as `_classroom._tcp` (RFC 6763), so that apps of tablets and panels find it unaided. Where
//! multicast does not pass (other VLAN, client isolation) the address and the code on the panel are the way.

use std::time::Duration;

use mdns_sd::{DaemonStatus, IfKind, IfPredicate, ServiceDaemon, ServiceInfo};

use crate::net;

/// The service type.
pub const SERVICE: &str = "_classroom._tcp.local.";

/// How often, in seconds, the announcer looks for new network cards itself.
const LOOK: u32 = 2;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The room's name; also the name of the instance.
    pub room: String,
    /// Version of the software.
    pub version: String,
    /// The host's own name without a domain, e.g. `classroom-1a2b3c`; letters, digits, hyphens.
    pub host: String,
    /// Port of the pages.
    pub port: u16,
    /// Address of the students' page.
    pub url: String,
    /// Port of the agents' listener, if there is one.
    pub agents: Option<u16>,
}

/// Why nothing is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryError(String);

impl std::fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the room can't be announced by mDNS: {}; the address and the code on the panel still work", self.0)
    }
}

impl std::error::Error for DiscoveryError {}

impl From<mdns_sd::Error> for DiscoveryError {
    fn from(error: mdns_sd::Error) -> Self {
        Self(error.to_string())
    }
}

/// Announces until `stop` completes, then says goodbye. Follows the machine's addresses.
///
/// # Errors
/// When there is no multicast socket or the room's name can't be announced.
pub async fn announce(announcement: Announcement, stop: impl Future<Output = ()>) -> Result<(), DiscoveryError> {
    let info = info(&announcement)?;
    let name = info.get_fullname().to_owned();
    let daemon = ServiceDaemon::new()?;
    daemon.set_ip_check_interval(LOOK)?;
    daemon.register(info)?;
    tracing::info!(%name, url = %announcement.url, "the room is announced");
    stop.await;
    say_goodbye(&daemon, &name).await;
    Ok(())
}

fn info(announcement: &Announcement) -> Result<ServiceInfo, DiscoveryError> {
    // One string of a TXT record has at most 255 bytes (RFC 6763, 6.1), an instance name at most 63 (4.1.1).
    let agents = announcement.agents.map(|port| port.to_string());
    let mut text = vec![
        ("room", cut(&announcement.room, 240)),
        ("version", cut(&announcement.version, 240)),
        ("url", cut(&announcement.url, 240)),
    ];
    text.extend(agents.iter().map(|port| ("agents", port.as_str())));
    let host = format!("{}.local.", announcement.host);
    let mut info = ServiceInfo::new(SERVICE, cut(&announcement.room, 63), &host, "", announcement.port, &text[..])?
        .enable_addr_auto();
    info.set_interfaces(vec![IfKind::Predicate(IfPredicate::new(net::usable))]);
    Ok(info)
}

/// At most `bytes` bytes, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Takes the room off the neighbours' lists at once, then ends the daemon's thread.
async fn say_goodbye(daemon: &ServiceDaemon, name: &str) {
    if let Ok(done) = daemon.unregister(name) {
        let _ = tokio::time::timeout(GOODBYE, done.recv_async()).await;
    }
    if let Ok(done) = daemon.shutdown() {
        let ended = tokio::time::timeout(GOODBYE, async {
            while done.recv_async().await.is_ok_and(|status| status != DaemonStatus::Shutdown) {}
        });
        if ended.await.is_err() {
            tracing::warn!("the announcer did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::{process::Command, thread};

    use mdns_sd::ServiceEvent;
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn ip(arguments: &str) {
        let status = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is installed");
        assert!(status.success(), "ip {arguments}");
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Two machines with a cable between them: a network namespace for this thread and one for a second thread. Only
    /// root may make them.
    #[test]
    fn a_neighbour_finds_the_room_follows_its_address_and_sees_it_go() {
        unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root: run `make test`");
        let here = format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
        // The neighbour's thread makes its own namespace, lays the cable and browses.
        let (events, heard) = std::sync::mpsc::sync_channel(100);
        let neighbour = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            ip(&format!("link add eth0 type veth peer name eth0 netns {here}"));
            ip("address add 192.168.7.2/24 dev eth0");
            ip("link set eth0 up");
            let daemon = ServiceDaemon::new().unwrap();
            let browse = daemon.browse(SERVICE).unwrap();
            events.send(None).unwrap();
            while let Ok(event) = browse.recv_timeout(Duration::from_secs(30)) {
                let gone = matches!(event, ServiceEvent::ServiceRemoved(..));
                if events.send(Some(event)).is_err() || gone {
                    break;
                }
            }
        });
        assert!(heard.recv_timeout(Duration::from_secs(10)).unwrap().is_none());
        ip("link set lo up");
        ip("link set eth0 up");
        ip("address add 192.168.7.1/24 dev eth0");

        let announcement = Announcement {
            room: "501 教室".into(),
            version: "0.1.0".into(),
            host: "classroom-1a2b3c".into(),
            port: 443,
            url: "https://room501.school.example/join".into(),
            agents: Some(8442),
        };
        let resolved = |wanted: &str| {
            let found = heard.iter().find_map(|event| match event {
                Some(ServiceEvent::ServiceResolved(found))
                    if found.get_addresses_v4().contains(&wanted.parse().unwrap()) =>
                {
                    Some(found)
                }
                _ => None,
            });
            found.expect("found")
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        thread::scope(|scope| {
            let announcer = scope.spawn(|| block_on(announce(announcement, async { drop(stopped.await) })));
            let found = resolved("192.168.7.1");
            assert_eq!(found.get_property_val_str("room"), Some("501 教室"));
            assert_eq!(found.get_property_val_str("version"), Some("0.1.0"));
            assert_eq!(found.get_property_val_str("url"), Some("https://room501.school.example/join"));
            assert_eq!((found.get_port(), found.get_hostname()), (443, "classroom-1a2b3c.local."));

            ip("address del 192.168.7.1/24 dev eth0");
            ip("address add 192.168.7.9/24 dev eth0");
            resolved("192.168.7.9");

            stop.send(()).unwrap();
            announcer.join().unwrap().unwrap();
            assert!(heard.iter().any(|event| matches!(event, Some(ServiceEvent::ServiceRemoved(..)))));
        });
        neighbour.join().unwrap();
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(cut("教室", 5), "教");
        assert_eq!(cut("abc", 63), "abc");
        let long = Announcement {
            room: "教".repeat(40),
            version: "1".into(),
            host: "x".into(),
            port: 443,
            url: "u".repeat(500),
            agents: None,
        };
        assert!(info(&long).is_ok());
    }
}
