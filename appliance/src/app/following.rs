//! What the parts are told as the world changes: sources that come and go, the box's addresses, the devices of the register.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use appliance_core::room::Input;
use tokio::{
    sync::{mpsc, watch},
    time::interval,
};

use crate::{
    config::{Config, Listen},
    media::{self, MediaEvent, MediaHandle},
    policy, presence,
    room::RoomHandle,
    web,
};

/// How often the school's outer address is asked for. Translators forget an entry after 30 silent seconds or more.
const OUTSIDE: Duration = Duration::from_secs(15);

/// Tells the room what the forwarder sees. A source is live while any of its publishers is.
pub(super) async fn follow_media(mut events: mpsc::Receiver<MediaEvent>, room: RoomHandle, owners: web::media::Owners) {
    let mut up: BTreeSet<(classroom_protocol::SourceId, media::SessionId)> = BTreeSet::new();
    while let Some(event) = events.recv().await {
        let source = match event {
            MediaEvent::SourceUp { source, session } => {
                up.insert((source.clone(), session));
                source
            }
            MediaEvent::SourceDown { source, session } => {
                up.remove(&(source.clone(), session));
                source
            }
            // Its path may come back: only what is no more is forgotten.
            MediaEvent::ViewerUp { .. } | MediaEvent::ViewerDown { .. } => continue,
            MediaEvent::Ended { session } => {
                owners.forget(session);
                continue;
            }
        };
        let live = up.iter().any(|(of, _)| *of == source);
        if let Err(code) = room.apply(Input::SourceLive { source, live }).await {
            tracing::warn!(code = code.as_str(), "the room did not take a change of a source");
        }
    }
}

/// The addresses that media clients are offered: those of the network, and loopback where pages are served to this very
/// machine, so that the demo works without any network.
pub(super) fn offered(config: &Config, learned: &[IpAddr]) -> Vec<IpAddr> {
    let here = config.http.listen.iter().filter_map(|listen| match listen {
        Listen::Address(address) => Some(address.ip()),
        Listen::Systemd(_) => None,
    });
    let mut all: Vec<IpAddr> = learned.iter().copied().chain(here).collect();
    let mut seen = BTreeSet::new();
    all.retain(|address| seen.insert(*address));
    all
}

/// Offers the box's new addresses when the network changes (a new DHCP lease, a cable plugged in late).
pub(super) async fn follow_addresses(config: Config, mut addresses: watch::Receiver<Vec<IpAddr>>, media: MediaHandle) {
    while addresses.changed().await.is_ok() {
        let now = offered(&config, &addresses.borrow_and_update());
        tracing::info!(addresses = ?now, "the box's addresses have changed");
        if media.set_addresses(now).await.is_err() {
            return;
        }
    }
}

/// Learns the school's outer address from the gateway and keeps the way there open. Names are looked up each time: the
/// gateway may have moved.
pub(super) async fn follow_outside(server: String, media: MediaHandle) {
    let mut every = interval(OUTSIDE);
    loop {
        every.tick().await;
        match tokio::net::lookup_host(&server).await.map(|mut found| found.find(SocketAddr::is_ipv4)) {
            Ok(Some(address)) => {
                if media.ask_outside(address).await.is_err() {
                    return;
                }
            }
            Ok(None) => tracing::debug!(server, "the gateway has no IPv4 address"),
            Err(error) => tracing::debug!(server, %error, "the gateway's name is not known now"),
        }
    }
}

/// Hands the register's devices to the policy's snapshot.
pub(super) async fn tell_registered(
    mut known: watch::Receiver<Arc<presence::Known>>,
    registered: watch::Sender<Arc<policy::Registered>>,
) {
    loop {
        let now = known.borrow_and_update().clone();
        let now = policy::Registered { in_use: now.whereabouts.in_use, devices: now.devices.clone() };
        registered.send_if_modified(|before| {
            let new = **before != now;
            if new {
                *before = Arc::new(now);
            }
            new
        });
        if known.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::room;

    #[tokio::test]
    async fn whose_session_it_is_is_known_while_it_lives_though_its_path_is_dead() {
        let (task, room, _effects) = room::open(appliance_core::room::Room::default());
        tokio::spawn(task.run());
        let owners = web::media::Owners::default();
        let source = classroom_protocol::SourceId::room();
        let [viewer, publisher] = [(); 2].map(|()| media::SessionId::random().unwrap());
        for session in [viewer, publisher] {
            owners.set(session, source.clone(), "display 1".into());
        }
        let (tell, events) = mpsc::channel(8);
        tell.send(MediaEvent::ViewerDown { source: source.clone(), session: viewer }).await.unwrap();
        tell.send(MediaEvent::SourceDown { source: source.clone(), session: publisher }).await.unwrap();
        drop(tell);
        follow_media(events, room.clone(), owners.clone()).await;
        for session in [viewer, publisher] {
            assert!(owners.check(session, &source, "display 1").is_ok(), "it may restart ICE and leave");
        }
        let (tell, events) = mpsc::channel(8);
        tell.send(MediaEvent::Ended { session: viewer }).await.unwrap();
        tell.send(MediaEvent::Ended { session: publisher }).await.unwrap();
        drop(tell);
        follow_media(events, room, owners.clone()).await;
        for session in [viewer, publisher] {
            assert!(owners.check(session, &source, "display 1").is_err());
        }
    }
}
