//! The library's content on the disk: fetched once for any number of readers, served while it comes, kept across crashes.
//!
//! An **item** is a folder with a list of **parts** ([`Part`]): one for a file, many for a stream with its segments. Each
//! part is an [`Object`] with at most one fill at a time ([`fill`]); readers tail it ([`object::Reader`]). What is decided —
//! what to fetch next, when to start anew, who makes room — the core decides.
//!
//! **Capacity and drop policy.** The library takes at most `[library] most_mb` and leaves `keep_free_mb` of the disk alone.
//! When space is short, the content of items that nobody has pinned and nobody reads goes, the longest unused first; pinned
//! and uploaded items never go. When that is not enough the new content is refused ([`CacheError::NoRoom`]), nothing else.

mod disk;
mod fill;
pub mod manifest;
mod object;
mod origin;
mod piece;
mod upload;
mod version;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use appliance_core::library::{
    address::{Hosts, Refused},
    evict::{self, Limits, Tenant},
    kind,
};
use bytes::Bytes;
use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub use object::{Object, Opened, Reader, Status};
pub use upload::Upload;

use disk::{Files, Meta};
use fill::blocking;
use origin::{Origins, Question};

/// Why the cache did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheError {
    /// The address is none that can be fetched.
    BadAddress,
    /// The address may not be fetched.
    Refused(Refused),
    /// No answer came, in the network's words.
    Unreachable(String),
    /// The origin answered with this status.
    Origin(u16),
    /// The origin forbids copies (`Cache-Control: no-store` or `private`).
    Forbidden,
    /// The manifest is of a kind that can't be kept.
    Manifest(manifest::Unfit),
    /// More bytes than allowed.
    TooLarge,
    /// The library is full; so many bytes are missing.
    NoRoom(u64),
    /// The disk is full.
    DiskFull,
    /// The origin has another state now; ask again.
    Changed,
    /// A web page came in the place of the content: a sign-in or a maintenance page.
    Page,
    /// An upload is damaged on the disk.
    Damaged,
    /// There is no such part.
    Gone,
    /// The disk failed.
    Io(String),
}

impl CacheError {
    fn io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress => f.write_str("the address is none that can be fetched"),
            Self::Refused(why) => write!(f, "the address may not be fetched: {why:?}"),
            Self::Unreachable(why) => write!(f, "the origin does not answer: {why}"),
            Self::Origin(status) => write!(f, "the origin answered {status}"),
            Self::Forbidden => f.write_str("the origin forbids copies (Cache-Control)"),
            Self::Manifest(why) => write!(f, "the manifest can't be kept: {why:?}"),
            Self::TooLarge => f.write_str("it is larger than allowed"),
            Self::NoRoom(missing) => {
                write!(f, "the library is full: {missing} bytes are missing; remove or unpin items")
            }
            Self::DiskFull => f.write_str("the disk is full"),
            Self::Changed => f.write_str("the origin has another state by now"),
            Self::Page => f.write_str("a web page came in the place of the content"),
            Self::Damaged => f.write_str("it is damaged on the disk"),
            Self::Gone => f.write_str("there is no such part"),
            Self::Io(why) => write!(f, "the disk failed: {why}"),
        }
    }
}

impl std::error::Error for CacheError {}

/// One part of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name below the item's address.
    pub name: String,
    /// Where it comes from; none for what was uploaded or written here.
    pub url: Option<String>,
    /// Its media type, where it was seen when the item was pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// What a probe found at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The address to fetch from: as it was given, without a fragment.
    pub url: String,
    /// Media type.
    pub content_type: String,
    /// Bytes, if told.
    pub size: Option<u64>,
    /// The last part of its path, made harmless.
    pub name: String,
}

/// A stream with all its parts, planned but not fetched.
#[derive(Debug, Clone)]
pub struct Planned {
    /// All parts; the first is the one that players open.
    pub parts: Vec<Part>,
    /// The rewritten manifests, by the number of their part.
    pub written: Vec<(u32, Bytes)>,
}

/// Room that an item takes.
#[derive(Debug, Clone)]
struct Tenancy {
    id: i64,
    pinned: bool,
    used_at: Millis,
    parts: BTreeMap<u32, u64>,
}

/// What all objects share.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    origins: Origins,
    limits: Limits,
    /// The fills. They end with the process.
    tasks: Mutex<JoinSet<()>>,
    tenants: Mutex<BTreeMap<String, Tenancy>>,
    objects: Mutex<HashMap<(String, u32), Arc<Object>>>,
    lists: Mutex<HashMap<String, Arc<Vec<Part>>>>,
}

