//! Kernel arrays mapped into the daemon's memory (`BPF_F_MMAPABLE`, Linux 5.5). Reading them takes no system call.
//!
//! The kernel side writes to the same memory at any time, so every access is atomic and needs unsafe code.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64},
    },
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use memmap2::{MmapOptions, MmapRaw};

use super::Error;

const _: () = assert!(cfg!(target_endian = "little"), "the layouts of 64-bit words below assume it");

/// A mapped array.
#[derive(Debug)]
pub(super) struct MappedArray {
    memory: Arc<MmapRaw>,
}

impl MappedArray {
    /// Maps `len` bytes of an array map.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to map it.
    pub(super) fn new(map: &MapData, len: usize) -> io::Result<Self> {
        Self::part(map.fd(), 0, len)
    }

    /// Maps a word of a map that the kernel lets nobody write.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to map it.
    pub(super) fn read_only(map: &MapData, start: usize) -> io::Result<Self> {
        let options = MmapOptions::new().offset(start as u64).len(size_of::<u64>()).clone();
        let memory = options.map_raw_read_only(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { memory: Arc::new(memory) })
    }

    fn part(map: impl AsFd, start: usize, len: usize) -> io::Result<Self> {
        let memory = MmapOptions::new().offset(start as u64).len(len).map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self { memory: Arc::new(memory) })
    }

    /// Maps a file, for tests.
    #[cfg(test)]
    pub(super) fn of_file(file: impl AsFd, len: usize) -> Self {
        Self::part(file, 0, len).unwrap()
    }

    /// Memory without a map, for tests.
    #[cfg(test)]
    pub(super) fn anonymous(len: usize) -> Self {
        Self { memory: Arc::new(memmap2::MmapMut::map_anon(len).unwrap().into()) }
    }

    /// The same memory again, for tests that act as the kernel side.
    #[cfg(test)]
    pub(super) fn same(other: &Self) -> Self {
        Self { memory: Arc::clone(&other.memory) }
    }

    /// Returns the 64-bit word at an index.
    ///
    /// # Panics
    ///
    /// When the index is outside the array.
    #[expect(clippy::cast_ptr_alignment, reason = "mappings start at a multiple of 8")]
    #[inline]
    pub(super) fn u64(&self, index: usize) -> &AtomicU64 {
        let words = self.memory.as_mut_ptr().cast::<u64>();
        assert!(index < self.memory.len() / size_of::<u64>(), "word {index} is outside the map");
        // SAFETY: in bounds as just checked, aligned since mappings start at a page or a row of words, alive as long as
        // self; only accessed atomically on this side, and the kernel side writes whole words.
        unsafe { AtomicU64::from_ptr(words.add(index)) }
    }

    /// Returns the 32-bit word at an index.
    ///
    /// # Panics
    ///
    /// When the index is outside the array.
    #[expect(clippy::cast_ptr_alignment, reason = "mappings start at a multiple of 8")]
    pub(super) fn u32(&self, index: usize) -> &AtomicU32 {
        let words = self.memory.as_mut_ptr().cast::<u32>();
        assert!(index < self.memory.len() / size_of::<u32>(), "word {index} is outside the map");
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(words.add(index)) }
    }
}

/// Rows in a part of [`MappedRows`].
const ROWS_PER_PART: usize = 64;

/// An array with large rows, of which only the parts in use are mapped.
///
/// The kernel maps all pages of a mapping at once (`array_map_mmap`), and counts them as the process's resident memory.
#[derive(Debug)]
pub(super) struct MappedRows {
    map: OwnedFd,
    rows: usize,
    row_words: usize,
    /// By the number of the part.
    parts: BTreeMap<usize, MappedArray>,
}

impl MappedRows {
    /// Returns an array of so many rows of 64-bit words, with no part mapped.
    pub(super) fn new(map: OwnedFd, rows: usize, row_words: usize) -> Self {
        Self { map, rows, row_words, parts: BTreeMap::new() }
    }

