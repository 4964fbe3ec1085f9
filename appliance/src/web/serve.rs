//! Listening: plain HTTP on loopback, TLS elsewhere, with bounds on what a slow or silent client may hold.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use axum_server::{
    Handle,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    doors::{Doorkeeper, Doors, Patient, Told},
    gate::Via,
};

/// Whether the box has pages at this name.
pub type Own = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A client has this long for the headers of each request on a connection, once it has said which HTTP it speaks; until
/// then [`super::doors`] counts.
const HEADERS: Duration = Duration::from_secs(10);

/// Serves `router` on `listener` until `handle` says stop.
///
/// # Errors
/// When the socket fails.
pub async fn plain(
    listener: std::net::TcpListener,
    router: Router,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let service = router.layer(Extension(Via::Loopback)).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.acceptor(doors.keeper()).handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

/// Serves the pages that refused hosts lead to: plain HTTP that tablets reach, so nothing else is on it.
///
/// # Errors
/// When the socket fails.
pub async fn portal(
    listener: std::net::TcpListener,
    router: Router,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let service = router.layer(Extension(Via::Portal)).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.acceptor(doors.keeper()).handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

/// Serves `router` over TLS, at the box's own names.
///
/// # Errors
/// When the socket fails.
pub async fn tls(
    listener: std::net::TcpListener,
    (config, own): (Arc<rustls::ServerConfig>, Own),
    router: Router,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let service = router.layer(Extension(Via::Tls)).into_make_service_with_connect_info::<SocketAddr>();
    let acceptor = AtOwnNames { config, own, keeper: doors.keeper() };
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

/// Sends everyone who comes without encryption to the same page at `base` (`https://name`). Nothing is served here, so
/// no route and no rule: the answer does not depend on who asks.
///
/// # Errors
/// When the socket fails.
pub async fn redirect(
    listener: std::net::TcpListener,
    base: String,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let send_on = move |uri: Uri| {
        let to = there(&base, &uri);
        async move { to }
    };
    let service = Router::new().fallback(send_on).into_make_service();
    let mut server = axum_server::from_tcp(listener)?.acceptor(doors.keeper()).handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

/// The same page at `base`. The host that was asked for is not looked at: it may be anything.
fn there(base: &str, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match HeaderValue::try_from(format!("{base}{path}")) {
        Ok(location) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// TLS for who asks for one of the box's names, or for none.
///
/// A refused name leads to the box's address (R-POL-22), so browsers come here for its `https:` pages, and the box has no
/// certificate for them. To be shown another one they call an attack. So the connection ends before any is shown: the
/// site can't be reached, say browsers then, as is true.
#[derive(Clone)]
struct AtOwnNames {
    config: Arc<rustls::ServerConfig>,
    own: Own,
    keeper: Doorkeeper,
}

impl<S: Send + 'static> Accept<TcpStream, S> for AtOwnNames {
    type Stream = TlsStream<Patient<TcpStream>>;
    type Service = Told<S>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { config, own, keeper } = self.clone();
        Box::pin(async move {
            let (stream, service) = keeper.accept(stream, service).await?;
            // The keeper's patience with a new connection counts for all of this.
            let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            if let Some(name) = begun.client_hello().server_name()
                && !own(name)
            {
                tracing::debug!(name, "a browser looks here for a site that is refused");
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok((begun.into_stream(config).await?, service))
        })
    }
}

/// TLS whose handshake is within the time that a new connection has.
pub(super) fn encrypted(config: Arc<rustls::ServerConfig>, doors: Doors) -> RustlsAcceptor<Doorkeeper> {
    RustlsAcceptor::new(RustlsConfig::from_config(config)).acceptor(doors.keeper())
}

pub(super) fn bound(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64).keep_alive_interval(Duration::from_secs(20));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
    };
    use tokio_rustls::TlsConnector;

    use super::*;

    /// Shakes hands for a name; what came of it.
    async fn knock(name: &'static str) -> io::Result<()> {
        let made = rcgen::generate_simple_self_signed(vec!["room.example".into(), "10.0.0.1".into()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![certificate.clone()], key.into()).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let door =
            AtOwnNames { config, own: Arc::new(|name| name == "room.example"), keeper: Doors::default().keeper() };
        let box_side = async {
            let (stream, _) = listener.accept().await.unwrap();
            door.accept(stream, ()).await.map(drop)
        };
        let connector = TlsConnector::from(Arc::new(client));
        let browser = async {
            let stream = TcpStream::connect(at).await.unwrap();
            connector.connect(ServerName::try_from(name).unwrap(), stream).await.map(drop)
        };
        let (told, came) = tokio::join!(box_side, browser);
        assert_eq!(told.is_ok(), came.is_ok());
        came
    }

    #[tokio::test]
    async fn who_looks_for_another_site_is_shown_no_certificate() {
        knock("room.example").await.unwrap();
        knock("10.0.0.1").await.unwrap();
        let error = knock("game.example").await.unwrap_err();
        assert!(!matches!(error.kind(), io::ErrorKind::InvalidData), "no word of TLS, no certificate: {error:?}");
    }

    #[test]
    fn the_same_page_with_encryption_and_never_another_host() {
        for (asked, location) in [
            ("/join?x=1", "https://room.example/join?x=1"),
            ("http://elsewhere.example/teach", "https://room.example/teach"),
            ("//elsewhere.example/a", "https://room.example//elsewhere.example/a"),
            ("/", "https://room.example/"),
        ] {
            let answer = there("https://room.example", &asked.parse().unwrap());
            assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
            assert_eq!(answer.headers()[header::LOCATION], location);
        }
    }
}
