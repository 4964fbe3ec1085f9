//! What the hub is told: what was refused, and what the school keeps a record of (R-POL-6, R-POL-20).
//!
//! Datagrams to `policy/notices.sock`. While the hub is down they wait here.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use appliance_core::policy::Decision;
use classroom_protocol::{
    Millis,
    policy::{Noted, Notice},
};
use tokio::sync::mpsc;

use super::state::Rules;

/// Notices on their way to the sender; when it is full the newest is counted as lost.
const QUEUE: usize = 4_096;
/// Notices that wait for the hub; when it is full the oldest goes and the loss is told.
const WAITING: usize = 50_000;
/// The same name by the same device for the same reason is told once in this time.
const AGAIN: Duration = Duration::from_secs(60);
/// So many were told lately; when it is full all are forgotten and told again.
const LATELY: usize = 16_384;
/// How often a hub that is away is tried.
const RETRY: Duration = Duration::from_millis(500);

/// Where notices go in.
pub(super) struct Notices {
    queue: mpsc::Sender<Notice>,
    lost: Arc<AtomicU64>,
    lately: Mutex<HashMap<(IpAddr, u64), Instant>>,
}

impl Notices {
    /// The way in and the task that sends.
    pub(super) fn new(socket: PathBuf) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { queue, lost: lost.clone(), lately: Mutex::default() }, send(socket, waiting, lost))
    }

    /// Tells of a decision by `rules`, if it is to be told at all.
    pub(super) fn tell(&self, address: IpAddr, name: &str, decision: &Decision, rules: &Rules, at: Millis) {
        if decision.allow && !decision.record && decision.alert.is_none() {
            return;
        }
        let what = hash(name, decision);
        let now = Instant::now();
        {
            let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
            if lately.get(&(address, what)).is_some_and(|before| now.duration_since(*before) < AGAIN) {
                return;
            }
            if lately.len() >= LATELY {
                lately.clear();
            }
            lately.insert((address, what), now);
        }
        let noted =
            Noted { lesson: rules.lesson().map(str::to_owned), device: rules.device_code(address).map(str::to_owned) };
        let notice = Notice { at, address, name: name.to_owned(), decision: *decision, lost: 0, noted: Some(noted) };
        if self.queue.try_send(notice).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn hash(name: &str, decision: &Decision) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (name, decision.allow, decision.rule).hash(&mut hasher);
    hasher.finish()
}

async fn send(path: PathBuf, mut queue: mpsc::Receiver<Notice>, lost: Arc<AtomicU64>) {
    let Ok(socket) = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket)) else {
        tracing::error!("no socket to tell the hub anything");
        return;
    };
    let mut waiting: VecDeque<Notice> = VecDeque::new();
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = queue.recv() => match next {
                None => return,
                Some(notice) => {
                    if waiting.len() >= WAITING {
                        waiting.pop_front();
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    waiting.push_back(notice);
                    // A hub that is away is tried by the clock, not by each notice.
                    if waiting.len() > 1 {
                        continue;
                    }
                }
            },
            _ = retry.tick(), if !waiting.is_empty() => {}
        }
        while let Some(first) = waiting.front_mut() {
            first.lost = lost.swap(0, Ordering::Relaxed);
            // Every notice has a JSON form.
            let sent = serde_json::to_vec(first).map(|bytes| socket.send_to(&bytes, &path).is_ok()).unwrap_or(true);
            if !sent {
                // The hub is away, or slow: later.
                lost.fetch_add(first.lost, Ordering::Relaxed);
                break;
            }
            waiting.pop_front();
        }
    }
}
