//! Many series: the cost of a snapshot, of a scrape, and of memory.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::{Cgroup, Guarded, HARMLESS_CALLS, interrupt};
use xtask_support::shell;

use super::{
    daemon::{Daemon, FRESH},
    host::Host,
    report::{Figure, Report, Unit, grouped},
    stats::median,
};

/// The calls that each cgroup makes.
pub(super) const CALLS: &[i64] = HARMLESS_CALLS.split_at(30).0;
/// Number of series of each cgroup. `exit_group` is one more.
const SERIES_PER_CGROUP: usize = CALLS.len() + 1;

const SCRAPES: usize = 7;
/// Settings for the CPU time of snapshots: the shortest interval, and the duration of the measurement.
const POLL: &str = "--poll.interval=100ms";
const POLLING: Duration = Duration::from_secs(10);
/// Setting for scrapes: no poll runs between them, so every scrape takes a snapshot and renders it.
const NO_POLL: &str = "--poll.interval=1h";
const POPULATE_TIMEOUT: Duration = Duration::from_mins(5);

/// A size, with its limits.
pub(super) struct Size {
    pub(super) cgroups: usize,
    /// Flags that increase the daemon's capacity, where the default is too small.
    pub(super) capacity: &'static [&'static str],
    snapshot_ms: f64,
    /// Duration of a scrape after one of a hundred workloads has made a call, and after all of them have.
    few_ms: f64,
    all_ms: f64,
    resident_mib: f64,
}

pub(super) const SIZES: [Size; 3] = [
    Size {
        cgroups: 3388,
        capacity: &["--capacity.cgroups=8192", "--capacity.series=262144"],
        snapshot_ms: 10.0,
        few_ms: 25.0,
        all_ms: 80.0,
        resident_mib: 110.0,
    },
    Size {
        cgroups: 1000,
        capacity: &["--capacity.cgroups=1200"],
        snapshot_ms: 10.0,
        few_ms: 25.0,
        all_ms: 25.0,
        resident_mib: 45.0,
    },
    Size { cgroups: 200, capacity: &[], snapshot_ms: 10.0, few_ms: 5.0, all_ms: 5.0, resident_mib: 32.0 },
];

/// Runs the scenario.
pub(super) fn measure(host: &Host) -> Result<Report> {
    let mut report = Report::default();
    for size in &SIZES {
        report.figures.push(snapshot(host, size)?);
        report.figures.extend(scrapes(host, size)?);
    }
    Ok(report)
}

impl Size {
    pub(super) fn series(&self) -> usize {
        self.cgroups * SERIES_PER_CGROUP
    }

    fn figure(&self, what: &str, value: f64, unit: Unit) -> Figure {
        Figure::new(format!("{} series: {what}", grouped(&self.series().to_string())), value, unit)
    }

    /// Returns a daemon that has counted this many series, and the parent of the cgroups, which must live as long.
    fn populated(&self, host: &Host, flag: &str) -> Result<(Daemon, Cgroup)> {
        let cgroup = host.cgroup("scale")?;
        let daemon = Daemon::start(host, &[&[flag], self.capacity].concat())?;
        call(host, &cgroup, self.cgroups, CALLS)?;
        interrupt::sleep(FRESH)?;
        let series = daemon.scrape()?.below(&cgroup.label()).len();
        ensure!(series == self.series(), "the daemon has {series} series, not {}", self.series());
        Ok((daemon, cgroup))
    }
}

/// Creates the cgroups unless they exist, and makes each of these calls in each cgroup.
pub(super) fn call(host: &Host, cgroup: &Cgroup, cgroups: usize, calls: &[i64]) -> Result<()> {
    let numbers = calls.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let mut command = Command::new(&host.known_calls);
    command.arg("populate").arg(cgroup.path()).args([&cgroups.to_string(), &numbers]).stdin(Stdio::null());
    let status = Guarded::spawn_bound(&mut command)?.wait(POPULATE_TIMEOUT)?;
    ensure!(status.success(), "known_calls populate failed: {status}");
    Ok(())
}

