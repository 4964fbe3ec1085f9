//! Finds boxes in the room by mDNS (`_classroom._tcp`, RFC 6763). What is found is believed only after its certificate.

use std::{net::SocketAddr, time::Duration};

use mdns_sd::{ServiceDaemon, ServiceEvent};

const SERVICE: &str = "_classroom._tcp.local.";
/// How long is listened, whoever answers first: another room's box may be quicker. A box answers within a second
/// (RFC 6762, 6).
const LISTEN: Duration = Duration::from_secs(3);
/// Addresses that are tried at most.
const MOST: usize = 16;

/// Where boxes of the room listen for agents.
pub(crate) async fn boxes() -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let Ok(daemon) = ServiceDaemon::new() else { return found };
    if let Ok(events) = daemon.browse(SERVICE) {
        let until = tokio::time::Instant::now() + LISTEN;
        while let Ok(Ok(event)) = tokio::time::timeout_at(until, events.recv_async()).await {
            let ServiceEvent::ServiceResolved(service) = event else { continue };
            let Some(port) = service.get_property_val_str("agents").and_then(|port| port.parse().ok()) else {
                continue;
            };
            for address in service.get_addresses_v4() {
                let at = SocketAddr::new(address.into(), port);
                if found.len() < MOST && !found.contains(&at) {
                    found.push(at);
                }
            }
            if found.len() >= MOST {
                break;
            }
        }
    }
    // The daemon's thread and sockets end; a device at home listens for nobody.
    drop(daemon.shutdown());
    found
}
