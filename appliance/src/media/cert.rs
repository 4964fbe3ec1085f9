//! The DTLS certificate. It survives restarts, so that a client that pinned its fingerprint in an answer finds the same box.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateSec1KeyDer, pem::PemObject};
use str0m::config::{CryptoProvider, DtlsCert};

/// The certificate is made for a year; a file older than this is replaced at the next start.
const RENEW_AFTER: Duration = Duration::from_secs(300 * 24 * 3600);

/// Reads the certificate and its key from `media-identity.pem` in `dir`, or makes them there (mode 0600).
pub(super) fn load_or_create(dir: &Path, crypto: &CryptoProvider) -> io::Result<DtlsCert> {
    let path = dir.join("media-identity.pem");
    match fs::read(&path) {
        Ok(pem) => {
            let age = fs::metadata(&path)?.modified()?.elapsed().unwrap_or_default();
            if age < RENEW_AFTER {
                if let Some(cert) = parse(&pem) {
                    return Ok(cert);
                }
                // Nobody should have to log in for that: clients that pinned the old one connect anew.
                tracing::error!(file = %path.display(), "the media certificate was broken; a new one is made");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let cert =
        crypto.dtls_provider.generate_certificate().ok_or_else(|| io::Error::other("no certificate was made"))?;
    fs::create_dir_all(dir)?;
    let new = dir.join("media-identity.pem.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(block("CERTIFICATE", &cert.certificate).as_bytes())?;
    file.write_all(block("EC PRIVATE KEY", &cert.private_key).as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    Ok(cert)
}

fn parse(pem: &[u8]) -> Option<DtlsCert> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?.to_vec();
    let private_key = PrivateSec1KeyDer::from_pem_slice(pem).ok()?.secret_sec1_der().to_vec();
    Some(DtlsCert { certificate, private_key })
}

fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_certificate_after_a_restart() {
        let crypto = crate::media::keys::provider();
        let dir = std::env::temp_dir().join(format!("media-cert-{}", std::process::id()));
        let first = load_or_create(&dir, &crypto).unwrap();
        let second = load_or_create(&dir, &crypto).unwrap();
        assert_eq!(first.certificate, second.certificate);
        assert_eq!(first.private_key, second.private_key);
        fs::write(dir.join("media-identity.pem"), "nonsense").unwrap();
        let third = load_or_create(&dir, &crypto).unwrap();
        assert_ne!(first.certificate, third.certificate, "a broken file is replaced");
        assert_eq!(third.certificate, load_or_create(&dir, &crypto).unwrap().certificate);
        fs::remove_dir_all(dir).unwrap();
    }
}
