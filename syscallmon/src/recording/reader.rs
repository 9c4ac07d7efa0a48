//! Reads a recording, record by record, up to its end or to the first damage.

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Crc, read::GzDecoder};
use serde::Deserialize;

use super::{
    Header, MAX_LINE, SampleOrEnd,
    decoder::{DecodeError, Decoder, Limits},
    frame::FrameOrEnd,
    header::{FormatError, FormatVersion},
};

/// Reads the records of a recording.
pub struct Reader<R> {
    lines: R,
    header: Header,
    decoder: Decoder,
    limits: Limits,
    /// Bytes read so far, after decompression.
    bytes: u64,
    samples: u64,
    is_over: bool,
}

/// The second line of every record.
#[derive(serde::Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) crc32: u32,
}

/// Position and cause of damage. All samples before it are valid.
#[derive(Debug, thiserror::Error)]
#[error("the recording is damaged after sample {samples}, at byte {bytes} (decompressed): {problem}")]
pub struct ReadError {
    /// Samples that were read.
    pub samples: u64,
    /// Bytes that were read, after decompression.
    pub bytes: u64,
    /// The cause.
    #[source]
    pub problem: ReadProblem,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadProblem(#[from] Inner);

#[derive(Debug, thiserror::Error)]
enum Inner {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("unexpected end: the recorder was killed, or the file was truncated")]
    Cut,
    #[error("cannot decompress ({0})")]
    Io(io::Error),
    #[error("the checksum of a line is wrong")]
    Checksum,
    #[error("a line is longer than {MAX_LINE} bytes")]
    Line,
    #[error("more than {0} bytes")]
    Bytes(u64),
    #[error("cannot parse a record ({0})")]
    Json(serde_json::Error),
    #[error("a record {0}")]
    Record(DecodeError),
}

// Not by `#[from]`, because the texts of these errors are in the messages already.
impl From<serde_json::Error> for Inner {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<DecodeError> for Inner {
    fn from(error: DecodeError) -> Self {
        Self::Record(error)
    }
}

impl<R: Read> Reader<BufReader<GzDecoder<R>>> {
    /// Reads the header of a file.
    ///
    /// # Errors
    ///
    /// When it is not a recording, or one of another version.
    pub fn open(file: R, limits: Limits) -> Result<Self, ReadError> {
        Self::of_lines(BufReader::with_capacity(64 << 10, GzDecoder::new(file)), limits)
    }
}

impl<R: BufRead> Reader<R> {
    /// Does the same for decompressed data.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn of_lines(mut lines: R, limits: Limits) -> Result<Self, ReadError> {
        let mut bytes = 0;
        let header = match read_header(&mut lines, &mut bytes, &limits) {
            Ok(header) => header,
            Err(problem) => return Err(ReadError { samples: 0, bytes, problem: ReadProblem(problem) }),
        };
        let decoder = Decoder::new(&header, limits);
        Ok(Self { lines, header, decoder, limits, bytes, samples: 0, is_over: false })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the next sample or the end; `None` after that, and after an error.
    ///
    /// # Errors
    ///
    /// When the file is cut or damaged there.
    pub fn next_record(&mut self) -> Option<Result<SampleOrEnd, ReadError>> {
        if self.is_over {
            return None;
        }
        let before = self.bytes;
        let record = self.read().map_err(|problem| ReadError {
            samples: self.samples,
            bytes: before,
            problem: ReadProblem(problem),
        });
        self.samples += u64::from(matches!(record, Ok(SampleOrEnd::Sample(_))));
        self.is_over = !matches!(record, Ok(SampleOrEnd::Sample(_)));
        Some(record)
    }

    fn read(&mut self) -> Result<SampleOrEnd, Inner> {
        loop {
            let line = read_line(&mut self.lines, &mut self.bytes, &self.limits)?;
            match serde_json::from_slice(&line)? {
                FrameOrEnd::End(end) => return Ok(SampleOrEnd::End(end)),
                FrameOrEnd::Frame(frame) => {
                    if let Some(sample) = self.decoder.take(*frame)? {
                        return Ok(SampleOrEnd::Sample(Box::new(sample)));
                    }
                }
            }
        }
    }
}

fn read_header(lines: &mut impl BufRead, bytes: &mut u64, limits: &Limits) -> Result<Header, Inner> {
    let line = read_line(lines, bytes, limits).map_err(|error| match error {
        // The data are not gzip, or not lines.
        Inner::Io(_) | Inner::Line | Inner::Checksum | Inner::Cut => Inner::Format(FormatError::Other),
        error => error,
    })?;
    let version: FormatVersion = serde_json::from_slice(&line).map_err(|_| FormatError::Other)?;
    version.check()?;
    Ok(serde_json::from_slice(&line)?)
}

/// A line with its checksum.
fn read_line(lines: &mut impl BufRead, bytes: &mut u64, limits: &Limits) -> Result<Vec<u8>, Inner> {
    let line = raw_line(lines, bytes, limits)?;
    if !limits.has_checksums {
        return Ok(line);
    }
    let checksum: Checksum = serde_json::from_slice(&raw_line(lines, bytes, limits)?).map_err(|_| Inner::Checksum)?;
    if checksum.crc32 == crc32(&line) { Ok(line) } else { Err(Inner::Checksum) }
}

fn raw_line(lines: &mut impl BufRead, bytes: &mut u64, limits: &Limits) -> Result<Vec<u8>, Inner> {
    let mut line = Vec::new();
    let read = lines.take(MAX_LINE + 1).read_until(b'\n', &mut line);
    *bytes += line.len() as u64;
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Inner::Cut),
        Err(error) => return Err(Inner::Io(error)),
        Ok(_) => {}
    }
    if *bytes > limits.bytes {
        return Err(Inner::Bytes(limits.bytes));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(line);
    }
    Err(if line.len() as u64 > MAX_LINE { Inner::Line } else { Inner::Cut })
}

pub(super) fn crc32(line: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(line);
    crc.sum()
}
