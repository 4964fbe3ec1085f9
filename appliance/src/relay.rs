//! The relay (TURN) through which homes reach the box: its addresses, and credentials that hold for a lesson.
//!
//! The credentials are coturn's "REST API" form: the name is the time at which they end, the password a keyed hash of the
//! name. Box and relay share the secret and nothing else; no account is made, and none has to be taken back.

use std::{fmt, path::Path};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use classroom_protocol::Millis;

/// Credentials hold for this long: a double lesson. A session that lives goes on after their end.
const LIFETIME_MS: Millis = 3 * 3_600_000;
/// The shortest secret that is taken, in characters.
const SHORTEST: usize = 16;

/// The relay's addresses and its secret.
#[derive(Clone, Default)]
pub struct Relay {
    addresses: Vec<String>,
    secret: Option<String>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Relay {
    /// The relay at these addresses (`turn:…`, `turns:…`, `stun:…`); the secret is the first line of the file.
    ///
    /// # Errors
    /// When the file can't be read or its secret is shorter than 16 characters.
    pub fn load(addresses: Vec<String>, secret_file: Option<&Path>) -> Result<Self, String> {
        let secret = secret_file.map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let secret = text.lines().next().unwrap_or_default().trim().to_owned();
            if secret.len() < SHORTEST {
                return Err(format!("{}: the secret needs {SHORTEST} characters", path.display()));
            }
            Ok(secret)
        });
        Ok(Self { addresses, secret: secret.transpose()? })
    }

    /// The values of the `Link` headers that name the relay (RFC 9725 §4.6), with credentials for the one who asks now.
    pub fn links(&self, who: &str, now: Millis) -> Vec<String> {
        let credentials = self.secret.as_ref().map(|secret| {
            let name = format!("{}:{who}", (now + LIFETIME_MS) / 1000);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
            let password = STANDARD.encode(hmac::sign(&key, name.as_bytes()));
            (name, password)
        });
        let link = |address: &String| match &credentials {
            Some((name, password)) if address.starts_with("turn") => format!(
                "<{address}>; rel=\"ice-server\"; username=\"{name}\"; credential=\"{password}\"; credential-type=\"password\""
            ),
            _ => format!("<{address}>; rel=\"ice-server\""),
        };
        self.addresses.iter().map(link).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_are_what_the_relay_computes() {
        let relay = Relay {
            addresses: vec!["stun:gw.example:3478".into(), "turns:turn.example:443?transport=tcp".into()],
            secret: Some("north-wind-and-sun".into()),
        };
        let links = relay.links("seat-07", 1_760_000_000_000);
        assert_eq!(links[0], "<stun:gw.example:3478>; rel=\"ice-server\"");
        // printf '1760010800:seat-07' | openssl dgst -sha1 -hmac north-wind-and-sun -binary | base64
        assert!(
            links[1].contains("username=\"1760010800:seat-07\"; credential=\"eLr3rmi+O4blvnkdMRtQetisdZ0=\""),
            "{}",
            links[1]
        );
        assert!(!format!("{relay:?}").contains("north-wind"));
    }

    #[test]
    fn a_short_secret_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("turn.secret");
        std::fs::write(&file, "short\n").unwrap();
        assert!(Relay::load(vec![], Some(&file)).unwrap_err().contains("turn.secret: the secret needs 16"));
        assert!(Relay::load(vec![], Some(&folder.path().join("none"))).is_err());
    }
}
