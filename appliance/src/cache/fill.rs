//! The one fill of an object: asks the origin for what the core's plan says, writes it down, tells the readers, vouches for
//! whole segments. It belongs to no reader, so none can take it along by going away.

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use appliance_core::library::{
    address::Refused,
    origin::{Meaning, Validators, meaning},
    plan::{self, Head, Situation, Step},
};
use bytes::{Bytes, BytesMut};
use http::Method;
use reqwest::Response;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};

use super::{
    CacheError, clock_now,
    disk::{Files, Meta},
    object::{Desk, Object},
    origin::{self, Answered, Question},
    random_name,
    version::Version,
};

/// Bytes that are written at once; less when the origin has sent less.
const GATHER: usize = 256 * 1024;
/// Bytes are gathered for so long at most, counted from the last write: a whole class that reads along is woken for a good
/// piece, not for every packet.
const GATHER_FOR: Duration = Duration::from_millis(8);
/// Segments are vouched for when so many bytes have come, or so much time has passed.
const SEAL_BYTES: u64 = 8 << 20;
const SEAL_AFTER: Duration = Duration::from_secs(2);
/// After its last reader has left, an object that nobody has pinned is fetched on for so long: browsers let go of an answer
/// and ask for the next one at once.
const LINGER: Duration = Duration::from_secs(3);
/// While nobody waits, a dead origin is tried again after this long.
const BACKGROUND_PAUSE: Duration = Duration::from_secs(30);

/// Room is asked for in steps of this many bytes when nobody has told how many will come.
pub(super) const RESERVE: u64 = 8 << 20;

struct Connection {
    body: Response,
    head: Head,
    to: Option<u64>,
}

struct Fill {
    object: Arc<Object>,
    connection: Option<Connection>,
    failures: u32,
    /// Keeps the data open that is being written.
    open: Option<Arc<File>>,
    sealing: Option<JoinHandle<()>>,
    unsealed: u64,
    sealed_at: Instant,
    written_at: Instant,
    /// Where the last connection ended.
    last: u64,
    /// Bytes that room was asked for, while the size is not known.
    reserved: u64,
}

/// Fills `object` until it is whole or nobody wants more of it.
pub(super) async fn run(object: Arc<Object>) {
    let mut fill = Fill {
        object: object.clone(),
        connection: None,
        failures: 0,
        open: None,
        sealing: None,
        unsealed: 0,
        sealed_at: Instant::now(),
        written_at: Instant::now(),
        last: 0,
        reserved: 0,
    };
    loop {
        if fill.step().await.is_break() {
            fill.settle().await;
            let mut desk = object.desk();
            // Someone may have come in the meantime.
            if desk.removed || !wanted(&desk) {
                desk.filling = false;
                break;
            }
        }
    }
    object.shared.ended.notify_one();
}

/// Whether there is something to do.
fn wanted(desk: &Desk) -> bool {
    if desk.fault.as_ref().is_some_and(|(_, _, fatal)| *fatal) {
        return false;
    }
    match &desk.current {
        None => desk.all || !desk.hints.is_empty(),
        Some(version) => !matches!(situation(version, None, 0, desk.all), Step::Done | Step::Rest),
    }
}

fn situation(version: &Version, head: Option<Head>, last: u64, all: bool) -> Step {
    let state = version.lock();
    let lingers = state.left_at.is_some_and(|at| at.elapsed() < LINGER) && head.is_some();
    let waiting: Vec<u64> = state.waiting.iter().map(|(_, at)| *at).collect();
    plan::next(&Situation {
        have: &state.have,
        size: state.meta.size,
        head,
        waiting: &waiting,
        readers: state.readers,
        read: state.readers > 0 || lingers,
        last,
        all,
    })
}

