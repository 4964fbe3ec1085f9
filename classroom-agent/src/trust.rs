//! Whom the agent believes: a box whose certificate is by the authority of its enrolment, and orders that are signed by
//! that box. And what it shows of itself.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use classroom_protocol::agent::{PRINT, Signed};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};

use crate::keep::Identity;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A new key (PEM) and the request for its certificate (PEM).
pub(crate) fn new_key() -> Result<(String, String)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let request = CertificateParams::default().serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

/// TLS to the box of this identity: its authority is believed and no other, and the device shows its certificate.
pub(crate) fn known(identity: &Identity) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(
        CertificateDer::from_pem_slice(identity.authority.as_bytes()).map_err(|e| anyhow!("the authority: {e}"))?,
    )?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    let (certificate, key) = (certificate.map_err(|e| anyhow!("{e}"))?, key.map_err(|e| anyhow!("{e}"))?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    builder.with_client_auth_cert(vec![certificate], key).context("the device's certificate")
}

/// TLS to a box that is met for the first time: the authority whose fingerprint stands in the code is believed.
pub(crate) fn by_print(print: [u8; PRINT]) -> Result<(ClientConfig, Arc<ByPrint>)> {
    let verifier = Arc::new(ByPrint { print, found: Mutex::default(), provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    Ok((config, verifier))
}

/// Believes the authority of this fingerprint, and remembers it.
#[derive(Debug)]
pub(crate) struct ByPrint {
    print: [u8; PRINT],
    found: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ByPrint {
    /// The authority that was met, as PEM.
    pub(crate) fn authority(&self) -> Option<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let text = STANDARD.encode(found.as_deref()?);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Some(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
    }

    fn under(&self, authority: &CertificateDer<'_>) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for ByPrint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let of_code = |certificate: &&CertificateDer<'_>| Sha256::digest(certificate)[..PRINT] == self.print;
        let authority = intermediates.iter().find(of_code).ok_or(CertificateError::UnknownIssuer)?;
        let verified = self.under(authority)?.verify_server_cert(end_entity, &[], server_name, ocsp, now)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority.to_vec());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The text, if its signature is by the key of this identity.
pub(crate) fn checked<'a>(signed: &'a Signed, orders_key: &str) -> Result<&'a str> {
    let key = STANDARD.decode(orders_key).context("the key of the orders")?;
    let signature = STANDARD.decode(&signed.signature).context("the signature of the orders")?;
    let good = UnparsedPublicKey::new(&ED25519, &key).verify(signed.text.as_bytes(), &signature).is_ok();
    anyhow::ensure!(good, "orders that this device's box has not signed");
    Ok(&signed.text)
}

/// Whether the other side showed a certificate that is not by the box's authority.
pub(crate) fn is_impostor(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let tls = error.downcast_ref::<Error>().or_else(|| inner.and_then(|inner| inner.downcast_ref::<Error>()));
        if matches!(tls, Some(Error::InvalidCertificate(_))) {
            return true;
        }
        if let Some(inner) = inner
            && is_impostor(inner)
        {
            return true;
        }
        next = error.source();
    }
    false
}
