//! Least privilege: an ordinary user with two capabilities, which are dropped after attaching.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number};

/// Path of the binary, where every user can run it.
pub(crate) struct Binary(tempfile::TempDir);

impl Binary {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("syscallmon")
    }
}

/// A copy of the binary: the target directory may be in a home that other users cannot enter.
pub(crate) fn binary_for_everybody() -> Binary {
    let binary = Binary(tempfile::tempdir().unwrap());
    fs::set_permissions(binary.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(crate::harness::binary(), binary.path()).unwrap();
    binary
}

#[test]
fn an_ordinary_user_with_cap_bpf_and_cap_perfmon_counts_and_keeps_neither() {
    let (binary, cgroup) = (binary_for_everybody(), TestCgroup::new("user"));
    let daemon = Daemon::start_command(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["--inh-caps=-all,+bpf,+perfmon", "--ambient-caps=-all,+bpf,+perfmon"])
            .args(["--bounding-set=-all,+bpf,+perfmon"])
            .arg(binary.path())
            .args(["run", "--web.listen-address=127.0.0.1:0"]),
    );
    KnownCalls::run(&[&"threads", &cgroup.path(), &"2", &number(libc::SYS_getppid), &"5000"]);
    assert_eq!(daemon.settled_scrape().calls(&cgroup.label(), "getppid"), 10_000);

    // Names, churn and freeing work without any capability: together, the cgroups need more than the 1,024 slots. Those
    // of one round do not, so the result does not depend on how soon the daemon frees slots.
    for round in ["s0-", "s1-", "s2-"] {
        KnownCalls::run(&[&"short-lived", &cgroup.path(), &round, &"400", &number(libc::SYS_getppid), &"2"]);
        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.sum_below(&format!("{}/{round}", cgroup.label()), "getppid"), 800, "{round}");
    }
    assert_eq!(capabilities(daemon.pid()), [0; 4], "every thread dropped everything");
}

#[test]
fn root_drops_its_capabilities_too() {
    const CAP_BPF: u64 = 1 << 39;
    let daemon = Daemon::start(&[]);
    let kept = capabilities(daemon.pid());
    let line = daemon.wait_for_log("kept=[");
    if line.contains("kept=[]") {
        assert_eq!(kept, [0; 4]);
    } else {
        // Kernels before 5.19 require CAP_BPF for all operations on a map or program if this is set.
        let setting = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap();
        assert_ne!(setting.trim(), "0");
        assert_eq!(kept, [0, CAP_BPF, CAP_BPF, 0]);
        assert!(line.contains("kept=[CAP_BPF]"), "{line}");
    }
}

/// Returns the inheritable, permitted, effective and ambient capabilities of all threads.
fn capabilities(pid: u32) -> [u64; 4] {
    let mut sets = [0; 4];
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // A thread may have ended since it was listed.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        for (set, name) in sets.iter_mut().zip(["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"]) {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            *set |= u64::from_str_radix(line.trim(), 16).unwrap();
        }
    }
    sets
}
