//! Ports for what the tests start.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Result, bail};

/// Below the range from which the kernel gives ports to outgoing connections: one of those could take a port between the
/// look and its use.
const FIRST: u16 = 12_000;
const MANY: u16 = 18_000;

/// A port that is free for UDP and TCP and that this process has not given out before.
///
/// # Errors
/// When none is free.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run beside each other begin at different places.
    let start = u16::try_from(std::process::id() * 101 % u32::from(MANY))?;
    for _ in 0..500 {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % MANY;
        let (udp, tcp) =
            (UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)), TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
        if udp.is_ok() && tcp.is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for UDP and TCP")
}
