//! The key of the box and what it signs: tokens that need no row in the store, because they end with the lesson.
//!
//! Form: `base64url(JSON of the claims) . base64url(HMAC-SHA256)`, no padding, one dot.

use std::{fmt, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use classroom_protocol::{Millis, Seat};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::token::normal;
use crate::{
    keyfile::{self, KeyError},
    store::Hash,
};

/// Longest token that is looked at. Ours have about 200 characters.
const LONGEST: usize = 512;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Picking a seat (`POST /api/join/seat`).
    Ticket,
    /// A student in the lesson.
    Student,
    /// A WHIP program that publishes for a student's seat.
    WhipKey,
    /// The personal link of a student at home; `epoch` is the link's number.
    HomeLink,
    /// A student at home; `epoch` is the session's number.
    Home,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// What it is good for.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// The lesson it belongs to (UUID).
    #[serde(rename = "l")]
    pub lesson: String,
    /// The seat, once one is taken.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
    /// How often the seat was given away before: a teacher who frees a seat makes the earlier tokens void.
    #[serde(rename = "e")]
    pub epoch: u32,
    /// The first moment at which it is no longer good.
    #[serde(rename = "x")]
    pub exp: Millis,
}

/// Why a token is no good. Callers outside are told one and the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadToken {
    /// It has not the form of a token of this box.
    Malformed,
    /// The seal does not fit: changed, or of another box.
    Forged,
    /// Its time is over.
    Expired,
}

/// The secret of the box, 32 bytes. Kept in the data folder, mode 0600.
#[derive(Clone)]
pub struct BoxKey([u8; 32]);

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxKey(…)")
    }
}

