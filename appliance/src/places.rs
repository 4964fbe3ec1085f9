//! The places of connections, by HTTP and by DNS: how many are in, and who is one too many.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use appliance_core::crowd::Crowd;
use tokio::time::Instant;

/// That connections are not let in, and why, is said at most this often.
const SAID_EACH: Duration = Duration::from_secs(60);

/// Counts who is in. Clones are the same doors. How many may come in, and that the newest is hung up on when they are
/// there, is said in [`appliance_core::crowd`].
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    crowd: Crowd,
    refused: u64,
    said: Said,
}

/// When something of which there may be much was said last.
#[derive(Default)]
pub(crate) struct Said(Option<Instant>);

impl Said {
    /// Whether it is time to say it again.
    pub(crate) fn again(&mut self, now: Instant) -> bool {
        let again = self.0.is_none_or(|said| now.duration_since(said) >= SAID_EACH);
        if again {
            self.0 = Some(now);
        }
        again
    }
}

impl Doors {
    /// A place under this address until it is dropped.
    ///
    /// # Errors
    /// When all places are taken.
    pub(crate) fn enter(&self, address: IpAddr) -> io::Result<Place> {
        let mut counted = self.lock();
        if counted.crowd.enter(address) {
            return Ok(Place { doors: self.clone(), address });
        }
        counted.refused += 1;
        if counted.said.again(Instant::now()) {
            let (inside, refused) = (counted.crowd.inside(), counted.refused);
            tracing::warn!(%address, inside, refused, "too many connections: some are not let in");
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    /// How many connections are in, and how many were not let in.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let counted = self.lock();
        (counted.crowd.inside(), counted.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, given back when it ends.
pub(crate) struct Place {
    doors: Doors,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.lock().crowd.leave(self.address);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::crowd::{CONNECTIONS, CONNECTIONS_EACH, CONNECTIONS_OWN};

    use super::*;

    #[test]
    fn one_address_has_its_share_and_it_is_said_once_a_minute() {
        let doors = Doors::default();
        let inside: Vec<_> = std::iter::from_fn(|| doors.enter(IpAddr::from([10, 0, 0, 7])).ok()).collect();
        assert_eq!(inside.len(), CONNECTIONS_EACH);
        let others: Vec<_> = (0..CONNECTIONS)
            .filter_map(|n| doors.enter(IpAddr::from([10, 1, (n / 250) as u8, (n % 250) as u8])).ok())
            .collect();
        assert_eq!(inside.len() + others.len(), CONNECTIONS - CONNECTIONS_OWN);
        assert!(doors.enter(IpAddr::from([127, 0, 0, 1])).is_ok(), "the box itself still comes in");
        let mut counted = doors.lock();
        let said = counted.said.0.unwrap();
        assert!(!counted.said.again(said + SAID_EACH / 2) && counted.said.again(said + SAID_EACH));
        drop(counted);
        drop((inside, others));
        assert_eq!(doors.counts().0, 0, "every place comes back");
    }

    #[test]
    fn who_is_one_too_many_is_hung_up_on_and_a_place_comes_back() {
        let doors = Doors::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut inside: Vec<_> = std::iter::from_fn(|| doors.enter(address).ok()).collect();
        assert_eq!(inside.len(), CONNECTIONS_EACH);
        assert_eq!(doors.counts(), (inside.len(), 1));
        inside.pop();
        assert!(doors.enter(address).is_ok());
        let mut counted = doors.lock();
        let said = counted.said.0.unwrap();
        assert!(!counted.said.again(said + SAID_EACH / 2), "not with every connection");
        assert!(counted.said.again(said + SAID_EACH));
    }
}
