//! The certificate of the room's pages: loaded, checked, and loaded again when its files change, without a restart.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use classroom_protocol::Millis;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// What a certificate says that people need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Names and addresses that it is good for.
    pub names: Vec<String>,
    /// From when.
    pub not_before: Millis,
    /// Until when.
    pub not_after: Millis,
}

/// Why a certificate can't be used. The sentences name the file and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// A file can't be read.
    Unreadable(PathBuf, String),
    /// No certificate in the file, or a damaged one.
    NoCertificate(PathBuf, String),
    /// No key in the file, or one of a kind that can't be used.
    NoKey(PathBuf, String),
    /// The key is not the certificate's.
    Mismatch(PathBuf, PathBuf),
    /// Its time is over.
    Expired(PathBuf),
    /// Its time has not come: the certificate is new, or the box's clock is behind.
    NotYet(PathBuf),
    /// It is not for the name that people type.
    WrongName(PathBuf, String, Vec<String>),
    /// rustls does not take the settings.
    Setup(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, reason) => write!(f, "{}: can't be read ({reason})", path.display()),
            Self::NoCertificate(path, reason) => {
                write!(f, "{}: no usable certificate ({reason}); it must be PEM, the room's own first", path.display())
            }
            Self::NoKey(path, reason) => {
                write!(f, "{}: no usable key ({reason}); it must be PEM without a passphrase", path.display())
            }
            Self::Mismatch(certificate, key) => write!(
                f,
                "{} does not belong to {}; name the key with which the certificate was asked for",
                key.display(),
                certificate.display()
            ),
            Self::Expired(path) => write!(f, "{}: has expired; renew it", path.display()),
            Self::NotYet(path) => write!(f, "{}: is not valid yet; check the box's clock", path.display()),
            Self::WrongName(path, name, names) => write!(
                f,
                "{}: is for {}, not for {name}; ask for one with that name or change [https] name",
                path.display(),
                names.join(", ")
            ),
            Self::Setup(reason) => write!(f, "TLS can't be set up: {reason}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// A chain with its key, and what it says.
#[derive(Debug, Clone)]
struct Loaded {
    key: Arc<CertifiedKey>,
    facts: Facts,
    stamp: Stamp,
}

/// Time and size of both files: changes when they are written or replaced.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate in use. Hand a clone of the `Arc` to [`server_config`].
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    /// Taken for the time of a clone, at each handshake and reload.
    current: RwLock<Loaded>,
}

impl Certificate {
    /// Loads both files. An expired certificate is loaded too (the clock may be wrong, and a page with a warning is
    /// better than none); ask [`Facts::check`].
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(load(certificate, key)?);
        Ok(Arc::new(Self { certificate: certificate.into(), key: key.into(), current }))
    }

    /// What the certificate in use says.
    pub fn facts(&self) -> Facts {
        self.current.read().unwrap_or_else(PoisonError::into_inner).facts.clone()
    }

    /// Loads the files again if they have changed, and says whether it did. On an error the one in use stays.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<bool, TlsError> {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).stamp;
        if stamp(&self.certificate, &self.key) == known {
            return Ok(false);
        }
        let loaded = load(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(true)
    }

    /// Looks every `interval` whether the files have changed. Runs until dropped.
    pub async fn keep_fresh(self: Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.tick().await;
        let mut told = None;
        loop {
            ticks.tick().await;
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(true)) => tracing::info!(names = ?self.facts().names, "a new certificate is in use"),
                Ok(Ok(false)) => told = None,
                // While the two files are being replaced they do not fit for a moment; told once, tried again.
                Ok(Err(error)) if told.as_ref() != Some(&error) => {
                    tracing::warn!(%error, "the new certificate can't be used, the old one stays");
                    told = Some(error);
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "looking for a new certificate failed"),
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

impl Facts {
    /// The host of the addresses that people are told: the first name that is no pattern.
    pub fn host(&self) -> Option<String> {
        let name = self.names.iter().find(|name| !name.contains('*'))?;
        Some(if name.contains(':') { format!("[{name}]") } else { name.clone() })
    }

    /// Whether the certificate is good now and, if a name is given, for this name.
    ///
    /// # Errors
    /// [`TlsError`]; `path` is for its sentence.
    pub fn check(&self, path: &Path, name: Option<&str>, now: Millis) -> Result<(), TlsError> {
        if now >= self.not_after {
            return Err(TlsError::Expired(path.into()));
        }
        if now < self.not_before {
            return Err(TlsError::NotYet(path.into()));
        }
        self.check_name(path, name)
    }

    /// Whether the certificate is for this name, if one is given.
    ///
    /// # Errors
    /// [`TlsError::WrongName`]; `path` is for its sentence.
    pub fn check_name(&self, path: &Path, name: Option<&str>) -> Result<(), TlsError> {
        match name {
            Some(name) if !self.names.iter().any(|pattern| fits(pattern, name)) => {
                Err(TlsError::WrongName(path.into(), name.into(), self.names.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// A name of a certificate and a name that people type (RFC 9525, 6.3): `*` stands for one whole first label.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.trim_end_matches('.').to_ascii_lowercase());
    match pattern.strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(first, tail)| !first.is_empty() && tail == rest),
        None => pattern == name,
    }
}

/// Whether the room's pages are at this name: the certificate is for it, it is one of `names`, or it is a name of the local
/// network, which no rule ever leads here (`classroom`, `classroom-12ab.local`).
pub fn is_own(name: &str, certificate: &Certificate, names: &[String]) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let facts = certificate.facts();
    !name.contains('.')
        || name.ends_with(".local")
        || facts.names.iter().chain(names).any(|pattern| fits(pattern, &name))
}

/// TLS 1.2 and 1.3 with the algorithms of aws-lc-rs, HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`TlsError::Setup`].
pub fn server_config(certificate: Arc<Certificate>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Setup(e.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok())
}

fn load(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    // Before reading: a change while reading is found the next time.
    let stamp = stamp(certificate, key);
    let chain = read(certificate)?;
    let no_certificate = |reason: String| TlsError::NoCertificate(certificate.into(), reason);
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| no_certificate(told(&e)))?;
    let first = chain.first().ok_or_else(|| no_certificate("none in the file".into()))?;
    let facts = facts(first).map_err(no_certificate)?;
    let no_key = |reason: String| TlsError::NoKey(key.into(), reason);
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| no_key(told(&e)))?;
    let key = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(certificate.into(), key.into()),
        rustls::Error::InvalidCertificate(reason) => no_certificate(format!("{reason:?}")),
        other => no_key(other.to_string()),
    })?;
    Ok(Loaded { key: Arc::new(key), facts, stamp })
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "none in the file".into(),
        other => other.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|e: io::Error| TlsError::Unreadable(path.into(), e.to_string()))
}

fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let names = match parsed.subject_alternative_name().map_err(|e| e.to_string())? {
        None => Vec::new(),
        Some(names) => names.value.general_names.iter().filter_map(name).collect(),
    };
    let millis = |time: x509_parser::time::ASN1Time| Millis::try_from(time.timestamp()).unwrap_or(0) * 1000;
    let validity = parsed.validity();
    // The last second belongs to the validity (RFC 5280, 4.1.2.5).
    Ok(Facts { names, not_before: millis(validity.not_before), not_after: millis(validity.not_after) + 1000 })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(std::net::IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
