//! The agents' listener: TLS with certificates of the box's device authority on both sides.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Extension, Router,
    extract::Request,
    middleware::{AddExtension, Next, from_fn},
    response::IntoResponse as _,
};
use axum_server::{Handle, accept::Accept, tls_rustls::RustlsAcceptor};
use classroom_protocol::{ProblemCode, agent::paths};
use tokio::net::TcpStream;
use tower::Layer as _;

use super::{
    doors::{Doorkeeper, Doors, Told},
    gate::{DeviceCertificate, Via},
    reply::Refusal,
    serve,
};

/// Serves the agents' part of `router`; whoever shows a certificate of the box's authority is told by it.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: std::net::TcpListener,
    config: Arc<rustls::ServerConfig>,
    router: Router,
    doors: Doors,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let only = from_fn(async |request: Request, next: Next| {
        let rest = request.uri().path().strip_prefix(paths::SELF);
        let ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if ours { next.run(request).await } else { Refusal::from(ProblemCode::NotFound).into_response() }
    });
    let service = router.layer(only).layer(Extension(Via::Tls)).into_make_service_with_connect_info::<SocketAddr>();
    let acceptor = WithCertificate(serve::encrypted(config, doors));
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
    serve::bound(server.http_builder());
    server.serve(service).await
}

/// Puts the certificate that the client has shown beside its requests.
#[derive(Clone)]
struct WithCertificate(RustlsAcceptor<Doorkeeper>);

impl<S: Send + 'static> Accept<TcpStream, S> for WithCertificate {
    type Stream = <RustlsAcceptor<Doorkeeper> as Accept<TcpStream, S>>::Stream;
    type Service = AddExtension<Told<S>, Option<DeviceCertificate>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let shown = shown.map(|certificate| {
                let mut hash = [0; 32];
                hash.copy_from_slice(digest(&SHA256, certificate).as_ref());
                DeviceCertificate(hash)
            });
            Ok((stream, Extension(shown).layer(service)))
        })
    }
}
