//! The resolver as one piece, on the loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use appliance_core::policy::{Document, Snapshot};
use hickory_server::proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{RecordType, rdata::opt::EdnsOption},
};
use tokio::time::timeout;

use super::*;

/// Long enough for a slow machine.
const LONG: Duration = Duration::from_secs(20);
/// Nobody is asked and waited for.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A question for addresses behind its length (RFC 1035 §4.2.2), by who speaks EDNS.
pub(super) fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.parse().unwrap(), RecordType::A));
    message.set_edns(Edns::new());
    let bytes = message.to_vec().unwrap();
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

/// What the hub would have written for an empty room with the standard rules.
fn write_snapshot(folder: &Path) {
    let snapshot = Snapshot {
        schema: Snapshot::SCHEMA,
        written_at: 0,
        names: vec!["room501.school.example".into()],
        addresses: vec!["10.0.0.1".parse().unwrap()],
        lesson: None,
        register_in_use: false,
        devices: vec![],
        document: Document::standard().unwrap(),
    };
    std::fs::write(folder.join("snapshot.json"), serde_json::to_vec(&snapshot).unwrap()).unwrap();
}

/// The code of the answer and its extended error (RFC 8914), as the box's own programs are answered.
fn ask(at: SocketAddr, name: &str) -> (ResponseCode, Option<u16>) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(&question(1, name)).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes).unwrap();
    let answer = Message::from_vec(&bytes).unwrap();
    let told = answer.edns.as_ref().and_then(|edns| {
        edns.options().as_ref().iter().find_map(|(_, option)| match option {
            EdnsOption::Unknown(15, bytes) => Some(u16::from_be_bytes([bytes[0], bytes[1]])),
            _ => None,
        })
    });
    (answer.metadata.response_code, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_no_name_server_but_itself_goes_on_and_says_so_at_once() {
    const NOT_READY: u16 = 14;
    const NO_REACHABLE_AUTHORITY: u16 = 22;
    let folder = tempfile::tempdir().unwrap();
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (by_udp, at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let resolver = Resolver::start(Settings {
        folder: folder.path().into(),
        upstream: vec![by_udp, at],
        udp: vec![udp],
        tcp: vec![tcp],
    })
    .unwrap();
    let before = tokio::task::spawn_blocking(move || ask(at, "outside.example.")).await.unwrap();
    assert_eq!(before, (ResponseCode::ServFail, Some(NOT_READY)));
    write_snapshot(folder.path());
    let ready = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        while ask(at, "outside.example.").1 == Some(NOT_READY) {
            assert!(began.elapsed() < LONG, "the rules do not come");
        }
        let began = Instant::now();
        (ask(at, "outside.example."), ask(at, "room501.school.example."), began.elapsed())
    });
    let (outside, own, took) = timeout(LONG * 2, ready).await.unwrap().unwrap();
    assert_eq!(outside, (ResponseCode::ServFail, Some(NO_REACHABLE_AUTHORITY)));
    assert_eq!(own, (ResponseCode::NoError, None), "what the box knows itself is answered");
    assert!(took < AT_ONCE, "{took:?}");
    resolver.stop().await;
}

#[tokio::test]
async fn there_are_no_rules_before_the_lists_were_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lists")).unwrap();
    std::fs::write(folder.path().join("lists/games.hosts"), "0.0.0.0 listed.example\n").unwrap();
    write_snapshot(folder.path());
    for copies in [Copies::Elsewhere, Copies::Kept] {
        let (mut rules, follow) = rules(folder.path().into(), copies).unwrap();
        let following = tokio::spawn(follow);
        let first = timeout(LONG, rules.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
        let told: Vec<_> = first.lists().into_iter().map(|list| (list.file, list.names)).collect();
        assert_eq!(told, [("games.hosts".to_owned(), 1)], "the very first rules, {copies:?}");
        following.abort();
    }
}

#[tokio::test]
async fn a_room_without_lists_has_its_rules_and_a_list_that_comes_later_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut rules, follow) = rules(folder.path().into(), Copies::Kept).unwrap();
    let following = tokio::spawn(follow);
    write_snapshot(folder.path());
    timeout(LONG, rules.wait_for(Option::is_some)).await.unwrap().unwrap();
    std::fs::create_dir(folder.path().join("lists")).unwrap();
    std::fs::write(folder.path().join("lists/games.hosts"), "0.0.0.0 listed.example\n").unwrap();
    let closes = |rules: &Option<Arc<Rules>>| rules.as_ref().is_some_and(|rules| rules.lists().len() == 1);
    timeout(LONG, rules.wait_for(closes)).await.unwrap().unwrap();
    let kept = folder.path().join("good/games.hosts");
    let copied = async {
        while !kept.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, copied).await.expect("a copy for after a restart");
    following.abort();
}
