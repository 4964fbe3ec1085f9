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
mod error;
mod fill;
pub mod manifest;
mod object;
mod origin;
mod piece;
mod renew;
#[cfg(test)]
mod tests;
mod upload;
mod version;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use appliance_core::library::{
    address::Hosts,
    evict::{self, Limits, Tenant},
    kind,
};
use bytes::Bytes;
use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

pub use error::CacheError;
pub use object::{Object, Opened, Reader, Status};
pub use upload::Upload;

use disk::{Files, Meta};
use fill::blocking;
use object::Renewing;
use origin::{Origins, Question};

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
    /// The fills and renewals, [`TASKS`] at most. They end with the process.
    tasks: Mutex<JoinSet<()>>,
    /// Places of renewals.
    renewals: Arc<Semaphore>,
    /// Told when a fill has ended.
    ended: Notify,
    tenants: Mutex<BTreeMap<String, Tenancy>>,
    objects: Mutex<HashMap<(String, u32), Arc<Object>>>,
    lists: Mutex<HashMap<String, Arc<Vec<Part>>>>,
}

/// The content of the library. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// Fills and renewals at a time: more than a class has players. Whose fill is one too many is told so, like by an origin
/// that does not answer.
const TASKS: usize = 1024;
/// Renewals at a time. One too many is left out: what is there is served, and the next request asks again.
const RENEWALS: usize = 4;
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
    /// Starts `work`, unless there is too much already.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        let room = tasks.len() < TASKS;
        if room {
            tasks.spawn(work);
        }
        room
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
            let read: BTreeSet<&str> =
                objects.iter().filter(|(_, object)| object.in_use()).map(|((of, _), _)| of.as_str()).collect();
            let in_use = |key: &str| key == item || read.contains(key);
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
            renewals: Arc::new(Semaphore::new(RENEWALS)),
            ended: Notify::new(),
            tenants: Mutex::default(),
            objects: Mutex::default(),
            lists: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes an item known: its room counts from now on. What a former run left of older states goes, so nobody may use the
    /// item yet. Blocks on the disk.
    pub fn admit(&self, item: &str, id: i64, pinned: bool, used_at: Millis) {
        let folder = self.shared.folder.join(item);
        let count = self.shared.parts(item).map_or(0, |parts| u32::try_from(parts.len()).unwrap_or(0));
        let (mut parts, mut present) = (BTreeMap::new(), BTreeMap::new());
        for part in 0..count {
            let Some(meta) = Meta::load(&folder, part) else { continue };
            parts.extend(meta.size.map(|size| (part, size)));
            present.insert(part, meta.generation);
        }
        Files::sweep(&folder, &present);
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

    /// All parts of an item, the one that players open first. Costs no open file.
    pub async fn objects(&self, item: &str) -> Vec<Arc<Object>> {
        let Some(parts) = self.list(item).await else { return Vec::new() };
        let count = u32::try_from(parts.len()).unwrap_or(0);
        let new: Vec<u32> = {
            let known = lock(&self.shared.objects);
            (0..count).filter(|number| !known.contains_key(&(item.to_owned(), *number))).collect()
        };
        self.find(item, new, &parts).await;
        let known = lock(&self.shared.objects);
        (0..count).filter_map(|number| known.get(&(item.to_owned(), number)).cloned()).collect()
    }

    /// Makes these parts known with what a former run left of them, in one go.
    async fn find(&self, item: &str, numbers: Vec<u32>, parts: &[Part]) {
        if numbers.is_empty() {
            return;
        }
        let folder = self.shared.folder.join(item);
        let find = move || Ok(numbers.into_iter().map(|number| (number, Object::find(&folder, number))).collect());
        let Ok::<Vec<_>, _>(found) = blocking(find).await else { return };
        let mut known = lock(&self.shared.objects);
        for (number, found) in found {
            let Some(part) = usize::try_from(number).ok().and_then(|number| parts.get(number)) else { continue };
            let by_name = Some(kind::media_type(&part.name)).filter(|&kind| kind != kind::BYTES);
            let expected = part.media_type.clone().or_else(|| by_name.map(str::to_owned));
            let made = || Object::new(self.shared.clone(), item, number, part.url.clone(), expected, found);
            // Of two that came at the same time the first one's stands.
            known.entry((item.to_owned(), number)).or_insert_with(made);
        }
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
        let known = || lock(&self.shared.objects).get(&key).cloned();
        if known().is_none() {
            self.find(item, vec![number], parts).await;
        }
        known()
    }

    /// Waits until a fill has ended since this was last asked.
    pub async fn ended(&self) {
        self.shared.ended.notified().await;
    }

    /// Asks the origin of a whole object whether it has changed, beside everything else: when that is due, nobody asks
    /// already and the last question was not just now in vain.
    pub fn renew(&self, object: &Arc<Object>) {
        let now = clock_now();
        if !object.due(now) {
            return;
        }
        let Ok(place) = self.shared.renewals.clone().try_acquire_owned() else { return };
        let Some(mut renewing) = Renewing::begin(object, now) else { return };
        let of = object.clone();
        self.shared.spawn(async move {
            let asked = renew::run(&of).await;
            renewing.well = asked.is_ok();
            drop((renewing, place));
            match asked {
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
