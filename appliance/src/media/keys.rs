//! The crypto that sessions use, and a tap for the keys that a DTLS handshake makes.
//!
//! DTLS is OpenSSL's, because GStreamer's clients come with RSA certificates; SRTP and STUN integrity are aws-lc's, which
//! are faster. Viewers' media are sealed by [`super::seal`] and not inside of str0m, so the keys of a viewer's handshake are
//! needed outside: [`Tap`] hands out what passes through it. All of a handshake runs on the media thread, one session at a
//! time, so whoever drains a session finds that session's keys here and nobody else's.

use std::{cell::RefCell, fmt, sync::LazyLock, time::Instant};

use str0m::{
    config::{CryptoProvider, DtlsCert, DtlsVersion, KeyingMaterial},
    crypto::{
        CryptoError,
        dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile},
    },
};

/// What a handshake gave.
pub(super) struct Keys {
    pub(super) material: KeyingMaterial,
    pub(super) profile: SrtpProfile,
    /// The box was the DTLS client: its own half of the material is the first.
    pub(super) active: bool,
}

thread_local! {
    static TAPPED: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

/// The keys of the handshake that was completed on this thread since the last call.
pub(super) fn take() -> Option<Keys> {
    TAPPED.take()
}

/// The crypto of all sessions.
pub(super) fn provider() -> CryptoProvider {
    static OPENSSL: LazyLock<CryptoProvider> = LazyLock::new(str0m_openssl::default_provider);
    static TAP: LazyLock<TapProvider> = LazyLock::new(|| TapProvider(OPENSSL.dtls_provider));
    let fast = str0m_aws_lc_rs::default_provider();
    CryptoProvider {
        srtp_provider: fast.srtp_provider,
        sha1_hmac_provider: fast.sha1_hmac_provider,
        sha256_provider: OPENSSL.sha256_provider,
        dtls_provider: &*TAP,
    }
}

#[derive(Debug)]
struct TapProvider(&'static dyn DtlsProvider);

impl DtlsProvider for TapProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Tap(self.0.new_dtls(cert, now, version, mtu)?)))
    }
}

struct Tap(Box<dyn DtlsInstance>);

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl DtlsInstance for Tap {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let active = self.0.is_active();
        let output = self.0.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let material = KeyingMaterial::new(material);
            TAPPED.set(Some(Keys { material, profile: *profile, active }));
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
