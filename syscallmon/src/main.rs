//! The binary: parses the command line and maps the outcome to an exit status; nothing else exits.

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::Parser;
use syscallmon::command::Cli;

/// How long the end waits until the last lines are written.
const PRINT_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    syscallmon::memory::use_one_arena();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version come here too. Nobody is left to tell when printing fails.
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

/// Prints, but does not wait for a pipe that nobody reads.
fn print_error(text: String) {
    let (done, printed) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("{text}");
        // An error means that nobody waits any more.
        let _ = done.send(());
    });
    let _ = printed.recv_timeout(PRINT_TIMEOUT);
}
