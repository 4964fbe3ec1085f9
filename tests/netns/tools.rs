//! The bad networks themselves: a test that stands on a loss which is none proves nothing.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::Result;
use harness::{
    link::{Link, Shape},
    netns::{Lan, Ns, cable},
};

const PORT: u16 = 4000;
const A: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);

fn socket(ns: &Ns, port: u16) -> UdpSocket {
    let socket = ns.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// Sends `count` packets and says how many arrive.
fn arriving(from: &UdpSocket, to: &UdpSocket, address: Ipv4Addr, count: usize) -> usize {
    let mut buffer = [0; 64];
    let mut arrived = 0;
    for _ in 0..count / 50 {
        for _ in 0..50 {
            // Refused while the network is cut.
            let _ = from.send_to(b"x", SocketAddr::from((address, PORT)));
        }
        while arrived < count && to.recv_from(&mut buffer).is_ok() {
            arrived += 1;
            if arrived % 50 == 0 {
                break;
            }
        }
    }
    arrived
}

#[test]
fn a_link_delays_loses_and_is_cut() -> Result<()> {
    let (a, b) = (Ns::new("a")?, Ns::new("b")?);
    let link = Link::between(&a, A, &b, B, Shape::delay(Duration::from_millis(40)))?;
    let (from, to) = (socket(&a, 0), socket(&b, PORT));

    let sent = Instant::now();
    assert_eq!(arriving(&from, &to, B, 50), 50);
    let took = sent.elapsed();
    assert!((40..140).contains(&took.as_millis()), "40 ms of delay took {took:?}");

    link.set(Shape::cut(), Shape::default());
    std::thread::yield_now();
    assert!(arriving(&from, &to, B, 100) <= 50, "at most what was sent before the cut took hold");
    assert_eq!(arriving(&from, &to, B, 50), 0, "nothing arrives over a cut link");

    link.set(Shape::default(), Shape::default());
    harness::wait::wait_for_blocking("the link to be back", Duration::from_secs(2), || {
        (arriving(&from, &to, B, 50) == 50).then_some(()).ok_or("packets are missing")
    })
}

#[test]
fn nftables_lose_a_share_and_silence_all() -> Result<()> {
    let (a, b) = (Ns::new("a")?, Ns::new("b")?);
    cable(&a, "eth0", A, &b, "eth0", B)?;
    let (from, to) = (socket(&a, 0), socket(&b, PORT));
    assert_eq!(arriving(&from, &to, B, 500), 500);
    b.lose_arriving(20)?;
    let arrived = lossy(&from, &to, 2000);
    assert!((1450..1750).contains(&arrived), "{arrived} of 2000 at 20 % loss");
    b.lose_arriving(0)?;
    b.silence()?;
    assert_eq!(arriving(&from, &to, B, 50), 0);
    b.unsilence()?;
    assert_eq!(arriving(&from, &to, B, 50), 50);
    Ok(())
}

/// [`arriving`] where packets are missing: everything is sent before it is counted.
fn lossy(from: &UdpSocket, to: &UdpSocket, count: usize) -> usize {
    let mut buffer = [0; 64];
    to.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    (0..count / 100)
        .map(|_| {
            (0..100).for_each(|_| drop(from.send_to(b"x", SocketAddr::from((B, PORT)))));
            std::iter::from_fn(|| to.recv_from(&mut buffer).ok()).count()
        })
        .sum()
}

#[test]
fn a_machine_on_the_lan_is_unplugged_and_gets_another_address() -> Result<()> {
    let lan = Lan::new()?;
    let (a, b) = (lan.machine("a", 1)?, lan.machine("b", 2)?);
    let (from, to) = (socket(&a, 0), socket(&b, PORT));
    let reaches = |host: u8| {
        harness::wait::wait_for_blocking("a way to b", Duration::from_secs(3), || {
            (arriving(&from, &to, Lan::address(host), 50) == 50).then_some(()).ok_or("packets are missing")
        })
    };
    reaches(2)?;
    lan.unplug(&b)?;
    assert_eq!(arriving(&from, &to, Lan::address(2), 50), 0);
    lan.plug(&b)?;
    reaches(2)?;
    b.readdress("eth0", Lan::address(3))?;
    reaches(3)
}

#[test]
fn a_home_router_hides_the_address_behind_it() -> Result<()> {
    let (inside, router, outside) = (Ns::new("in")?, Ns::new("router")?, Ns::new("out")?);
    cable(&inside, "eth0", Ipv4Addr::new(192, 168, 1, 2), &router, "lan", Ipv4Addr::new(192, 168, 1, 1))?;
    cable(&router, "wan", A, &outside, "eth0", B)?;
    inside.ip("route add default via 192.168.1.1")?;
    router.translate("wan")?;
    let (from, to) = (socket(&inside, 0), socket(&outside, PORT));
    from.send_to(b"x", SocketAddr::from((B, PORT)))?;
    let (_, seen) = to.recv_from(&mut [0; 8])?;
    assert_eq!(seen.ip(), A);
    Ok(())
}
