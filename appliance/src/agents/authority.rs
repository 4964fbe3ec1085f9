//! The device authority: signs the certificates of devices and, anew at each start, that of the agents' listener.
//!
//! Certificates are good for decades on purpose: a device whose clock is wrong must still know its box. What ends a
//! device's certificate is its line in the store, not a date.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{digest, signature};
use classroom_protocol::agent;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::store::Hash;

/// Certificate and key of the authority in the data folder, one PEM file of mode 0600.
const FILE: &str = "device-authority.pem";
/// The name that the authority carries.
const NAME: &str = "Classroom box device authority";
/// Everything that it signs is good for these years.
const YEARS: (i32, i32) = (2020, 2060);

/// The authority. Its key does not leave the data folder.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityError(String);

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device authority: {}", self.0)
    }
}

impl std::error::Error for AuthorityError {}

fn failed(at: impl fmt::Display) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    move |error| AuthorityError(format!("{at}: {error}"))
}

/// Why a request for a certificate is refused: no PKCS #10, another kind of key, or a signature that is not that key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRequest;

/// A certificate for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// SHA-256 of its DER form: what the store knows it by.
    pub hash: Hash,
}

/// The key that a request names.
struct DeviceKey(Vec<u8>);

impl PublicKeyData for DeviceKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    /// Reads the authority in `folder`, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn load_or_create(folder: &Path) -> Result<Self, AuthorityError> {
        let path = folder.join(FILE);
        let file = |error: std::io::Error| AuthorityError(format!("{}: {error}", path.display()));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Self::make()?;
                save(&path, &made).map_err(file)?;
                made.into_bytes()
            }
            Err(error) => return Err(file(error)),
        };
        let damaged = || {
            AuthorityError(format!(
                "{} is damaged; put it back from the backup, or move it away and enrol the devices anew",
                path.display()
            ))
        };
        let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| damaged())?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| damaged())?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(|_| damaged())?;
        Ok(Self { certificate, issuer: Issuer::new(params(NAME), key) })
    }

    fn make() -> Result<String, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed("a key"))?;
        let mut params = params(NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(failed("its certificate"))?;
        Ok(certificate.pem() + &key.serialize_pem())
    }

    /// The first bytes of the SHA-256 of its certificate: the part of an enrolment code that says whom to trust.
    pub fn print(&self) -> [u8; agent::PRINT] {
        let mut print = [0; agent::PRINT];
        print.copy_from_slice(&hash(&self.certificate)[..agent::PRINT]);
        print
    }

    /// Signs the certificate that `request` (PEM) asks for, for the enrolment of this name.
    ///
    /// # Errors
    /// [`BadRequest`].
    pub fn issue(&self, request: &str, enrolment: &str) -> Result<Issued, BadRequest> {
        let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).map_err(|_| BadRequest)?;
        let (rest, parsed) = X509CertificationRequest::from_der(&der).map_err(|_| BadRequest)?;
        if !rest.is_empty() {
            return Err(BadRequest);
        }
        let point = &*parsed.certification_request_info.subject_pki.subject_public_key.data;
        // Whoever asks has the key: the signature is by it. A key of another kind fails here as well.
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
            .verify(parsed.certification_request_info.raw, &parsed.signature_value.data)
            .map_err(|_| BadRequest)?;
        let mut params = params(enrolment);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&DeviceKey(point.to_vec()), &self.issuer).map_err(|_| BadRequest)?;
        Ok(Issued { certificate: certificate.pem(), hash: hash(certificate.der()) })
    }

    /// TLS for the agents' listener: a certificate of this authority with a key that lives as long as the process;
    /// devices may show theirs.
    ///
    /// # Errors
    /// When the machine can make no key.
    pub fn server_config(&self) -> Result<ServerConfig, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed("the listener's key"))?;
        let mut params = params(agent::NAME);
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(agent::NAME.try_into().map_err(failed("the listener's name"))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed("the listener's certificate"))?;
        let mut roots = RootCertStore::empty();
        let told = |error: &dyn fmt::Display| AuthorityError(error.to_string());
        roots.add(self.certificate.clone()).map_err(|error| told(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let devices = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| told(&error))?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| told(&error))?
            .with_client_cert_verifier(devices)
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .map_err(|error| told(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(YEARS.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(YEARS.1, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

fn hash(der: &[u8]) -> Hash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    bytes
}

/// Writes the file whole or not at all.
fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(key: &KeyPair) -> String {
        CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_authority_is_made_once_and_signs_what_asks_with_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(folder.path()).unwrap();
        let again = Authority::load_or_create(folder.path()).unwrap();
        assert_eq!(authority.print(), again.print());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let issued = again.issue(&request(&key), "e1").unwrap();
        assert!(issued.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        authority.server_config().unwrap();
        for wrong in ["", "x", &issued.certificate, &request(&key).replacen("MI", "MA", 1)] {
            assert_eq!(authority.issue(wrong, "e1"), Err(BadRequest));
        }
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(authority.issue(&request(&other), "e1"), Err(BadRequest), "another kind of key");
    }

    #[test]
    fn a_damaged_file_is_told_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "nonsense").unwrap();
        let told = Authority::load_or_create(folder.path()).unwrap_err().to_string();
        assert!(told.contains("put it back from the backup"), "{told}");
    }
}