/// The content of the library. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// Largest manifest.
const MANIFEST: usize = 4 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps of what is on the disk are whole after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random name: 16 hex digits.
fn random_name() -> Result<String, CacheError> {
    let number = getrandom::u64().map_err(|error| CacheError::Io(error.to_string()))?;
    Ok(format!("{number:016x}"))
}

fn clock_now() -> Millis {
    crate::clock::now()
}

/// The media type to serve: the origin's word, or what the name says when the origin says nothing useful.
fn kind_of(said: &str, path: &str) -> String {
    let bare = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let useless = ["", "application/octet-stream", "binary/octet-stream"].contains(&bare.as_str());
    let manifest = matches!(kind::of(said, path), kind::Kind::Hls | kind::Kind::Dash);
    let by_name = kind::media_type(path);
    if useless || (manifest && by_name != "application/octet-stream") {
        return by_name.to_owned();
    }
    // It becomes a header of ours: nothing but a type and its parameters.
    let mild = |c: char| c.is_ascii_alphanumeric() || "/+-.;= \"_".contains(c);
    said.chars().filter(|c| mild(*c)).take(120).collect()
}

impl Shared {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// Bytes that the disk has free for us.
    fn free(&self) -> u64 {
        match nix::sys::statvfs::statvfs(&self.folder) {
            Ok(stat) => stat.blocks_available() * stat.fragment_size(),
            Err(error) => {
                tracing::warn!(%error, "the library's disk does not say how much is free");
                u64::MAX
            }
        }
    }

    /// Makes room for `bytes` more of `item`, or says why not.
    fn room_for(&self, item: &str, bytes: u64) -> Result<(), CacheError> {
        let goes = {
            let objects = lock(&self.objects);
            let tenants = lock(&self.tenants);
            let in_use =
                |key: &str| key == item || objects.iter().any(|((of, _), object)| of == key && object.in_use());
            let all: Vec<Tenant> = tenants
                .iter()
                .map(|(key, of)| Tenant {
                    id: of.id,
                    bytes: of.parts.values().sum(),
                    pinned: of.pinned,
                    in_use: in_use(key),
                    used_at: of.used_at,
                })
                .collect();
            let goes = evict::make_room(&all, bytes, self.free(), self.limits)
                .map_err(|error| CacheError::NoRoom(error.missing))?;
            let keys = tenants.iter().filter(|(_, of)| goes.contains(&of.id)).map(|(key, _)| key.clone());
            keys.collect::<Vec<_>>()
        };
        for key in goes {
            tracing::info!(item = key, "content that nobody has pinned makes room");
            self.empty(&key);
        }
        Ok(())
    }

    fn took(&self, item: &str, part: u32, bytes: u64) {
        if let Some(tenancy) = lock(&self.tenants).get_mut(item) {
            tenancy.parts.insert(part, bytes);
        }
    }

    /// The content that can be fetched again goes; the item stays. Blocks on the disk for a few calls.
    fn empty(&self, item: &str) {
        let Some(parts) = self.parts(item) else { return };
        for (number, part) in (0u32..).zip(parts.iter()) {
            if part.url.is_none() {
                continue;
            }
            if let Some(object) = lock(&self.objects).remove(&(item.to_owned(), number)) {
                object.retire();
            }
            let folder = self.folder.join(item);
            if let Some(meta) = Meta::load(&folder, number) {
                Files::delete(&folder, number, &meta.generation);
                drop(fs::remove_file(folder.join(format!("{number}.json"))));
            }
            if let Some(tenancy) = lock(&self.tenants).get_mut(item) {
                tenancy.parts.remove(&number);
            }
        }
    }

    fn parts(&self, item: &str) -> Option<Arc<Vec<Part>>> {
        if let Some(known) = lock(&self.lists).get(item) {
            return Some(known.clone());
        }
        let read = fs::read(self.folder.join(item).join("parts.json")).ok()?;
        let parts: Arc<Vec<Part>> = Arc::new(serde_json::from_slice(&read).ok()?);
        lock(&self.lists).insert(item.to_owned(), parts.clone());
        Some(parts)
    }
}

