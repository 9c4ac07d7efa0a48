//! A fresh installation with its defaults. It reports no violation by the daemon itself, nor by ordinary workloads.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::cluster::{Cluster, DAEMON};

/// Unexpected calls of the node, in all namespaces, and of its pods without a name. Other containers of the machine are
/// excluded.
pub(super) const UNEXPECTED: &str = r#"syscallmon_unexpected_syscalls_total{namespace!=""}
    or syscallmon_unexpected_syscalls_total{cgroup=~".*kubepods.*"}"#;

/// Duration of two polls, and of the wait for the metadata of a container.
const SETTLED: Duration = Duration::from_secs(20);

/// Checks that no call is unexpected after the first start and after a restart.
pub(super) fn is_silent(cluster: &Cluster<'_>) -> Result<()> {
    says_nothing(cluster)?;
    cluster.node.kubectl(&[&["delete", "pods"], DAEMON.as_slice()].concat())?;
    cluster.wait_for_daemon()?;
    says_nothing(cluster)
}

fn says_nothing(cluster: &Cluster<'_>) -> Result<()> {
    thread::sleep(SETTLED);
    cluster.expect_count(r#"up{job="syscallmon",instance="node1"}"#, 1)?;
    let found = cluster.prometheus.query(UNEXPECTED)?;
    ensure!(found.is_empty(), "{UNEXPECTED}: {:?}", found.first());
    let log = cluster.daemon_log();
    let is_of_node = |line: &str| line.contains(r#""namespace":"#) || line.contains("kubepods");
    ensure!(!log.lines().any(|line| line.starts_with('{') && is_of_node(line)), "a violation is in the log: {log}");
    // The daemon runs, and its calls are counted.
    let own = r#"sum(syscallmon_syscalls_total{namespace="syscallmon",syscall="bpf"}) > bool 0"#;
    cluster.expect_count(own, 1)
}

/// Checks that calls of another process in the daemon's container are judged. `check` calls `bpf`, as the daemon does.
pub(super) fn judges_others_in_its_container(cluster: &Cluster<'_>) -> Result<()> {
    let exec = ["exec", "--namespace=syscallmon", "daemonset/syscallmon", "--", "/syscallmon", "check"];
    // The result of `check` does not matter here.
    let _ = cluster.node.kubectl(&exec);
    // `check` calls `bpf` with several commands.
    let unexpected = r#"syscallmon_unexpected_syscalls_total{namespace="syscallmon",syscall="bpf"}"#;
    cluster.expect_count(&format!("count(count by (syscall) ({unexpected}))"), 1)
}
