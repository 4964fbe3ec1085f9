//! Listening: plain HTTP on loopback, TLS elsewhere, with bounds on what a slow or silent client may hold.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;

use super::{
    doors::{Doorkeeper, Doors},
    gate::Via,
};

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
) -> std::io::Result<()> {
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
) -> std::io::Result<()> {
    let service = router.layer(Extension(Via::Portal)).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.acceptor(doors.keeper()).handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

/// Serves `router` over TLS.
///
/// # Errors
/// When the socket fails.
pub async fn tls(
    listener: std::net::TcpListener,
    config: Arc<rustls::ServerConfig>,
    router: Router,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> std::io::Result<()> {
    let service = router.layer(Extension(Via::Tls)).into_make_service_with_connect_info::<SocketAddr>();
    let acceptor = encrypted(config, doors);
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
) -> std::io::Result<()> {
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
    use super::*;

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
