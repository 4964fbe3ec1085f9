//! The library's keeper: brings the list (store) and the content (cache) together, and sees to what is fetched now and what
//! at night (R-CONT-4).

mod keeper;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use appliance_core::{
    library::{
        kind::{self, Kind},
        night::Night,
    },
    pace::{Bound, Pace},
};
use bytes::Bytes;
use classroom_protocol::Millis;
use tokio::{sync::Notify, task::spawn_blocking};

use crate::{
    cache::{Cache, CacheError, Object, Part, Planned, Upload},
    clock,
    store::{LibraryItem, LibraryItems, StoreError},
};

/// Passes and items whose pieces of watching are counted; with more, who owes least is forgotten.
const WATCHED: usize = 4096;
/// Note of an opening at most this often: the order in which things make room needs no more.
const USED: Millis = 60_000;
/// Longest picture of an item, in bytes.
pub const POSTER: usize = 256 * 1024;

/// Why the library did not do what was asked.
#[derive(Debug)]
pub enum LibraryError {
    /// The content.
    Cache(CacheError),
    /// The list.
    Store(StoreError),
    /// No such item.
    Missing,
    /// An upload can't be had again, so it stays pinned until it is removed.
    OnlyCopy,
    /// A piece of watching too many; so many seconds to wait.
    TooSoon(u32),
}

impl From<CacheError> for LibraryError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

impl From<StoreError> for LibraryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far an item is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Bytes that are there.
    pub have: u64,
    /// Bytes of all parts, once known.
    pub size: Option<u64>,
    /// From 0 to 1.
    pub share: f64,
    /// Everything is there: it opens with the uplink dead.
    pub complete: bool,
    /// Something is being fetched now.
    pub filling: bool,
    /// What went wrong last.
    pub fault: Option<CacheError>,
}

/// Hands out the library. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cache: Cache,
    items: LibraryItems,
    folder: PathBuf,
    night: Night,
    upload_most: u64,
    changed: Notify,
    /// Items of which everything is there.
    whole: Mutex<BTreeSet<String>>,
    /// By pass and item.
    watched: Mutex<Pace<(String, String)>>,
}

