//! `cargo xtask <verb>`: everything that a developer does to this repository beyond plain `cargo`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{
    bench, ci, dist, docs, e2e, ebpf, fuzz, image, manifests, pictures, run, setup, syscalls, test, vm, workspace,
};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Developer tasks of syscallmon")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// One variant and one module for each verb.
#[derive(Subcommand)]
enum Verb {
    /// Build the daemon, start it on this host, show what it counts
    Run(run::Args),
    /// Everything that must hold before a change lands: all tests and checks
    Ci,
    /// The test suite alone, with the committed eBPF object
    Test(test::Args),
    /// Build the static binaries that are released, for x86_64 and arm64
    Dist(dist::Args),
    /// Write the container image, with the static binary
    Image(image::Args),
    /// Real environments that run containers, on this machine: Kubernetes, containerd, Docker, Podman
    E2e(e2e::Args),
    /// The tests of the daemon on other kernels, in emulated machines
    Vm(vm::Args),
    /// Generate METRICS.md, the configuration template, man pages and completions
    Docs(docs::Args),
    /// Make the Kubernetes manifests from the chart, and check everything in deploy/
    Manifests(manifests::Args),
    /// Draw the dashboards for the documents, from the data of a real Prometheus
    Pictures(pictures::Args),
    /// Measure what the daemon costs, and compare that with the limits
    Bench(bench::Args),
    /// Feed arbitrary bytes to all that reads the bytes of others: names, requests, answers, files
    Fuzz(fuzz::Args),
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
        Verb::Run(args) => run::run(&root, &args),
        Verb::Ci => ci::run(&root),
        Verb::Test(args) => test::run(&root, &args),
        Verb::Dist(args) => dist::run(&root, &args),
        Verb::Image(args) => image::run(&root, &args),
        Verb::E2e(args) => e2e::run(&root, &args),
        Verb::Vm(args) => vm::run(&root, &args),
        Verb::Docs(args) => docs::run(&root, &args),
        Verb::Manifests(args) => manifests::run(&root, &args),
        Verb::Pictures(args) => pictures::run(&root, &args),
        Verb::Bench(args) => bench::run(&root, &args),
        Verb::Fuzz(args) => fuzz::run(&root, &args),
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
