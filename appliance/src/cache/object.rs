//! One object: an address or an upload, its present state, and the one fill that brings its bytes.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use appliance_core::library::{
    kind,
    origin::{Checked, Known, Renewal},
    segments,
};
use bytes::Bytes;
use classroom_protocol::Millis;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

use super::{
    CacheError, Shared, clock_now,
    disk::{Files, Meta},
    fill,
    piece::Memory,
    version::{Piece, Version},
};

/// A reader that gets nothing for this long is told so; its browser asks again.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a refusal the origin is not asked again for this long, however many ask for the object.
const SULK: Duration = Duration::from_secs(5);

/// An object of the library. Held by [`Arc`]; the cache hands out one for each part of an item.
#[derive(Debug)]
pub struct Object {
    pub(super) shared: Arc<Shared>,
    pub(super) item: String,
    pub(super) folder: PathBuf,
    pub(super) part: u32,
    /// Where it comes from; none for an upload.
    pub(super) url: Option<String>,
    /// The media type that it is to have, as far as that is known.
    expected: Option<String>,
    desk: Mutex<Desk>,
    /// Told when someone wants a byte that is missing.
    pub(super) wake: Notify,
    /// Told when there is a state, or a reason why there is none.
    told: watch::Sender<u64>,
    pub(super) fetched: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) current: Option<Arc<Version>>,
    pub(super) filling: bool,
    /// Who waits for the object's first answer, and where they will begin.
    pub(super) hints: Vec<(u64, u64)>,
    next_hint: u64,
    /// The whole object is wanted, whoever reads.
    pub(super) all: bool,
    /// What went wrong last, and whether asking again is of no use for now.
    pub(super) fault: Option<(CacheError, Instant, bool)>,
    /// The item is gone.
    pub(super) removed: bool,
    renewal: Renewal,
}

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Bytes of the whole object, once known.
    pub size: Option<u64>,
    /// Bytes that are there.
    pub have: u64,
    /// Every byte is there.
    pub complete: bool,
    /// Every byte is there and outlives a crash.
    pub kept: bool,
    /// A fill is running.
    pub filling: bool,
    /// What went wrong last.
    pub fault: Option<CacheError>,
}

/// An object whose head is known: what an answer needs.
#[derive(Debug)]
pub struct Opened {
    version: Arc<Version>,
    object: Arc<Object>,
    /// Bytes of the whole object; `None` while the origin has not told.
    pub size: Option<u64>,
    /// Strong tag.
    pub etag: String,
    /// Media type.
    pub content_type: String,
}

impl Object {
    pub(super) fn new(
        shared: Arc<Shared>,
        item: &str,
        part: u32,
        url: Option<String>,
        expected: Option<String>,
        found: Option<Version>,
    ) -> Arc<Self> {
        let folder = shared.folder.join(item);
        let desk = Desk { current: found.map(Arc::new), ..Desk::default() };
        Arc::new(Self {
            shared,
            item: item.to_owned(),
            folder,
            part,
            url,
            expected,
            desk: Mutex::new(desk),
            wake: Notify::new(),
            told: watch::Sender::new(0),
            fetched: AtomicU64::new(0),
        })
    }

    /// Whether an answer of this media type can be the object's content.
    pub(super) fn may_become(&self, content_type: &str) -> bool {
        let current = self.desk().current.as_ref().map(|version| version.lock().meta.content_type.clone());
        let expected = current.or_else(|| self.expected.clone());
        expected.is_none_or(|expected| kind::may_replace(&expected, content_type))
    }

