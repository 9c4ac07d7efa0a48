//! `cargo xtask e2e runtimes`: containerd, Docker and Podman of several Debian suites, each with runc and crun.
//!
//! Each suite has a file system of its own, without an init system, in which its engines, the daemon, and the suite's
//! Prometheus and Alertmanager run. The same checks are made in every cell: an engine with an OCI runtime.

mod cell;
mod engines;
mod system;
mod table;

use std::{fs, num::NonZeroUsize, path::Path, time::Instant};

use anyhow::{Result, ensure};
use syscallmon_testkit::{cgroup, interrupt};
use xtask_support::{apt::Suite, marked, parallel};

use self::{
    cell::{Cell, Row},
    system::System,
};
use crate::{
    alertmanager,
    check::{Exporter, daemon},
    directories::Directories,
};

/// The suites with different versions of the engines, the oldest first.
const SUITES: [Suite; 3] = [Suite::Bookworm, Suite::Trixie, Suite::Sid];
/// The document with the table, and the mark around it.
const DOCUMENT: &str = "docs/kernels-and-runtimes.md";
const MARK: &str = "runtimes";
/// Cells that are checked at the same time. Most of the time they wait for the daemon's next poll.
const JOBS: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// Options of the daemon: series of ended containers expire soon, alerts stay.
const OPTIONS: [&str; 5] = [
    "--workload.expire-after=5s",
    "--policy.directory=/etc/syscallmon-policies",
    "--alert.alertmanager.url",
    alertmanager::URL,
    "--alert.resolve-after=1h",
];

/// Checks all suites. With `write`, puts the table into the document.
///
/// # Errors
///
/// If an engine does not start, or a check of a cell fails.
pub(super) fn all(root: &Path, write: bool) -> Result<()> {
    let mut rows = Vec::new();
    for suite in SUITES {
        rows.extend(of_suite(root, suite)?);
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
pub(super) fn newest(root: &Path) -> Result<()> {
    let rows = of_suite(root, Suite::Sid)?;
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

/// Checks one suite. Leaves no cgroup behind that the machine did not have.
fn of_suite(root: &Path, suite: Suite) -> Result<Vec<Row>> {
    let users: Vec<_> = cgroup::mounts().into_iter().map(|mount| mount.join(system::USERS)).collect();
    let (_, new): (Vec<_>, Vec<_>) = users.into_iter().partition(|path| path.exists());
    let rows = check(root, suite);
    // It is empty, unless a user has a session since.
    new.iter().filter(|path| path.exists()).for_each(|path| drop(fs::remove_dir(path)));
    rows
}

fn check(root: &Path, suite: Suite) -> Result<Vec<Row>> {
    interrupt::check()?;
    let begin = Instant::now();
    let directories = Directories::claim(root, "runtimes", system::CGROUPS)?;
    let binary = daemon(root)?;
    let system = System::start(suite, &directories, &binary)?;
    eprintln!("{suite:?}: started in {:.0} s", begin.elapsed().as_secs_f64());
    system.namespaces.write(cell::POLICY_FILE, cell::POLICY)?;
    let alertmanager = alertmanager::start_installed(&system.namespaces, &directories)?;
    let exporter = Exporter::with_options(root, &system.namespaces, &directories, &OPTIONS)?;
    let versions = system.servers()?;
    let cells = system.engines()?.into_iter().map(|engine| Cell::new(engine, &exporter, &alertmanager)).collect();
    let rows = parallel::map(JOBS, cells, |cell: Cell<'_>| {
        let row = cell.check(suite, &versions);
        println!("  {}", table::line(&row));
        row
    });
    if rows.iter().any(|row| !row.is_ok()) {
        eprint!("{}", system.tails());
    }
    eprintln!("{suite:?}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(rows)
}
