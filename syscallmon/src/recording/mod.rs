//! Recordings: the input of the model, in a file that can be replayed on any machine.
//!
//! A [`Sample`] has everything of one snapshot: births, first calls, names, the snapshot itself, and what was removed
//! after it. The sampler hands samples to a [`SampleSender`], and a thread writes them ([`start`]). A [`Reader`]
//! returns the same samples in the same order. This module does not use the model, the kernel or the network.
//!
//! # Format
//!
//! One gzip stream of lines of JSON, so `zcat FILE | jq` shows all of it. Each record is two lines: the record, and the
//! CRC-32 of its line. The first record is the [`Header`]. [`Frame`]s follow, and an [`End`] if the recorder ended
//! normally. The stream is flushed after every frame, so a file of a killed recorder can be read up to its last frame.

mod decoder;
mod encoder;
mod frame;
mod header;
mod mask;
mod names;
mod reader;
mod sample;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    decoder::{Decoder, Limits},
    frame::{End, Frame},
    header::Header,
    reader::{ReadError, ReadProblem, Reader},
    sample::{Sample, SampleOrEnd},
    writer::{MaskNames, Recording, RecordingSummary, SampleSender, WriteError, WriteOptions, start},
};

/// The kind of file, in the header.
const FORMAT: &str = "syscallmon-recording";

/// The version of the format that this version writes, and the only one that it reads.
const VERSION: u32 = 1;

/// Maximum bytes of a line. Longer samples are split into several frames.
const MAX_LINE: u64 = 8 << 20;
