//! Whether the hub does its work: its media thread answers and its store can be read. One check for systemd's watchdog and
//! for who looks from outside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::timeout};

use crate::{media::MediaHandle, store::Rooms};

/// A part that does not answer in this time is taken for dead. Less than a monitor waits.
const ANSWER: Duration = Duration::from_secs(2);
/// An answer is good for this long, so that who asks in a loop costs the parts nothing.
const FRESH: Duration = Duration::from_secs(1);

/// Looks at the parts. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    media: MediaHandle,
    rooms: Rooms,
    /// What was found last. Who asks while someone is looking waits for what that one finds.
    found: Mutex<Option<(Instant, bool)>>,
}

impl Health {
    /// Looks at these parts.
    pub fn new(media: MediaHandle, rooms: Rooms) -> Self {
        Self(Arc::new(Inner { media, rooms, found: Mutex::new(None) }))
    }

    /// Whether all parts answer, as of the last second. Waits for at most two seconds each time it has to look.
    pub async fn well(&self) -> bool {
        let Inner { media, rooms, found } = &*self.0;
        let mut found = found.lock().await;
        if let Some((at, well)) = *found
            && at.elapsed() < FRESH
        {
            return well;
        }
        let look = async { media.stats().await.is_ok() && rooms.load().await.is_ok() };
        let well = timeout(ANSWER, look).await.unwrap_or(false);
        *found = Some((Instant::now(), well));
        well
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{
        media::{self, MediaConfig},
        store,
    };

    #[tokio::test]
    async fn a_hub_whose_parts_are_gone_is_not_well() {
        let folder = tempfile::tempdir().unwrap();
        let start = || media::start(MediaConfig::on_loopback(folder.path())).unwrap();
        let opened = store::open(folder.path(), 0).unwrap();
        let rooms = opened.store.rooms();
        let (media, _events) = start();
        assert!(Health::new(media.clone(), rooms.clone()).well().await);
        let one = Health::new(media.clone(), rooms.clone());
        media.stop().await.unwrap();
        assert!(!one.well().await, "without the media thread");
        let (media, _events) = start();
        let other = Health::new(media, rooms.clone());
        assert!(other.well().await);
        tokio::task::spawn_blocking(move || opened.keeper.close()).await.unwrap();
        assert!(other.well().await, "the answer of this second");
        *other.0.found.lock().await = None;
        assert!(!other.well().await, "without the store");
    }
}
