//! One state of an object: its bytes as far as they are there, who reads it, and who waits for which byte.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use appliance_core::library::{SEGMENT, segment, segments, spans::Spans};
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use super::{
    disk::{Files, Hash, Meta},
    piece::Memory,
};

/// The newest bytes stay in memory for the readers that tail the fill: a class that reads along costs no reading from the
/// disk. The oldest go first.
const TAIL: usize = 4 << 20;
/// Longest piece that is read from the disk at once.
const PIECE: u64 = 128 * 1024;
/// So many bytes behind a piece that came from the disk are brought while it is being sent.
const AHEAD: u64 = 512 * 1024;

/// One state of an object. Its bytes are never mixed with another's.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) files: Files,
    state: Mutex<State>,
    news: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) meta: Meta,
    pub(super) have: Spans,
    tail: VecDeque<(u64, Bytes)>,
    tail_bytes: usize,
    /// Readers that wait, who waits longest first: number and byte.
    pub(super) waiting: Vec<(u64, u64)>,
    next_reader: u64,
    pub(super) readers: usize,
    /// When the last reader left.
    pub(super) left_at: Option<Instant>,
    /// Segments of a former run whose hash was not looked at yet.
    unproved: BTreeMap<u64, Hash>,
    /// Segments that are vouched for on the disk or are being so.
    sealed: Spans,
    /// Bytes that outlive a crash: their segments are vouched for on the disk.
    pub(super) kept: Spans,
    /// The origin has another state by now, or the item is gone: no byte will be added.
    pub(super) over: bool,
    /// The origin does not serve ranges.
    pub(super) unmovable: bool,
}

/// What a reader gets next.
pub(super) enum Piece {
    /// Bytes from memory.
    Here(Bytes),
    /// So many bytes lie on the disk.
    OnDisk(u64),
    /// Not there yet.
    Missing,
    /// It will never come.
    Over,
}

impl Version {
    /// A state that begins.
    pub(super) fn new(files: Files, meta: Meta) -> Self {
        Self::with(files, meta, &[])
    }

    /// A state with the segments that a former run vouched for.
    pub(super) fn with(files: Files, meta: Meta, known: &[(u64, Hash)]) -> Self {
        let (mut have, mut sealed, mut unproved) = (Spans::default(), Spans::default(), BTreeMap::new());
        if let Some(size) = meta.size {
            for (index, hash) in known.iter().filter(|(index, _)| *index < segments(size)) {
                let (from, to) = segment(*index, size);
                have.add(from, to);
                sealed.add(from, to);
                // Of two records the later one counts: the segment was found damaged and fetched again.
                unproved.insert(*index, *hash);
            }
        }
        let state = State {
            meta,
            have,
            tail: VecDeque::new(),
            tail_bytes: 0,
            waiting: Vec::new(),
            next_reader: 0,
            readers: 0,
            // Whoever asked for it first is about to read.
            left_at: Some(Instant::now()),
            unproved,
            kept: sealed.clone(),
            sealed,
            over: false,
            unmovable: false,
        };
        Self { files, state: Mutex::new(state), news: watch::Sender::new(0) }
    }

    /// The state. Never held across an await or a read from the disk.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told whenever bytes have come or hope is gone.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Wakes whoever waits.
    pub(super) fn tell(&self) {
        self.news.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// The strong tag of this state.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.lock().meta.generation)
    }

    /// Whether every byte is there.
    pub(super) fn complete(&self) -> bool {
        let state = self.lock();
        state.meta.size.is_some_and(|size| state.have.covers(0, size))
    }

    /// Bytes that were written are there for readers from now on.
    pub(super) fn add(&self, at: u64, bytes: Bytes) {
        {
            let mut state = self.lock();
            state.have.add(at, at + bytes.len() as u64);
            state.tail_bytes += bytes.len();
            state.tail.push_back((at, bytes));
            while state.tail_bytes > TAIL {
                let Some((_, gone)) = state.tail.pop_front() else { break };
                state.tail_bytes -= gone.len();
            }
            let State { have, waiting, .. } = &mut *state;
            waiting.retain(|(_, at)| have.reach(*at) == *at);
        }
        self.tell();
    }

    /// The fill has ended: nothing needs to stay in memory.
    pub(super) fn forget_tail(&self) {
        let mut state = self.lock();
        state.tail.clear();
        state.tail_bytes = 0;
    }