    /// What a former run left of the object. Blocks on the disk.
    pub(super) fn find(folder: &std::path::Path, part: u32) -> Option<Version> {
        let meta = Meta::load(folder, part)?;
        let (files, known) = match Files::open(folder, part, &meta.generation) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), part, "a part of the library can't be read again");
                return None;
            }
        };
        Some(Version::with(files, meta, &known))
    }

    /// Never held across an await.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        let desk = self.desk();
        let (size, have, kept) = desk.current.as_ref().map_or((None, 0, false), |version| {
            let state = version.lock();
            let kept = state.meta.size.is_some_and(|size| state.kept.covers(0, size));
            (state.meta.size, state.have.bytes(), kept)
        });
        let complete = desk.current.as_ref().is_some_and(|version| version.complete());
        let fault = desk.fault.as_ref().filter(|_| !complete).map(|(error, ..)| error.clone());
        Status { size, have, complete, kept, filling: desk.filling, fault }
    }

    /// Bytes that came from the origin since the hub started.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Whether someone reads it now.
    pub fn in_use(&self) -> bool {
        let desk = self.desk();
        !desk.hints.is_empty() || desk.current.as_ref().is_some_and(|version| version.lock().readers > 0)
    }

    /// Wants the whole object, or no longer.
    pub fn want_all(self: &Arc<Self>, all: bool) {
        self.desk().all = all;
        if all {
            self.fill();
        }
        self.wake.notify_one();
    }

    /// Starts the fill if there is none and the object has an origin.
    pub(super) fn fill(self: &Arc<Self>) {
        {
            let mut desk = self.desk();
            let sulks = desk.fault.as_ref().is_some_and(|(_, at, fatal)| *fatal && at.elapsed() < SULK);
            if desk.filling || desk.removed || self.url.is_none() || sulks {
                return;
            }
            desk.filling = true;
        }
        if !self.shared.spawn(fill::run(self.clone())) {
            self.desk().filling = false;
            self.fail(CacheError::Unreachable("too much is being fetched already".into()), true);
        }
    }

    /// Notes what went wrong and tells whoever waits. `fatal`: asking again is of no use for now.
    pub(super) fn fail(&self, error: CacheError, fatal: bool) {
        let current = {
            let mut desk = self.desk();
            desk.fault = Some((error, Instant::now(), fatal));
            desk.current.clone()
        };
        if fatal {
            self.tell();
            if let Some(version) = current {
                version.tell();
            }
        }
    }

    pub(super) fn tell(&self) {
        self.told.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Why nothing will come for now.
    fn fatal(&self) -> Option<CacheError> {
        let desk = self.desk();
        if desk.removed {
            return Some(CacheError::Gone);
        }
        desk.fault.as_ref().filter(|(_, at, fatal)| *fatal && at.elapsed() < SULK).map(|(error, ..)| error.clone())
    }

    /// What was wrong last, for whoever waited in vain.
    fn reason(&self) -> CacheError {
        let desk = self.desk();
        desk.fault.as_ref().map_or(CacheError::Unreachable("no answer".into()), |(error, ..)| error.clone())
    }

    /// Waits until the object's head is known. `at` is where the reader will begin: the fill begins there.
    ///
    /// # Errors
    /// Why there is nothing to serve.
    pub async fn open(self: &Arc<Self>, at: u64) -> Result<Opened, CacheError> {
        let hint = {
            let mut desk = self.desk();
            desk.next_hint += 1;
            let hint = desk.next_hint;
            desk.hints.push((hint, at));
            hint
        };
        let _leaves = Hint { object: self, hint };
        let mut told = self.told.subscribe();
        let until = Instant::now() + PATIENCE;
        loop {
            told.borrow_and_update();
            if let Some(version) = self.desk().current.clone() {
                return Ok(self.opened(version));
            }
            if let Some(error) = self.fatal() {
                return Err(error);
            }
            if self.url.is_none() {
                return Err(CacheError::Gone);
            }
            self.fill();
            self.wake.notify_one();
            if timeout(until.saturating_duration_since(Instant::now()), told.changed()).await.is_err() {
                return Err(self.reason());
            }
        }
    }

    fn opened(self: &Arc<Self>, version: Arc<Version>) -> Opened {
        let (size, content_type) = {
            let state = version.lock();
            (state.meta.size, state.meta.content_type.clone())
        };
        Opened { etag: version.etag(), size, content_type, object: self.clone(), version }
    }

    /// What is known of the object, for the next question to its origin.
    pub(super) fn known(version: &Version) -> Known {
        let state = version.lock();
        Known { size: state.meta.size, validators: state.meta.validators.clone() }
    }

    /// Whether the origin should be asked now if it still has the same.
    pub(super) fn due(&self, now: Millis) -> bool {
        let desk = self.desk();
        self.due_at(&desk, now)
    }

    fn due_at(&self, desk: &Desk, now: Millis) -> bool {
        if !desk.renewal.may_begin(now) {
            return false;
        }
        let Some(version) = desk.current.as_ref().filter(|version| version.complete()) else { return false };
        let state = version.lock();
        self.url.is_some() && Checked { at: state.meta.checked_at, fresh_ms: state.meta.fresh_ms }.due(now)
    }
}