impl Library {
    /// Opens the library: what the list names is known to the cache, what nothing names is removed unless the list itself was
    /// lost (`keep_orphans`).
    ///
    /// # Errors
    /// When the folder or the list can't be used.
    pub async fn open(
        folder: PathBuf,
        cache: Cache,
        items: LibraryItems,
        night: Night,
        upload_most: u64,
        keep_orphans: bool,
    ) -> Result<Self, LibraryError> {
        let all = items.list().await?;
        let admitted = cache.clone();
        let done = spawn_blocking(move || {
            for item in all {
                admitted.admit(&item.key, item.id, item.pinned || item.origin.is_none(), item.used_at);
            }
            if keep_orphans {
                tracing::warn!("the list of the library was lost with the database; its content is left where it is");
            } else {
                admitted.sweep();
            }
        });
        done.await.map_err(|error| CacheError::Io(error.to_string()))?;
        let inner = Inner {
            cache,
            items,
            folder,
            night,
            upload_most,
            changed: Notify::new(),
            whole: Mutex::default(),
            watched: Mutex::new(Pace::new(Bound::WATCHED, WATCHED)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Most bytes of one upload.
    pub fn upload_most(&self) -> u64 {
        self.inner.upload_most
    }

    /// Bytes that the library takes, and may take.
    pub fn room(&self) -> (u64, u64) {
        self.inner.cache.room()
    }

    /// All items, the newest first, with how far they are.
    ///
    /// # Errors
    /// When the list can't be read.
    pub async fn list(&self) -> Result<Vec<(LibraryItem, Progress)>, LibraryError> {
        let mut all = Vec::new();
        for item in self.inner.items.list().await? {
            let progress = self.progress(&item.key).await;
            all.push((item, progress));
        }
        Ok(all)
    }

    /// One item.
    ///
    /// # Errors
    /// [`LibraryError::Missing`].
    pub async fn get(&self, key: &str) -> Result<LibraryItem, LibraryError> {
        self.inner.items.get(key.to_owned()).await?.ok_or(LibraryError::Missing)
    }

    async fn progress(&self, key: &str) -> Progress {
        let objects = self.inner.cache.objects(key).await;
        let count = objects.len();
        let mut progress = Progress { size: Some(0), complete: count > 0, ..Progress::default() };
        let mut shares = 0.0;
        for status in objects.iter().map(|object| object.status()) {
            progress.have += status.have;
            progress.size = progress.size.zip(status.size).map(|(all, one)| all + one);
            progress.complete &= status.kept;
            progress.filling |= status.filling;
            progress.fault = progress.fault.or(status.fault);
            shares += match status.size {
                _ if status.complete => 1.0,
                Some(size) if size > 0 => status.have as f64 / size as f64,
                _ => 0.0,
            };
        }
        progress.share = if count == 0 { 0.0 } else { shares / count as f64 };
        progress
    }

    /// Pins an address: looks what is there, plans its parts, keeps the item. The bytes come now or tonight.
    ///
    /// # Errors
    /// Why it can't be pinned.
    pub async fn pin(
        &self,
        address: &str,
        title: Option<String>,
        tonight: bool,
        by: &str,
    ) -> Result<LibraryItem, LibraryError> {
        let cache = &self.inner.cache;
        let probe = cache.probe(address).await?;
        let kind = kind::of(&probe.content_type, &probe.name);
        let planned = match kind {
            Kind::Hls | Kind::Dash => cache.plan(&probe.url, kind).await?,
            _ => Planned {
                parts: vec![Part {
                    name: probe.name.clone(),
                    url: Some(probe.url.clone()),
                    media_type: Some(probe.content_type.clone()),
                }],
                written: Vec::new(),
            },
        };
        let main = planned.parts.first().map(|part| part.name.clone()).ok_or(CacheError::Gone)?;
        let title = title.unwrap_or_else(|| stem(&probe.name));
        let mut item = self.fresh(title, kind, main, Some(probe.url), tonight, by)?;
        if let Err(error) = cache.place(&item.key, planned).await {
            cache.remove(&item.key).await?;
            return Err(error.into());
        }
        item.id = self.inner.items.add(item.clone()).await?;
        cache.admit(&item.key, item.id, true, item.used_at);
        self.inner.changed.notify_one();
        Ok(item)
    }

    fn fresh(
        &self,
        title: String,
        kind: Kind,
        main: String,
        origin: Option<String>,
        tonight: bool,
        by: &str,
    ) -> Result<LibraryItem, LibraryError> {
        let now = clock::now();
        let kind = serde_json::to_value(kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        Ok(LibraryItem {
            id: 0,
            key: self.inner.cache.new_key()?,
            title,
            kind: kind.unwrap_or_default(),
            main,
            origin,
            pinned: true,
            tonight,
            created_at: now,
            used_at: now,
            created_by: by.to_owned(),
        })
    }

    /// Begins an upload. The item is in the library when [`Self::keep_upload`] returns.
    ///
    /// # Errors
    /// When there is no room.
    pub async fn begin_upload(
        &self,
        name: &str,
        title: Option<String>,
        size: Option<u64>,
        by: &str,
    ) -> Result<(LibraryItem, Upload), LibraryError> {
        let name = kind::file_name(name);
        // What a browser says of a file is what its name says; the name is what people see.
        let content_type = kind::media_type(&name);
        let kind = match kind::of(content_type, &name) {
            // A manifest without its segments is a file.
            Kind::Hls | Kind::Dash => Kind::File,
            kind => kind,
        };
        let title = title.unwrap_or_else(|| stem(&name));
        let item = self.fresh(title, kind, name, None, false, by)?;
        let upload = self.inner.cache.upload(&item.key, 0, content_type, size).await?;
        Ok((item, upload))
    }

    /// Keeps an upload whose bytes have all come.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn keep_upload(&self, mut item: LibraryItem, upload: Upload) -> Result<LibraryItem, LibraryError> {
        upload.finish().await?;
        let planned =
            Planned { parts: vec![Part { name: item.main.clone(), url: None, media_type: None }], written: Vec::new() };
        self.inner.cache.place(&item.key, planned).await?;
        item.id = self.inner.items.add(item.clone()).await?;
        self.inner.cache.admit(&item.key, item.id, true, item.used_at);
        Ok(item)
    }

    /// Gives up an upload that was broken off.
    pub async fn drop_upload(&self, item: &LibraryItem) {
        if let Err(error) = self.inner.cache.remove(&item.key).await {
            tracing::warn!(%error, "an upload that was broken off stays until the next start");
        }
    }

    /// Changes title, pinned and tonight.
    ///
    /// # Errors
    /// [`LibraryError::Missing`], [`LibraryError::OnlyCopy`].
    pub async fn change(
        &self,
        key: &str,
        title: Option<String>,
        pinned: Option<bool>,
        tonight: Option<bool>,
    ) -> Result<LibraryItem, LibraryError> {
        let mut item = self.get(key).await?;
        if pinned == Some(false) && item.origin.is_none() {
            return Err(LibraryError::OnlyCopy);
        }
        item.title = title.unwrap_or(item.title);
        item.pinned = pinned.unwrap_or(item.pinned);
        item.tonight = tonight.unwrap_or(item.tonight);
        self.inner.items.change(item.clone()).await?;
        self.inner.cache.pin(key, item.pinned);
        self.forget_whole(key);
        self.inner.changed.notify_one();
        Ok(item)
    }

    /// Removes an item with its content.
    ///
    /// # Errors
    /// [`LibraryError::Missing`].
    pub async fn remove(&self, key: &str) -> Result<LibraryItem, LibraryError> {
        let item = self.get(key).await?;
        self.inner.items.remove(key.to_owned()).await?;
        self.inner.cache.remove(key).await?;
        self.forget_whole(key);
        Ok(item)
    }

    /// A part of an item to be served. Notes the use, and has the origin asked beside it when that is due.
    ///
    /// # Errors
    /// [`LibraryError::Missing`].
    pub async fn part(&self, key: &str, name: &str) -> Result<Arc<Object>, LibraryError> {
        let object = self.inner.cache.object(key, name).await.ok_or(LibraryError::Missing)?;
        self.inner.cache.renew(&object);
        Ok(object)
    }

    /// Notes that someone opened an item.
    ///
    /// # Errors
    /// [`LibraryError::Missing`].
    pub async fn used(&self, key: &str) -> Result<LibraryItem, LibraryError> {
        let (item, now) = (self.get(key).await?, clock::now());
        if now.saturating_sub(item.used_at) >= USED {
            self.inner.items.used(key.to_owned(), now).await?;
            self.inner.cache.used(key, now);
        }
        Ok(item)
    }

    /// Notes that a pass has watched a piece of an item, if it may be kept.
    ///
    /// # Errors
    /// [`LibraryError::Missing`]; [`LibraryError::TooSoon`] when it is one too many.
    pub async fn watched(&self, key: &str, pass: String) -> Result<(), LibraryError> {
        let item = self.used(key).await?;
        let mut pieces = self.inner.watched.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.count(&(pass, item.key), clock::now()).map_err(LibraryError::TooSoon)
    }

    fn poster_path(&self, key: &str) -> PathBuf {
        self.inner.folder.join(key).join("poster.jpg")
    }

    /// Keeps the picture of an item.
    ///
    /// # Errors
    /// [`LibraryError::Missing`], or when the disk refuses.
    pub async fn keep_poster(&self, key: &str, picture: Bytes) -> Result<(), LibraryError> {
        let (item, path) = (self.get(key).await?, self.poster_path(key));
        let new = path.with_extension(format!("{}.new", item.id));
        let kept = spawn_blocking(move || {
            std::fs::write(&new, &picture)?;
            std::fs::rename(&new, &path)
        });
        let kept = kept.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        kept.map_err(|error| CacheError::Io(error.to_string()).into())
    }

    /// The picture of an item.
    pub async fn poster(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).await.ok()?;
        let path = self.poster_path(key);
        spawn_blocking(move || std::fs::read(path).ok()).await.ok().flatten()
    }

    /// Whether an item has a picture.
    pub fn has_poster(&self, key: &str) -> bool {
        self.poster_path(key).exists()
    }

    fn forget_whole(&self, key: &str) {
        self.inner.whole.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn is_whole(&self, key: &str) -> bool {
        self.inner.whole.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

/// A file's name without its end, as a first title.
fn stem(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    kind::title(stem).unwrap_or_else(|| name.to_owned())
}