impl Object {
    /// Nothing will be added any more; who reads what is there may finish.
    fn retire(&self) {
        let current = {
            let mut desk = self.desk();
            desk.removed = true;
            desk.current.take()
        };
        if let Some(version) = current {
            version.end();
        }
        self.wake.notify_one();
        self.tell();
    }
}

impl Cache {
    /// Opens the folder, makes it when needed. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn open(folder: &Path, limits: Limits, hosts: Hosts) -> Result<Self, CacheError> {
        if !folder.is_dir() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| CacheError::Io(format!("{}: {error}", folder.display())))?;
        }
        let shared = Shared {
            folder: folder.to_owned(),
            origins: Origins::new(hosts)?,
            limits,
            tasks: Mutex::default(),
            tenants: Mutex::default(),
            objects: Mutex::default(),
            lists: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes an item known: its room counts from now on. Blocks on the disk.
    pub fn admit(&self, item: &str, id: i64, pinned: bool, used_at: Millis) {
        let folder = self.shared.folder.join(item);
        let count = self.shared.parts(item).map_or(0, |parts| u32::try_from(parts.len()).unwrap_or(0));
        let parts = (0..count).filter_map(|part| Some((part, Meta::load(&folder, part)?.size?))).collect();
        lock(&self.shared.tenants).insert(item.to_owned(), Tenancy { id, pinned, used_at, parts });
    }

    /// Removes folders that belong to no item: uploads that were broken off. Blocks on the disk.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.shared.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
            if ours && !lock(&self.shared.tenants).contains_key(&name) {
                tracing::info!(item = name, "a folder without an item is removed");
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// A name for a new item.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new_key(&self) -> Result<String, CacheError> {
        random_name()
    }

    /// Looks what there is at an address without fetching it.
    ///
    /// # Errors
    /// Why it can't be had.
    pub async fn probe(&self, address: &str) -> Result<Probe, CacheError> {
        let url = self.shared.origins.check(address)?;
        let ask = |method, question| {
            let url = url.clone();
            async move { self.shared.origins.ask(method, url.as_str(), &question).await }
        };
        let mut answered = ask(http::Method::HEAD, Question::default()).await?;
        let mut size = answered.answer.length;
        if answered.answer.status != 200 {
            // Some origins do not know HEAD.
            let first = Question { range: Some((0, Some(1))), ..Question::default() };
            answered = ask(http::Method::GET, first).await?;
            size = answered.answer.range.and_then(|(_, _, size)| size).or(answered.answer.length);
        }
        if !matches!(answered.answer.status, 200 | 206) {
            return Err(CacheError::Origin(answered.answer.status));
        }
        if !answered.may_store {
            return Err(CacheError::Forbidden);
        }
        let name = kind::file_name(&percent_decoded(url.path()));
        Ok(Probe { url: url.into(), content_type: answered.content_type, size, name })
    }

    /// Reads a stream's manifest and plans its parts.
    ///
    /// # Errors
    /// Why it can't be had or kept.
    pub async fn plan(&self, address: &str, of: kind::Kind) -> Result<Planned, CacheError> {
        let (text, answered) = self.shared.origins.small(address, MANIFEST).await?;
        if !answered.may_store {
            return Err(CacheError::Forbidden);
        }
        let base = answered.url;
        if of == kind::Kind::Dash {
            return manifest::dash(&text, &base).map_err(CacheError::Manifest);
        }
        let mut stream = manifest::Hls::begin(&text, &base).map_err(CacheError::Manifest)?;
        while let Some(playlist) = stream.wants() {
            let (text, answered) = self.shared.origins.small(playlist.as_str(), MANIFEST).await?;
            stream.take(&text, &answered.url).map_err(CacheError::Manifest)?;
        }
        Ok(stream.done())
    }

    /// Puts a new item's parts down; what was written here is stored at once. Without a following [`Self::admit`] the next
    /// start removes it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn place(&self, item: &str, planned: Planned) -> Result<(), CacheError> {
        for part in planned.parts.iter().filter_map(|part| part.url.as_deref()) {
            self.shared.origins.check(part)?;
        }
        let folder = self.shared.folder.join(item);
        let list = planned.parts.clone();
        blocking(move || {
            fs::create_dir_all(&folder)?;
            disk::replace(&folder.join("parts.json"), &serde_json::to_vec(&list)?)
        })
        .await?;
        for (number, bytes) in planned.written {
            let name = planned.parts.get(usize::try_from(number).unwrap_or(usize::MAX)).map_or("", |part| &part.name);
            let mut upload = self.upload(item, number, kind::media_type(name), Some(bytes.len() as u64)).await?;
            upload.write(bytes).await?;
            upload.finish().await?;
        }
        Ok(())
    }

    /// Begins to take an upload as part `part` of `item`.
    ///
    /// # Errors
    /// When there is no room.
    pub async fn upload(
        &self,
        item: &str,
        part: u32,
        content_type: &str,
        size: Option<u64>,
    ) -> Result<Upload, CacheError> {
        self.shared.room_for(item, size.unwrap_or(0))?;
        Upload::begin(&self.shared, item, part, content_type, size).await
    }

    /// The part of an item with this name.
    pub async fn object(&self, item: &str, name: &str) -> Option<Arc<Object>> {
        let parts = self.list(item).await?;
        let number = parts.iter().position(|part| part.name == name)?;
        self.numbered(item, u32::try_from(number).ok()?, &parts).await
    }

    /// All parts of an item, the one that players open first.
    pub async fn objects(&self, item: &str) -> Vec<Arc<Object>> {
        let Some(parts) = self.list(item).await else { return Vec::new() };
        let mut all = Vec::with_capacity(parts.len());
        for number in 0..u32::try_from(parts.len()).unwrap_or(0) {
            all.extend(self.numbered(item, number, &parts).await);
        }
        all
    }

    /// The names of an item's parts.
    pub async fn list(&self, item: &str) -> Option<Arc<Vec<Part>>> {
        if let Some(known) = lock(&self.shared.lists).get(item) {
            return Some(known.clone());
        }
        let (shared, item) = (self.shared.clone(), item.to_owned());
        blocking(move || Ok(shared.parts(&item))).await.ok().flatten()
    }

    async fn numbered(&self, item: &str, number: u32, parts: &[Part]) -> Option<Arc<Object>> {
        let key = (item.to_owned(), number);
        if let Some(known) = lock(&self.shared.objects).get(&key) {
            return Some(known.clone());
        }
        let Part { name, url, media_type } = parts.get(usize::try_from(number).ok()?)?.clone();
        let by_name = Some(kind::media_type(&name)).filter(|&kind| kind != kind::BYTES);
        let expected = media_type.or_else(|| by_name.map(str::to_owned));
        let folder = self.shared.folder.join(item);
        let found = blocking(move || Ok(Object::find(&folder, number))).await.ok()?;
        let made = Object::new(self.shared.clone(), item, number, url, expected, found);
        // Of two that came at the same time the first one's stands.
        Some(lock(&self.shared.objects).entry(key).or_insert(made).clone())
    }

    /// Asks the origin of a whole object whether it has changed, beside everything else.
    pub fn renew(&self, object: Arc<Object>) {
        let of = object.clone();
        self.shared.spawn(async move {
            match fill::renew(object).await {
                Ok(true) => tracing::info!(item = of.item, part = of.part, "the origin had a new state"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, item = of.item, "the origin could not be asked; what is there stays")
                }
            }
        });
    }

    /// Pins or unpins an item: what is pinned never makes room.
    pub fn pin(&self, item: &str, pinned: bool) {
        if let Some(tenancy) = lock(&self.shared.tenants).get_mut(item) {
            tenancy.pinned = pinned;
        }
    }

    /// Notes that an item was opened.
    pub fn used(&self, item: &str, at: Millis) {
        if let Some(tenancy) = lock(&self.shared.tenants).get_mut(item) {
            tenancy.used_at = tenancy.used_at.max(at);
        }
    }

    /// Bytes that the library takes, and may take.
    pub fn room(&self) -> (u64, u64) {
        let taken = lock(&self.shared.tenants).values().flat_map(|of| of.parts.values()).sum();
        (taken, self.shared.limits.most)
    }

    /// Removes an item with everything.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remove(&self, item: &str) -> Result<(), CacheError> {
        let gone: Vec<Arc<Object>> = {
            let mut objects = lock(&self.shared.objects);
            let keys: Vec<_> = objects.keys().filter(|(of, _)| of == item).cloned().collect();
            keys.iter().filter_map(|key| objects.remove(key)).collect()
        };
        for object in gone {
            object.retire();
        }
        lock(&self.shared.tenants).remove(item);
        lock(&self.shared.lists).remove(item);
        let folder = self.shared.folder.join(item);
        blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// `%41` becomes `A`; what is no UTF-8 stays readable.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
