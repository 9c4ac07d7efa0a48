//! Recordings: what the model was fed with, in a file that can be replayed on any machine.
//!
//! A [`Sample`] is everything that one snapshot brought: births, first calls, names, the snapshot itself and what was
//! forgotten after it. The sampler hands samples to a [`Sink`]; a thread writes them ([`start`]). A [`Reader`] gives
//! the same samples back, and whoever has them feeds a model in the same order. Nothing here knows the model, the
//! kernel or the network.
//!
//! # Format
//!
//! One gzip stream of lines of JSON, so that `zcat FILE | jq` shows all that is in it. Each record is two lines: the
//! record, and the CRC-32 of its line. The first record is the [`Header`]; then come [`Frame`]s, and an [`End`] where
//! the recorder ended as it should. The stream is flushed after every frame, so a recorder that was killed leaves a
//! file that can be read up to its last frame.

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
    reader::{Problem, ReadError, Reader},
    sample::{Recorded, Sample},
    writer::{MaskNames, Outcome, Recording, Sink, WriteError, WriteOptions, start},
};

/// What a header says that it is of.
const FORMAT: &str = "syscallmon-recording";

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Longest line, in bytes. Samples that are longer are split into several frames.
const MAX_LINE: u64 = 8 << 20;
