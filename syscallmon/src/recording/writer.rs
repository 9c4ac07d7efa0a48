//! Writes a recording in a thread of its own, so the sampler never waits for a disk.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::mpsc::{self, Receiver, SyncSender, TrySendError},
    thread::{self, JoinHandle},
};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    End, Header, Sample,
    encoder::Encoder,
    frame::FrameOrEnd,
    mask::Mask,
    reader::{Checksum, crc32},
};

/// Maximum samples that wait for the disk.
const MAX_WAITING: usize = 4;

/// How names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskNames {
    /// Unchanged.
    No,
    /// As pseudonyms.
    Yes,
}

/// Options of a recording.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// The recording ends with the sample that makes the file this large, in bytes.
    pub max_size: u64,
    /// How names are written.
    pub mask: MaskNames,
}

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk failed.
    #[error("cannot write the recording")]
    Io(#[from] io::Error),
    /// A sample cannot be written as JSON.
    #[error("cannot write a sample as JSON")]
    Json(#[from] serde_json::Error),
    /// There is no thread for it, or it failed.
    #[error("the writer thread failed")]
    Thread,
    /// Pseudonyms need random numbers.
    #[error("the system has no random numbers for pseudonyms")]
    NoRandomNumbers,
}

/// Accepts samples to write.
#[derive(Debug)]
pub struct SampleSender(SyncSender<Sample>);

/// A recording that is being written. It ends when its [`SampleSender`] is dropped.
#[derive(Debug)]
pub struct Recording {
    thread: JoinHandle<Result<RecordingSummary, WriteError>>,
    ended: CancellationToken,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingSummary {
    /// The last record of the file.
    pub end: End,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Whether it ended because the file was large enough.
    pub is_full: bool,
}

impl SampleSender {
    /// Writes a sample later. Returns it if too many wait, or if the recording has ended.
    ///
    /// # Errors
    ///
    /// In these cases.
    pub fn offer(&self, sample: Sample) -> Result<(), Box<Sample>> {
        self.0.try_send(sample).map_err(|error| match error {
            TrySendError::Full(sample) | TrySendError::Disconnected(sample) => Box::new(sample),
        })
    }
}

/// Starts a recording.
///
/// # Errors
///
/// When no thread can be started, or names are to be masked and there are no random numbers.
pub fn start(file: File, header: Header, options: WriteOptions) -> Result<(SampleSender, Recording), WriteError> {
    let mask = match options.mask {
        MaskNames::Yes => Some(Mask::new().ok_or(WriteError::NoRandomNumbers)?),
        MaskNames::No => None,
    };
    let (sender, samples) = mpsc::sync_channel(MAX_WAITING);
    let ended = CancellationToken::new();
    let at_end = ended.clone().drop_guard();
    let write = move || {
        let _at_end = at_end;
        write(file, &header, mask, &samples, options.max_size)
    };
    let thread = thread::Builder::new().name("recording".to_owned()).spawn(write).map_err(|_| WriteError::Thread)?;
    Ok((SampleSender(sender), Recording { thread, ended }))
}

impl Recording {
    /// Returns when the recording has ended: the file is large enough, or cannot be written.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until everything is written. The sender must be dropped.
    ///
    /// # Errors
    ///
    /// When writing failed.
    pub fn finish(self) -> Result<RecordingSummary, WriteError> {
        self.thread.join().map_err(|_| WriteError::Thread)?
    }
}

/// Writes samples until the sender is dropped, or the file is large enough.
pub(super) fn write(
    file: impl Write,
    header: &Header,
    mask: Option<Mask>,
    samples: &Receiver<Sample>,
    max_size: u64,
) -> Result<RecordingSummary, WriteError> {
    let mut lines = ChecksummedLines::new(BufWriter::new(file));
    lines.write(header)?;
    lines.flush()?;
    let mut encoder = Encoder::new(header.call_table(), mask);
    let (mut end, mut is_full) = (End { samples: 0, missed: 0 }, false);
    while !is_full && let Ok(sample) = samples.recv() {
        (end.samples, end.missed) = (end.samples + 1, sample.missed);
        for frame in encoder.frames(sample) {
            lines.write(&FrameOrEnd::Frame(Box::new(frame)))?;
        }
        lines.flush()?;
        is_full = lines.bytes() >= max_size;
    }
    lines.write(&FrameOrEnd::End(end))?;
    let bytes = lines.finish()?;
    Ok(RecordingSummary { end, bytes, is_full })
}

/// Lines of JSON, each with its checksum, compressed.
pub(super) struct ChecksummedLines<W: Write>(GzEncoder<CountingWriter<W>>);

impl<W: Write> ChecksummedLines<W> {
    pub(super) fn new(file: W) -> Self {
        Self(GzEncoder::new(CountingWriter { file, bytes: 0 }, Compression::default()))
    }

    pub(super) fn write(&mut self, record: &impl Serialize) -> Result<(), WriteError> {
        let mut line = serde_json::to_vec(record)?;
        let checksum = Checksum { crc32: crc32(&line) };
        line.push(b'\n');
        self.0.write_all(&line)?;
        serde_json::to_writer(&mut self.0, &checksum)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Makes everything so far readable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn bytes(&self) -> u64 {
        self.0.get_ref().bytes
    }

    /// Returns the size of the file.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut counted = self.0.finish()?;
        counted.file.flush()?;
        Ok(counted.bytes)
    }
}

/// Counts the bytes that it writes.
struct CountingWriter<W> {
    file: W,
    bytes: u64,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
