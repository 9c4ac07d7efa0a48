//! Copies the output of the command, and finds the line that ends its start-up phase.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::AsFd,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use regex::bytes::Regex;
use tokio::sync::Notify;

/// Maximum bytes of a line that are compared.
const MAX_LINE: usize = 64 << 10;
/// Bytes that are copied at once: the size of a pipe.
const BUFFER: usize = 64 << 10;
/// How long a copy is awaited after the last process has ended. A process outside the cgroup can keep the pipe open.
const END_TIMEOUT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Copies stdout and stderr of a command to those of this process.
#[derive(Default)]
pub(super) struct OutputCopy {
    threads: Vec<(JoinHandle<()>, Arc<AtomicBool>)>,
    matched: Arc<Notify>,
}

impl OutputCopy {
    /// Starts to copy the pipes of a child.
    pub(super) fn start(child: &mut Child, regex: &Regex) -> io::Result<Self> {
        let mut copy = Self::default();
        if let Some(stdout) = child.stdout.take() {
            copy.spawn("stdout", stdout, File::from(io::stdout().as_fd().try_clone_to_owned()?), regex)?;
        }
        if let Some(stderr) = child.stderr.take() {
            copy.spawn("stderr", stderr, File::from(io::stderr().as_fd().try_clone_to_owned()?), regex)?;
        }
        Ok(copy)
    }

    fn spawn(&mut self, name: &str, from: impl Read + Send + 'static, to: File, regex: &Regex) -> io::Result<()> {
        let (matched, is_writing) = (Arc::clone(&self.matched), Arc::new(AtomicBool::new(false)));
        let (lines, writes) = (Lines::new(regex.clone()), Arc::clone(&is_writing));
        let run = move || copy(from, to, lines, &writes, &matched);
        self.threads.push((thread::Builder::new().name(name.to_owned()).spawn(run)?, is_writing));
        Ok(())
    }

    /// Waits for a line that matches.
    pub(super) async fn matched(&self) {
        self.matched.notified().await;
    }

    /// Waits until everything is copied.
    pub(super) fn finish(self) {
        let begin = Instant::now();
        for (thread, is_writing) in self.threads {
            while !thread.is_finished() && (is_writing.load(Ordering::Relaxed) || begin.elapsed() < END_TIMEOUT) {
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Copies until the end. If nobody reads the copy any longer, closes the pipe, so that the command notices it as it
/// would without the recorder.
fn copy(mut from: impl Read, mut to: File, lines: Lines, is_writing: &AtomicBool, matched: &Notify) {
    let (mut buffer, mut lines) = (vec![0; BUFFER], Some(lines));
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        is_writing.store(true, Ordering::Relaxed);
        let written = write(&mut to, &buffer[..length]);
        is_writing.store(false, Ordering::Relaxed);
        if lines.as_mut().is_some_and(|lines| lines.push(&buffer[..length])) {
            lines = None;
            matched.notify_one();
        }
        if written.is_err() {
            break;
        }
    }
    if lines.is_some_and(|mut lines| lines.push(b"\n")) {
        matched.notify_one();
    }
}

/// Writes everything, also to a descriptor that does not block.
fn write(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Compares lines with an expression.
struct Lines {
    regex: Regex,
    /// The begin of the current line.
    line: Vec<u8>,
}

impl Lines {
    fn new(regex: Regex) -> Self {
        Self { regex, line: Vec::new() }
    }

    /// Adds output. Returns whether a line that ends in it matches.
    fn push(&mut self, output: &[u8]) -> bool {
        for piece in output.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                if self.regex.is_match(line) {
                    return true;
                }
                self.line.clear();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(regex: &str) -> Lines {
        Lines::new(Regex::new(regex).unwrap())
    }

    #[test]
    fn a_line_in_pieces_matches_once_it_is_complete() {
        let mut found = lines("^ready on port [0-9]+$");
        assert!(!found.push(b"starting\nready on "));
        assert!(!found.push(b"port 80"));
        assert!(found.push(b"80\r\nnext"));
        assert!(!lines("^b$").push(b"ab\nba\n"));
        assert!(lines("(?-u)^a\\xe9$").push(b"a\xe9\n"), "not UTF-8");
    }

    #[test]
    fn an_endless_line_takes_bounded_memory() {
        let mut endless = lines("end");
        let output = vec![b'x'; MAX_LINE];
        for _ in 0..100 {
            assert!(!endless.push(&output));
        }
        assert_eq!(endless.line.len(), MAX_LINE);
        assert!(!endless.push(b"end\n"));
        assert!(endless.push(b"end\n"));
    }
}
