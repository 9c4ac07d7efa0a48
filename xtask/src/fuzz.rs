//! `cargo xtask fuzz`: puts into the parsers what nobody thought of, for a while.
//!
//! The targets are in `fuzz/`, and say what must hold of any input. They begin with what is in `fuzz/seeds`, and with what runs before
//! found interesting (`fuzz/corpus`). Without sanitizers, which need a nightly compiler and look for what unsafe code does wrong: the
//! parsers have none. Overflows, failed assertions, and too much time or memory are findings.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    setup::{self, Purpose},
    shell, workspace,
};

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// What is fuzzed, such as place or cri; everything, one after the other, unless given
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// How long for each of them
    #[arg(long, value_name = "N", default_value_t = 300)]
    seconds: u32,
}

/// The cargo-fuzz that is installed.
const CARGO_FUZZ: &str = "0.13.2";

/// Given to every target. One that needs more for one input has a finding; so has one with more than a few inputs in memory.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

/// Runs the verb.
///
/// # Errors
///
/// If an input was found that a target fails with, or a target cannot be built.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let targets = chosen(targets(root)?, &args.targets)?;
    setup::ensure(root, Purpose::Fuzz)?;
    let cargo_fuzz = ensure_cargo_fuzz(root)?;
    lock_as_the_workspace(root)?;
    let mut found = Vec::new();
    for target in &targets {
        build(root, &cargo_fuzz, target)?;
        eprintln!("== {target}: {} s", args.seconds);
        found.extend(fuzz(root, &cargo_fuzz, target, args.seconds)?);
    }
    if found.is_empty() {
        eprintln!("== nothing found in {}", targets.join(", "));
        return Ok(());
    }
    let found: Vec<String> = found.iter().map(|input| input.display().to_string()).collect();
    bail!("these make a target fail (above is how to run it with one of them again): {}", found.join(", "))
}

/// The names of the targets, sorted.
fn targets(root: &Path) -> Result<BTreeSet<String>> {
    let sources = files(&root.join("fuzz/fuzz_targets"))?;
    Ok(sources.iter().filter_map(|source| Some(source.file_stem()?.to_str()?.to_owned())).collect())
}

/// Those that were asked for.
fn chosen(all: BTreeSet<String>, asked: &[String]) -> Result<Vec<String>> {
    for target in asked {
        let names = || all.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        ensure!(all.contains(target), "there is no target {target}: it is one of {}", names());
    }
    Ok(if asked.is_empty() { all.into_iter().collect() } else { asked.to_vec() })
}

/// Where cargo-fuzz is, after it was built into `target/tools` where it was not; a user's own is left alone.
fn ensure_cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let has_version = |program: &PathBuf| {
        let version = shell::query(Command::new(program).args(["fuzz", "--version"]), "");
        version.is_ok_and(|version| version.trim() == format!("cargo-fuzz {CARGO_FUZZ}"))
    };
    if let Some(program) = workspace::programs(root, "cargo-fuzz").find(has_version) {
        return Ok(program);
    }
    eprintln!("missing cargo-fuzz {CARGO_FUZZ}: builds and runs the targets");
    let tools = workspace::tools_dir(root);
    shell::run(
        Command::new(workspace::cargo())
            .env("CARGO_TARGET_DIR", tools.join("build"))
            .args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--force", "--root"])
            .arg(&tools),
        "see the compiler's message",
    )?;
    fs::remove_dir_all(tools.join("build")).context("cannot remove what cargo-fuzz was built in")?;
    Ok(tools.join("bin/cargo-fuzz"))
}

/// Has the targets built with the versions that the workspace is built with. Cargo adds what only they need.
fn lock_as_the_workspace(root: &Path) -> Result<()> {
    let (from, to) = (root.join("Cargo.lock"), root.join("fuzz/Cargo.lock"));
    let changed = |lock: &Path| lock.metadata().and_then(|lock| lock.modified());
    let is_older = !to.exists() || changed(&to)? < changed(&from)?;
    if is_older {
        fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

fn build(root: &Path, cargo_fuzz: &Path, target: &str) -> Result<()> {
    shell::run(&mut command(root, cargo_fuzz, "build", target), "see the compiler's message")
}

/// Fuzzes a target; inputs that it failed with, which the run ends at.
fn fuzz(root: &Path, cargo_fuzz: &Path, target: &str, seconds: u32) -> Result<Vec<PathBuf>> {
    let fuzz = root.join("fuzz");
    let [corpus, seeds, artifacts] = ["corpus", "seeds", "artifacts"].map(|dir| fuzz.join(dir).join(target));
    for dir in [&corpus, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let before = files(&artifacts)?;
    let mut command = command(root, cargo_fuzz, "run", target);
    command.arg(corpus).arg(seeds).arg("--").arg(format!("-max_total_time={seconds}")).args(LIMITS);
    let result = shell::run(&mut command, "it could not be run");
    let found: Vec<PathBuf> = files(&artifacts)?.difference(&before).cloned().collect();
    // The failure of a run that found something is the finding.
    if found.is_empty() { result.map(|()| found) } else { Ok(found) }
}

fn command(root: &Path, cargo_fuzz: &Path, verb: &str, target: &str) -> Command {
    let target_dir = workspace::target_dir(root).join("fuzz");
    let mut command = Command::new(cargo_fuzz);
    command.current_dir(root.join("fuzz")).args(["fuzz", verb, "--fuzz-dir=.", "--sanitizer=none", "--target-dir"]);
    command.arg(target_dir).arg(target);
    command
}

fn files(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let cannot = || format!("cannot read {}", dir.display());
    fs::read_dir(dir).with_context(cannot)?.map(|entry| Ok(entry.with_context(cannot)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_a_binary() {
        let root = workspace::root();
        let manifest: toml::Table = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap().parse().unwrap();
        let binaries = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned());
        let targets = targets(&root).unwrap();
        assert_eq!(binaries.collect::<BTreeSet<_>>(), targets);
        for target in targets {
            assert!(!files(&root.join("fuzz/seeds").join(&target)).unwrap().is_empty(), "{target}");
        }
    }

    #[test]
    fn targets_are_all_or_those_that_were_asked_for() {
        let all = || BTreeSet::from(["cri", "place"].map(str::to_owned));
        assert_eq!(chosen(all(), &[]).unwrap(), ["cri", "place"]);
        assert_eq!(chosen(all(), &["place".to_owned()]).unwrap(), ["place"]);
        let error = chosen(all(), &["plaice".to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("cri, place"), "{error}");
    }
}
