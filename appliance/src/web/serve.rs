//! Listening: plain HTTP on loopback, TLS elsewhere, with bounds on what a slow or silent client may hold.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use hyper_util::rt::TokioTimer;

use super::gate::Via;

/// A client has this long for its request's headers.
const HEADERS: Duration = Duration::from_secs(10);

/// Serves `router` on `listener` until `handle` says stop.
///
/// # Errors
/// When the socket fails.
pub async fn plain(listener: std::net::TcpListener, router: Router, handle: Handle<SocketAddr>) -> std::io::Result<()> {
    let service = router.layer(Extension(Via::Loopback)).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
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
    handle: Handle<SocketAddr>,
) -> std::io::Result<()> {
    let service = router.layer(Extension(Via::Tls)).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(config))?.handle(handle);
    bound(server.http_builder());
    server.serve(service).await
}

fn bound(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64).keep_alive_interval(Duration::from_secs(20));
}