    /// Maps the parts with these rows.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to map one.
    ///
    /// # Panics
    ///
    /// When a row is outside the array.
    pub(super) fn map(&mut self, rows: impl IntoIterator<Item = usize>) -> io::Result<()> {
        for row in rows {
            assert!(row < self.rows, "row {row} is outside the map");
            let Entry::Vacant(part) = self.parts.entry(row / ROWS_PER_PART) else { continue };
            let first = part.key() * ROWS_PER_PART;
            let rows = ROWS_PER_PART.min(self.rows - first);
            let row_len = self.row_words * size_of::<u64>();
            part.insert(MappedArray::part(&self.map, first * row_len, rows * row_len)?);
        }
        Ok(())
    }

    /// Ends all mappings.
    pub(super) fn unmap(&mut self) {
        self.parts.clear();
    }

    /// Returns a 64-bit word of a row.
    ///
    /// # Panics
    ///
    /// When the row is not mapped, or the word is outside the row.
    pub(super) fn u64(&self, row: usize, word: usize) -> &AtomicU64 {
        assert!(word < self.row_words, "word {word} is outside the row");
        self.part(row).u64(row % ROWS_PER_PART * self.row_words + word)
    }

    /// Returns a 32-bit word of a row.
    ///
    /// # Panics
    ///
    /// When the row is not mapped, or the word is outside the row.
    pub(super) fn u32(&self, row: usize, word: usize) -> &AtomicU32 {
        assert!(word < 2 * self.row_words, "word {word} is outside the row");
        self.part(row).u32(row % ROWS_PER_PART * 2 * self.row_words + word)
    }

    fn part(&self, row: usize) -> &MappedArray {
        self.parts.get(&(row / ROWS_PER_PART)).unwrap_or_else(|| panic!("row {row} is not mapped"))
    }
}

/// Maps `len` bytes of one of the object's arrays.
pub(super) fn mapped(ebpf: &Ebpf, name: &'static str, len: usize) -> Result<MappedArray, Error> {
    MappedArray::new(array(ebpf, name)?, len).map_err(|source| Error::Mmap { name, source })
}

/// Returns a descriptor of one of the object's arrays.
pub(super) fn descriptor(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, Error> {
    array(ebpf, name)?.fd().as_fd().try_clone_to_owned().map_err(|source| Error::Mmap { name, source })
}

fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, Error> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(Error::Object { name }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn rows_are_the_same_memory_in_every_part_and_mapped_only_when_asked() {
        // Parts that start inside of pages, and a last one that is shorter.
        let (rows, row_words) = (3 * ROWS_PER_PART + 1, 7);
        let len = rows * row_words * size_of::<u64>();
        let file = memfd_create("rows", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, len as u64).unwrap();
        let whole = MappedArray::of_file(&file, len);
        let mut array = MappedRows::new(file, rows, row_words);
        let some = [0, ROWS_PER_PART - 1, ROWS_PER_PART, rows - 1];
        array.map(some).unwrap();
        assert_eq!(array.parts.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
        for (value, row) in (1..).zip(some) {
            array.u64(row, 0).store(value, Relaxed);
            array.u32(row, 13).store(7, Relaxed);
            assert_eq!(whole.u64(row * row_words).load(Relaxed), value, "row {row}");
            assert_eq!(whole.u32(2 * row * row_words + 13).load(Relaxed), 7, "row {row}");
        }
        array.unmap();
        assert!(array.parts.is_empty());
        array.map([rows - 1]).unwrap();
        assert_eq!(array.u64(rows - 1, 0).load(Relaxed), 4, "what was written stays");
    }

    #[test]
    #[should_panic(expected = "row 64 is not mapped")]
    fn a_row_that_is_not_mapped_is_not_touched() {
        let file = memfd_create("rows", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        let mut array = MappedRows::new(file, 2 * ROWS_PER_PART, 7);
        array.map([1]).unwrap();
        array.u64(ROWS_PER_PART, 0).store(1, Relaxed);
    }
}
