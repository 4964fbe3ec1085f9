//! The doors of all listeners: how long a connection may say nothing, what counts as asking, and how
//! long the other side may take nothing of an answer.
//!
//! hyper counts the time for a request's headers only once it knows which version of HTTP is spoken, and TLS its own
//! handshake only; a client that is silent in between would stay for ever. So time is counted below both, from the moment
//! the connection comes in to its first complete request.

use std::{
    future::{Future, Ready, ready},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderValue, Version, header},
    response::Response,
};
use axum_server::accept::Accept;
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tower::Service;

pub use crate::places::Doors;
pub(super) use crate::places::{Place, Said};

/// From coming in to the end of the first request's headers, TLS included.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// An HTTP/2 connection without any request is closed after this long, at the latest after twice of it. Of HTTP/1
/// hyper sees to it itself: each further request has as long as the first.
const IDLE: Duration = Duration::from_secs(120);
/// A client that takes nothing at all of what waits for it is hung up on after this long. A slow line takes something.
const STUCK: Duration = Duration::from_secs(30);

impl Doors {
    /// An acceptor for a listener.
    pub(super) fn keeper(self) -> Doorkeeper {
        Doorkeeper { doors: self, first: FIRST_REQUEST, idle: IDLE }
    }
}

/// Lets connections in and bounds their silence.
#[derive(Clone)]
pub(super) struct Doorkeeper {
    doors: Doors,
    first: Duration,
    idle: Duration,
}

impl Doorkeeper {
    /// Lets a connection of `address` in, if there is a place for it.
    pub(super) fn let_in<S>(
        &self,
        address: IpAddr,
        stream: TcpStream,
        service: S,
    ) -> io::Result<(Patient<TcpStream>, Told<S>)> {
        let place = self.doors.enter(address)?;
        let life = Arc::<Life>::default();
        let stream = Patient::new(stream, life.clone(), (self.first, self.idle, STUCK), Some(place));
        Ok((stream, Told { service, life }))
    }
}

impl<S> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Patient<TcpStream>;
    type Service = Told<S>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(stream.peer_addr().and_then(|peer| self.let_in(peer.ip(), stream, service)))
    }
}

/// What a connection has asked for so far.
#[derive(Debug, Default)]
struct Life {
    /// Requests whose headers came.
    requests: AtomicU64,
    /// Those of HTTP/2 that are not answered to the end.
    open: AtomicUsize,
    /// Whether it speaks HTTP/2.
    many: AtomicBool,
}

/// A connection whose patience with a silent client ends.
pub(super) struct Patient<IO> {
    stream: IO,
    life: Arc<Life>,
    /// When to look next; `None` when there is nothing more to look after here.
    look: Option<Pin<Box<Sleep>>>,
    seen: u64,
    idle: Duration,
    stuck: Duration,
    /// When the other side has taken nothing for too long, while something waits for it.
    taken_by: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

impl<IO> Patient<IO> {
    fn new(
        stream: IO,
        life: Arc<Life>,
        (first, idle, stuck): (Duration, Duration, Duration),
        place: Option<Place>,
    ) -> Self {
        let look = Some(Box::pin(sleep(first)));
        Self { stream, life, look, seen: 0, idle, stuck, taken_by: None, _place: place }
    }

