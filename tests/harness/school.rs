//! The school's certificate authority, as a test needs one: tablets on other machines reach the hub by HTTPS only.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

/// A school CA with one certificate, for one hub.
#[derive(Debug, Clone)]
pub struct School {
    /// The CA's certificate, to be trusted.
    pub ca_pem: String,
    ca: CertificateDer<'static>,
    certificate: String,
    key: String,
}

impl School {
    /// A new CA and a certificate for the hub at `address`.
    pub fn new(address: Ipv4Addr) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority.distinguished_name.push(DnType::CommonName, "Test school");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let hub = CertificateParams::new(vec![address.to_string(), "room.test".into()])?.signed_by(&key, &authority)?;
        Ok(Self {
            ca_pem: authority.pem(),
            ca: authority.der().clone(),
            certificate: hub.pem(),
            key: key.serialize_pem(),
        })
    }

    /// The hub's certificate and its key, PEM.
    pub fn certificate(&self) -> (&str, &str) {
        (&self.certificate, &self.key)
    }

    /// Writes `hub.pem`, `hub.key` and `ca.pem` into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("hub.pem"), &self.certificate)?;
        fs::write(folder.join("hub.key"), &self.key)?;
        fs::write(folder.join("ca.pem"), &self.ca_pem)?;
        Ok(())
    }

    /// TLS that trusts this school alone.
    pub(crate) fn trust(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone())?;
        Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}