    /// Whole segments that nobody vouches for yet; the caller seals them.
    pub(super) fn take_unsealed(&self) -> (Vec<u64>, u64) {
        let mut state = self.lock();
        let Some(size) = state.meta.size else { return (Vec::new(), 0) };
        let mut found = Vec::new();
        let (mut at, _) = state.sealed.gap(0);
        while at < size {
            let index = at / SEGMENT;
            let (from, to) = segment(index, size);
            if state.have.covers(from, to) {
                found.push(index);
                state.sealed.add(from, to);
            }
            at = state.sealed.reach(to);
        }
        (found, size)
    }

    /// They are vouched for on the disk.
    pub(super) fn kept(&self, indexes: &[u64]) {
        let mut state = self.lock();
        let size = state.meta.size.unwrap_or(0);
        for index in indexes {
            let (from, to) = segment(*index, size);
            state.kept.add(from, to);
        }
    }

    /// They could not be sealed after all.
    pub(super) fn unseal(&self, indexes: &[u64]) {
        let mut state = self.lock();
        let size = state.meta.size.unwrap_or(0);
        for index in indexes {
            let (from, to) = segment(*index, size);
            state.sealed.remove(from, to);
        }
    }

    /// A reader comes; it has a number.
    pub(super) fn enter(&self) -> u64 {
        let mut state = self.lock();
        state.readers += 1;
        state.next_reader += 1;
        state.next_reader
    }

    /// A reader goes.
    pub(super) fn leave(&self, reader: u64) {
        let mut state = self.lock();
        state.readers = state.readers.saturating_sub(1);
        state.waiting.retain(|(who, _)| *who != reader);
        if state.readers == 0 {
            state.left_at = Some(Instant::now());
        }
    }

    /// What a reader gets at `at`, up to `end`. When it is missing the reader stands in the queue from now on; the flag says
    /// that it stood there already.
    pub(super) fn piece(&self, reader: u64, at: u64, end: u64) -> Piece {
        let mut state = self.lock();
        let held = state.tail.iter().rev().find(|(from, bytes)| (*from..from + bytes.len() as u64).contains(&at));
        if let Some((from, bytes)) = held {
            let (skip, left) = (at - from, end - at);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            let until = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - skip) + skip;
            return Piece::Here(bytes.slice(skip..until));
        }
        let reach = state.have.reach(at).min(end);
        if reach > at {
            // A piece lies in one segment, because segments are proved one by one.
            let border = (at / SEGMENT + 1) * SEGMENT;
            return Piece::OnDisk(reach.min(border).min(at + PIECE) - at);
        }
        if state.over {
            return Piece::Over;
        }
        if !state.waiting.iter().any(|(who, _)| *who == reader) {
            state.waiting.push((reader, at));
        }
        Piece::Missing
    }

    /// Reads what of a piece that [`Self::piece`] told of lies in the kernel's memory. `None` when it has to come from the
    /// disk or is to be proved: see [`Self::read`].
    pub(super) fn read_at_hand(&self, at: u64, length: u64, memory: &Memory) -> Option<Bytes> {
        if self.lock().unproved.contains_key(&(at / SEGMENT)) {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        // Whatever keeps it from being read is told by the read that may wait.
        let bytes = memory.fill(length, |bytes| self.files.read_at_hand(at, bytes)).ok()?;
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Reads a piece that [`Self::piece`] told of. Blocks on the disk. A segment of a former run is proved first; one whose
    /// hash does not fit counts as missing from now on.
    pub(super) fn read(&self, at: u64, length: u64, memory: &Memory) -> io::Result<Bytes> {
        let index = at / SEGMENT;
        let (proof, size) = {
            let state = self.lock();
            (state.unproved.get(&index).copied(), state.meta.size.unwrap_or(0))
        };
        // One whose file can't be opened, for want of descriptors say, is not damaged. The data stays open for all of this.
        let _open = match self.files.data() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            opened => opened.ok(),
        };
        if let Some(hash) = proof {
            let found = self.files.hash(index, size);
            let mut state = self.lock();
            state.unproved.remove(&index);
            if !matches!(found, Ok(found) if found == hash) {
                let (from, to) = segment(index, size);
                state.have.remove(from, to);
                state.sealed.remove(from, to);
                state.kept.remove(from, to);
                drop(state);
                tracing::error!(index, "a segment of the library is damaged on the disk and is not served");
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let length = usize::try_from(length).unwrap_or(0);
        let bytes = memory.fill(length, |bytes| self.files.read(at, bytes).map(|()| length))?;
        self.files.bring(at + length as u64, AHEAD);
        Ok(bytes)
    }

    /// No byte will be added: what is there is served to the end, who waits for more is told.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.tell();
    }
}
