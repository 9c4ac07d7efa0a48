//! The binary: parses the command line, and maps the outcome to an exit status. No other code exits.

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::Parser;
use syscallmon::command::Cli;

/// How long the process waits at its end until the last lines are written.
const PRINT_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    syscallmon::memory::use_one_arena();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version are errors of clap as well. A failure to print cannot be reported.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = cli.execute();
    syscallmon::logging::flush(PRINT_TIMEOUT);
    outcome.unwrap_or_else(|error| {
        print_error(format!("syscallmon: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints, but does not wait for a pipe without a reader.
fn print_error(text: String) {
    let (done, printed) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("{text}");
        // An error means that the caller stopped waiting.
        let _ = done.send(());
    });
    let _ = printed.recv_timeout(PRINT_TIMEOUT);
}
