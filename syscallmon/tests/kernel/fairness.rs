//! No tenant silences another: not by many violations, by cheap ones, or from deep cgroups.

use std::{collections::BTreeSet, fs, path::PathBuf, process, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Daemon, KnownCalls, TestCgroup, number, reported, syscallmon, wait_for};

/// x32 numbers, which are harmless because the kernel lacks the ABI.
#[cfg(target_arch = "x86_64")]
const X32: u64 = 0x4000_0000;

/// A daemon that writes violations to a file.
struct Guard {
    daemon: Daemon,
    directory: TempDir,
}

impl Guard {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = syscallmon();
        command.args(["run", "--web.listen-address=127.0.0.1:0"]);
        command.arg("--state.directory").arg(directory.path().join("state"));
        command.arg("--alert.log").arg(directory.path().join("violations"));
        Self { daemon: Daemon::start_command(&mut command), directory }
    }

    /// Returns the reported calls of workloads with this text in their labels, each once, and summaries.
    fn lines(&self, part: &str) -> Vec<Value> {
        let reported = reported(&self.directory.path().join("violations"));
        reported.into_iter().filter(|line| line["workload"].to_string().contains(part)).collect()
    }

    /// Returns their names.
    fn reported(&self, part: &str) -> BTreeSet<String> {
        self.lines(part).iter().map(|line| line["syscall"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns the calls that the API has for a workload.
    fn listed(&self, part: &str) -> BTreeSet<String> {
        let (_, body) = self.daemon.get("/api/v1/violations?limit=5000");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let violations = answer["data"]["violations"].as_array().unwrap().iter();
        let of_it = violations.filter(|violation| violation["workload"].to_string().contains(part));
        of_it.map(|violation| violation["syscall"].as_str().unwrap().to_owned()).collect()
    }
}

/// Makes a cgroup with the name of a container's cgroup.
fn container(base: &std::path::Path, index: usize) -> PathBuf {
    let path = base.join(format!("{:060x}{index:04x}", process::id()));
    fs::create_dir(&path).unwrap();
    path
}

/// Whether the kernel has x32, so that its calls have effects.
#[cfg(target_arch = "x86_64")]
fn has_x32() -> bool {
    // SAFETY: getpid has no arguments and no effect.
    unsafe { libc::syscall(i64::try_from(X32).unwrap() + libc::SYS_getpid) >= 0 }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn sixteen_containers_that_make_every_foreign_call_silence_no_seventeenth() {
    if has_x32() {
        return;
    }
    let parent = TestCgroup::new("sixteen");
    let base = parent.child("docker");
    let guard = Guard::start();
    for index in 0..16 {
        let path = container(&base, index);
        KnownCalls::run(&[&"range", &path, &X32.to_string(), &(X32 + 547).to_string()]);
    }
    // Bytes are limited, too, so the number of violations depends on the names of the processes.
    wait_for("the room to be full", Duration::from_secs(30), || {
        let scrape = guard.daemon.settled_scrape();
        let dropped = scrape.value("syscallmon_violations_dropped_total")?;
        (dropped > 0 && scrape.value("syscallmon_violations")? + dropped >= 4096).then_some(())
    });
    let victim = container(&base, 17);
    let calls = [libc::SYS_mount, libc::SYS_bpf, libc::SYS_unshare].map(number);
    KnownCalls::run(&[&"calls", &victim, &calls[0], &"1", &calls[1], &"1", &calls[2], &"1"]);
    let (part, expected) = (parent.label_of(&victim), ["bpf", "mount", "unshare"].map(str::to_owned).into());
    wait_for("the seventeenth's", Duration::from_secs(15), || (guard.reported(&part) == expected).then_some(()));
    assert_eq!(guard.listed(&part), expected);
    // The flooding tenants continue. Each other tenant still has its share.
    for index in 20..24 {
        let path = container(&base, index);
        KnownCalls::run(&[&"range", &path, &X32.to_string(), &(X32 + 547).to_string()]);
    }
    guard.daemon.settled_scrape();
    assert_eq!(guard.listed(&part), expected);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn failing_calls_of_a_foreign_abi_hide_no_call_that_ran() {
    if has_x32() {
        return;
    }
    let parent = TestCgroup::new("foreign");
    let path = container(&parent.child("docker"), 0);
    let guard = Guard::start();
    // Critical calls in another ABI, each by a process of its own.
    for call in X32..X32 + 547 {
        KnownCalls::run(&[&"calls", &path, &call.to_string(), &"1"]);
    }
    let part = parent.label();
    wait_for("critical ones", Duration::from_secs(15), || {
        let lines = guard.lines(&part);
        lines.into_iter().find(|line| line["abi"] == "x32" && line["severity"] == "critical")
    });
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_mount), &"1"]);
    wait_for("the mount that ran", Duration::from_secs(15), || {
        let lines = guard.lines(&part);
        lines.into_iter().find(|line| line["syscall"] == "mount" && line["abi"] == "x86_64")
    });
}

/// Containers whose denied calls fill the whole table, although each has a share.
#[cfg(target_arch = "x86_64")]
const DENIERS: usize = 40;

#[cfg(target_arch = "x86_64")]
#[test]
fn containers_that_deny_all_of_their_calls_hide_no_other_s_denied_call() {
    let parent = TestCgroup::new("deniers");
    let base = parent.child("docker");
    let guard = Guard::start();
    let denies = |path: &PathBuf, first: u64, last: u64| {
        KnownCalls::run(&[&"refused-from", path, &first.to_string(), &last.to_string()]);
    };
    for index in 0..DENIERS {
        let path = container(&base, index);
        denies(&path, 340, 461);
        denies(&path, X32, X32 + 547);
    }
    // No other test makes this call.
    let (victim, call) = (container(&base, DENIERS), libc::SYS_kexec_load.unsigned_abs());
    denies(&victim, call, call);
    let part = parent.label_of(&victim);
    let line = wait_for("a violation", Duration::from_secs(20), || {
        // If the event of a call without a series is lost, the counter of the remainder still has the call.
        let lines = guard.lines(&part).into_iter().chain(guard.lines("(remainder)"));
        lines.into_iter().find(|line| line["syscall"] == "kexec_load" && line["abi"] == "x86_64")
    });
    assert_eq!((&line["denied"], &line["severity"]), (&true.into(), &"critical".into()), "{line}");
}

#[test]
fn a_cgroup_too_deep_for_a_name_is_judged_as_its_container() {
    let parent = TestCgroup::new("deep");
    let container = container(&parent.child("docker"), 0);
    // Longer than the kernel's events and labels may be.
    let mut path = container.clone();
    while path.as_os_str().len() < 1200 {
        path.push("x".repeat(200));
        fs::create_dir(&path).unwrap();
    }
    let guard = Guard::start();
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_umount2), &"1"]);
    let part = parent.label_of(&container);
    let line = wait_for("a violation", Duration::from_secs(30), || {
        let lines = guard.lines(&part);
        lines.into_iter().find(|line| line["process"]["comm"] == "known_calls")
    });
    assert_eq!((&line["syscall"], &line["severity"]), (&"umount2".into(), &"critical".into()), "{line}");
    assert_eq!(line["workload"]["cgroup"], part, "{line}");
}
