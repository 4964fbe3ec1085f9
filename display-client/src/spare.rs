//! One session made ahead of time. Making one takes webrtcbin some 200 ms, most of it for its certificate: with a
//! spare in hand the tap on a name pays only for the round trip.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::{
    rig::{Making, Rig},
    slot::lock,
};

/// Makes sessions and keeps one in reserve. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Spares {
    making: Arc<Making>,
    shelf: Arc<Mutex<Option<Spare>>>,
}

/// A session, and the machine's addresses when it was made: it offers those.
type Spare = (Vec<IpAddr>, Rig);

impl Spares {
    pub(crate) fn new(making: Making) -> Self {
        Self { making: Arc::new(making), shelf: Arc::default() }
    }

    /// A session with its offer, at once if there is a spare.
    pub(crate) async fn take(&self) -> Result<Rig> {
        let spares = self.clone();
        spawn_blocking(move || {
            let spare = lock(&spares.shelf).take();
            match spare {
                Some((addresses, rig)) if addresses == machine() => Ok(rig),
                _ => Rig::prepare(&spares.making),
            }
        })
        .await?
    }

    /// Whether there is a spare.
    pub(crate) fn stocked(&self) -> bool {
        lock(&self.shelf).is_some()
    }

    /// Makes a spare if there is none.
    pub(crate) async fn stock(&self) -> Result<()> {
        let spares = self.clone();
        spawn_blocking(move || {
            if lock(&spares.shelf).is_some() {
                return Ok(());
            }
            let spare = (machine(), Rig::prepare(&spares.making)?);
            // Two may have been made at once: the older one goes.
            let other = lock(&spares.shelf).replace(spare);
            drop(other);
            Ok(())
        })
        .await?
    }
}

/// The machine's addresses now.
fn machine() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> =
        if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.ip()).collect();
    all.sort();
    all
}
