//! `cargo xtask ci`: all checks for a change before it lands. The checks that fail fastest run first.

use std::{path::Path, process::Command, time::Instant};

use anyhow::Result;
use syscallmon_generate::{docs, manifests};
use xtask_support::{
    setup::{self, Purpose},
    shell, workspace,
};

use crate::verbs::{
    deny,
    ebpf::{self, Check},
    fuzz, test, vm,
};

/// Runs the verb.
///
/// # Errors
///
/// If a check fails. The message says what to do.
pub fn run(root: &Path) -> Result<()> {
    step("formatting", || cargo(root, &["fmt", "--all", "--check"], "run `cargo fmt --all`"))?;
    step("the tools of the next two checks", || setup::ensure(root, Purpose::Check))?;
    step("spelling", || shell::run(Command::new("codespell").current_dir(root), "correct it, or see .codespellrc"))?;
    step("licences, versions and sources of dependencies", || deny::check(root))?;
    step("generated documents", || docs::check(root))?;
    step("the record of the eBPF object", || ebpf::record_matches_sources(root))?;
    step("lints", || {
        let clippy = ["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"];
        cargo(root, &clippy, "mend what clippy complains about")
    })?;
    step("the fuzz targets compile", || fuzz::check(root))?;
    step("what is in deploy/", || manifests::check(root))?;
    step("the eBPF toolchain", || setup::ensure(root, Purpose::Ebpf))?;
    let mut rebuilt = None;
    step("the eBPF object, built again", || {
        if let Check::Rebuilt(object) = ebpf::check(root)? {
            rebuilt = Some(object);
        }
        Ok(())
    })?;
    step("the test suite", || test::suite(root, rebuilt.as_deref(), &[]))?;
    step("real containers", || syscallmon_e2e::ci(root))?;
    step("other kernels", || vm::ci(root, rebuilt.as_deref()))
}

fn step(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {what}");
    let begin = Instant::now();
    work()?;
    eprintln!("== {what}: ok, {} s", begin.elapsed().as_secs());
    Ok(())
}

fn cargo(root: &Path, args: &[&str], remedy: &str) -> Result<()> {
    shell::run(Command::new(workspace::cargo()).current_dir(root).args(args), remedy)
}