impl BoxKey {
    /// Reads `box.key` in `folder`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        keyfile::load_or_create(folder, "box.key").map(Self)
    }

    /// A key for this run only.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        keyfile::random().map(Self)
    }

    /// The token that says this.
    pub fn sign(&self, claims: &Claims) -> String {
        // Plain fields always have a JSON form; without one the token would be empty and never verify.
        let json = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = URL_SAFE_NO_PAD.encode(json);
        let seal = self.mac(b"token", token.as_bytes()).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(seal, &mut token);
        token
    }

    /// What the token says, if this box made it and its time is not over. The seal is compared in constant time.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, BadToken> {
        if token.len() > LONGEST {
            return Err(BadToken::Malformed);
        }
        let (said, seal) = token.split_once('.').ok_or(BadToken::Malformed)?;
        let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| BadToken::Malformed)?;
        self.mac(b"token", said.as_bytes()).verify_slice(&seal).map_err(|_| BadToken::Forged)?;
        let json = URL_SAFE_NO_PAD.decode(said).map_err(|_| BadToken::Malformed)?;
        let claims: Claims = serde_json::from_slice(&json).map_err(|_| BadToken::Malformed)?;
        if now < claims.exp { Ok(claims) } else { Err(BadToken::Expired) }
    }

    /// What the store keeps of a short code, however it was typed (spaces, hyphens, small letters).
    pub fn hash_code(&self, code: &str) -> Hash {
        self.mac(b"code", normal(code).as_bytes()).finalize().into_bytes().into()
    }

    /// The key of the box's own studio: it publishes the room's camera and microphone. Who can read it is the box.
    pub fn studio_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(b"studio", b"").finalize().into_bytes())
    }

    /// Whether this is the key of the box's own studio. Compared in constant time.
    pub fn is_studio_key(&self, key: &str) -> bool {
        let Ok(key) = URL_SAFE_NO_PAD.decode(key) else { return false };
        self.mac(b"studio", b"").verify_slice(&key).is_ok()
    }

    /// A short name of this box that tells nothing of the key, e.g. for its mDNS host name: 6 hex digits.
    pub fn short_name(&self) -> String {
        let bytes = self.mac(b"name", b"").finalize().into_bytes();
        bytes.iter().take(3).map(|byte| format!("{byte:02x}")).collect()
    }

    /// One use of the key never makes what another use accepts.
    fn mac(&self, usage: &[u8], data: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length; 32 bytes fill less than its block.
        let mut block = [0u8; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into());
        mac.update(b"classroom ");
        mac.update(usage);
        mac.update(b"\0");
        mac.update(data);
        mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::{fs, os::unix::fs::PermissionsExt};

    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_760_000_000_000;

    fn claims() -> Claims {
        Claims {
            kind: Kind::Student,
            lesson: "0199c2a6-7e5e-7c4a-9d0f-3a3c5d6e7f80".into(),
            seat: Some(Seat::try_from(7).unwrap()),
            epoch: 3,
            exp: NOW + 1000,
        }
    }

    fn key(byte: u8) -> BoxKey {
        BoxKey([byte; 32])
    }

    #[test]
    fn a_token_says_what_was_signed_until_its_time_is_over() {
        let token = key(1).sign(&claims());
        assert!(token.len() < LONGEST);
        assert_eq!(key(1).verify(&token, NOW), Ok(claims()));
        assert_eq!(key(1).verify(&token, NOW + 1000), Err(BadToken::Expired));
        assert_eq!(key(2).verify(&token, NOW), Err(BadToken::Forged));
        let ticket = Claims { kind: Kind::Ticket, seat: None, ..claims() };
        assert_eq!(key(1).verify(&key(1).sign(&ticket), NOW), Ok(ticket));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", ".", "..", "a.b.c", "a.b", "=.=", "é.é", &"x".repeat(100_000)] {
            assert!(key(1).verify(text, NOW).is_err());
        }
        let token = key(1).sign(&claims());
        let padded = format!("{token}=");
        assert!(key(1).verify(&padded, NOW).is_err(), "one token has one form");
    }

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("box.key");
        let made = BoxKey::load_or_create(folder.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let again = BoxKey::load_or_create(folder.path()).unwrap();
        assert_eq!(made.0, again.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{made:?}").contains(&made.0[0].to_string()));
        for content in [vec![], vec![1; 31], vec![1; 33]] {
            fs::write(&path, content).unwrap();
            assert!(matches!(BoxKey::load_or_create(folder.path()), Err(KeyError::Damaged(_))));
        }
        assert!(matches!(BoxKey::load_or_create(Path::new("/nowhere")), Err(KeyError::File(..))));
    }

    #[test]
    fn codes_hash_alike_however_they_are_typed() {
        assert_eq!(key(1).hash_code("abcde-fghjk"), key(1).hash_code(" ABCDE FGHJK"));
        assert_ne!(key(1).hash_code("123456"), key(2).hash_code("123456"));
        assert_eq!(key(1).short_name().len(), 6);
        assert!(key(1).is_studio_key(&key(1).studio_key()) && !key(1).is_studio_key(&key(2).studio_key()));
    }

    proptest! {
        #[test]
        fn never_a_panic(text in ".{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = key(1).verify(&text, NOW);
            let _ = key(1).verify(&String::from_utf8_lossy(&bytes), NOW);
            let sealed_junk = URL_SAFE_NO_PAD.encode(&bytes);
            let seal = key(1).mac(b"token", sealed_junk.as_bytes()).finalize().into_bytes();
            let token = format!("{sealed_junk}.{}", URL_SAFE_NO_PAD.encode(seal));
            prop_assert_eq!(key(1).verify(&token, NOW), Err(BadToken::Malformed));
        }

        #[test]
        fn never_a_flipped_bit(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = key(1).sign(&claims()).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(key(1).verify(&changed, NOW).is_err());
        }

        #[test]
        fn all_claims_come_back(lesson in "[0-9a-f-]{1,64}", seat in prop::option::of(1u8..=99), epoch: u32, exp in 1u64..) {
            let seat = seat.map(|seat| Seat::try_from(seat).unwrap());
            let claims = Claims { kind: Kind::WhipKey, lesson, seat, epoch, exp };
            prop_assert_eq!(key(1).verify(&key(1).sign(&claims), exp - 1), Ok(claims));
        }
    }
}
