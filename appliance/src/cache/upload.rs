//! What a teacher sends: written as it comes, whole or not at all.

use std::{fs::File, sync::Arc};

use appliance_core::library::{origin::Validators, segments};
use bytes::{Bytes, BytesMut};

use super::{
    CacheError, Shared, clock_now,
    disk::{Files, Meta},
    fill::{RESERVE, blocking, seal},
    object::Object,
    random_name,
    version::Version,
};

/// Bytes that are written at once.
const GATHER: usize = 1 << 20;

/// An upload on its way. Dropped before [`Self::finish`] it leaves nothing that would be served; its folder goes at the
/// next start.
#[derive(Debug)]
pub struct Upload {
    shared: Arc<Shared>,
    item: String,
    part: u32,
    files: Arc<Files>,
    /// Keeps the data open.
    open: Arc<File>,
    meta: Meta,
    waiting: BytesMut,
    written: u64,
    /// Bytes that room was asked for, when the size was not told.
    reserved: u64,
}

impl Upload {
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        item: &str,
        part: u32,
        content_type: &str,
        size: Option<u64>,
    ) -> Result<Self, CacheError> {
        let meta = Meta {
            generation: random_name()?,
            size,
            content_type: content_type.to_owned(),
            validators: Validators::default(),
            fresh_ms: u64::MAX,
            checked_at: clock_now(),
        };
        let (folder, generation) = (shared.folder.join(item), meta.generation.clone());
        let (files, open) = blocking(move || Files::create(&folder, part, &generation, size)).await?;
        Ok(Self {
            shared: shared.clone(),
            item: item.to_owned(),
            part,
            files: Arc::new(files),
            open,
            meta,
            waiting: BytesMut::new(),
            written: 0,
            reserved: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the disk refuses, or there is no room for an upload whose size was not told.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), CacheError> {
        self.waiting.extend_from_slice(&bytes);
        if self.waiting.len() >= GATHER { self.flush().await } else { Ok(()) }
    }

    /// Bytes that have come so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    async fn flush(&mut self) -> Result<(), CacheError> {
        if self.meta.size.is_none() && self.bytes() > self.reserved {
            self.reserved = self.bytes() + RESERVE;
            self.shared.room_for(&self.item, self.reserved)?;
        }
        let (bytes, at, files) = (self.waiting.split().freeze(), self.written, self.files.clone());
        self.written += bytes.len() as u64;
        blocking(move || files.write(at, &bytes)).await
    }

    /// Everything has come: from now on it is there, also after a power cut. Gives its size.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn finish(mut self) -> Result<u64, CacheError> {
        self.flush().await?;
        let size = self.written;
        let Self { shared, item, part, files, open, meta, .. } = self;
        let meta = Meta { size: Some(size), ..meta };
        let files = Arc::into_inner(files).ok_or_else(|| CacheError::Io("a write is still going on".into()))?;
        let version = Version::new(files, meta.clone());
        version.lock().have.add(0, size);
        let folder = shared.folder.join(&item);
        let version = blocking(move || {
            if segments(size) > 0 {
                seal(&version);
            }
            meta.save(&folder, part)?;
            drop(open);
            Ok(version)
        })
        .await?;
        shared.took(&item, part, size);
        let object = Object::new(shared.clone(), &item, part, None, None, Some(version));
        super::lock(&shared.objects).insert((item, part), object);
        Ok(size)
    }
}