impl Fill {
    async fn step(&mut self) -> ControlFlow<()> {
        let (current, all, hint) = {
            let desk = self.object.desk();
            if desk.removed {
                return ControlFlow::Break(());
            }
            (desk.current.clone(), desk.all, desk.hints.first().map(|(_, at)| *at))
        };
        let step = match &current {
            Some(version) => {
                situation(version, self.connection.as_ref().map(|connection| connection.head), self.last, all)
            }
            None if all || hint.is_some() => Step::Fetch { from: hint.unwrap_or(0), to: None },
            None => Step::Rest,
        };
        match step {
            Step::Done | Step::Rest => {
                self.connection = None;
                ControlFlow::Break(())
            }
            Step::Fetch { from, to } => {
                self.connection = None;
                match self.connect(current, from, to).await {
                    Ok(()) => ControlFlow::Continue(()),
                    Err((error, fatal)) => self.failed(error, fatal).await,
                }
            }
            Step::GoOn => match current {
                Some(version) => self.read(&version).await,
                None => ControlFlow::Break(()),
            },
        }
    }

    /// Tells, and waits before the next try.
    async fn failed(&mut self, error: CacheError, fatal: bool) -> ControlFlow<()> {
        self.connection = None;
        tracing::warn!(%error, item = self.object.item, part = self.object.part, fatal, "the library's origin");
        self.object.fail(error, fatal);
        if fatal {
            return ControlFlow::Break(());
        }
        let pause = Duration::from_millis(plan::pause_ms(self.failures));
        self.failures = self.failures.saturating_add(1);
        sleep(pause).await;
        if !self.someone_waits() {
            // Who comes meanwhile wakes it.
            let _ = tokio::time::timeout(BACKGROUND_PAUSE, self.object.wake.notified()).await;
        }
        ControlFlow::Continue(())
    }

    fn someone_waits(&self) -> bool {
        let desk = self.object.desk();
        !desk.hints.is_empty() || desk.current.as_ref().is_some_and(|version| !version.lock().waiting.is_empty())
    }

    async fn connect(
        &mut self,
        current: Option<Arc<Version>>,
        from: u64,
        to: Option<u64>,
    ) -> Result<(), (CacheError, bool)> {
        let Some(url) = self.object.url.clone() else { return Err((CacheError::Gone, true)) };
        let mut current = current;
        if let Some(version) = &current
            && (from > 0 || to.is_some())
            && Object::known(version).validators.strong().is_none()
        {
            // Nothing proves that the rest belongs to what is there.
            self.supersede(version);
            current = None;
        }
        let known = current.as_ref().map(|version| Object::known(version));
        let if_range = known.as_ref().and_then(|known| known.validators.strong());
        let start = if current.is_some() || known.is_none() { from } else { 0 };
        let (range, asked) = if start == 0 && to.is_none() { (None, 0) } else { (Some((start, to)), start) };
        let question = Question { range, if_range: if_range.filter(|_| range.is_some()), ..Question::default() };
        let mut answered = self.ask(&url, &question).await?;
        let (mut range, mut asked) = (range, asked);
        let proved = answered.answer.validators.strong().is_some();
        if known.is_none() && range.is_some() && (answered.answer.status == 416 || !proved) {
            // Behind the end, or a piece that nothing could be joined to: from the start then.
            (range, asked) = (None, 0);
            answered = self.ask(&url, &Question::default()).await?;
        }
        let meaning = meaning(&answered.answer, asked, known.as_ref());
        let begins = matches!(meaning, Meaning::Changed { usable: true, .. })
            || (current.is_none() && matches!(meaning, Meaning::Body { .. }));
        if begins && !self.object.may_become(&answered.content_type) {
            return Err((CacheError::Page, false));
        }
        match meaning {
            Meaning::Body { from: begins, to, size } => {
                let unmovable = range.is_some() && answered.answer.status == 200;
                match current {
                    Some(version) => {
                        let movable = {
                            let mut state = version.lock();
                            state.unmovable |= unmovable;
                            !state.unmovable
                        };
                        self.take_up(answered, begins, to, movable);
                    }
                    None => self.begin(answered, begins, to, size, unmovable).await?,
                }
                Ok(())
            }
            Meaning::Changed { usable, size } => {
                if let Some(version) = &current {
                    self.supersede(version);
                }
                if usable {
                    self.begin(answered, 0, size, size, false).await?;
                }
                Ok(())
            }
            Meaning::Same => Err((CacheError::Origin(304), false)),
            Meaning::Refused(status) => Err((CacheError::Origin(status), true)),
            Meaning::Later(status) => Err((CacheError::Origin(status), false)),
        }
    }

