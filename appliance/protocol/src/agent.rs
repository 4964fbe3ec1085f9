//! What the agent of a take-home device and the box say to each other, over TLS with certificates of the box's own
//! device authority. The signed orders and the reports are the core's (`appliance_core::agent`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Millis, policy::Link};

/// The name in the certificate of every box's agents' listener. Which box it is says the authority that signed it.
pub const NAME: &str = "box.classroom.internal";

/// Where an agent talks to the box.
pub mod paths {
    /// A code and a request for a certificate in, a certificate out.
    pub const ENROL: &str = "/api/agent/enrol";
    /// The device's state in, orders and lesson out.
    pub const SYNC: &str = "/api/agent/sync";
    /// Records in.
    pub const EVENTS: &str = "/api/agent/events";
    /// The device is no longer enrolled (DELETE).
    pub const SELF: &str = "/api/agent";
}

/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of the secret part: 50 bits.
const SECRET: usize = 10;
/// Bytes of the authority's fingerprint that the code carries: 80 bits, 16 characters.
pub const PRINT: usize = 10;

/// The one-time code as a person reads and types it: the secret, and which authority to trust, so that the very first
/// contact is safe from an impostor too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolCode {
    /// The part that the box knows the hash of.
    pub secret: String,
    /// The first bytes of the SHA-256 of the authority's certificate.
    pub print: [u8; PRINT],
}

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCode;

impl fmt::Display for BadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no code of a box; it has 26 letters and digits, e.g. ABCDE-FGHJK-…: type it as the box shows it")
    }
}

impl std::error::Error for BadCode {}

impl EnrolCode {
    /// Reads a code as people type it: small letters, spaces and hyphens do not matter.
    ///
    /// # Errors
    /// [`BadCode`].
    pub fn parse(text: &str) -> Result<Self, BadCode> {
        let letters: Vec<u8> =
            text.bytes().filter(|b| !b" -\t\r\n".contains(b)).map(|b| b.to_ascii_uppercase()).collect();
        let values: Option<Vec<usize>> = letters.iter().map(|b| ALPHABET.iter().position(|a| a == b)).collect();
        let values = values.filter(|values| values.len() == SECRET + PRINT * 8 / 5).ok_or(BadCode)?;
        let mut print = [0u8; PRINT];
        for (at, value) in values.iter().skip(SECRET).enumerate() {
            for bit in 0..5 {
                if value >> (4 - bit) & 1 == 1 {
                    let at = at * 5 + bit;
                    print[at / 8] |= 0x80 >> (at % 8);
                }
            }
        }
        let secret = letters.iter().take(SECRET).map(|b| char::from(*b)).collect();
        Ok(Self { secret, print })
    }
}

impl fmt::Display for EnrolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |at: usize| usize::from(self.print[at / 8] >> (7 - at % 8) & 1);
        let print = (0..PRINT * 8 / 5).map(|at| (0..5).fold(0, |value, n| value << 1 | bit(at * 5 + n)));
        let print = print.map(|value| char::from(ALPHABET[value]));
        for (at, letter) in self.secret.chars().chain(print).enumerate() {
            if at > 0 && at % 5 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

/// `POST /api/agent/enrol`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The secret part of the code.
    pub code: String,
    /// A request for a certificate (PKCS #10, PEM) with an ECDSA key on P-256.
    pub request: String,
}

/// What an enrolled device is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// The device's opaque code in the register.
    pub device: String,
    /// The device's certificate (PEM).
    pub certificate: String,
    /// The key that orders are signed with: Ed25519, base64.
    pub orders_key: String,
    /// The first orders.
    pub orders: Signed,
}

/// A text with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The text, byte for byte as it was signed.
    pub text: String,
    /// Ed25519 over the text (RFC 8032), base64.
    pub signature: String,
}

/// `POST /api/agent/sync`: how the device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// Version of the orders that the device has.
    pub orders: u64,
    /// Version of the agent's program.
    pub version: String,
    /// How the device reaches the network (R-POL-14).
    #[serde(default)]
    pub link: Option<Link>,
    /// Records that were dropped because nobody took them for too long.
    #[serde(default)]
    pub dropped: u64,
    /// Time of the newest record that was ever dropped; 0 if none was.
    #[serde(default)]
    pub dropped_at: Millis,
    /// Records that are not delivered yet.
    #[serde(default)]
    pub waiting: u64,
}

/// The box's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced<L> {
    /// The box's clock.
    pub now: Millis,
    /// Orders, if they are not the device's already.
    pub orders: Option<Signed>,
    /// The running lesson.
    pub lesson: Option<L>,
}

/// What became of a delivery: everything in it is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// So many are kept now.
    pub kept: usize,
    /// So many were kept before.
    pub known: usize,
    /// Those that can't be kept, with the reason.
    pub refused: Vec<RefusedReport>,
}

/// A record that can't be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReport {
    /// Its number on the device.
    pub id: u64,
    /// What is wrong with it.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_written_however_it_is_typed() {
        let code = EnrolCode { secret: "ABCDEFGHJK".into(), print: [0xde, 0xad, 0xbe, 0xef, 0, 255, 1, 2, 3, 4] };
        let text = code.to_string();
        assert_eq!(text.len(), 26 + 5, "{text}");
        assert_eq!(EnrolCode::parse(&text).unwrap(), code);
        assert_eq!(EnrolCode::parse(&format!(" {} ", text.to_lowercase().replace('-', " "))).unwrap(), code);
        for wrong in ["", "ABCDE", &text[1..], &format!("{text}A"), &text.replace('A', "0")] {
            assert!(EnrolCode::parse(wrong).is_err(), "{wrong}");
        }
    }
}
