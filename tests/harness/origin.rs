//! A web server far away, as slow and as unreliable as a test wants it: ranges, validators, a limited line for all of its
//! connections together, cuts in the middle, redirects. Speaks HTTP/1.1 by hand, so that it can also misbehave.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::ports;

/// Bytes that are sent at once.
const PIECE: usize = 32 * 1024;

/// Something that the server has.
#[derive(Debug, Clone, Default)]
pub struct Thing {
    /// Its bytes.
    pub body: Bytes,
    /// `ETag`, with its quotes; none is sent if empty.
    pub etag: String,
    /// `Content-Type`.
    pub kind: String,
    /// Further headers, each with its line end.
    pub headers: String,
    /// Ignores `Range`.
    pub no_ranges: bool,
    /// Sends no `Content-Length` and closes the connection at the end.
    pub no_length: bool,
    /// Sends the reader to this address instead.
    pub redirect: Option<String>,
}

/// The running server. Ends when dropped.
#[derive(Debug)]
pub struct Origin {
    /// Its port on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    things: Mutex<HashMap<String, Thing>>,
    asked: Mutex<Vec<String>>,
    sent: AtomicU64,
    /// Bytes a second of all connections together; 0: as fast as it goes.
    rate: AtomicU64,
    free_at: Mutex<Option<Instant>>,
    down: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self> {
        let port = ports::free()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                // Ends with its connection; what it has to say is in `asked` and `sent`.
                drop(tokio::spawn(async move { drop(serve(stream, shared).await) }));
            }
        });
        Ok(Self { port, shared, task })
    }

    /// Its name with the port, as `[library] private_hosts` wants it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// Puts something there, or another in its place.
    pub fn put(&self, path: &str, thing: Thing) {
        lock(&self.shared.things).insert(path.into(), thing);
    }

    /// Puts bytes there with a tag.
    pub fn put_bytes(&self, path: &str, body: Bytes, etag: &str) {
        let kind = "application/octet-stream".into();
        self.put(path, Thing { body, etag: etag.into(), kind, ..Thing::default() });
    }

    /// Puts every file of a folder under `path`.
    pub fn put_folder(&self, path: &str, folder: &std::path::Path) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            self.put_bytes(&format!("{path}/{name}"), std::fs::read(entry.path())?.into(), &format!("\"{name}\""));
        }
        Ok(())
    }

    /// Limits the line to so many bytes a second, 0 for none.
    pub fn limit(&self, rate: u64) {
        self.shared.rate.store(rate, Ordering::Relaxed);
        *lock(&self.shared.free_at) = None;
    }

    /// Bytes of bodies that it has sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Cuts every connection and takes no more, or is back.
    pub fn down(&self, down: bool) {
        self.shared.down.store(down, Ordering::Relaxed);
    }

    /// What it was asked so far: method, path and range of each request.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Bytes that are the same for the same seed and differ everywhere: a byte in a wrong place is seen.
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(length);
    out.into()
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(first) = lines.next_line().await? {
        let mut headers = HashMap::new();
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        if shared.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().context("method")?, words.next().context("path")?);
        let header = |name: &str| headers.get(name).map(String::as_str);
        lock(&shared.asked).push(format!("{method} {path} {}", header("range").unwrap_or("-")));
        let thing = lock(&shared.things).get(path).cloned();
        let Some(thing) = thing else {
            write.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
            continue;
        };
        let closes = answer(&mut write, method, &headers, &thing, &shared).await?;
        if closes {
            return Ok(());
        }
    }
    Ok(())
}

async fn answer(
    write: &mut tokio::net::tcp::OwnedWriteHalf,
    method: &str,
    headers: &HashMap<String, String>,
    thing: &Thing,
    shared: &Shared,
) -> Result<bool> {
    let header = |name: &str| headers.get(name).map(String::as_str);
    if let Some(place) = &thing.redirect {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
        write.write_all(head.as_bytes()).await?;
        return Ok(false);
    }
    let size = thing.body.len();
    let etag = if thing.etag.is_empty() { String::new() } else { format!("ETag: {}\r\n", thing.etag) };
    if header("if-none-match").is_some_and(|tag| tag == thing.etag) {
        write.write_all(format!("HTTP/1.1 304 Not Modified\r\n{etag}\r\n").as_bytes()).await?;
        return Ok(false);
    }
    let range =
        header("range").filter(|_| !thing.no_ranges).filter(|_| header("if-range").is_none_or(|tag| tag == thing.etag));
    let range = range.and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let from: usize = from.parse().ok()?;
        let to = if to.is_empty() { size } else { to.parse::<usize>().ok()?.saturating_add(1).min(size) };
        Some((from, to))
    });
    let (from, to) = range.unwrap_or((0, size));
    let kind = format!("Content-Type: {}\r\nAccept-Ranges: bytes\r\n{etag}{}", thing.kind, thing.headers);
    if from >= to && size > 0 {
        let head =
            format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n");
        write.write_all(head.as_bytes()).await?;
        return Ok(false);
    }
    let head = match range {
        Some(_) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\nContent-Length: {}\r\n{kind}\r\n",
            to - 1,
            to - from
        ),
        None if thing.no_length => format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{kind}\r\n"),
        None => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{kind}\r\n"),
    };
    write.write_all(head.as_bytes()).await?;
    if method == "HEAD" {
        return Ok(false);
    }
    for piece in thing.body.slice(from..to).chunks(PIECE) {
        if let Some(turn) = turn(shared, piece.len()) {
            sleep_until(turn).await;
        }
        if shared.down.load(Ordering::Relaxed) {
            return Ok(true);
        }
        write.write_all(piece).await?;
        shared.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(thing.no_length)
}

/// When these bytes may go over the line, if it is limited.
fn turn(shared: &Shared, bytes: usize) -> Option<Instant> {
    let rate = shared.rate.load(Ordering::Relaxed);
    if rate == 0 {
        return None;
    }
    let mut free = lock(&shared.free_at);
    let now = Instant::now();
    // A line that was idle gains nothing, except what a timer of milliseconds costs.
    let start = free.unwrap_or(now).max(now - Duration::from_millis(5));
    let end = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
    *free = Some(end);
    Some(end)
}
