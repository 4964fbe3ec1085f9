//! The wiring of the second process, `appliance resolver`: sockets, signals, the watchdog. Deciding is the core's,
//! answering is `dns`'s.

use std::net::UdpSocket;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Config, Listen},
    dns::{Resolver, Settings},
    systemd,
};

/// Runs the resolver until a signal asks it to stop.
///
/// # Errors
/// What keeps it from starting: a port in use.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut sockets = systemd::Sockets::from_environment();
    let (mut udp, mut tcp) = (vec![], vec![]);
    for listen in &config.resolver.listen {
        udp.push(match listen {
            Listen::Address(address) => {
                UdpSocket::bind(address).with_context(|| format!("[resolver] listen: UDP {address}"))?
            }
            Listen::Systemd(name) => sockets.udp(name)?,
        });
        tcp.push(sockets.listen(listen)?);
    }
    let resolver = Resolver::start(Settings {
        folder: config.store.path.join("policy"),
        upstream: config.resolver.upstream.clone(),
        udp,
        tcp,
    })?;
    let watchdog = systemd::watchdog_interval()
        .map(|interval| tokio::spawn(systemd::watchdog(interval, || std::future::ready(true))));
    systemd::ready("answering");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    systemd::stopping();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    resolver.stop().await;
    Ok(())
}
