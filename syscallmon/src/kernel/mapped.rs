//! Kernel arrays mapped into the daemon's memory (`BPF_F_MMAPABLE`, Linux 5.5). Reading them takes no system call.
//!
//! The kernel side writes to the same memory at any time, so every access is atomic and needs unsafe code.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
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
        let fd = map.fd().as_fd().as_raw_fd();
        let memory = MmapOptions::new().len(len).map_raw(fd)?;
        Ok(Self { memory: Arc::new(memory) })
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
    #[expect(clippy::cast_ptr_alignment, reason = "mappings start at pages")]
    pub(super) fn u64(&self, index: usize) -> &AtomicU64 {
        let words = self.memory.as_mut_ptr().cast::<u64>();
        assert!(index < self.memory.len() / size_of::<u64>(), "word {index} is outside the map");
        // SAFETY: in bounds as just checked, aligned since mappings start at pages, alive as long as self;
        // only accessed atomically on this side, and the kernel side writes whole words.
        unsafe { AtomicU64::from_ptr(words.add(index)) }
    }

    /// Returns the 32-bit word at an index.
    ///
    /// # Panics
    ///
    /// When the index is outside the array.
    #[expect(clippy::cast_ptr_alignment, reason = "mappings start at pages")]
    pub(super) fn u32(&self, index: usize) -> &AtomicU32 {
        let words = self.memory.as_mut_ptr().cast::<u32>();
        assert!(index < self.memory.len() / size_of::<u32>(), "word {index} is outside the map");
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(words.add(index)) }
    }
}

/// Maps `len` bytes of one of the object's arrays.
pub(super) fn mapped(ebpf: &Ebpf, name: &'static str, len: usize) -> Result<MappedArray, Error> {
    let Some(Map::Array(map)) = ebpf.map(name) else { return Err(Error::Object { name }) };
    MappedArray::new(map, len).map_err(|source| Error::Mmap { name, source })
}