    /// What came of writing, or the end when the other side has taken nothing for too long.
    fn taken<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.taken_by = None;
            return wrote;
        }
        let stuck = self.stuck;
        let taken_by = self.taken_by.get_or_insert_with(|| Box::pin(sleep(stuck)));
        taken_by.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the client has been silent for too long. Else the task is woken when that has to be looked at again.
    fn over(&mut self, context: &mut Context<'_>) -> bool {
        while let Some(look) = &mut self.look
            && look.as_mut().poll(context).is_ready()
        {
            let requests = self.life.requests.load(Ordering::Acquire);
            let silent = requests == self.seen && self.life.open.load(Ordering::Acquire) == 0;
            if silent {
                return true;
            }
            if !self.life.many.load(Ordering::Acquire) {
                // Of HTTP/1: hyper waits for the next headers, and what was upgraded looks after itself.
                self.look = None;
                return false;
            }
            self.seen = requests;
            look.as_mut().reset(Instant::now() + self.idle);
        }
        false
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Patient<IO> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Patient<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.taken(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.taken(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Tells the connection of each request.
#[derive(Debug, Clone)]
pub(super) struct Told<S> {
    service: S,
    life: Arc<Life>,
}

/// A request of HTTP/2 that is not answered to the end.
struct Open(Arc<Life>);

impl Open {
    fn new(life: &Arc<Life>) -> Self {
        life.open.fetch_add(1, Ordering::AcqRel);
        Self(life.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<S, B> Service<Request<B>> for Told<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Of HTTP/1 there is one request at a time and hyper knows when it ends.
        let open = (request.version() == Version::HTTP_2).then(|| Open::new(&self.life));
        self.life.many.fetch_or(open.is_some(), Ordering::AcqRel);
        self.life.requests.fetch_add(1, Ordering::AcqRel);
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(match open {
                Some(open) if !answer.body().is_end_stream() => until_sent(answer, open),
                _ => answer,
            })
        })
    }
}

/// Holds `open` until the whole answer was taken.
fn until_sent(answer: Response, open: Open) -> Response {
    let (mut head, body) = answer.into_parts();
    // A stream does not know its length any more.
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    let body = body.into_data_stream().map(move |part| {
        let _ = &open;
        part
    });
    Response::from_parts(head, Body::from_stream(body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::convert::Infallible;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::timeout,
    };
    use tower::service_fn;

    use super::*;

    const FIRST: Duration = Duration::from_millis(300);
    const QUIET: Duration = Duration::from_millis(100);
    const TAKES: Duration = Duration::from_millis(500);
    /// Much longer than any of them.
    const LONG: Duration = Duration::from_secs(3);

    fn connection() -> (Patient<DuplexStream>, DuplexStream, Arc<Life>) {
        let (ours, theirs) = duplex(64);
        let life = Arc::<Life>::default();
        (Patient::new(ours, life.clone(), (FIRST, QUIET, TAKES), None), theirs, life)
    }

    async fn ask(life: &Arc<Life>, version: Version) -> Response {
        let service = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body::from("whole answer"))));
        let request = Request::builder().version(version).body(()).unwrap();
        Told { service, life: life.clone() }.call(request).await.unwrap()
    }

    #[tokio::test]
    async fn who_never_asks_is_cut_off_however_it_drips() {
        let (mut patient, mut theirs, _) = connection();
        let began = Instant::now();
        let mut drops = tokio::time::interval(FIRST / 20);
        let drip = async {
            loop {
                drops.tick().await;
                let _ = theirs.write_all(b"P").await;
            }
        };
        let read = async {
            let mut into = [0; 8];
            loop {
                match patient.read(&mut into).await {
                    Ok(_) => {}
                    Err(error) => return error.kind(),
                }
            }
        };
        tokio::select! {
            kind = read => assert_eq!(kind, io::ErrorKind::TimedOut),
            () = drip => unreachable!(),
        }
        assert!(began.elapsed() >= FIRST && began.elapsed() < LONG, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn one_request_of_http_1_is_enough_for_what_follows() {
        let (mut patient, _theirs, life) = connection();
        ask(&life, Version::HTTP_11).await;
        assert!(timeout(FIRST * 3, patient.read(&mut [0; 8])).await.is_err(), "a socket that was upgraded is not cut");
    }

    #[tokio::test]
    async fn http_2_without_requests_ends_and_an_answer_under_way_does_not() {
        let (mut patient, _theirs, life) = connection();
        let answer = ask(&life, Version::HTTP_2).await;
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "12");
        assert!(timeout(FIRST * 3, patient.read(&mut [0; 8])).await.is_err(), "an answer is under way");
        assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await.unwrap(), "whole answer");
        let ended = timeout(LONG, patient.read(&mut [0; 8])).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_hung_up_on_and_a_slow_reader_is_not() {
        let (mut patient, mut theirs, life) = connection();
        ask(&life, Version::HTTP_11).await;
        let answer = [7; 1000];
        let mut sips = tokio::time::interval(TAKES / 25);
        let began = Instant::now();
        let slow = async {
            let (mut got, mut sip) = (0, [0; 16]);
            while got < answer.len() {
                sips.tick().await;
                got += theirs.read(&mut sip).await.unwrap();
            }
        };
        let (sent, ()) = tokio::join!(patient.write_all(&answer), slow);
        sent.unwrap();
        assert!(began.elapsed() > TAKES, "it was not slow: {:?}", began.elapsed());
        let began = Instant::now();
        let ended = timeout(LONG, patient.write_all(&answer)).await.expect("it has a place for ever");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= TAKES, "{:?}", began.elapsed());
    }
}
