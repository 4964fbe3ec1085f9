//! The threads of the store. The writer takes what waits in its queue, up to [`GROUP`] pieces of work, into one
//! transaction and acknowledges all of them after the one `fsync`: while the disk is busy with a group the next one
//! gathers, so many small writes cost few syncs and a single one is not made to wait.

use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::StoreError;

/// Pieces of work that may wait. When it is full the disk is stuck: callers are told [`StoreError::Busy`], and those who
/// may not lose anything wait.
const CAPACITY: usize = 1024;

/// Most pieces of work in one transaction.
const GROUP: usize = 64;

/// Called with the fate of the group; answers the caller.
pub(super) type Ack = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One piece of work: is given the database, or why there is none. Says whether it failed by itself and how to answer.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (Option<StoreError>, Ack) + Send>;

enum Message {
    Work(Job),
    Stop,
}

/// Where work is put.
#[derive(Debug, Clone)]
pub(super) struct Queue(mpsc::Sender<Message>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Work(_) => "Work",
            Self::Stop => "Stop",
        })
    }
}

impl Queue {
    pub(super) fn push(&self, job: Job) -> Result<(), StoreError> {
        self.0.try_send(Message::Work(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    /// Waits for room in the queue.
    pub(super) async fn push_patiently(&self, job: Job) -> Result<(), StoreError> {
        self.0.send(Message::Work(job)).await.map_err(|_| StoreError::Closed)
    }
}

/// Owner of one thread.
#[derive(Debug)]
pub(super) struct Worker {
    queue: Queue,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Lets the thread finish what waits, then waits for its end.
    pub(super) fn stop(self) {
        // A thread that has ended already needs no message.
        let _ = self.queue.0.blocking_send(Message::Stop);
        if self.thread.join().is_err() {
            tracing::error!("a thread of the store has panicked");
        }
    }
}

pub(super) fn start_writer(db: Connection) -> Result<(Queue, Worker), StoreError> {
    start("store-write", move |mut messages| {
        let mut stop = false;
        while !stop {
            let (group, stopped) = gather(&mut messages);
            stop = stopped;
            write_group(&db, group);
        }
        // Small journal, quick start next time. A failure costs only that.
        if let Err(error) = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the journal could not be folded in");
        }
    })
}

pub(super) fn start_reader(db: Connection) -> Result<(Queue, Worker), StoreError> {
    start("store-read", move |mut messages| {
        while let Some(Message::Work(job)) = messages.blocking_recv() {
            // One snapshot for all queries of the work.
            let begun = db.execute_batch("BEGIN").map_err(StoreError::from);
            let (_, ack) = job(begun.map(|()| &db));
            if !db.is_autocommit()
                && let Err(error) = db.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "the reader could not end its transaction");
            }
            ack(Ok(()));
        }
    })
}

fn start(
    name: &str,
    body: impl FnOnce(mpsc::Receiver<Message>) + Send + 'static,
) -> Result<(Queue, Worker), StoreError> {
    let (sender, messages) = mpsc::channel(CAPACITY);
    let queue = Queue(sender);
    let thread = Builder::new().name(name.into()).spawn(move || body(messages));
    let thread = thread.map_err(|e| StoreError::File(format!("no thread for {name}: {e}")))?;
    Ok((queue.clone(), Worker { queue, thread }))
}

/// Waits for work, then takes what else is there. The flag says that the thread shall end after it.
fn gather(messages: &mut mpsc::Receiver<Message>) -> (Vec<Job>, bool) {
    let mut group = Vec::new();
    match messages.blocking_recv() {
        Some(Message::Work(job)) => group.push(job),
        Some(Message::Stop) | None => return (group, true),
    }
    while group.len() < GROUP {
        match messages.try_recv() {
            Ok(Message::Work(job)) => group.push(job),
            Ok(Message::Stop) => return (group, true),
            Err(_) => break,
        }
    }
    (group, false)
}

fn write_group(db: &Connection, group: Vec<Job>) {
    if group.is_empty() {
        return;
    }
    let mut acks = Vec::with_capacity(group.len());
    let mut fate = db.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
    for job in group {
        let savepoint = fate.clone().and_then(|()| Ok(db.execute_batch("SAVEPOINT job")?));
        let (failed, ack) = job(savepoint.clone().map(|()| db));
        acks.push(ack);
        if fate.is_err() {
            continue;
        }
        // A full disk makes SQLite roll back the whole transaction: then all of the group have failed.
        if db.is_autocommit() {
            fate = Err(failed.unwrap_or(StoreError::DiskFull));
        } else {
            let end = if failed.is_some() { "ROLLBACK TO job; RELEASE job" } else { "RELEASE job" };
            fate = savepoint.and_then(|()| Ok(db.execute_batch(end)?));
        }
    }
    if fate.is_ok() {
        fate = db.execute_batch("COMMIT").map_err(StoreError::from);
    }
    if let Err(error) = &fate {
        tracing::error!(%error, lost = acks.len(), "the store could not keep what was asked");
        if !db.is_autocommit()
            && let Err(error) = db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed write could not be rolled back");
        }
    }
    for ack in acks {
        ack(fate.clone());
    }
}