    async fn ask(&self, url: &str, question: &Question<'_>) -> Result<Answered, (CacheError, bool)> {
        self.object.shared.origins.ask(Method::GET, url, question).await.map_err(|error| {
            // A network's sign-in page may lead every name to itself for a while.
            let fatal = !matches!(error, CacheError::Unreachable(_) | CacheError::Refused(Refused::NotPublic));
            (error, fatal)
        })
    }

    fn take_up(&mut self, answered: Answered, from: u64, to: Option<u64>, movable: bool) {
        let head = Head { at: from, brought: 0, movable };
        self.connection = Some(Connection { body: answered.body, head, to });
    }

    /// The old state gets no byte any more; its readers are cut off where it ends.
    fn supersede(&self, version: &Arc<Version>) {
        self.object.desk().current = None;
        version.end();
        version.files.doom(true);
    }

    /// A new state begins with this answer.
    async fn begin(
        &mut self,
        answered: Answered,
        from: u64,
        to: Option<u64>,
        size: Option<u64>,
        unmovable: bool,
    ) -> Result<(), (CacheError, bool)> {
        self.reserved = 0;
        let (version, open) = make(&self.object, &answered, size).await.map_err(|error| (error, true))?;
        self.open = Some(open);
        // Without a strong validator bytes of two answers can't be joined: one connection from start to end.
        let movable = !unmovable && answered.answer.validators.strong().is_some();
        version.lock().unmovable = !movable;
        {
            let mut desk = self.object.desk();
            desk.current = Some(version);
            desk.fault = None;
        }
        self.object.tell();
        self.take_up(answered, from, to, movable);
        Ok(())
    }

    async fn read(&mut self, version: &Arc<Version>) -> ControlFlow<()> {
        let Some(connection) = &mut self.connection else { return ControlFlow::Continue(()) };
        let first = tokio::select! {
            biased;
            () = self.object.wake.notified() => return ControlFlow::Continue(()),
            chunk = connection.body.chunk() => chunk,
        };
        let (mut bytes, mut ended, mut broken) = (BytesMut::new(), false, None);
        let mut next = Some(first);
        // What has come is written in one go.
        while let Some(chunk) = next.take() {
            match chunk {
                Ok(Some(chunk)) => {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() < GATHER {
                        let until = self.written_at + GATHER_FOR;
                        next = timeout_at(until, connection.body.chunk()).await.ok();
                    }
                }
                Ok(None) => ended = true,
                Err(error) => broken = Some(origin::plain(&error)),
            }
        }
        let bytes = bytes.freeze();
        let at = connection.head.at;
        let bytes = match connection.to {
            Some(to) if at + bytes.len() as u64 >= to => {
                ended = true;
                bytes.slice(..usize::try_from(to - at).unwrap_or(0).min(bytes.len()))
            }
            _ => bytes,
        };
        connection.head.at += bytes.len() as u64;
        connection.head.brought += bytes.len() as u64;
        let (reached, to) = (connection.head.at, connection.to);
        self.last = reached;
        if !bytes.is_empty()
            && let Err(error) = self.keep(version, at, bytes).await
        {
            return self.failed(error, true).await;
        }
        if ended {
            self.connection = None;
            if to.is_some_and(|to| reached < to) {
                broken = Some("the answer was cut short".into());
            } else if let Err(error) = self.learn_size(version, reached).await {
                return self.failed(error, true).await;
            }
        }
        match broken {
            Some(reason) => self.failed(CacheError::Unreachable(reason), false).await,
            None => ControlFlow::Continue(()),
        }
    }

    /// The end of an answer without a length is the end of the object.
    async fn learn_size(&self, version: &Arc<Version>, reached: u64) -> Result<(), CacheError> {
        let meta = {
            let mut state = version.lock();
            if state.meta.size.is_some() {
                return Ok(());
            }
            state.meta.size = Some(reached);
            state.meta.clone()
        };
        version.tell();
        self.object.shared.took(&self.object.item, self.object.part, reached);
        let (folder, part) = (self.object.folder.clone(), self.object.part);
        blocking(move || meta.save(&folder, part)).await
    }

