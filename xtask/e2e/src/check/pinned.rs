//! Pinned mode in a cluster: no gap and no double count over updates, a kill of the daemon, and a restart of the
//! kubelet.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use xtask_support::shell;

use super::{
    calls, chart,
    cluster::{Cluster, DAEMON},
    fresh, step, value,
};
use crate::wait::wait_for;

/// Values that switch it on.
const ON: [&str; 2] = ["pin.enabled=true", "state.enabled=true"];
/// Makes calls in the background until it is stopped, and then says how many.
const START: &str = "rm -f /tmp/stop /tmp/made; (i=0; while [ ! -e /tmp/stop ]; do \
    j=0; while [ $j -lt 100 ]; do kill -0 1; j=$((j+1)); done; i=$((i+100)); sleep 0.02; done; \
    echo $i >/tmp/made.new; mv /tmp/made.new /tmp/made) >/dev/null 2>&1 &";
const STOP: &str = "touch /tmp/stop; while [ ! -e /tmp/made ]; do sleep 0.1; done; cat /tmp/made";
/// Longer than a poll and a scrape.
const SETTLE: Duration = Duration::from_secs(7);

/// Runs all checks, and switches it off again.
pub(super) fn all(cluster: &Cluster<'_>) -> Result<()> {
    step("pinned mode is switched on", || {
        cluster.install(&ON)?;
        cluster.wait_for_daemon()?;
        ensure!(!chart::pins(cluster.node)?.is_empty(), "nothing is pinned");
        cluster.expect_count(r#"up{job="syscallmon"}"#, 1)
    })?;
    let begin = Instant::now();
    exact_while(cluster, "a rolling update", || {
        cluster.install(&[ON.as_slice(), &["podAnnotations.update=pinned"]].concat())?;
        cluster.wait_for_daemon()
    })?;
    exact_while(cluster, "an update that counts more", || {
        cluster.install(&[ON.as_slice(), &["config.capacity.series=30000", "config.probe.latency=false"]].concat())?;
        cluster.wait_for_daemon()
    })?;
    exact_while(cluster, "a kill of the daemon", || {
        let restarts = restarts(cluster)?;
        kill_daemon(cluster)?;
        wait_for("another start of the daemon", Duration::from_mins(2), || {
            Ok((self::restarts(cluster)? > restarts).then_some(()))
        })?;
        cluster.wait_for_daemon()
    })?;
    exact_while(cluster, "a restart of the kubelet", || {
        cluster.node.restart_kubelet()?;
        cluster.wait_for_daemon()
    })?;
    step("no counter fell, and no daemon reported the start of the next one", || {
        let range = format!("[{}s]", begin.elapsed().as_secs());
        let resets = r#"sum(resets(syscallmon_syscalls_total{namespace="shop"}RANGE))"#.replace("RANGE", &range);
        let resets = value(&cluster.prometheus, &resets)?;
        ensure!(resets == Some(0.0), "counters fell {resets:?} times");
        cluster.expect_nothing(fresh::UNEXPECTED)
    })?;
    step("an update that switches it off removes everything", || {
        cluster.install(&["pin.cleanUp=true"])?;
        cluster.wait_for_daemon()?;
        let left = chart::pins(cluster.node)?;
        ensure!(left.is_empty(), "still pinned: {left}");
        cluster.expect_count(r#"up{job="syscallmon"}"#, 1)
    })
}

/// Makes calls in a container while something happens to the daemon. Each must be counted once, in the series of
/// before.
fn exact_while(cluster: &Cluster<'_>, what: &str, happens: impl FnOnce() -> Result<()>) -> Result<()> {
    step(&format!("each call counts once over {what}"), || {
        let container = cluster.container("app=web", "httpd")?;
        let run = |command: &str| cluster.node.cri()?.exec(&container, &["sh", "-c", command]);
        let sum = Cluster::sum(r#"pod=~"web-.*",container="httpd""#);
        run(&calls(1))?;
        let before = settled(cluster, &sum)?;
        run(START)?;
        happens()?;
        let made = run(STOP)?;
        let made: u64 = made.trim().parse().with_context(|| format!("{made:?} is no number"))?;
        ensure!(made > 0, "no call was made meanwhile");
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a count")]
        let before = before as u64;
        cluster.expect_count(&sum, before + made).with_context(|| format!("{made} calls after {before}"))
    })
}

/// Waits until a query's answer stays the same.
fn settled(cluster: &Cluster<'_>, promql: &str) -> Result<f64> {
    let mut last = None;
    wait_for("counts that do not change", Duration::from_mins(2), || {
        thread::sleep(SETTLE);
        let now = value(&cluster.prometheus, promql)?;
        let is_settled = now.is_some() && now == last;
        last = now;
        Ok(last.filter(|_| is_settled))
    })
}

/// Returns how often the daemon's container was started again.
fn restarts(cluster: &Cluster<'_>) -> Result<u64> {
    let path = "-o=jsonpath={.items[0].status.containerStatuses[0].restartCount}";
    let count = cluster.node.kubectl(&[&["get", "pods", path], DAEMON.as_slice()].concat())?;
    count.trim().parse().with_context(|| format!("{count:?} is no number"))
}

/// Kills the daemon as the kernel does when memory is short.
fn kill_daemon(cluster: &Cluster<'_>) -> Result<()> {
    let path = "-o=jsonpath={.items[0].status.containerStatuses[0].containerID}";
    let id = cluster.node.kubectl(&[&["get", "pods", path], DAEMON.as_slice()].concat())?;
    let id = id.trim().trim_start_matches("containerd://");
    let mut command = cluster.node.command("ctr");
    command.args(["--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", id]);
    shell::query(&mut command, "its message says what it lacks").map(drop)
}
