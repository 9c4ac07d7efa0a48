//! The binary: parses the command line and maps the outcome to an exit status; nothing else exits.

use std::process::ExitCode;

use clap::Parser;
use syscallmon::command::Cli;

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
    cli.execute().unwrap_or_else(|error| {
        eprintln!("syscallmon: {error:#}");
        ExitCode::FAILURE
    })
}
