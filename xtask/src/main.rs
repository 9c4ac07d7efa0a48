//! `cargo xtask <verb>`: everything that a developer does to this repository beyond plain `cargo`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{ebpf, setup, syscalls, workspace};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Developer tasks of syscallmon")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// One variant and one module for each verb.
#[derive(Subcommand)]
enum Verb {
    /// Install what building, testing or measuring needs and this machine lacks
    Setup(setup::Args),
    /// Build the eBPF objects that are committed, and the record of what they were built from
    Ebpf(ebpf::Args),
    /// Generate the tables of system calls from the newest kernel headers in Debian
    Syscalls(syscalls::Args),
}

fn main() -> ExitCode {
    let root = workspace::root();
    let result = match Cli::parse().verb {
        Verb::Setup(args) => setup::run(&root, &args),
        Verb::Ebpf(args) => ebpf::run(&root, &args),
        Verb::Syscalls(args) => syscalls::run(&root, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