/// The one renewal of an object, until dropped.
#[derive(Debug)]
pub(super) struct Renewing {
    object: Arc<Object>,
    /// The origin was asked and has answered.
    pub(super) well: bool,
}

impl Renewing {
    /// Begins, if the object is due and nobody renews it already.
    pub(super) fn begin(object: &Arc<Object>, now: Millis) -> Option<Self> {
        let mut desk = object.desk();
        let begun = object.due_at(&desk, now) && desk.renewal.begin(now);
        drop(desk);
        begun.then(|| Self { object: object.clone(), well: false })
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.object.desk().renewal.end(clock_now(), self.well);
    }
}

/// Stands in the list of those who wait for the object's first answer, until dropped.
struct Hint<'a> {
    object: &'a Object,
    hint: u64,
}

impl Drop for Hint<'_> {
    fn drop(&mut self) {
        self.object.desk().hints.retain(|(hint, _)| *hint != self.hint);
    }
}

impl Opened {
    /// A reader of `from..to`, without a `to` to the end.
    pub fn reader(&self, from: u64, to: Option<u64>) -> Reader {
        Reader {
            number: self.version.enter(),
            held: self.version.files.data_at_hand(),
            news: self.version.news(),
            version: self.version.clone(),
            object: self.object.clone(),
            at: from,
            end: to.or(self.size).unwrap_or(u64::MAX),
            memory: Memory::default(),
        }
    }

    /// Whether every byte is there already.
    pub fn complete(&self) -> bool {
        self.version.complete()
    }

    /// How many segments it has, for the log.
    pub fn segments(&self) -> Option<u64> {
        self.size.map(segments)
    }
}

/// One reader. Reads what is there, tails the fill, and tells it what it waits for.
#[derive(Debug)]
pub struct Reader {
    version: Arc<Version>,
    object: Arc<Object>,
    number: u64,
    /// Keeps the data open from the first piece that came from the disk on, so that it is read to its end also when another
    /// state takes its place.
    held: Option<Arc<File>>,
    news: watch::Receiver<u64>,
    at: u64,
    end: u64,
    memory: Memory,
}

impl Reader {
    /// The next bytes; `None` at the end. After an error there is nothing more: the answer is cut off, so that nobody takes a
    /// part for the whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, CacheError>> {
        let mut until = Instant::now() + PATIENCE;
        loop {
            self.news.borrow_and_update();
            let size = self.version.lock().meta.size;
            let end = size.map_or(self.end, |size| size.min(self.end));
            if self.at >= end {
                return None;
            }
            let reading = match self.version.piece(self.number, self.at, end) {
                Piece::Here(bytes) => return Some(Ok(self.took(bytes))),
                // What a class reads together lies in the kernel's memory: no thread that may wait needs to be woken for it.
                Piece::OnDisk(length) => match self.version.read_at_hand(self.at, length, &self.memory) {
                    Some(bytes) => {
                        self.held = self.held.take().or_else(|| self.version.files.data_at_hand());
                        return Some(Ok(self.took(bytes)));
                    }
                    None => Some(self.start(length)),
                },
                Piece::Over => return Some(Err(CacheError::Changed)),
                Piece::Missing => None,
            };
            let Some(reading) = reading else {
                self.object.fill();
                self.object.wake.notify_one();
                if let Some(error) = self.object.fatal() {
                    return Some(Err(error));
                }
                if timeout(until.saturating_duration_since(Instant::now()), self.news.changed()).await.is_err() {
                    return Some(Err(self.object.reason()));
                }
                continue;
            };
            match reading.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok((bytes, open)) => {
                    self.held = open;
                    return Some(Ok(self.took(bytes)));
                }
                // What is damaged is fetched again, if it can be.
                Err(error) if error.kind() == io::ErrorKind::InvalidData && self.object.url.is_some() => {
                    until = Instant::now() + PATIENCE;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Some(Err(CacheError::Damaged)),
                Err(error) => return Some(Err(CacheError::Io(error.to_string()))),
            }
        }
    }

    fn start(&self, length: u64) -> JoinHandle<io::Result<(Bytes, Option<Arc<File>>)>> {
        let (version, at, memory) = (self.version.clone(), self.at, self.memory.clone());
        spawn_blocking(move || {
            let open = version.files.data().ok();
            Ok((version.read(at, length, &memory)?, open))
        })
    }

    fn took(&mut self, bytes: Bytes) -> Bytes {
        self.at += bytes.len() as u64;
        bytes
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.version.leave(self.number);
    }
}
