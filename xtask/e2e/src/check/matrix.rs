//! `cargo xtask e2e runtimes`: containerd, Docker and Podman of several Debian suites, each with runc and crun.
//!
//! Each suite has a file system of its own, without an init system, in which its engines, the daemon, and the suite's
//! Prometheus and Alertmanager run. The same checks are made in every cell: an engine with an OCI runtime.

mod cell;
mod engines;
mod lxc;
mod node;
mod system;
mod table;
mod user;
mod watch;
mod youki;

use std::{fs, num::NonZeroUsize, path::Path, time::Instant};

use anyhow::{Result, ensure};
use syscallmon_testkit::{cgroup, interrupt};
use xtask_support::{apt::Suite, marked, parallel};

use self::{
    cell::{Cell, Row},
    node::Plan,
    system::System,
    watch::Watch,
};
use crate::{check::daemon, directories::Directories};

/// The suites with different versions of the engines, the oldest first.
const SUITES: [Suite; 3] = [Suite::Bookworm, Suite::Trixie, Suite::Sid];
/// The document with the table, and the mark around it.
const DOCUMENT: &str = "docs/kernels-and-runtimes.md";
const MARK: &str = "runtimes";
/// Cells that are checked at the same time. Most of the time they wait for the daemon's next poll.
const JOBS: NonZeroUsize = NonZeroUsize::new(6).expect("not zero");

/// Checks all suites. With `write`, puts the table into the document.
///
/// # Errors
///
/// If an engine does not start, or a check of a cell fails.
pub(super) fn all(root: &Path, write: bool, only: Option<&str>) -> Result<()> {
    let mut rows = Vec::new();
    for suite in SUITES {
        rows.extend(of_suite(root, suite, only, true)?);
    }
    let table = table::render(&rows);
    print!("{table}");
    if write {
        marked::write(root, DOCUMENT, MARK, &table)?;
    }
    judge(&rows)
}

/// Checks the suite with the newest versions only.
///
/// # Errors
///
/// As for [`all`].
pub(super) fn newest(root: &Path, only: Option<&str>) -> Result<()> {
    // CI does not build youki.
    let rows = of_suite(root, Suite::Sid, only, only.is_some())?;
    print!("{}", table::render(&rows));
    judge(&rows)
}

fn judge(rows: &[Row]) -> Result<()> {
    let failed = rows.iter().filter(|row| !row.is_ok()).count();
    for failure in rows.iter().flat_map(|row| row.results.iter().filter_map(|result| result.as_ref().err())) {
        eprintln!("{failure}");
    }
    ensure!(failed == 0, "{failed} of {} cells failed", rows.len());
    ensure!(!rows.is_empty(), "there was no cell");
    Ok(())
}

/// What is checked at the same time as others.
enum Job<'a> {
    Cell(Cell<'a>),
    Node(Plan),
}

impl Job<'_> {
    fn name(&self) -> String {
        match self {
            Self::Cell(cell) => cell.name().to_owned(),
            Self::Node(plan) => plan.name(),
        }
    }
}

/// Checks one suite. Leaves no cgroup behind that the machine did not have.
fn of_suite(root: &Path, suite: Suite, only: Option<&str>, has_youki: bool) -> Result<Vec<Row>> {
    let users: Vec<_> = cgroup::mounts().into_iter().map(|mount| mount.join(user::USERS)).collect();
    let (_, new): (Vec<_>, Vec<_>) = users.into_iter().partition(|path| path.exists());
    let rows = check(root, suite, only, has_youki);
    // They are empty, unless a user has a session since, or LXC runs.
    let of_lxc = lxc::CGROUPS.iter().flat_map(|name| cgroup::containing(name));
    new.into_iter().chain(of_lxc).filter(|path| path.exists()).for_each(|path| drop(fs::remove_dir(path)));
    rows
}

fn check(root: &Path, suite: Suite, only: Option<&str>, has_youki: bool) -> Result<Vec<Row>> {
    interrupt::check()?;
    let begin = Instant::now();
    let directories = Directories::claim(root, "runtimes", system::CGROUPS)?;
    let binary = daemon(root)?;
    let youki = has_youki.then(|| youki::ensure(root)).transpose()?;
    let system = System::start(suite, &directories, &binary, youki.as_deref())?;
    eprintln!("{suite:?}: started in {:.0} s", begin.elapsed().as_secs_f64());
    let watch = Watch::start(root, &system.namespaces, &directories.logs)?;
    let engines = system.engines()?.into_iter().map(|engine| Job::Cell(Cell::new(engine, &watch)));
    let jobs = engines.chain(Plan::all().map(Job::Node));
    let jobs = jobs.filter(|job| only.is_none_or(|text| job.name().contains(text))).collect();
    let rows = parallel::map(JOBS, jobs, |job: Job<'_>| {
        let row = match job {
            Job::Cell(cell) => cell.check(&system),
            Job::Node(plan) => plan.check(root, &system, &watch, &directories.logs)?,
        };
        println!("  {}", table::line(&row));
        Ok(row)
    });
    let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
    if rows.iter().any(|row| !row.is_ok()) {
        eprint!("{}", system.tails());
    }
    eprintln!("{suite:?}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(rows)
}
