//! Signing orders, and which orders a device is to have.

use std::{fmt, path::Path};

use appliance_core::agent::Orders;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use classroom_protocol::{Millis, agent::Signed};
use sha2::{Digest as _, Sha256};

use crate::{
    keyfile::{self, KeyError},
    store::{GivenOrders, Hash},
};

/// Name of the key's seed in the data folder.
const FILE: &str = "orders.key";

/// The key that signs the orders of all devices of this box.
pub struct OrdersKey(Ed25519KeyPair);

impl OrdersKey {
    /// Reads `orders.key` in `folder`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        let seed = keyfile::load_or_create(folder, FILE)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        pair.map(Self).map_err(|_| KeyError::Damaged(folder.join(FILE)))
    }

    /// The public half, base64.
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key().as_ref())
    }

    /// Signs a text.
    pub fn sign(&self, text: String) -> Signed {
        let signature = STANDARD.encode(self.0.sign(text.as_bytes()).as_ref());
        Signed { text, signature }
    }
}

impl fmt::Debug for OrdersKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrdersKey(…)")
    }
}

/// The highest version that a device is believed to have had: far above any time, far below the largest number.
const BELIEVED: u64 = 1 << 52;

/// Gives orders their version: the one that the device was `given` when they say the same, else a newer one. It is never
/// below the time and always above `had`, the version that the device says it has, 0 for none: also a box that was restored
/// from an old backup, or whose clock was once ahead, is heard.
///
/// # Errors
/// When they have no JSON form, which no orders can have.
pub fn write(
    orders: Orders,
    given: &GivenOrders,
    had: u64,
    now: Millis,
) -> Result<(String, GivenOrders), serde_json::Error> {
    let content = serde_json::to_string(&Orders { version: 0, issued_at: 0, ..orders.clone() })?;
    let hash: Hash = Sha256::digest(content.as_bytes()).into();
    let had = had.min(BELIEVED);
    let given = if hash == given.hash && given.version > 0 && given.version >= had {
        given.clone()
    } else {
        GivenOrders { version: (given.version.max(had) + 1).max(now), at: now, hash }
    };
    let text = serde_json::to_string(&Orders { version: given.version, issued_at: given.at, ..orders })?;
    Ok((text, given))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::policy::{DeviceState, Document};
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_same_orders_keep_their_version_and_others_get_a_newer_one() {
        let orders = Orders {
            schema: 1,
            version: 0,
            issued_at: 0,
            device: "K7Q".into(),
            state: DeviceState::Lent,
            consent: None,
            guardian: vec![],
            exceptions: vec![],
            end_programs: false,
            home_addresses: vec![],
            own_names: vec![],
            document: Document::standard().unwrap(),
        };
        let (first, given) = write(orders.clone(), &GivenOrders::default(), 0, 1000).unwrap();
        let (second, same) = write(orders.clone(), &given, given.version, 2000).unwrap();
        assert_eq!((first, given.clone()), (second, same));
        let (_, newer) = write(Orders { end_programs: true, ..orders.clone() }, &given, 1000, 500).unwrap();
        assert_eq!(newer.version, given.version + 1, "also when the clock was set back");

        // Restored: what was given is forgotten, or is older than what the device has.
        let forgotten = GivenOrders { hash: [0; 32], ..given.clone() };
        assert_eq!(write(orders.clone(), &forgotten, 0, 3000).unwrap().1.version, 3000);
        let (_, above) = write(orders.clone(), &given, 9000, 3000).unwrap();
        assert_eq!(above.version, 9001, "it was given by a clock that was ahead");
        assert_eq!(write(orders.clone(), &above, 9001, 4000).unwrap().1, above);
        // A device that claims anything is no trouble to the box.
        let (_, most) = write(orders.clone(), &given, u64::MAX, 3000).unwrap();
        assert_eq!(most.version, BELIEVED + 1);
        assert_eq!(write(orders, &most, u64::MAX, 3000).unwrap().1, most);
    }

    #[test]
    fn what_was_signed_is_known_by_the_public_half() {
        let folder = tempfile::tempdir().unwrap();
        let key = OrdersKey::load_or_create(folder.path()).unwrap();
        let signed = key.sign("orders".into());
        let public = STANDARD.decode(OrdersKey::load_or_create(folder.path()).unwrap().public()).unwrap();
        let signature = STANDARD.decode(&signed.signature).unwrap();
        assert!(UnparsedPublicKey::new(&ED25519, &public).verify(b"orders", &signature).is_ok());
        assert!(UnparsedPublicKey::new(&ED25519, &public).verify(b"order", &signature).is_err());
    }
}
