//! The client against a server that answers as it is told.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};

use super::*;

/// Serves one connection with `answer` and gives back what it was sent.
fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/xapi/", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        while !request.ends_with(b"]") {
            let read = stream.read(&mut part).unwrap();
            assert_ne!(read, 0);
            request.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, served)
}

async fn one(answer: &'static str) -> (Outcome, String) {
    let (address, served) = server(answer);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "box:secret\n").unwrap();
    let client = Client::new(&address, Some(secret.path()), None).unwrap();
    let outcome = client.send([&b"{\"a\":1}"[..], b"{\"b\":2}"].into_iter()).await;
    (outcome, served.join().unwrap())
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let (outcome, request) = one("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
    assert_eq!(outcome, Outcome { answer: Answer::Accepted, reason: String::new() });
    let lower = request.to_lowercase();
    assert!(lower.starts_with("post /xapi/statements http/1.1"), "{request}");
    assert!(lower.contains("x-experience-api-version: 1.0.3") && lower.contains("content-type: application/json"));
    assert!(request.contains("Basic Ym94OnNlY3JldA==") && request.ends_with("[{\"a\":1},{\"b\":2}]"), "{request}");
}

#[tokio::test]
async fn every_answer_has_its_meaning_and_its_reason() {
    for (answer, expected, told) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Answer::Accepted, ""),
        ("HTTP/1.1 409 Conflict\r\ncontent-length: 5\r\n\r\nother", Answer::Refused(409), "409 Conflict: other"),
        ("HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n", Answer::TooLarge, "413"),
        (
            "HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            Answer::NotNow { status: 429, retry_after: Some(7_000) },
            "429",
        ),
        (
            "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            Answer::NotNow { status: 302, retry_after: None },
            "302",
        ),
        ("", Answer::Silence, ""),
        ("HTTP/1.1 20", Answer::Silence, ""),
    ] {
        let (outcome, _) = one(answer).await;
        assert_eq!(outcome.answer, expected, "{answer}");
        assert!(outcome.reason.contains(told), "{}", outcome.reason);
    }
}

#[tokio::test]
async fn nobody_there_is_silence_and_wrong_files_are_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{closed}"), None, None).unwrap();
    let outcome = client.send(std::iter::once(&b"{}"[..])).await;
    assert_eq!(outcome.answer, Answer::Silence);
    assert!(outcome.reason.contains("refused"), "{}", outcome.reason);
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Client::new("https://x", Some(file.path()), None).unwrap_err().to_string();
    assert!(error.contains("credentials_file") && error.contains("user:password"), "{error}");
    let error = Client::new("https://x", None, Some(Path::new("/nowhere/ca.pem"))).unwrap_err().to_string();
    assert!(error.contains("ca_file /nowhere/ca.pem"), "{error}");
    assert!(matches!(Client::new("lrs.example", None, None), Err(UpstreamError::Address(_))));
}
