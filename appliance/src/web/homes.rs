//! The door for homes: what the gateway sends through the tunnel. TLS with the room's certificate, behind a header that says
//! from which home a connection comes ([`appliance_core::proxied`]), and served is what is declared for homes and nothing else.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use appliance_core::proxied::{self, FIXED, Header, MOST};
use axum::{Extension, Router, extract::ConnectInfo, middleware::AddExtension};
use axum_server::{
    Handle,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tower::Layer as _;

use super::{
    doors::{Doorkeeper, Doors, Patient, Said, Told},
    gate::Via,
    serve,
};

/// The gateway sends its header with the first bytes; a lossy line takes a second or two for them.
const HEADER: Duration = Duration::from_secs(5);

/// Serves `router` on `listener`. Homes have doors of their own: however many come, the room's places are not theirs.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: std::net::TcpListener,
    config: Arc<rustls::ServerConfig>,
    router: Router,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let service = router.layer(Extension(Via::Homes)).into_make_service();
    let porter = Porter::new(Doors::default(), HEADER);
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(config)).acceptor(porter);
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
    serve::bound(server.http_builder());
    server.serve(service).await
}

/// Reads who comes, then lets in as every door does: by the home's own address.
#[derive(Clone)]
struct Porter {
    doors: Doors,
    keeper: Doorkeeper,
    header: Duration,
    said: Arc<Mutex<Said>>,
}

impl Porter {
    fn new(doors: Doors, header: Duration) -> Self {
        Self { keeper: doors.clone().keeper(), doors, header, said: Arc::default() }
    }

    /// From where in the world this connection comes.
    async fn whence(&self, peer: IpAddr, stream: &mut TcpStream) -> io::Result<SocketAddr> {
        // Until that is known it has a place under the tunnel's own address.
        let _place = self.doors.enter(peer)?;
        match timeout(self.header, take(stream)).await {
            Ok(Ok(Header::From(home))) => return Ok(home),
            // The gateway has seen that someone listens; there is nothing more to say.
            Ok(Ok(Header::Own)) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => self.complain(&error),
            Ok(Err(error)) => self.complain(&format_args!("the connection ended within its PROXY header: {error}")),
            Err(_) => self.complain(&"no whole PROXY header in time"),
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    fn complain(&self, reason: &dyn fmt::Display) {
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).again(Instant::now()) {
            tracing::warn!(%reason, "[home] listen: a connection that does not say which home it is of is closed");
        }
    }
}

/// Takes the header off the beginning of a connection, and not a byte more.
async fn take(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Header> {
    let wrong = |malformed| io::Error::new(io::ErrorKind::InvalidData, malformed);
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let mut following = [0; MOST - FIXED];
    let following = &mut following[..proxied::rest(&fixed).map_err(wrong)?];
    stream.read_exact(following).await?;
    proxied::parse(&fixed, following).map_err(wrong)
}

impl<S: Send + 'static> Accept<TcpStream, S> for Porter {
    type Stream = Patient<TcpStream>;
    type Service = AddExtension<Told<S>, ConnectInfo<SocketAddr>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, mut stream: TcpStream, service: S) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let home = this.whence(stream.peer_addr()?.ip(), &mut stream).await?;
            let (stream, service) = this.keeper.let_in(home.ip(), stream, service)?;
            Ok((stream, Extension(ConnectInfo(home)).layer(service)))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use axum::{body::Body, extract::Request, response::Response};
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpSocket},
    };
    use tower::{Service as _, service_fn};

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    fn header(home: [u8; 4]) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend(home);
        header.extend([192, 0, 2, 10, 0xc0, 0x01, 0x01, 0xbb]);
        header
    }

    /// What a connection that begins with these bytes has for an address, if it is let in.
    async fn address(porter: &Porter, begins: &[u8]) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut theirs = TcpSocket::new_v4()?.connect(listener.local_addr()?).await?;
        theirs.write_all(begins).await?;
        let service = service_fn(async |request: Request<Body>| {
            let ConnectInfo(address) = request.extensions().get::<ConnectInfo<SocketAddr>>().expect("an address");
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(address.to_string())))
        });
        let (_stream, mut service) = porter.accept(listener.accept().await?.0, service).await?;
        let answer = service.call(Request::new(Body::empty())).await.unwrap_or_else(|never| match never {});
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        Ok(String::from_utf8(body.to_vec()).unwrap().parse().unwrap())
    }

    #[tokio::test]
    async fn what_follows_the_header_is_left_and_a_header_that_is_cut_is_none() {
        let whole = [&header([203, 0, 113, 2])[..], b"\x16\x03\x01"].concat();
        let mut stream = &whole[..];
        let home = "203.0.113.2:49153".parse().unwrap();
        assert_eq!((take(&mut stream).await.unwrap(), stream), (Header::From(home), &b"\x16\x03\x01"[..]));
        for cut in 0..whole.len() - 3 {
            assert!(take(&mut &whole[..cut]).await.is_err(), "{cut} bytes");
        }
    }

    #[tokio::test]
    async fn a_request_has_the_address_of_its_home_and_one_home_takes_no_places_of_another() {
        let doors = Doors::default();
        let porter = Porter::new(doors.clone(), SOON);
        let (one, other) = ([203, 0, 113, 2], [198, 51, 100, 77]);
        assert_eq!(address(&porter, &header(one)).await.unwrap(), "203.0.113.2:49153".parse().unwrap());
        let inside: Vec<_> = std::iter::from_fn(|| doors.enter(one.into()).ok()).collect();
        assert_eq!(inside.len(), appliance_core::crowd::CONNECTIONS_EACH);
        assert!(address(&porter, &header(one)).await.is_err());
        assert_eq!(address(&porter, &header(other)).await.unwrap().ip(), IpAddr::from(other));
        drop(inside);
        assert!(address(&porter, &header(one)).await.is_ok());
        assert_eq!(doors.counts().0, 0, "every place comes back");
    }

    #[tokio::test]
    async fn who_says_too_little_is_hung_up_on_and_its_place_comes_back() {
        let doors = Doors::default();
        let porter = Porter::new(doors.clone(), SOON);
        for begins in [&[][..], &header([203, 0, 113, 2])[..20], b"GET /home HTTP/1.1\r\n\r\n"] {
            let began = Instant::now();
            assert!(address(&porter, begins).await.is_err(), "{begins:?}");
            assert!(began.elapsed() < SOON * 10, "{begins:?}: {:?}", began.elapsed());
        }
        assert_eq!(doors.counts(), (0, 0));
        assert!(porter.said.lock().unwrap().again(Instant::now() + Duration::from_secs(61)), "once a minute");
        assert!(!porter.said.lock().unwrap().again(Instant::now()));
    }
}
