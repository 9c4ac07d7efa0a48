//! A fresh installation, as it comes: it raises nothing about itself, nor about anybody who does what everybody does.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::cluster::{Cluster, DAEMON};

/// What nobody expected, in all namespaces.
const UNEXPECTED: &str = "syscallmon_unexpected_syscalls_total";

/// Two polls, and what a container without a name is waited for.
const SETTLED: Duration = Duration::from_secs(20);

/// Nothing is unexpected after the first start, nor after another one.
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
    ensure!(log.lines().all(|line| !line.starts_with('{')), "a violation is in the log: {log}");
    // It is there, and its calls are counted.
    let own = r#"sum(syscallmon_syscalls_total{namespace="syscallmon",syscall="bpf"}) > bool 0"#;
    cluster.expect_count(own, 1)
}

/// What another process does in the daemon's own container is judged: `check` calls `bpf`, as the daemon does.
pub(super) fn judges_others_in_its_container(cluster: &Cluster<'_>) -> Result<()> {
    let exec = ["exec", "--namespace=syscallmon", "daemonset/syscallmon", "--", "/syscallmon", "check"];
    // Whatever it says of this place.
    let _ = cluster.node.kubectl(&exec);
    cluster.expect_count(&format!(r#"count({UNEXPECTED}{{namespace="syscallmon",syscall="bpf"}})"#), 1)
}
