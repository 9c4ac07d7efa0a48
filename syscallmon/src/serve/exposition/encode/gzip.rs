//! Builds a gzip member from texts that are compressed once each, as pigz does.
//!
//! Each [`Text`] becomes blocks of raw deflate that end at a byte boundary (a sync flush) and do not refer to earlier
//! blocks. So they can be in any member, between any other blocks: header, blocks, an empty last block, the combined
//! CRC-32, the length (RFC 1951, RFC 1952).

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use axum::body::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// For 14.6 MB in chunks of 32 KiB, level 1 makes 914 KB in 11 ms, level 2 635 KB in 20 ms, level 6 540 KB in 46 ms.
const LEVEL: Compression = Compression::fast();

/// Maximum threads that compress one exposition, and the minimum bytes for starting one: about 3 ms of work.
const MAX_THREADS: usize = 4;
const MIN_BYTES_OF_THREAD: usize = 2 << 20;

/// Magic number, deflate, no flags, no time, fastest algorithm, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// An empty last block with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A part of an exposition. It is compressed at the first request.
#[derive(Debug)]
pub(crate) struct Text {
    plain: Bytes,
    deflated: OnceLock<Deflated>,
}

impl Text {
    /// Returns the text itself.
    pub(crate) fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Returns the compressed text. Compresses it at the first call.
    fn deflated(&self, deflater: &mut Option<Deflater>) -> &Deflated {
        self.deflated.get_or_init(|| deflater.get_or_insert_with(Deflater::new).deflate(&self.plain))
    }
}

impl From<Bytes> for Text {
    fn from(plain: Bytes) -> Self {
        Self { plain, deflated: OnceLock::new() }
    }
}

/// A compressed text.
#[derive(Debug)]
struct Deflated {
    /// Whole blocks of raw deflate.
    blocks: Bytes,
    /// Checksum and length of the text.
    crc: Crc,
}

/// Returns the plain bytes of these texts.
pub(crate) fn plain(texts: &[Arc<Text>]) -> Vec<Bytes> {
    texts.iter().map(|text| text.plain.clone()).filter(|plain| !plain.is_empty()).collect()
}

/// Returns one gzip member of these texts, in pieces to send one after the other. Compresses texts that are not
/// compressed yet.
pub(crate) fn gzip(texts: &[Arc<Text>]) -> Vec<Bytes> {
    compress(texts);
    let mut deflater = None;
    let mut crc = Crc::new();
    let mut pieces = vec![Bytes::from_static(&HEADER)];
    for text in texts.iter().filter(|text| !text.plain.is_empty()) {
        let Deflated { blocks, crc: of_text } = text.deflated(&mut deflater);
        crc.combine(of_text);
        pieces.push(blocks.clone());
    }
    pieces.push([&LAST_BLOCK[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat().into());
    pieces
}

/// Compresses many uncompressed texts in several threads. A few are left to the caller.
fn compress(texts: &[Arc<Text>]) {
    let due: Vec<&Text> = texts.iter().map(AsRef::as_ref).filter(|text| text.deflated.get().is_none()).collect();
    let bytes: usize = due.iter().map(|text| text.plain.len()).sum();
    let most = MAX_THREADS.min(bytes / MIN_BYTES_OF_THREAD);
    if most < 2 {
        return;
    }
    // Reads several files of cgroups, so it is asked only when more than one thread would help.
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(most);
    if threads < 2 {
        return;
    }
    let due = Mutex::new(due.into_iter());
    let next = || due.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut deflater = None;
        while let Some(text) = next() {
            text.deflated(&mut deflater);
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

/// Compresses texts, each on its own.
struct Deflater {
    compress: Compress,
    buffer: Vec<u8>,
}

impl Deflater {
    fn new() -> Self {
        Self { compress: Compress::new(LEVEL, false), buffer: Vec::new() }
    }

    fn deflate(&mut self, text: &[u8]) -> Deflated {
        let mut crc = Crc::new();
        crc.update(text);
        self.compress.reset();
        self.buffer.clear();
        loop {
            self.buffer.reserve(text.len() / 4 + 64);
            let done = usize::try_from(self.compress.total_in()).unwrap_or(usize::MAX);
            let rest = text.get(done..).unwrap_or_default();
            let status = self.compress.compress_vec(rest, &mut self.buffer, FlushCompress::Sync);
            status.expect("deflate fails only when its state is overwritten");
            // A flush is complete when it leaves room.
            if self.buffer.len() < self.buffer.capacity() {
                break;
            }
        }
        Deflated { blocks: Bytes::copy_from_slice(&self.buffer), crc }
    }
}

#[cfg(test)]
mod tests;
