//! `cargo xtask fuzz`: feeds arbitrary bytes to all code that reads untrusted bytes.
//!
//! The targets in `fuzz/` check properties that hold for any input. They begin with the inputs in `fuzz/seeds`, and
//! with interesting inputs of earlier runs (`fuzz/corpus`). They run without sanitizers, which require a nightly
//! compiler and detect errors of unsafe code, because the parsers have no unsafe code. Overflows, failed assertions,
//! and too much time or memory are findings.

mod log;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use xtask_support::{
    cargo_tool::CargoTool,
    setup::{self, Purpose},
    shell, workspace,
};

use self::log::Summary;

/// Additional text of `--help`.
const HELP: &str = "\
Uses stable Rust, and builds cargo-fuzz into target/tools. The first build takes 5 minutes on an idle machine. Each target then runs for
--seconds, one after the other; Ctrl-C ends it. A table at the end says how often each ran and how much code it reached.

An input that a target fails with, or is slow with, is kept in fuzz/artifacts and ends the target. CONTRIBUTING.md (\"Fuzzing\") says what to
do with it.

Examples:
  cargo xtask fuzz                                     all targets, 90 minutes
  cargo xtask fuzz connection selector --seconds 60    two of them, 2 minutes";

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Targets, such as `cgroup_identity` or `cri` (the files in `fuzz/fuzz_targets`); all, unless given
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// Time for each target
    #[arg(long, value_name = "N", default_value_t = 300)]
    seconds: u32,

    /// Only compile all targets, as `cargo xtask ci` does
    #[arg(long, conflicts_with_all = ["targets", "seconds"])]
    check: bool,
}

/// Builds and runs the targets.
const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
    version_args: &["fuzz", "--version"],
    features: &[],
    why: "builds and runs the targets",
};

/// Limits for every target. A target that exceeds a limit for one input has a finding, and so has a target that keeps
/// more than a few inputs in memory.
const LIMITS: [&str; 4] = ["-timeout=10", "-report_slow_units=1", "-rss_limit_mb=512", "-print_final_stats=1"];

/// Runs the verb.
///
/// # Errors
///
/// If a target fails for an input, or cannot be built.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if args.check {
        return check(root);
    }
    let targets = chosen(targets(root)?, &args.targets)?;
    setup::ensure(root, Purpose::Fuzz)?;
    let cargo_fuzz = CARGO_FUZZ.ensure(root)?;
    lock_as_the_workspace(root)?;
    let (mut found, mut rows) = (Vec::new(), vec![Summary::HEAD.to_owned()]);
    for target in &targets {
        build(root, &cargo_fuzz, target)?;
        eprintln!("== {target}: {} s", args.seconds);
        let (summary, inputs) = fuzz(root, &cargo_fuzz, target, args.seconds)?;
        rows.push(summary.row(target));
        found.extend(inputs);
    }
    eprintln!("{}", rows.join("\n"));
    if found.is_empty() {
        eprintln!("== nothing found in {}", targets.join(", "));
        return Ok(());
    }
    let found: Vec<String> = found.iter().map(|input| input.display().to_string()).collect();
    bail!(
        "found inputs that a target fails with or is slow with: {}: see \"Fuzzing\" in CONTRIBUTING.md",
        found.join(", ")
    )
}

/// Compiles the targets without instrumentation. This detects changes that break the targets.
///
/// # Errors
///
/// If one does not compile.
pub fn check(root: &Path) -> Result<()> {
    setup::ensure(root, Purpose::Fuzz)?;
    lock_as_the_workspace(root)?;
    let mut command = Command::new(workspace::cargo());
    command.current_dir(root.join("fuzz")).env("RUSTFLAGS", "--cfg fuzzing --deny warnings");
    command.args(["check", "--target-dir"]).arg(workspace::target_dir(root).join("fuzz-check"));
    shell::run(&mut command, "see the compiler's message")
}

/// Returns the names of the targets, sorted.
fn targets(root: &Path) -> Result<BTreeSet<String>> {
    let sources = files(&root.join("fuzz/fuzz_targets"))?;
    Ok(sources.iter().filter_map(|source| Some(source.file_stem()?.to_str()?.to_owned())).collect())
}

/// Returns the requested targets, or all of them without a request.
fn chosen(all: BTreeSet<String>, asked: &[String]) -> Result<Vec<String>> {
    for target in asked {
        let names = || all.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        ensure!(all.contains(target), "there is no target {target}: it is one of {}", names());
    }
    Ok(if asked.is_empty() { all.into_iter().collect() } else { asked.to_vec() })
}

/// Locks the targets' dependencies to the versions of the workspace. Cargo adds the dependencies that only the targets
/// have.
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

/// Fuzzes a target. Returns a summary, and inputs for which the target failed (the run ends then) or was slow.
fn fuzz(root: &Path, cargo_fuzz: &Path, target: &str, seconds: u32) -> Result<(Summary, Vec<PathBuf>)> {
    let fuzz = root.join("fuzz");
    let [corpus, seeds, artifacts] = ["corpus", "seeds", "artifacts"].map(|dir| fuzz.join(dir).join(target));
    for dir in [&corpus, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let before = files(&artifacts)?;
    let mut command = command(root, cargo_fuzz, "run", target);
    // A backtrace requires more memory than the limit of targets, and the input is sufficient.
    command.env("RUST_BACKTRACE", "0");
    command.arg(corpus).arg(seeds).arg("--").arg(format!("-max_total_time={seconds}")).args(LIMITS);
    let dictionary = fuzz.join("dictionaries").join(target).with_extension("dict");
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start cargo-fuzz")?;
    let mut summary = Summary::default();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let line = line.context("cannot read what the target prints")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        summary.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo-fuzz")?;
    let mut found: Vec<PathBuf> = files(&artifacts)?.difference(&before).cloned().collect();
    // If a run found something, its failure is the finding.
    ensure!(status.success() || !found.is_empty(), "{target} could not be run: {status}");
    for input in found.extract_if(.., |input| is_slow_unit(input)).collect::<Vec<_>>() {
        if is_slow_again(root, cargo_fuzz, target, &input)? {
            found.push(input);
        } else {
            fs::remove_file(&input).with_context(|| format!("cannot remove {}", input.display()))?;
        }
    }
    Ok((summary, found))
}

/// Whether the input took long and ended.
fn is_slow_unit(input: &Path) -> bool {
    input.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slow-unit-"))
}

/// Whether an input is slow on its own. libFuzzer uses the wall clock, and other programs may have used the CPUs.
fn is_slow_again(root: &Path, cargo_fuzz: &Path, target: &str, input: &Path) -> Result<bool> {
    let output = command(root, cargo_fuzz, "run", target).arg(input).output().context("cannot start cargo-fuzz")?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(log::milliseconds(&printed).is_none_or(|milliseconds| milliseconds >= 1000))
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
        let all = || BTreeSet::from(["cri", "names"].map(str::to_owned));
        assert_eq!(chosen(all(), &[]).unwrap(), ["cri", "names"]);
        assert_eq!(chosen(all(), &["names".to_owned()]).unwrap(), ["names"]);
        let error = chosen(all(), &["plaice".to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("cri, names"), "{error}");
    }
}
