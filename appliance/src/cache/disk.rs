//! The files of one state of an object: `N.GENERATION.data`, a map that says which segments of it are whole, and
//! `N.json` that says which generation is the present one.
//!
//! **What a crash leaves is never served unless it is whole.** A segment's hash enters the map only after the segment's
//! bytes are synced; a torn record at the end of the map is cut off; and a segment that a former run wrote is hashed
//! again before its first byte is served. `N.json` is replaced in one step. Whatever is not in the map is fetched again.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, IoSliceMut, Write},
    mem,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use appliance_core::library::{origin::Validators, segment};
use aws_lc_rs::digest;
use classroom_protocol::Millis;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Bytes of one record of the map: index, hash, check.
const RECORD: usize = 8 + 32 + 8;

/// SHA-256 of a segment.
pub(super) type Hash = [u8; 32];

/// What `N.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    /// Names the files; random, so that two states of an object never share a tag.
    pub(super) generation: String,
    /// Bytes of the whole object. Without a size nothing is kept across a restart.
    pub(super) size: Option<u64>,
    /// Media type as it will be served.
    pub(super) content_type: String,
    /// The origin's validators.
    pub(super) validators: Validators,
    /// How long it is fresh after `checked_at`, in milliseconds.
    pub(super) fresh_ms: u64,
    /// When the origin last said that this is its present state.
    pub(super) checked_at: Millis,
}

/// The files of one generation. The data is open only while someone holds it ([`Self::data`]): a reader, a fill, an
/// upload. A library of a hundred thousand parts so costs descriptors for what is being read and fetched, and no others.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    part: u32,
    generation: String,
    open: Mutex<Weak<File>>,
    /// One writer at a time; the map is open only while it is written.
    map: Mutex<()>,
    /// Go from the disk when nobody has them any more.
    doomed: AtomicBool,
}

/// SHA-256.
fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn path(folder: &Path, part: u32, generation: &str, end: &str) -> PathBuf {
    folder.join(format!("{part}.{generation}.{end}"))
}

/// What was renamed or made in `folder` is on the disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file is there whole or as it was before, also when the power fails.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

impl Meta {
    /// Makes this the present state of part `part`.
    pub(super) fn save(&self, folder: &Path, part: u32) -> io::Result<()> {
        replace(&folder.join(format!("{part}.json")), &serde_json::to_vec(self)?)
    }

    /// The present state, if there is one that can be read.
    pub(super) fn load(folder: &Path, part: u32) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(format!("{part}.json"))).ok()?).ok()
    }
}

