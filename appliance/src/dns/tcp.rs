//! Questions by TCP (RFC 7766): one after the other on a connection, a place for each connection, little patience.
//!
//! hickory's own listener lets in whoever comes: one tablet takes every file that the process may open, and then nobody's
//! names are looked up any more, by UDP neither.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hickory_server::{
    net::{NetError, runtime::TokioTime, xfer::Protocol},
    proto::{rr::Record, serialize::binary::BinEncoder},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponse,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::handler::Handler;
use crate::places::{Doors, Said};

/// The other side has so long for its next whole question, and so long to take an answer (RFC 7766 §6.2.3: a few seconds).
const PATIENCE: Duration = Duration::from_secs(5);
/// The header of every message, in bytes (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// The longest question that is read, in bytes: a name and its type take 260, the rest is for options. Who announces a
/// longer one is hung up on.
const QUESTION: usize = 4096;
/// When no connection can be taken (no file is left), the next is tried after so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers everyone who comes to this listener, until dropped.
pub(super) async fn serve(listener: TcpListener, handler: Handler, doors: Doors) {
    let accept = |context: &mut Context<'_>| {
        listener.poll_accept(context).map_ok(|(stream, peer)| {
            // Each answer goes out at once, whatever is on its way; without it they are only later.
            let _ = stream.set_nodelay(true);
            (stream, peer)
        })
    };
    let_in(accept, handler, doors).await;
}

async fn let_in<S>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, SocketAddr)>>,
    handler: Handler,
    doors: Doors,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut connections, mut said) = (JoinSet::new(), Said::default());
    loop {
        let accepted = tokio::select! {
            accepted = poll_fn(&mut accept) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a place it is hung up on: the stream is dropped.
                let Ok(place) = doors.enter(peer.ip()) else { continue };
                let handler = handler.clone();
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = converse(stream, peer, &handler, PATIENCE).await {
                        tracing::debug!(%peer, %error, "a connection with questions ended");
                    }
                });
            }
            // The other side was quicker.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                if said.again(Instant::now()) {
                    tracing::error!(%error, inside = doors.counts().0, "questions by TCP can't be taken");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one question after the other, until the other side ends or is too slow.
async fn converse<S>(mut stream: S, peer: SocketAddr, handler: &Handler, patience: Duration) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(question) = timeout(patience, next(&mut stream)).await?? {
        let Some(answer) = answer(question, peer, handler).await else { break };
        timeout(patience, stream.write_all(&answer)).await??;
    }
    Ok(())
}

/// The next question behind its length (RFC 1035 §4.2.2); `None` when the other side has ended.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if !(HEADER..=QUESTION).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}

