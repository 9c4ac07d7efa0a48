//! The verbs of `cargo xtask`, one file each: its arguments and its actions.
//!
//! Tests and other verbs can call every verb. It takes the workspace's root.

pub mod api;
pub mod bench;
pub mod ci;
pub mod deny;
pub mod dist;
pub mod docs;
pub mod e2e;
pub mod ebpf;
pub mod fuzz;
pub mod image;
pub mod manifests;
pub mod packages;
pub mod pictures;
pub mod release;
pub mod runtime_bases;
pub mod setup;
pub mod syscalls;
pub mod test;
pub mod vm;

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;

/// One variant and one module for each verb.
#[derive(Subcommand)]
pub enum Verb {
    /// Everything that must hold before a change lands: all tests and checks
    Ci,
    /// The test suite alone, with the committed eBPF object
    Test(test::Args),
    /// Build the static binaries that are released, for x86_64 and arm64
    Dist(dist::Args),
    /// Make packages for Debian and for distributions with rpm, with the static binaries
    Packages(packages::Args),
    /// Make all files of a release in one directory: binaries, packages, image, chart, SBOMs, checksums
    Release(release::Args),
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
    /// Check the API of a daemon against its document
    Api(api::Args),
    /// Check the licences, versions and sources of dependencies
    Deny(deny::Args),
    /// Feed arbitrary bytes to all that reads the bytes of others: names, requests, answers, files
    Fuzz(fuzz::Args),
    /// Install what building, testing or measuring needs and this machine lacks
    Setup(setup::Args),
    /// Build the eBPF objects that are committed, and the record of what they were built from
    Ebpf(ebpf::Args),
    /// Generate the tables of system calls from the newest kernel headers in Debian
    Syscalls(syscalls::Args),
    /// Measure the calls of container runtimes between loading the seccomp filter and the program's start
    RuntimeBases(runtime_bases::Args),
}

impl Verb {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If a task or a check fails. The message says what to do.
    pub fn run(&self, root: &Path) -> Result<()> {
        match self {
            Self::Ci => ci::run(root),
            Self::Test(args) => test::run(root, args),
            Self::Dist(args) => dist::run(root, args),
            Self::Packages(args) => packages::run(root, args),
            Self::Release(args) => release::run(root, args),
            Self::Image(args) => image::run(root, args),
            Self::E2e(args) => e2e::run(root, args),
            Self::Vm(args) => vm::run(root, args),
            Self::Docs(args) => docs::run(root, args),
            Self::Manifests(args) => manifests::run(root, args),
            Self::Pictures(args) => pictures::run(root, args),
            Self::Bench(args) => bench::run(root, args),
            Self::Api(args) => api::run(root, args),
            Self::Deny(args) => deny::run(root, args),
            Self::Fuzz(args) => fuzz::run(root, args),
            Self::Setup(args) => setup::run(root, args),
            Self::Ebpf(args) => ebpf::run(root, args),
            Self::Syscalls(args) => syscalls::run(root, args),
            Self::RuntimeBases(args) => runtime_bases::run(root, args),
        }
    }
}
