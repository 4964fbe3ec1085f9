//! Looks whether the line to the world outside is there, by the hosts that the configuration names and no others.

use std::time::Duration;

use appliance_core::{room::Input, uplink::Uplink};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::room::RoomHandle;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// A host that takes longer to accept a connection is as good as gone.
const ACCEPTS: Duration = Duration::from_secs(2);

/// Tells the room when the line is cut and when it is back. Runs until it is aborted.
pub(crate) async fn watch(probes: Vec<String>, room: RoomHandle) {
    let mut uplink = Uplink::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Some(down) = uplink.tried(reached(&probes).await) else { continue };
        if down {
            tracing::warn!(?probes, "the line outside is cut: none of the named hosts accepts a connection");
        } else {
            tracing::info!("the line outside is back");
        }
        // The room refuses nothing of this kind but its own end.
        if room.apply(Input::Uplink { down }).await.is_err() {
            return;
        }
    }
}

/// Whether one of the hosts accepts a connection.
async fn reached(probes: &[String]) -> bool {
    for probe in probes {
        if matches!(timeout(ACCEPTS, TcpStream::connect(probe)).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}
