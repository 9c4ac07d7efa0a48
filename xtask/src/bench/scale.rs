//! Many series: what a snapshot, a scrape and memory cost.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    cgroup::Cgroup,
    child::Guarded,
    daemon::{Daemon, FRESH},
    host::Host,
    interrupt,
    report::{Figure, Report, Unit, grouped},
    stats::median,
};

/// Calls that exist on every architecture and, without arguments, fail or concern the caller only.
const CALLS: [i64; 30] = [
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getcwd,
    libc::SYS_uname,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_sched_yield,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_clock_gettime,
    libc::SYS_inotify_init1,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_lseek,
    libc::SYS_munmap,
];
/// `exit_group` comes on top.
const SERIES_PER_CGROUP: usize = CALLS.len() + 1;

const SCRAPES: usize = 7;
/// For the CPU of snapshots: the shortest interval, for so long.
const POLL: &str = "--poll.interval=100ms";
const POLLING: Duration = Duration::from_secs(10);
/// For scrapes: no poll comes in between, so that every scrape takes a snapshot and renders it.
const NO_POLL: &str = "--poll.interval=1h";
const POPULATE_TIMEOUT: Duration = Duration::from_mins(5);

/// A size, with its limits.
struct Size {
    cgroups: usize,
    /// `None`: not measured.
    snapshot_ms: Option<f64>,
    scrape_ms: f64,
    resident_mib: f64,
}

const SIZES: [Size; 2] = [
    Size { cgroups: 1000, snapshot_ms: Some(30.0), scrape_ms: 150.0, resident_mib: 96.0 },
    Size { cgroups: 200, snapshot_ms: None, scrape_ms: 15.0, resident_mib: 32.0 },
];

/// Runs the scenario.
pub(super) fn measure(host: &Host) -> Result<Report> {
    let mut report = Report::default();
    for size in &SIZES {
        if let Some(limit) = size.snapshot_ms {
            report.figures.push(snapshot(host, size)?.at_most(limit));
        }
        report.figures.extend(scrape(host, size)?);
    }
    Ok(report)
}

impl Size {
    fn series(&self) -> usize {
        self.cgroups * SERIES_PER_CGROUP
    }

    fn figure(&self, what: &str, value: f64, unit: Unit) -> Figure {
        Figure::new(format!("{} series: {what}", grouped(&self.series().to_string())), value, unit)
    }

    /// A daemon that has counted so many series, and the cgroups, which stay as long as it.
    fn populated(&self, host: &Host, flag: &str) -> Result<(Daemon, Cgroup)> {
        let cgroup = Cgroup::new(&host.cgroup2, "scale")?;
        let daemon = Daemon::start(host, &[flag])?;
        let (path, cgroups) = (cgroup.path(), self.cgroups.to_string());
        let numbers = CALLS.map(|number| number.to_string()).join(",");
        let mut command = Command::new(&host.known_calls);
        command.arg("populate").arg(path).args([&cgroups, &numbers]).stdin(Stdio::null());
        let status = Guarded::spawn(&mut command)?.wait(POPULATE_TIMEOUT)?;
        ensure!(status.success(), "known_calls populate failed: {status}");
        interrupt::sleep(FRESH)?;
        let series = daemon.scrape()?.series_below(cgroup.label());
        ensure!(series == self.series(), "the daemon has {series} series, not {}", self.series());
        Ok((daemon, cgroup))
    }
}

/// CPU time for each snapshot, without scrapes.
fn snapshot(host: &Host, size: &Size) -> Result<Figure> {
    eprintln!("scale: {} series: snapshots", size.series());
    let (daemon, _cgroup) = size.populated(host, POLL)?;
    let taken = || daemon.scrape()?.value("syscallmon_snapshots_total").context("no syscallmon_snapshots_total");
    // The scrapes are outside of the time that is measured.
    let (taken_before, cpu_before) = (taken()?, daemon.cpu_time()?);
    interrupt::sleep(POLLING)?;
    let (cpu_after, taken_after) = (daemon.cpu_time()?, taken()?);
    let snapshots = taken_after - taken_before;
    ensure!(snapshots > 0.0, "the daemon took no snapshots");
    let ms = cpu_after.saturating_sub(cpu_before).as_secs_f64() * 1e3 / snapshots;
    Ok(size.figure("CPU per snapshot", ms, Unit::Milliseconds))
}

/// The time of a scrape, the memory after some, and the sizes of what is exposed.
fn scrape(host: &Host, size: &Size) -> Result<[Figure; 6]> {
    eprintln!("scale: {} series: scrapes", size.series());
    let (daemon, _cgroup) = size.populated(host, NO_POLL)?;
    let mut times = Vec::new();
    let mut compressed = 0;
    for _ in 0..SCRAPES {
        interrupt::sleep(FRESH)?;
        let (time, len) = daemon.timed_scrape()?;
        times.push(time.as_secs_f64() * 1e3);
        compressed = len;
    }
    let memory = daemon.memory()?;
    let plain = daemon.scrape()?.len();
    let ms = median(times).context("no scrapes")?;
    let mib = |bytes: u64| as_f64(bytes) / f64::from(1 << 20);
    Ok([
        size.figure("scrape", ms, Unit::Milliseconds).at_most(size.scrape_ms),
        size.figure("resident memory", mib(memory.resident), Unit::Mebibytes).at_most(size.resident_mib),
        size.figure("of it anonymous", mib(memory.anonymous), Unit::Mebibytes),
        size.figure("of it file and shared", mib(memory.shared), Unit::Mebibytes),
        size.figure("exposition", as_f64(plain as u64), Unit::Bytes),
        size.figure("exposition, gzip", as_f64(compressed as u64), Unit::Bytes),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "sizes are below 2^52")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_makes_a_series_of_its_own() {
        let different: BTreeSet<i64> = CALLS.into_iter().chain([libc::SYS_exit_group]).collect();
        assert_eq!(different.len(), SERIES_PER_CGROUP);
    }
}
