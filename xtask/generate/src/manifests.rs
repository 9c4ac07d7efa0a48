//! `cargo xtask manifests`: the files in `deploy/`. Generates files from the chart, and checks all files with real
//! tools.

pub mod alerts;
mod autoscaler;
mod chart;
mod classes;
mod copies;
mod dashboards;
mod denied;
mod documents;
mod grafana;
mod kubernetes;
mod meaning;
mod names;
mod pods;
mod promtool;
mod schema;
mod seccomp;
mod systemd;
mod values;
mod version;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use xtask_support::{
    generated,
    setup::{self, Purpose},
};

use self::{chart::Chart, documents::Judge};

/// Arguments of `cargo xtask manifests`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if a file is not up to date
    #[arg(long)]
    check: bool,
    /// Make the committed schema of Grafana's dashboards instead, with npm: for a new version of Grafana
    #[arg(long, conflicts_with = "check")]
    grafana_schema: bool,
}

/// Directory of the dashboards in `deploy/`.
const DASHBOARDS: &str = "grafana";

const REMEDY: &str = "run `cargo xtask manifests` and commit the result";

/// Runs the verb.
///
/// # Errors
///
/// If a file in `deploy/` fails a check, or with `--check`, is not up to date.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if args.grafana_schema { grafana::make(root) } else { judge(root, args.check) }
}

/// Checks that all files in `deploy/` are correct and up to date.
///
/// # Errors
///
/// As for [`run`].
pub fn check(root: &Path) -> Result<()> {
    judge(root, true)
}

fn judge(root: &Path, only_check: bool) -> Result<()> {
    setup::ensure(root, Purpose::Manifests)?;
    let deploy = Deploy::new(root, only_check)?;
    let chart = Chart::new(root)?;
    let judge = Judge::new(root)?;
    step("rules by class", || classes::make(&deploy))?;
    step("dashboards from their source", || dashboards::make(&deploy))?;
    step("copies in the chart", || copies::make(&deploy))?;
    step("versions", || version::check(&deploy))?;
    step("kubernetes/*.yaml", || kubernetes::make(&deploy, &chart, &judge))?;
    step("the chart with good values", || values::good(&deploy, &chart, &judge))?;
    step("the chart with bad values", || values::bad(&chart))?;
    step("what the chart's switches mean", || meaning::check(&chart))?;
    step("rules and their tests", || promtool::rules(&deploy))?;
    step("alerts and their runbook", || alerts::check(&deploy))?;
    step("dashboards", || dashboards::check(&deploy))?;
    step("denied calls with ENOSYS are no attempts", || denied::check(&deploy))?;
    step("names of metrics", || names::check(&deploy))?;
    step("seccomp profile", || seccomp::check(&deploy))?;
    step("systemd unit", || systemd::check(&deploy))
}

fn step(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    work()?;
    eprintln!("== {what}: ok, {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the result, and appends the remedy to an error.
fn or_else_mend<T>(remedy: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| anyhow!("{error:#}: {remedy}"))
}

/// The directory `deploy/`, and operations on its files.
struct Deploy {
    root: PathBuf,
    only_check: bool,
    /// Directory of files for tools that read only files.
    work: TempDir,
}

impl Deploy {
    fn new(root: &Path, only_check: bool) -> Result<Self> {
        let work = tempfile::tempdir().context("cannot make a temporary directory")?;
        Ok(Self { root: root.to_path_buf(), only_check, work })
    }

    /// Returns the path of a file in `deploy/`.
    fn path(&self, name: &str) -> PathBuf {
        self.root.join("deploy").join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Returns the names of the files with an extension in a directory, sorted.
    fn list(&self, directory: &str, extension: &str) -> Result<Vec<String>> {
        let path = self.path(directory);
        let entries = path.read_dir().with_context(|| format!("cannot read {}", path.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| name.rsplit_once('.').is_some_and(|(_, end)| end == extension)).collect();
        names.sort();
        Ok(names)
    }

    /// Writes a generated file, or checks that the file is up to date.
    fn put(&self, name: &str, content: &str) -> Result<()> {
        if self.only_check {
            return generated::check(&self.path(name), content.as_bytes(), REMEDY);
        }
        if generated::write(&self.path(name), content.as_bytes())? {
            eprintln!("deploy/{name}: written");
        }
        Ok(())
    }

    /// Writes a file for a tool, and returns its path.
    fn scratch(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.work.path().join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
