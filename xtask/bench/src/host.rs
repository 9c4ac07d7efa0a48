//! The measured machine, and the programs of the benchmarks.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use syscallmon::cgroup::{Hierarchies, HierarchyChoice, HierarchySet};
use syscallmon_testkit::Cgroup;
use xtask_support::{shell, workspace};

/// Paths of all programs and directories.
pub(super) struct Host {
    /// The release build of the daemon.
    pub(super) syscallmon: PathBuf,
    /// The release build of the program that makes the calls.
    pub(super) known_calls: PathBuf,
    /// The release build of the program in which the prometheus crate encodes an exposition.
    pub(super) gather_again: PathBuf,
    /// The object with the programs for comparison.
    pub(super) bench_baseline: PathBuf,
    pub(super) bpftool: PathBuf,
    pub(super) bpftrace: PathBuf,
    /// `syscount` of libbpf-tools.
    pub(super) syscount: PathBuf,
    /// Directory for files of variants.
    pub(super) scratch: PathBuf,
    /// Mount point of cgroup2.
    pub(super) cgroup2: PathBuf,
    /// The CPU for measurements: the last one, because the first one has more interrupts.
    pub(super) cpu: u32,
}

impl Host {
    /// Creates a cgroup for measurements, directly below the root of cgroup2.
    pub(super) fn cgroup(&self, name: &str) -> Result<Cgroup> {
        Cgroup::new(&self.cgroup2, "syscallmon-bench", name)
    }

    /// Finds all programs and directories.
    pub(super) fn find(root: &Path) -> Result<Self> {
        let release = workspace::target_dir(root).join("release");
        let program = |name| {
            let found = workspace::find_program(root, name);
            found.with_context(|| format!("no {name}: run `cargo xtask setup --for bench`"))
        };
        let status = read("/proc/self/status")?;
        Ok(Self {
            syscallmon: release.join("syscallmon"),
            known_calls: release.join("examples/known_calls"),
            gather_again: release.join("examples/gather_again"),
            bench_baseline: root.join(workspace::BENCH_BASELINE_OBJECT),
            bpftool: program("bpftool")?,
            bpftrace: program("bpftrace")?,
            syscount: program("syscount")?,
            scratch: workspace::target_dir(root).join("bench"),
            cgroup2: cgroup2_mount()?,
            cpu: last_cpu(&status).context("/proc/self/status tells no CPUs")?,
        })
    }

    /// Describes the measurement: command, date and machine.
    pub(super) fn describe(&self, rounds: NonZeroUsize) -> Result<String> {
        let kernel = read("/proc/sys/kernel/osrelease")?;
        let cpuinfo = read("/proc/cpuinfo")?;
        let date = shell::query(Command::new("date").args(["--utc", "+%F"]), "install coreutils")?;
        Ok(format!(
            "`cargo xtask bench --rounds {rounds}` on {}: Linux {}, {}, {rounds} rounds, measured on CPU {}.",
            date.trim(),
            kernel.trim(),
            cpu_model(&cpuinfo).unwrap_or(std::env::consts::ARCH),
            self.cpu,
        ))
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Returns the last CPU on which this process may run.
fn last_cpu(status: &str) -> Option<u32> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// Returns the CPU's model. arm64 has no such line.
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':')).map(str::trim)
}

/// Returns the mount point of cgroup2, for the cgroups of measurements.
fn cgroup2_mount() -> Result<PathBuf> {
    let choice = HierarchyChoice::Exactly(HierarchySet::Cgroup2);
    let hierarchies = Hierarchies::find(Path::new("/proc"), None, choice)?;
    let (mount, _) = hierarchies.mounts().next().context("one was found")?;
    Ok(mount.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_the_last_allowed_one() {
        assert_eq!(last_cpu("Name:\tx\nCpus_allowed_list:\t0-1,4\n"), Some(4));
        assert_eq!(last_cpu("Cpus_allowed_list:\t0-7\n"), Some(7));
        assert_eq!(last_cpu("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_model_is_read_where_there_is_one() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }
}
