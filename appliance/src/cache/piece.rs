//! A reader's memory for the pieces that it sends: one piece is on its way at a time, and when it has been sent its memory
//! takes the next one. A class that reads costs no fresh memory for each piece, and no zeroing of it.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// The memory. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

/// A piece on its way; its memory goes back when it is dropped.
#[derive(Debug)]
struct Sent {
    bytes: Vec<u8>,
    length: usize,
    home: Memory,
}

impl Memory {
    /// At most `length` bytes as `read` fills them; it says how many it did.
    pub(super) fn fill(&self, length: usize, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
        let bytes = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut sent = Sent { bytes, length: 0, home: self.clone() };
        if sent.bytes.len() < length {
            sent.bytes.resize(length, 0);
        }
        sent.length = read(sent.bytes.get_mut(..length).unwrap_or_default())?.min(length);
        Ok(Bytes::from_owner(sent))
    }
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = mem::take(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_piece_on_its_way_is_never_written_over_and_its_memory_is_used_again() {
        let memory = Memory::default();
        let with = |byte: u8, length| {
            memory.fill(length, |bytes| {
                bytes.fill(byte);
                Ok(bytes.len())
            })
        };
        let first = with(1, 1000).unwrap();
        let second = with(2, 1000).unwrap();
        assert!(first.iter().all(|byte| *byte == 1) && second.iter().all(|byte| *byte == 2));
        let place = second.as_ptr();
        let part = second.slice(..10);
        drop(second);
        assert_ne!(with(3, 10).unwrap().as_ptr(), place, "a part of it is still on its way");
        drop((first, part));
        let third = with(4, 10).unwrap();
        assert_eq!(third.as_ptr(), place, "the memory that came back last");
        assert_eq!(&third[..], [4; 10]);
    }

    #[test]
    fn what_was_not_filled_is_not_told() {
        let memory = Memory::default();
        drop(memory.fill(8, |bytes| Ok(bytes.len())).unwrap());
        assert_eq!(memory.fill(8, |_| Ok(3)).unwrap().len(), 3);
        assert_eq!(memory.fill(2, |_| Ok(9)).unwrap().len(), 2, "no more than was asked for");
        assert!(memory.fill(8, |_| Err(io::ErrorKind::WouldBlock.into())).is_err());
    }
}
