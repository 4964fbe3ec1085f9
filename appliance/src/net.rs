//! The box's addresses: which ones tablets can use, and when they change (DHCP gives another one, a cable is pulled).

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use if_addrs::{IfAddr, IfOperStatus, Interface};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
            sockopt::ReceiveTimeout,
        },
        time::TimeVal,
    },
};
use tokio::sync::watch;

/// How long the watching thread waits for the kernel before it looks whether anyone still listens to it, and how often
/// it looks itself where the kernel does not tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether an address of this interface is of use to tablets of the room: up, not the loopback, not of a container or
/// virtual machine bridge, no link-local IPv6 (which needs a zone that a URL or ICE candidate can't name).
pub fn usable(interface: &Interface) -> bool {
    // From IFF_RUNNING: a card without a cable is not.
    let up = interface.oper_status == IfOperStatus::Up;
    let reachable = match interface.ip() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && !is_link_local(ip),
    };
    up && reachable && !is_bridge_of_guests(&interface.name)
}

/// `docker0`, `br-0123456789ab` and their like.
fn is_bridge_of_guests(name: &str) -> bool {
    let docker_network =
        name.strip_prefix("br-").is_some_and(|rest| rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let begins = ["docker", "virbr", "podman", "cni", "flannel", "lxcbr", "lxdbr", "vboxnet", "vmnet"];
    docker_network || begins.iter().any(|begin| name.starts_with(begin))
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// The usable addresses, those that people are best told first: IPv4 of private networks, other IPv4, IPv6, and last
/// IPv4 that the machine gave itself because no one else did.
///
/// # Errors
/// When the kernel does not tell.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    Ok(sorted(if_addrs::get_if_addrs()?.iter().filter(|interface| usable(interface))))
}

fn sorted<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> Vec<IpAddr> {
    let rank = |interface: &Interface| match &interface.addr {
        IfAddr::V4(v4) if v4.ip.is_link_local() => 3u8,
        IfAddr::V4(v4) if v4.ip.is_private() => 0,
        IfAddr::V4(_) => 1,
        IfAddr::V6(_) => 2,
    };
    let mut found: Vec<_> = interfaces.map(|i| (rank(i), i.index, i.ip())).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, _, ip)| ip).collect()
}

/// The addresses that tablets reach the box at: `fixed` for ever if the configuration names some, else the usable ones
/// now and whenever they change. A thread of its own listens to the kernel (rtnetlink) and ends within two seconds after
/// the last receiver is gone. It sees the network namespace of the thread that calls this.
///
/// # Errors
/// When the kernel does not tell the addresses even now.
pub fn watch(fixed: Vec<IpAddr>) -> io::Result<watch::Receiver<Vec<IpAddr>>> {
    if !fixed.is_empty() {
        return Ok(watch::channel(fixed).1);
    }
    // Subscribed before the first look, so that no change falls between the two.
    let news = subscribe();
    let (sender, receiver) = watch::channel(addresses()?);
    thread::Builder::new().name("addresses".into()).spawn(move || keep_watching(news, &sender))?;
    Ok(receiver)
}

/// A socket on which the kernel tells of every change of a card, an IPv4 or an IPv6 address (rtnetlink(7)).
fn subscribe() -> nix::Result<OwnedFd> {
    const LINK: u32 = 0x1;
    const IPV4_ADDRESS: u32 = 0x10;
    const IPV6_ADDRESS: u32 = 0x100;
    let news = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::NetlinkRoute))?;
    bind(news.as_raw_fd(), &NetlinkAddr::new(0, LINK | IPV4_ADDRESS | IPV6_ADDRESS))?;
    let patience = TimeVal::new(i64::try_from(PATIENCE.as_secs()).unwrap_or(1), 0);
    setsockopt(&news, ReceiveTimeout, &patience)?;
    Ok(news)
}

fn keep_watching(news: nix::Result<OwnedFd>, sender: &watch::Sender<Vec<IpAddr>>) {
    let mut news = news
        .inspect_err(|error| tracing::warn!(%error, "the kernel does not tell of address changes: looking every 2 s"))
        .ok();
    // What is told does not matter, only that something is: the look below finds all of it.
    let mut buffer = [0; 8192];
    while !sender.is_closed() {
        match news.as_ref().map(|news| recv(news.as_raw_fd(), &mut buffer, MsgFlags::empty())) {
            // A flood of changes overruns the socket's buffer (ENOBUFS).
            Some(Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS)) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the kernel no longer tells of address changes: looking every 2 s");
                news = None;
            }
            None => thread::sleep(PATIENCE),
        }
        match addresses() {
            Ok(now) => {
                sender.send_if_modified(|known| {
                    let changed = *known != now;
                    if changed {
                        *known = now;
                    }
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "the box's addresses can't be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::{
        net::{IpAddr, Ipv4Addr},
        process::Command,
    };

    use if_addrs::{Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, index: u32, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr { ip, netmask: Ipv4Addr::BROADCAST, prefixlen: 24, broadcast: None }),
            IpAddr::V6(ip) => {
                IfAddr::V6(Ifv6Addr { ip, netmask: Ipv6Addr::UNSPECIFIED, prefixlen: 64, broadcast: None })
            }
        };
        Interface { name: name.into(), addr, index: Some(index), oper_status: IfOperStatus::Up, is_p2p: false }
    }

    #[test]
    fn tablets_are_told_what_they_can_reach() {
        let all = [
            interface("lo", 1, "127.0.0.1"),
            interface("lo", 1, "::1"),
            interface("docker0", 4, "172.17.0.1"),
            interface("br-0a1b2c3d4e5f", 5, "172.18.0.1"),
            interface("br-lan", 6, "10.0.0.7"),
            interface("eth0", 2, "fe80::1"),
            interface("eth0", 2, "2001:db8::7"),
            interface("eth0", 2, "192.168.1.7"),
            interface("eth1", 3, "203.0.113.9"),
            interface("wlan0", 7, "169.254.3.4"),
        ];
        let told = sorted(all.iter().filter(|interface| usable(interface)));
        let told: Vec<_> = told.into_iter().map(|ip| ip.to_string()).collect();
        assert_eq!(told, ["192.168.1.7", "10.0.0.7", "203.0.113.9", "2001:db8::7", "169.254.3.4"]);
        let down = Interface { oper_status: IfOperStatus::Down, ..interface("eth0", 2, "192.168.1.7") };
        assert!(!usable(&down));
    }

    /// In a network namespace of this thread; only root may make one.
    #[test]
    fn a_new_address_is_told_without_delay() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("this test needs root: run `make test`");
        let ip = |arguments: &str| {
            let status = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is installed");
            assert!(status.success(), "ip {arguments}");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut known = watch(Vec::new()).unwrap();
        assert!(known.borrow_and_update().is_empty());
        ip("link add eth0 type veth peer name far");
        ip("link set eth0 up");
        ip("link set far up");
        for address in ["192.0.2.1", "192.0.2.2"] {
            ip(&format!("address add {address}/24 dev eth0"));
            let told = runtime.block_on(async {
                let told = known.wait_for(|now| now.contains(&address.parse().unwrap()));
                tokio::time::timeout(PATIENCE / 2, told).await.expect("within a second").map(|_| ())
            });
            told.unwrap();
            ip(&format!("address del {address}/24 dev eth0"));
        }
    }
}
