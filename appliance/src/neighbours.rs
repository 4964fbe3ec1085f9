//! Which network card is at which address, as the kernel knows it (rtnetlink, IPv4 and IPv6).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use appliance_core::register::Mac;
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::TimeVal,
    },
};
use tokio::sync::watch;

/// The kernel tells of changes; a full look is taken this often all the same, and after a flood of changes.
const LOOK: Duration = Duration::from_secs(5);
/// How long the thread waits for the kernel before it looks whether anyone still listens to it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Neighbours that are remembered: a classroom's network has some hundred addresses. Further ones are not known.
const MOST: usize = 4096;

const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The neighbours of the box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Cards by address.
    pub cards: BTreeMap<IpAddr, Mac>,
    /// Addresses that lead out of the network.
    pub routers: BTreeSet<IpAddr>,
}

/// The neighbours as they are and as they become. The thread ends within a second after the last receiver is gone. It
/// sees the network namespace of the thread that calls this.
///
/// # Errors
/// When no thread can be had. A kernel that does not tell is told in the log, and nobody is known by a card then.
pub fn watch() -> io::Result<watch::Receiver<Neighbours>> {
    let (sender, receiver) = watch::channel(Neighbours::default());
    let news = open(0x4);
    let asked = open(0);
    thread::Builder::new().name("neighbours".into()).spawn(move || match (news, asked) {
        (Ok(news), Ok(asked)) => keep_watching(&news, &asked, &sender),
        (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the kernel does not tell the cards of addresses"),
    })?;
    Ok(receiver)
}

/// A netlink socket that is told of these groups; `0x4` are neighbours (rtnetlink(7)).
fn open(groups: u32) -> nix::Result<OwnedFd> {
    let news = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::NetlinkRoute))?;
    bind(news.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    setsockopt(&news, ReceiveTimeout, &TimeVal::new(i64::try_from(PATIENCE.as_secs()).unwrap_or(1), 0))?;
    Ok(news)
}

fn keep_watching(news: &OwnedFd, asked: &OwnedFd, sender: &watch::Sender<Neighbours>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut looked: Option<Instant> = None;
    let mut complained = false;
    while !sender.is_closed() {
        // What is told does not matter, only that something is: a full look finds all of it.
        let told = looked.is_some()
            && matches!(recv(news.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(_) | Err(Errno::ENOBUFS));
        if !told && looked.is_some_and(|at| at.elapsed() < LOOK) {
            continue;
        }
        looked = Some(Instant::now());
        match look(asked, &mut buffer) {
            Ok(mut now) => {
                now.routers.extend(default_router());
                sender.send_if_modified(|known| {
                    let changed = *known != now;
                    if changed {
                        *known = now;
                    }
                    changed
                });
            }
            Err(error) if !complained => {
                complained = true;
                tracing::warn!(%error, "the cards of addresses can't be read");
            }
            Err(_) => {}
        }
    }
}

/// The whole table of neighbours.
fn look(asked: &OwnedFd, buffer: &mut [u8]) -> nix::Result<Neighbours> {
    // nlmsghdr: length, type, REQUEST | DUMP, sequence, port; ndmsg: all zero is every family.
    let mut request = [0u8; 28];
    request[0..4].copy_from_slice(&28u32.to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETNEIGH.to_ne_bytes());
    request[6..8].copy_from_slice(&0x301u16.to_ne_bytes());
    send(asked.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut found = Neighbours::default();
    loop {
        let length = recv(asked.as_raw_fd(), buffer, MsgFlags::empty())?;
        for (kind, body) in messages(&buffer[..length]) {
            match kind {
                RTM_NEWNEIGH => {
                    if let Some((address, mac, router)) = neighbour(body).filter(|_| found.cards.len() < MOST) {
                        found.cards.insert(address, mac);
                        found.routers.extend(router.then_some(address));
                    }
                }
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return Err(Errno::EIO),
                _ => {}
            }
        }
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The messages of one datagram: type and body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(field(bytes, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(field(bytes, 4)?);
        let body = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Address, card, and whether it says of itself that it is a router, of an RTM_NEWNEIGH; `None` when it has no card or
/// the kernel is not sure of it.
fn neighbour(body: &[u8]) -> Option<(IpAddr, Mac, bool)> {
    const INCOMPLETE: u16 = 0x01;
    const FAILED: u16 = 0x20;
    const NOARP: u16 = 0x40;
    const NTF_ROUTER: u8 = 0x80;
    let state = u16::from_ne_bytes(field(body, 8)?);
    if state == 0 || state & (INCOMPLETE | FAILED | NOARP) != 0 {
        return None;
    }
    let router = *body.get(10)? & NTF_ROUTER != 0;
    let (mut address, mut mac) = (None, None);
    let mut attributes = body.get(12..)?;
    while let (Some(length), Some(kind)) = (field(attributes, 0), field(attributes, 2)) {
        let length = usize::from(u16::from_ne_bytes(length));
        let Some(value) = attributes.get(4..length) else { break };
        match (u16::from_ne_bytes(kind), value.len()) {
            (1, 4) => address = field::<4>(value, 0).map(|ip| IpAddr::V4(Ipv4Addr::from(ip))),
            (1, 16) => address = field::<16>(value, 0).map(|ip| IpAddr::V6(Ipv6Addr::from(ip))),
            (2, 6) => mac = field::<6>(value, 0).and_then(Mac::new),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((address?, mac?, router))
}

/// The IPv4 router of the default route.
fn default_router() -> Option<IpAddr> {
    let routes = std::fs::read_to_string("/proc/thread-self/net/route").ok()?;
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, by) = (fields.next()?, fields.next()?);
        let by = u32::from_str_radix(by, 16).ok().filter(|by| *by != 0)?;
        (to == "00000000").then(|| IpAddr::V4(Ipv4Addr::from(by.to_ne_bytes())))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// In a network namespace of this thread; only root may make one.
    #[test]
    fn cards_of_both_families_are_told_without_delay() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("this test needs root: run `make test`");
        let ip = |arguments: &str| {
            let status = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is installed");
            assert!(status.success(), "ip {arguments}");
        };
        ip("link add eth0 type veth peer name far");
        ip("link set eth0 up");
        ip("link set far up");
        ip("address add 192.0.2.1/24 dev eth0");
        ip("route add default via 192.0.2.254");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut known = watch().unwrap();
        for address in ["192.0.2.7", "fe80::7"] {
            ip(&format!("neigh add {address} lladdr ac:de:48:00:11:22 dev eth0"));
            let (address, mac): (IpAddr, Mac) = (address.parse().unwrap(), "ac:de:48:00:11:22".parse().unwrap());
            let told = runtime.block_on(async {
                let told = known.wait_for(|now| now.cards.get(&address) == Some(&mac));
                tokio::time::timeout(LOOK / 2, told).await.expect("without delay").map(|now| now.clone())
            });
            assert!(told.unwrap().routers.contains(&"192.0.2.254".parse::<IpAddr>().unwrap()));
        }
        ip("neigh del 192.0.2.7 dev eth0");
        let gone = runtime.block_on(async {
            let gone = known.wait_for(|now| !now.cards.contains_key(&"192.0.2.7".parse::<IpAddr>().unwrap()));
            tokio::time::timeout(LOOK * 2, gone).await.expect("told").map(|_| ())
        });
        gone.unwrap();
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for (_, body) in messages(&bytes) {
                let _ = neighbour(body);
            }
            let _ = neighbour(&bytes);
        }
    }
}
