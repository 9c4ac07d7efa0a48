//! Writes log lines to stderr from a thread of its own, so a full pipe without a reader blocks no task.
//!
//! Lines wait in a bounded queue. When it is full, new lines are dropped and counted.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Maximum bytes of waiting lines.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// Maximum bytes of a line besides its text.
const LINE_OVERHEAD: usize = 64;

static STDERR: WaitingLines = WaitingLines::new(MAX_WAITING_BYTES);

/// Starts the thread that writes to stderr.
///
/// # Errors
///
/// When no thread can be started.
pub(super) fn start() -> io::Result<LogWriter> {
    thread::Builder::new().name("log".to_owned()).spawn(|| {
        // It may be started before the daemon drops its capabilities, which belong to threads.
        let _ = crate::privileges::clear_of_this_thread();
        STDERR.write_to(io::stderr());
    })?;
    Ok(LogWriter(&STDERR))
}

/// Waits until all lines are written, or until the deadline.
pub fn flush(deadline: Duration) {
    STDERR.flush(deadline);
}

/// Returns the number of dropped lines: the queue was full, or stderr failed.
#[must_use]
pub fn dropped_lines() -> u64 {
    STDERR.lock().dropped
}

/// Puts lines into the queue.
#[derive(Clone, Copy)]
pub(super) struct LogWriter(&'static WaitingLines);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for LogWriter {
    /// Accepts a whole line: tracing's layers write each with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that wait for the thread.
struct WaitingLines {
    queue: Mutex<Queue>,
    capacity_bytes: usize,
    arrived: Condvar,
    written: Condvar,
}

struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Whether the thread is writing lines that it has taken.
    is_writing: bool,
    dropped: u64,
}

impl WaitingLines {
    const fn new(capacity_bytes: usize) -> Self {
        let queue = Queue { lines: VecDeque::new(), bytes: 0, is_writing: false, dropped: 0 };
        Self { queue: Mutex::new(queue), capacity_bytes, arrived: Condvar::new(), written: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        let bytes = line.len() + LINE_OVERHEAD;
        if queue.bytes + bytes > self.capacity_bytes {
            queue.dropped += 1;
            return;
        }
        queue.bytes += bytes;
        queue.lines.push_back(line.into());
        drop(queue);
        self.arrived.notify_one();
    }

    /// Writes lines for ever.
    fn write_to(&self, mut to: impl Write) {
        loop {
            let line = self.take();
            let written = to.write_all(&line);
            let mut queue = self.lock();
            queue.is_writing = false;
            queue.dropped += u64::from(written.is_err());
            if queue.lines.is_empty() {
                self.written.notify_all();
            }
        }
    }

    fn take(&self) -> Box<[u8]> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len() + LINE_OVERHEAD;
                queue.is_writing = true;
                return line;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn flush(&self, deadline: Duration) {
        let has_lines = |queue: &mut Queue| queue.is_writing || !queue.lines.is_empty();
        let waited = self.written.wait_timeout_while(self.lock(), deadline, has_lines);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, sync::Arc, time::Instant};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LATER: Duration = Duration::from_secs(10);

    fn start(capacity_bytes: usize) -> (Arc<WaitingLines>, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let lines = Arc::new(WaitingLines::new(capacity_bytes));
        let shared = Arc::clone(&lines);
        thread::spawn(move || shared.write_to(writer));
        (lines, reader)
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (lines, mut reader) = start(1 << 20);
        for line in 0..100 {
            lines.push(format!("{line:02}\n").as_bytes());
        }
        lines.flush(LATER);
        let mut text = [0; 300];
        reader.read_exact(&mut text).unwrap();
        let expected: Vec<_> = (0..100).map(|line| format!("{line:02}")).collect();
        assert_eq!(str::from_utf8(&text).unwrap().lines().collect::<Vec<_>>(), expected);
        assert_eq!(lines.lock().dropped, 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_no_task_and_the_dropped_lines_are_counted() {
        let (lines, mut reader) = start(64 << 10);
        let begin = Instant::now();
        // A pipe takes 64 KiB, and the queue as much.
        for _ in 0..1000 {
            lines.push(&[b'x'; 1000]);
        }
        lines.flush(SOON);
        assert!(begin.elapsed() < LATER, "{:?}", begin.elapsed());
        let dropped = lines.lock().dropped;
        assert!((800..1000).contains(&dropped), "{dropped}");
        assert!(lines.lock().bytes <= 64 << 10);
        thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        lines.flush(LATER);
        assert!(lines.lock().lines.is_empty(), "it goes on when the pipe is read");
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let (lines, reader) = start(1 << 20);
        drop(reader);
        lines.push(b"line\n");
        lines.flush(LATER);
        assert_eq!(lines.lock().dropped, 1);
    }
}
