//! Workloads in v1 hierarchies, on v1 and hybrid hosts.

use std::path::{Path, PathBuf};

use syscallmon::cgroup::{Hierarchies, HierarchyChoice, HierarchySet};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number};

/// A v1 hierarchy of this host: controller and mount point; `None` without one.
fn v1() -> Option<(&'static str, PathBuf)> {
    let found = ["pids", "memory"].into_iter().find_map(|controller| {
        let choice = HierarchyChoice::Exactly(HierarchySet::V1(controller));
        let hierarchies = Hierarchies::find(Path::new("/proc"), None, choice).ok()?;
        let (mount, _) = hierarchies.mounts().next()?;
        Some((controller, mount.path.clone()))
    });
    if found.is_none() {
        println!("this host has no v1 hierarchy");
    }
    found
}

#[test]
fn cgroups_of_a_v1_hierarchy_are_named_and_counted_exactly() {
    let Some((controller, mount)) = v1() else { return };
    crate::harness::mount_tracefs();
    let choice = format!("--cgroup.hierarchy={controller}");
    for implementation in ["auto", "raw_tp", "tracepoint"] {
        let daemon = Daemon::start(&[&choice, &format!("--probe.sys-enter={implementation}")]);
        let cgroup = TestCgroup::new_at(&mount, "v1");
        let path = cgroup.path();
        KnownCalls::run(&[&"threads", &path, &"2", &number(libc::SYS_getppid), &"20000"]);
        KnownCalls::run(&[&"short-lived", &path, &"s", &"100", &number(libc::SYS_getuid), &"100"]);

        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.calls(&cgroup.label(), "getppid") + scrape.skipped(), 40_000, "{implementation}");
        for index in 0..100 {
            let label = format!("{}/s{index}", cgroup.label());
            assert_eq!(scrape.calls(&label, "getuid"), 100, "{implementation}: {label}");
        }
        let info = format!(r#"syscallmon_cgroup_hierarchy_info{{hierarchy="{controller}"}}"#);
        assert_eq!(scrape.value(&info), Some(1));
    }
}

#[test]
fn on_hybrid_hosts_v1_distinguishes_what_is_in_the_root_of_cgroup2() {
    let Some((controller, mount)) = v1() else { return };
    let choice = format!("cgroup2+{controller}");
    if Hierarchies::find(Path::new("/proc"), None, choice.parse().unwrap()).is_err() {
        println!("this host has no cgroup2");
        return;
    }
    let daemon = Daemon::start(&["--cgroup.hierarchy", &choice]);
    let (old, new) = (TestCgroup::new_at(&mount, "old"), TestCgroup::new("new"));
    KnownCalls::run(&[&"calls", &old.path(), &number(libc::SYS_getppid), &"1234"]);
    KnownCalls::run(&[&"calls", &new.path(), &number(libc::SYS_getppid), &"4321"]);
    // The task is in a cgroup of both hierarchies. The cgroup2 cgroup names the workload.
    let inside = old.child("inside");
    let script = r#"echo $$ > "$1/cgroup.procs"; exec "$2" calls "$3" "$4" 77"#;
    KnownCalls::run_through(script, &[&inside, &KnownCalls::binary(), &new.path(), &number(libc::SYS_getuid)]);

    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&old.label(), "getppid"), 1234);
    assert_eq!(scrape.calls(&new.label(), "getppid"), 4321);
    assert_eq!(scrape.calls(&new.label(), "getuid"), 77);
    assert_eq!(scrape.calls(&old.label_of(&inside), "getuid"), 0);

    // Both names expire with their cgroups.
    let (old_label, new_label) = (old.label(), new.label());
    drop((old, new));
    let (_, body) = daemon.get("/api/v1/workloads?limit=10000");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let workloads = answer["data"]["workloads"].as_array().unwrap();
    for label in [old_label, new_label] {
        assert!(
            workloads.iter().any(|workload| workload["workload"]["cgroup"] == label),
            "{label} keeps its last counts"
        );
    }
}

#[test]
fn v1_cgroups_without_btf_are_said_to_be_lost() {
    let Some((controller, _)) = v1() else { return };
    let nothing = tempfile::tempdir().unwrap();
    let sysfs = nothing.path().to_str().unwrap();
    let daemon = Daemon::start(&["--path.sysfs", sysfs, &format!("--cgroup.hierarchy={controller}")]);
    daemon.wait_for_log("cgroups of v1 hierarchies cannot be distinguished");
}

#[test]
fn a_hierarchy_that_is_not_there_is_named() {
    let output = crate::harness::finished(["run", "--once", "--cgroup.hierarchy=rdma"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("no rdma hierarchy is mounted"), "{}", output.stderr);
    let output = crate::harness::finished(["run", "--once", "--cgroup.hierarchy=v2"]);
    assert!(output.stderr.contains("expected auto, cgroup2"), "{}", output.stderr);
}
