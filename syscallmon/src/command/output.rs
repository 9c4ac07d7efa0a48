//! Prints to stdout, for commands that print and end.

use std::io::{self, ErrorKind, Write};

use anyhow::Context as _;

/// Prints a text. A reader that closes its end early, such as `head`, is no error.
pub(super) fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}
