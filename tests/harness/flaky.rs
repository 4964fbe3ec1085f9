//! A line that breaks: a TCP relay on loopback that cuts, resets, swallows and refuses, in an order that a seed gives.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How a connection that goes silent ends after all: a reset, so that no test waits for a minute.
const SILENT: Duration = Duration::from_millis(300);

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Good,
    /// Reset at once.
    Refused,
    /// Reset after this many bytes of requests.
    CutAfter(usize),
    /// What is asked arrives, the answer does not: the worst one, because nobody knows whether it counts.
    AnswerLost,
    /// After this many bytes nothing arrives any more, then it is reset.
    Silent(usize),
}

/// A running relay. Ends when dropped.
#[derive(Debug)]
pub struct Flaky {
    /// Where to connect.
    pub port: u16,
    healed: Arc<AtomicBool>,
    broken: Arc<AtomicU32>,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Flaky {
    /// Relays to `to`; `seed` decides what happens to which connection.
    pub async fn start(to: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (healed, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mend, count, ear) = (healed.clone(), broken.clone(), heard.clone());
        let task = tokio::spawn(async move {
            let mut state = seed | 1;
            let mut next = move || {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            while let Ok((stream, _)) = listener.accept().await {
                let (die, size) = (next() % 100, usize::try_from(next() % 400_000).unwrap_or(0));
                let fate = match die {
                    _ if mend.load(Relaxed) => Fate::Good,
                    0..40 => Fate::Good,
                    40..50 => Fate::Refused,
                    50..70 => Fate::CutAfter(size),
                    70..85 => Fate::AnswerLost,
                    _ => Fate::Silent(size),
                };
                let (count, ear) = (count.clone(), ear.clone());
                tokio::spawn(async move {
                    if relay(stream, to, fate, &ear).await.unwrap_or(true) {
                        count.fetch_add(1, Relaxed);
                    }
                });
            }
        });
        Ok(Self { port, healed, broken, heard, task })
    }

    /// From now on new connections are good.
    pub fn heal(&self) {
        self.healed.store(true, Relaxed);
    }

    /// Connections that were broken so far.
    pub fn broken(&self) -> u32 {
        self.broken.load(Relaxed)
    }

    /// Whether what clients sent so far holds this text anywhere.
    pub fn heard(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Relays one connection; whether it was broken.
async fn relay(client: TcpStream, to: SocketAddr, fate: Fate, ear: &Mutex<Vec<u8>>) -> Result<bool> {
    // A connection that is dropped with this is reset, not closed.
    client.set_zero_linger()?;
    if matches!(fate, Fate::Refused) {
        return Ok(true);
    }
    let server = TcpStream::connect(to).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let (mut bytes, mut passed) = (vec![0; 16 * 1024], 0);
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return anyhow::Ok(false);
            }
            if let Ok(mut ear) = ear.lock() {
                ear.extend_from_slice(&bytes[..read]);
            }
            passed += read;
            match fate {
                Fate::CutAfter(most) if passed > most => return Ok(true),
                Fate::Silent(most) if passed > most => {
                    tokio::time::sleep(SILENT).await;
                    return Ok(true);
                }
                _ => to_server.write_all(&bytes[..read]).await?,
            }
        }
    };
    let down = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = from_server.read(&mut bytes).await?;
            if read == 0 {
                return anyhow::Ok(false);
            }
            if matches!(fate, Fate::AnswerLost) {
                return Ok(true);
            }
            to_client.write_all(&bytes[..read]).await?;
        }
    };
    tokio::select! {
        broken = up => broken,
        broken = down => broken,
    }
}