/// The answer behind its length; `None` for what is no question, and when there is none to give.
async fn answer(question: Vec<u8>, peer: SocketAddr, handler: &Handler) -> Option<Vec<u8>> {
    let malformed = malformed(&question)?;
    let Ok(request) = Request::from_bytes(question, peer, Protocol::Tcp) else { return Some(malformed) };
    let reply = Reply::default();
    handler.handle_request::<_, TokioTime>(&request, reply.clone()).await;
    reply.0.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// "Format error" behind its length, for a question that can't be read beyond its header (RFC 1035 §4.1.1): its number,
/// its kind and its wish for recursion come back. `None` for what says itself that it is an answer.
fn malformed(question: &[u8]) -> Option<Vec<u8>> {
    const IS_ANSWER: u8 = 0x80;
    const KIND_AND_RECURSION: u8 = 0x79;
    const FORMAT_ERROR: u8 = 1;
    let [high, low, flags, ..] = *question else { return None };
    let head = [0, 12, high, low, IS_ANSWER | (flags & KIND_AND_RECURSION), FORMAT_ERROR];
    (flags & IS_ANSWER == 0).then(|| head.into_iter().chain([0; 8]).collect())
}

/// Where the handler puts its answer: behind its length, ready to be sent.
#[derive(Clone, Default)]
struct Reply(Arc<Mutex<Option<Vec<u8>>>>);

#[async_trait::async_trait]
impl ResponseHandler for Reply {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut message = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut message);
        encoder.set_max_size(u16::MAX);
        let info = response.destructive_emit(&mut encoder)?;
        let length = u16::try_from(message.len()).map_err(|_| NetError::from("an answer of more than 65,535 bytes"))?;
        let behind = [&length.to_be_bytes()[..], &message].concat();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(behind);
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::{collections::VecDeque, sync::atomic::AtomicUsize, sync::atomic::Ordering};

    use hickory_server::proto::op::{Message, ResponseCode};
    use tokio::{
        io::{DuplexStream, duplex},
        net::TcpStream,
        sync::watch,
    };

    use super::{
        super::{notices::Notices, tests::question},
        *,
    };

    const QUICK: Duration = Duration::from_millis(300);
    /// Much longer than that.
    const LONG: Duration = Duration::from_secs(10);

    /// Answers "not ready": nobody has given it rules.
    fn handler() -> Handler {
        let (notices, _) = Notices::new("/nowhere".into());
        Handler::new(watch::channel(None).1, watch::channel(None).1, watch::channel(Arc::default()).1, notices)
    }

    fn peer() -> SocketAddr {
        "10.0.0.7:40000".parse().unwrap()
    }

    fn conversation(patience: Duration) -> (DuplexStream, tokio::task::JoinHandle<io::Result<()>>) {
        let (theirs, ours) = duplex(1 << 16);
        (theirs, tokio::spawn(async move { converse(ours, peer(), &handler(), patience).await }))
    }

    async fn heard(stream: &mut (impl AsyncRead + Unpin)) -> Message {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        Message::from_vec(&bytes).unwrap()
    }

    #[tokio::test]
    async fn several_questions_on_one_connection_are_answered_in_their_order() {
        let (mut stream, done) = conversation(LONG);
        // Two at once, and one in pieces.
        let both = [question(1, "one.example."), question(2, "two.example.")].concat();
        stream.write_all(&both).await.unwrap();
        for id in [1, 2] {
            let answer = heard(&mut stream).await;
            assert_eq!((answer.metadata.id, answer.metadata.response_code), (id, ResponseCode::ServFail));
            assert_eq!(answer.queries.len(), 1);
        }
        for byte in question(3, "three.example.") {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(heard(&mut stream).await.metadata.id, 3);
        drop(stream);
        timeout(LONG, done).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_said_to_be_so_and_an_answer_is_not_answered() {
        let (mut stream, done) = conversation(LONG);
        // One question is announced and none comes.
        stream.write_all(&[0, 12, 7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let answer = heard(&mut stream).await;
        assert_eq!((answer.metadata.id, answer.metadata.response_code), (0x707, ResponseCode::FormErr));
        assert!(answer.metadata.recursion_desired);
        stream.write_all(&question(8, "still.example.")).await.unwrap();
        assert_eq!(heard(&mut stream).await.metadata.id, 8, "the connection goes on");
        let mut answer = question(9, "reflected.example.");
        answer[4] |= 0x80;
        stream.write_all(&answer).await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "hung up");
        timeout(LONG, done).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_is_silent_drips_or_announces_too_much_is_hung_up_on() {
        let began = Instant::now();
        let (mut silent, done) = conversation(QUICK);
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(done.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= QUICK && began.elapsed() < LONG, "{:?}", began.elapsed());

        let (mut drips, mut done) = conversation(QUICK);
        let mut drops = tokio::time::interval(QUICK / 20);
        let question = question(1, "drip.example.");
        let mut bytes = question.iter().take(question.len() - 1).cycle();
        let ended = loop {
            tokio::select! {
                ended = &mut done => break ended,
                _ = drops.tick() => drop(drips.write_all(&[*bytes.next().unwrap()]).await),
            }
        };
        assert!(ended.unwrap().is_err());

        for length in [0, 11, u16::try_from(QUESTION).unwrap() + 1, u16::MAX] {
            let (mut stream, done) = conversation(LONG);
            stream.write_all(&length.to_be_bytes()).await.unwrap();
            let ended = timeout(LONG / 2, done).await.expect("at once").unwrap();
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
        }
    }

    #[tokio::test]
    async fn who_takes_no_answers_is_hung_up_on() {
        let (mut theirs, ours) = duplex(64);
        let done = tokio::spawn(async move { converse(ours, peer(), &handler(), QUICK).await });
        let many = question(1, "more.example.").repeat(50);
        // It ends before all were taken.
        let _ = timeout(LONG, theirs.write_all(&many)).await.unwrap();
        assert_eq!(timeout(LONG, done).await.unwrap().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn at_the_listener_one_too_many_is_hung_up_on_until_a_place_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, doors) = (listener.local_addr().unwrap(), Doors::default());
        let mut taken: Vec<_> = std::iter::from_fn(|| doors.enter(at.ip()).ok()).collect();
        taken.pop();
        let serving = tokio::spawn(serve(listener, handler(), doors.clone()));
        let mut first = TcpStream::connect(at).await.unwrap();
        first.write_all(&question(1, "in.example.")).await.unwrap();
        assert_eq!(heard(&mut first).await.metadata.id, 1);
        let mut second = TcpStream::connect(at).await.unwrap();
        assert_eq!(timeout(LONG, second.read(&mut [0; 8])).await.unwrap().unwrap(), 0, "hung up at once");
        drop(first);
        let again = async {
            loop {
                let mut stream = TcpStream::connect(at).await.unwrap();
                let asked = stream.write_all(&question(2, "again.example.")).await;
                if asked.is_ok() && stream.read_u16().await.is_ok() {
                    return;
                }
            }
        };
        timeout(LONG, again).await.expect("a place comes back");
        serving.abort();
    }

    #[tokio::test]
    async fn without_a_file_left_it_waits_a_little_and_goes_on() {
        const EMFILE: i32 = 24;
        let (mut theirs, ours) = duplex(1 << 16);
        let mut comes: VecDeque<io::Result<_>> = (0..3).map(|_| Err(io::Error::from_raw_os_error(EMFILE))).collect();
        comes.push_back(Err(io::ErrorKind::ConnectionAborted.into()));
        comes.push_back(Ok((ours, peer())));
        let tries = Arc::new(AtomicUsize::new(0));
        let tried = tries.clone();
        let accept = move |_: &mut Context<'_>| {
            tried.fetch_add(1, Ordering::Relaxed);
            comes.pop_front().map_or(Poll::Pending, Poll::Ready)
        };
        let began = Instant::now();
        let serving = tokio::spawn(let_in(accept, handler(), Doors::default()));
        theirs.write_all(&question(5, "later.example.")).await.unwrap();
        assert_eq!(timeout(LONG, heard(&mut theirs)).await.unwrap().metadata.id, 5);
        assert!(began.elapsed() >= PAUSE * 3, "{:?}", began.elapsed());
        let tries = tries.load(Ordering::Relaxed);
        assert!((5..=8).contains(&tries), "{tries} tries: it does not spin");
        serving.abort();
    }
}