/// Measures the CPU time of a snapshot, without scrapes.
fn snapshot(host: &Host, size: &Size) -> Result<Figure> {
    eprintln!("scale: {} series: snapshots", size.series());
    let (daemon, _cgroup) = size.populated(host, POLL)?;
    let taken = || daemon.scrape()?.float("syscallmon_snapshots_total").context("no syscallmon_snapshots_total");
    // The scrapes are outside the measured time.
    let (taken_before, cpu_before) = (taken()?, daemon.cpu_time()?);
    interrupt::sleep(POLLING)?;
    let (cpu_after, taken_after) = (daemon.cpu_time()?, taken()?);
    let snapshots = taken_after - taken_before;
    ensure!(snapshots > 0.0, "the daemon took no snapshots");
    let ms = cpu_after.saturating_sub(cpu_before).as_secs_f64() * 1e3 / snapshots;
    Ok(size.figure("CPU per snapshot", ms, Unit::Milliseconds).at_most(size.snapshot_ms))
}

/// Measures the duration of scrapes, the memory afterwards, and the sizes of the exposition.
fn scrapes(host: &Host, size: &Size) -> Result<Vec<Figure>> {
    eprintln!("scale: {} series: scrapes", size.series());
    let (daemon, cgroup) = size.populated(host, NO_POLL)?;
    let timed = |cgroups: usize| -> Result<(f64, usize)> {
        let (mut times, mut compressed) = (Vec::new(), 0);
        for _ in 0..SCRAPES {
            call(host, &cgroup, cgroups, &CALLS[..1])?;
            interrupt::sleep(FRESH)?;
            let (time, len) = daemon.timed_scrape()?;
            times.push(time.as_secs_f64() * 1e3);
            compressed = len;
        }
        Ok((median(times).context("no scrapes")?, compressed))
    };
    // The first scrape compresses everything.
    daemon.timed_scrape()?;
    let (few, _) = timed(size.cgroups.div_ceil(100))?;
    let (all, compressed) = timed(size.cgroups)?;
    let memory = daemon.memory()?;
    let plain = daemon.scrape()?;
    let crate_ms = gather_again(host, &plain.text)?;
    let mib = |bytes: u64| as_f64(bytes) / f64::from(1 << 20);
    Ok(vec![
        size.figure("scrape, 1 % of the workloads made calls", few, Unit::Milliseconds).at_most(size.few_ms),
        size.figure("scrape, all of them made calls", all, Unit::Milliseconds).at_most(size.all_ms),
        size.figure("scrape of all, divided by encoding alone with the prometheus crate", all / crate_ms, Unit::Ratio),
        size.figure("resident memory", mib(memory.resident), Unit::Mebibytes).at_most(size.resident_mib),
        size.figure("resident memory, anonymous", mib(memory.anonymous), Unit::Mebibytes),
        size.figure("resident memory, files and tables", mib(memory.shared), Unit::Mebibytes),
        size.figure("size of a scrape", as_f64(plain.text.len() as u64), Unit::Bytes),
        size.figure("size of a scrape, gzip", as_f64(compressed as u64), Unit::Bytes),
    ])
}

/// Returns the time that the prometheus crate needs for the same exposition, in milliseconds.
fn gather_again(host: &Host, text: &str) -> Result<f64> {
    let path = host.scratch.join("exposition");
    fs::create_dir_all(&host.scratch).context("cannot make the directory for benchmarks")?;
    fs::write(&path, text).context("cannot write the exposition")?;
    let mut command = Command::new(&host.gather_again);
    command.arg(SCRAPES.to_string()).stdin(File::open(&path).context("cannot read the exposition")?);
    let output = shell::query(&mut command, "build it: `cargo build --release --examples`")?;
    let times: Vec<f64> = output.lines().filter_map(|line| line.parse::<f64>().ok()).map(|ns| ns / 1e6).collect();
    median(times).context("gather_again printed no times")
}

#[expect(clippy::cast_precision_loss, reason = "sizes are below 2^52")]
pub(super) fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_makes_a_series_of_its_own() {
        let different: BTreeSet<i64> = CALLS.iter().copied().chain([libc::SYS_exit_group]).collect();
        assert_eq!(different.len(), SERIES_PER_CGROUP);
    }
}
