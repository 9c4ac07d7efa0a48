//! Files with one JSON object on each line, within limits.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Maximum size of a file.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Maximum size of a line. An incident has at most 64 calls, each with a command line.
pub(super) const MAX_LINE: usize = 4 << 20;

/// Writes lines within the limits.
pub(super) struct LineWriter<'a, W> {
    file: &'a mut W,
    text: Vec<u8>,
    lines: u64,
    bytes: u64,
}

impl<'a, W: Write> LineWriter<'a, W> {
    pub(super) fn new(file: &'a mut W) -> Self {
        Self { file, text: Vec::new(), lines: 0, bytes: 0 }
    }

    /// Writes a line. Returns `false`, and writes nothing, if the line is too long or has no room.
    pub(super) fn write(&mut self, line: &impl Serialize) -> io::Result<bool> {
        self.set_text(line)?;
        let end = self.bytes + self.text.len() as u64;
        if self.text.len() > MAX_LINE || end > MAX_BYTES - MAX_LINE as u64 {
            return Ok(false);
        }
        (self.lines, self.bytes) = (self.lines + 1, end);
        self.file.write_all(&self.text)?;
        Ok(true)
    }

    /// Writes the last line, which gets the number of the others. It is short, and has room in any case.
    pub(super) fn end<T: Serialize>(mut self, last: impl FnOnce(u64) -> T) -> io::Result<()> {
        self.set_text(&last(self.lines))?;
        self.file.write_all(&self.text)
    }

    fn set_text(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, line)?;
        self.text.push(b'\n');
        Ok(())
    }
}

/// Reads lines within the limits.
pub(super) struct LineReader<R> {
    file: BufReader<io::Take<R>>,
    text: Vec<u8>,
    lines: u64,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file: BufReader::new(file.take(MAX_BYTES)), text: Vec::new(), lines: 0 }
    }

    /// Returns the next line; `None` at the end of the file, and for a line that is too long or incomplete.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<serde_json::Result<T>>> {
        self.text.clear();
        self.file.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.text)?;
        if self.text.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.lines += 1;
        Ok(Some(serde_json::from_slice(&self.text)))
    }

    /// Returns the number of the last line.
    pub(super) fn line(&self) -> u64 {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_has_its_last_line() {
        let mut file = Vec::new();
        let mut writer = LineWriter::new(&mut file);
        // With two quotes and the end of the line.
        let line = "a".repeat(MAX_LINE - 3);
        let lines = MAX_BYTES / MAX_LINE as u64 - 1;
        for _ in 0..lines {
            assert!(writer.write(&line).unwrap());
        }
        assert!(!writer.write(&"").unwrap(), "it is full");
        writer.end(|lines| lines).unwrap();
        assert!(file.ends_with(format!("\n{lines}\n").as_bytes()) && file.len() as u64 <= MAX_BYTES);
        assert!(!LineWriter::new(&mut file).write(&"a".repeat(MAX_LINE)).unwrap(), "it is too long");
    }
}
