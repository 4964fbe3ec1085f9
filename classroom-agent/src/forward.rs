//! Asks the name servers above, by UDP and, when the answer was cut, by TCP (RFC 7766).

use std::{net::SocketAddr, time::Duration};

use hickory_server::proto::op::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// A name server has so long for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// The largest answer by UDP that is taken.
const LARGEST: usize = 4096;

/// The first usable answer to `question` (its bytes), from the servers in their order.
pub(crate) async fn ask(question: &[u8], servers: &[SocketAddr]) -> Option<Message> {
    for server in servers {
        let answer = timeout(ANSWER, by_udp(question, *server)).await.ok().flatten();
        match answer {
            Some(answer) if answer.metadata.truncation => {
                if let Some(whole) = timeout(ANSWER, by_tcp(question, *server)).await.ok().flatten() {
                    return Some(whole);
                }
            }
            Some(answer) => return Some(answer),
            None => {}
        }
    }
    None
}

/// Same question, other number: who can't see the question can't guess its answer (RFC 5452).
fn numbered(question: &[u8]) -> Option<(Vec<u8>, u16)> {
    let id = u16::try_from(getrandom::u32().ok()? & 0xffff).ok()?;
    let mut bytes = question.to_vec();
    bytes.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
    Some((bytes, id))
}

async fn by_udp(question: &[u8], server: SocketAddr) -> Option<Message> {
    let (bytes, id) = numbered(question)?;
    let any = if server.is_ipv4() { SocketAddr::from(([0, 0, 0, 0], 0)) } else { SocketAddr::from(([0; 16], 0)) };
    // A socket for each question: another port each time.
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(&bytes).await.ok()?;
    let mut buffer = [0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        if let Some(answer) = fits(&buffer[..length], &bytes, id) {
            return Some(answer);
        }
    }
}

async fn by_tcp(question: &[u8], server: SocketAddr) -> Option<Message> {
    let (bytes, id) = numbered(question)?;
    let mut stream = TcpStream::connect(server).await.ok()?;
    let length = u16::try_from(bytes.len()).ok()?.to_be_bytes();
    stream.write_all(&[&length[..], &bytes].concat()).await.ok()?;
    let length = stream.read_u16().await.ok()?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.ok()?;
    fits(&answer, &bytes, id)
}

/// An answer to this question and no other.
fn fits(answer: &[u8], question: &[u8], id: u16) -> Option<Message> {
    let asked = Message::from_vec(question).ok()?;
    let answer = Message::from_vec(answer).ok()?;
    let same = answer.metadata.id == id
        && answer.metadata.message_type == hickory_server::proto::op::MessageType::Response
        && answer.queries == asked.queries;
    same.then_some(answer)
}