    async fn keep(&mut self, version: &Arc<Version>, at: u64, bytes: Bytes) -> Result<(), CacheError> {
        let came = bytes.len() as u64;
        self.object.fetched.fetch_add(came, Ordering::Relaxed);
        let (gap, _) = version.lock().have.gap(at);
        if gap >= at + came {
            return Ok(());
        }
        let end = at + came;
        if end > self.reserved && version.lock().meta.size.is_none() {
            let (item, part) = (&self.object.item, self.object.part);
            self.object.shared.room_for(item, end + RESERVE - self.reserved)?;
            self.reserved = end + RESERVE;
            self.object.shared.took(item, part, self.reserved);
        }
        let bytes = bytes.slice(usize::try_from(gap - at).unwrap_or(0)..);
        let (written, to) = (bytes.clone(), version.clone());
        let written = blocking(move || {
            let open = to.files.data()?;
            to.files.write(gap, &written)?;
            Ok(open)
        });
        self.open = Some(written.await?);
        self.unsealed += bytes.len() as u64;
        self.written_at = Instant::now();
        version.add(gap, bytes);
        self.failures = 0;
        self.object.desk().fault = None;
        if self.unsealed >= SEAL_BYTES || self.sealed_at.elapsed() >= SEAL_AFTER {
            self.seal(version);
        }
        Ok(())
    }

    /// Vouches for what is whole, beside the fill. One at a time: while the disk is busy more gathers.
    fn seal(&mut self, version: &Arc<Version>) {
        if self.sealing.as_ref().is_some_and(|sealing| !sealing.is_finished()) {
            return;
        }
        (self.unsealed, self.sealed_at) = (0, Instant::now());
        let version = version.clone();
        self.sealing = Some(spawn_blocking(move || seal(&version)));
    }

    /// The fill stops for now: what is whole is vouched for.
    async fn settle(&mut self) {
        if let Some(sealing) = self.sealing.take() {
            drop(sealing.await);
        }
        let current = self.object.desk().current.clone();
        if let Some(version) = current {
            let sealed = version.clone();
            drop(spawn_blocking(move || seal(&sealed)).await);
            version.forget_tail();
        }
    }
}

/// Vouches for the whole segments of a state. Blocks on the disk.
pub(super) fn seal(version: &Version) {
    let (indexes, size) = version.take_unsealed();
    if indexes.is_empty() {
        return;
    }
    if let Err(error) = version.files.seal(&indexes, size) {
        // They are served now and fetched again after a restart.
        tracing::error!(%error, "segments of the library could not be kept for the next start");
        version.unseal(&indexes);
        return;
    }
    version.kept(&indexes);
}

/// Makes the files of a new state for this answer, if there is room and the origin allows copies.
async fn make(
    object: &Arc<Object>,
    answered: &Answered,
    size: Option<u64>,
) -> Result<(Arc<Version>, Arc<File>), CacheError> {
    if !answered.may_store {
        return Err(CacheError::Forbidden);
    }
    object.shared.room_for(&object.item, size.unwrap_or(0))?;
    let meta = Meta {
        generation: random_name()?,
        size,
        content_type: answered.content_type.clone(),
        validators: Validators::clone(&answered.answer.validators),
        fresh_ms: answered.fresh_ms,
        checked_at: clock_now(),
    };
    let made = create(object, meta).await?;
    object.shared.took(&object.item, object.part, size.unwrap_or(0));
    Ok(made)
}

/// The files of a state on the disk.
async fn create(object: &Arc<Object>, meta: Meta) -> Result<(Arc<Version>, Arc<File>), CacheError> {
    let (folder, part) = (object.folder.clone(), object.part);
    let made = blocking(move || {
        let old = Meta::load(&folder, part);
        let (files, open) = Files::create(&folder, part, &meta.generation, meta.size)?;
        meta.save(&folder, part)?;
        if let Some(old) = old {
            Files::delete(&folder, part, &old.generation);
        }
        Ok((files, open, meta))
    })
    .await;
    let (files, open, meta) = made?;
    Ok((Arc::new(Version::new(files, meta)), open))
}

/// Work on the disk, off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CacheError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| CacheError::io(&error))
}