impl Files {
    fn at(folder: &Path, part: u32, generation: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            part,
            generation: generation.to_owned(),
            open: Mutex::default(),
            map: Mutex::default(),
            doomed: AtomicBool::new(false),
        }
    }

    /// Makes the files; whoever keeps the second keeps the data open. With a `size` the disk's room is taken at once, so that
    /// a disk that is too full says so now.
    pub(super) fn create(
        folder: &Path,
        part: u32,
        generation: &str,
        size: Option<u64>,
    ) -> io::Result<(Self, Arc<File>)> {
        fs::create_dir_all(folder)?;
        let open = |end| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true).mode(0o600);
            options.open(path(folder, part, generation, end))
        };
        let (data, map) = (open("data")?, open("map")?);
        if let Some(size) = size.filter(|size| *size > 0) {
            let length = i64::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
            match fallocate(&data, FallocateFlags::empty(), 0, length) {
                Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => {}
                Err(error) => {
                    drop((data, map));
                    Self::delete(folder, part, generation);
                    return Err(error.into());
                }
            }
        }
        sync_folder(folder)?;
        let (files, data) = (Self::at(folder, part, generation), Arc::new(data));
        *files.slot() = Arc::downgrade(&data);
        Ok((files, data))
    }

    /// Looks at the files of a former run and gives the segments that its map vouches for, with their hashes. Nothing stays
    /// open.
    pub(super) fn open(folder: &Path, part: u32, generation: &str) -> io::Result<(Self, Vec<(u64, Hash)>)> {
        fs::metadata(path(folder, part, generation, "data"))?;
        let map = path(folder, part, generation, "map");
        let bytes = fs::read(&map)?;
        let mut records = Vec::new();
        for record in bytes.chunks_exact(RECORD) {
            let (said, check) = record.split_at(RECORD - 8);
            if sha256(&[generation.as_bytes(), said])[..8] != *check {
                break;
            }
            let (index, hash) = said.split_at(8);
            let (Ok(index), Ok(hash)) = (index.try_into(), hash.try_into()) else { break };
            records.push((u64::from_le_bytes(index), hash));
        }
        if bytes.len() > records.len() * RECORD {
            // What follows a torn record would stand in the wrong place.
            OpenOptions::new().write(true).open(&map)?.set_len((records.len() * RECORD) as u64)?;
        }
        Ok((Self::at(folder, part, generation), records))
    }

    fn slot(&self) -> MutexGuard<'_, Weak<File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data, if someone has it open. Never waits for the disk.
    pub(super) fn data_at_hand(&self) -> Option<Arc<File>> {
        self.slot().upgrade()
    }

    /// The data. It stays open, also when its name goes, as long as this is kept. Blocks on the disk.
    pub(super) fn data(&self) -> io::Result<Arc<File>> {
        if let Some(open) = self.data_at_hand() {
            return Ok(open);
        }
        // Not under the lock: whoever looks what is at hand must not wait.
        let opened = OpenOptions::new().read(true).write(true).open(self.path("data"))?;
        let mut slot = self.slot();
        if let Some(open) = slot.upgrade() {
            return Ok(open);
        }
        let opened = Arc::new(opened);
        *slot = Arc::downgrade(&opened);
        Ok(opened)
    }

    fn path(&self, end: &str) -> PathBuf {
        path(&self.folder, self.part, &self.generation, end)
    }

    /// The files go when nobody has this state any more; with `false` they stay after all.
    pub(super) fn doom(&self, doomed: bool) {
        self.doomed.store(doomed, Ordering::Release);
    }

    /// Writes bytes; they are not vouched for until [`Self::seal`].
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.data()?.write_all_at(bytes, at)
    }

    /// Fills `bytes` from the disk.
    pub(super) fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.data()?.read_exact_at(bytes, at)
    }

    /// Reads into `bytes` what the kernel has in its memory already and says how much that was. Never waits for the disk:
    /// [`io::ErrorKind::WouldBlock`] when nothing of it is there, or nobody has the data open.
    pub(super) fn read_at_hand(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let data = self.data_at_hand().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(preadv2(&data, &mut [IoSliceMut::new(bytes)], at, ReadWriteFlags::NOWAIT)?)
    }

    /// Lets the kernel bring bytes that will be read soon, from data that someone has open.
    pub(super) fn bring(&self, at: u64, length: u64) {
        let (Ok(at), Ok(length)) = (i64::try_from(at), i64::try_from(length)) else { return };
        let Some(data) = self.data_at_hand() else { return };
        // It is a hint: whoever reads them waits for them if it was of no use.
        let _ = posix_fadvise(&data, at, length, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    }

    /// The hash of a segment as it lies on the disk now.
    pub(super) fn hash(&self, index: u64, size: u64) -> io::Result<Hash> {
        let (from, to) = segment(index, size);
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        self.read(from, &mut bytes)?;
        Ok(sha256(&[&bytes]))
    }

    /// Vouches for whole segments: bytes first, then the map.
    pub(super) fn seal(&self, indexes: &[u64], size: u64) -> io::Result<()> {
        let data = self.data()?;
        let mut records = Vec::with_capacity(indexes.len() * RECORD);
        for index in indexes {
            let start = records.len();
            let hash = self.hash(*index, size)?;
            records.extend_from_slice(&index.to_le_bytes());
            records.extend_from_slice(&hash);
            let check = sha256(&[self.generation.as_bytes(), &records[start..]]);
            records.extend_from_slice(&check[..8]);
        }
        data.sync_data()?;
        // A record that is half written when the process ends is cut off at the next start.
        let _alone = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let map = OpenOptions::new().write(true).open(self.path("map"))?;
        let end = map.metadata()?.len();
        map.write_all_at(&records, end)?;
        map.sync_data()
    }

    /// Removes the files of a generation. Readers that have them open go on.
    pub(super) fn delete(folder: &Path, part: u32, generation: &str) {
        for end in ["data", "map"] {
            let path = path(folder, part, generation, end);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %path.display(), "an old file of the library stays");
                }
                _ => {}
            }
        }
    }

    /// Removes the files of every generation in `folder` that is not the present one of its part (`present`): a run that
    /// ended at the wrong moment has left them. Only while nobody uses the folder.
    pub(super) fn sweep(folder: &Path, present: &BTreeMap<u32, String>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut words = name.split('.');
            let (Some(part), Some(generation), Some("data" | "map"), None) =
                (words.next().and_then(|part| part.parse().ok()), words.next(), words.next(), words.next())
            else {
                continue;
            };
            if present.get(&part).is_none_or(|present| present != generation) {
                tracing::info!(path = %entry.path().display(), "a state of the library that is no more is removed");
                Self::delete(folder, part, generation);
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !*self.doomed.get_mut() {
            return;
        }
        let (folder, part, generation) = (mem::take(&mut self.folder), self.part, mem::take(&mut self.generation));
        let goes = move || Self::delete(&folder, part, &generation);
        // The last reader's thread does not wait for the disk.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(goes)),
            Err(_) => goes(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use appliance_core::library::SEGMENT;

    use super::*;

    #[test]
    fn a_torn_map_vouches_for_nothing_more_than_it_knows() {
        let folder = tempfile::TempDir::new().unwrap();
        let size = 3 * SEGMENT + 5;
        let (files, open) = Files::create(folder.path(), 0, "g", Some(size)).unwrap();
        for index in 0..4 {
            let (from, to) = segment(index, size);
            files.write(from, &vec![u8::try_from(index).unwrap(); usize::try_from(to - from).unwrap()]).unwrap();
        }
        files.seal(&[0, 3], size).unwrap();
        files.seal(&[1], size).unwrap();
        drop((files, open));
        let map = path(folder.path(), 0, "g", "map");
        let whole = fs::read(&map).unwrap();
        for cut in 0..whole.len() {
            fs::write(&map, &whole[..cut]).unwrap();
            let (files, known) = Files::open(folder.path(), 0, "g").unwrap();
            assert_eq!(known.len(), cut / RECORD);
            assert!(known.iter().all(|(index, hash)| files.hash(*index, size).unwrap() == *hash));
        }
        // A bit that flipped in the map, and one of another generation.
        let mut bent = whole.clone();
        bent[RECORD + 12] ^= 1;
        fs::write(&map, &bent).unwrap();
        assert_eq!(Files::open(folder.path(), 0, "g").unwrap().1.len(), 1);
        fs::write(&map, &whole).unwrap();
        fs::rename(&map, path(folder.path(), 0, "h", "map")).unwrap();
        fs::rename(path(folder.path(), 0, "g", "data"), path(folder.path(), 0, "h", "data")).unwrap();
        assert_eq!(Files::open(folder.path(), 0, "h").unwrap().1.len(), 0);
    }

    #[test]
    fn the_data_is_open_while_someone_holds_it_and_goes_with_its_last_holder() {
        let folder = tempfile::TempDir::new().unwrap();
        let (files, open) = Files::create(folder.path(), 0, "g", Some(4)).unwrap();
        assert!(Arc::ptr_eq(&files.data().unwrap(), &open), "one descriptor for all");
        drop(open);
        assert!(files.data_at_hand().is_none());
        files.write(0, b"abcd").unwrap();
        let mut read = [0; 4];
        assert!(files.read_at_hand(0, &mut read).is_err(), "not opened by who must not wait");
        files.read(0, &mut read).unwrap();
        assert_eq!(&read, b"abcd");
        files.doom(true);
        assert!(files.data().is_ok(), "doomed, but still held");
        drop(files);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_no_present_state_names_is_swept() {
        let folder = tempfile::TempDir::new().unwrap();
        for generation in ["old", "new"] {
            drop(Files::create(folder.path(), 0, generation, None).unwrap());
        }
        drop(Files::create(folder.path(), 7, "torn", None).unwrap());
        for name in ["parts.json", "0.json", "poster.jpg", "poster.1.new"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        Files::sweep(folder.path(), &BTreeMap::from([(0, "new".to_owned())]));
        let mut left: Vec<String> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["0.json", "0.new.data", "0.new.map", "parts.json", "poster.1.new", "poster.jpg"]);
    }
}
