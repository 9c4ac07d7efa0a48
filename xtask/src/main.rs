//! `cargo xtask <verb>`: all tasks of developers in this repository beyond plain `cargo`.

use std::process::ExitCode;

use clap::Parser;
use xtask::verbs::Verb;
use xtask_support::workspace;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Developer tasks of syscallmon")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    match Cli::parse().verb.run(&workspace::root()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
