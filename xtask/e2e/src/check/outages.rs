//! Outages and restarts: of containers, pods, the API server, containerd, and the daemon itself.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::Guarded;

use super::{
    calls,
    cluster::{Cluster, DAEMON, read},
    step, value,
};
use crate::wait::wait_for;

/// Duration of the API server's outage.
const OUTAGE: Duration = Duration::from_mins(1);

/// Runs all outages in sequence. No counter falls until the daemon itself restarts.
pub(super) fn all(cluster: &Cluster<'_>) -> Result<()> {
    let begin = Instant::now();
    step("counting and names go on while the API server is away, and when containerd is restarted", || {
        api_server_away(cluster)
    })?;
    step("a pod that is deleted leaves, one that is new is named", || {
        cluster.node.kubectl(&["delete", "pod", "guaranteed", "--namespace=shop"])?;
        cluster.node.kubectl(&["rollout", "restart", "daemonset/agent", "--namespace=shop"])?;
        cluster.expect_nothing(&Cluster::sum(r#"pod="guaranteed""#))?;
        // The sum has both pods until the series of the old pod have expired.
        cluster.expect_nothing(
            &Cluster::sum(r#"pod=~"agent-.*",container="agent""#).replace("sum(", "(").replace("})", "} > 700)"),
        )?;
        cluster.expect_count(&Cluster::sum(r#"pod=~"agent-.*",container="agent""#), 700)
    })?;
    step("no counter fell, and the daemon was always up", || never_fell(cluster, begin.elapsed()))?;
    rolling_update(cluster)
}

fn never_fell(cluster: &Cluster<'_>, since: Duration) -> Result<()> {
    let range = format!("[{}s]", since.as_secs());
    let resets = value(&cluster.prometheus, &format!("sum(resets(syscallmon_syscalls_total{range}))"))?;
    ensure!(resets == Some(0.0), "counters fell {resets:?} times");
    let up = value(&cluster.prometheus, &format!(r#"min_over_time(up{{job="syscallmon"}}{range})"#))?;
    ensure!(up == Some(1.0), "up was {up:?}");
    Ok(())
}

/// Makes calls in a container without the API server's help.
fn call_in(cluster: &Cluster<'_>, container: &str, count: u64) -> Result<()> {
    cluster.node.cri()?.exec(container, &["sh", "-c", &calls(count)]).map(drop)
}

fn api_server_away(cluster: &Cluster<'_>) -> Result<()> {
    let [httpd, side] = [cluster.container("app=web", "httpd")?, cluster.container("app=web", "side")?];
    let (of_httpd, of_side) =
        (Cluster::sum(r#"pod=~"web-.*",container="httpd""#), Cluster::sum(r#"pod=~"web-.*",container="side""#));
    cluster.node.stop_api_server();
    let begin = Instant::now();
    call_in(cluster, &httpd, 100)?;
    cluster.expect_count(&of_httpd, 2 * 1000 + 100)?;
    // The kubelet restarts the container with another id. Only containerd can report its name now.
    let _ = cluster.node.cri()?.exec(&side, &["sh", "-c", "kill 1"]);
    cluster.node.cri()?.stop_container(&side, 0)?;
    cluster.expect_count(&of_side, 2 * 2000 + 1 + 2000)?;
    cluster.node.restart_containerd()?;
    // containerd answers a little before it can execute commands.
    wait_for("containerd after its restart", Duration::from_secs(30), || {
        Ok(cluster.node.cri()?.exec(&httpd, &["true"]).ok())
    })?;
    call_in(cluster, &httpd, 100)?;
    cluster.expect_count(&of_httpd, 2 * 1000 + 200)?;
    thread::sleep(OUTAGE.saturating_sub(begin.elapsed()));
    cluster.node.start_api_server()?;
    call_in(cluster, &httpd, 100)?;
    cluster.expect_count(&of_httpd, 2 * 1000 + 300)?;
    cluster.expect_count(r#"syscallmon_names_source_up{source=~"cri|kubernetes"}"#, 2)
}

/// Replaces the daemon, measures the gap in counting, and checks that all names are back.
fn rolling_update(cluster: &Cluster<'_>) -> Result<()> {
    let node = cluster.node;
    let log = node.directory("log")?.join("old-daemon.log");
    let follow = format!("exec KUBECTL logs --follow --tail=-1 {} >{}", DAEMON.join(" "), log.display())
        .replace("KUBECTL", &node.kubectl_in_shell());
    let _follower = Guarded::spawn(node.command("sh").args(["-c", &follow]))?;
    wait_for("the log of the daemon", Duration::from_secs(10), || Ok(read(&log).contains("attached").then_some(())))?;
    let gap = step("an update brings all names back", || {
        cluster.install(&["podAnnotations.update=again"])?;
        cluster.wait_for_daemon()?;
        let new = node.kubectl(&[&["logs", "--tail=-1"], DAEMON.as_slice()].concat())?;
        let stopped = logged(&read(&log), "message=stopping").context("the old daemon did not say that it stops")?;
        let attached = logged(&new, "message=attached").context("the new daemon did not say that it is attached")?;
        cluster.expect_count(r#"up{job="syscallmon"}"#, 1)?;
        let named =
            r#"count(count by (namespace,pod,container) (syscallmon_workload_info{namespace="shop",pod=~"web-.*"}))"#;
        for container in ["httpd", "side"] {
            call_in(cluster, &cluster.container("app=web", container)?, 5)?;
        }
        wait_for("names after the update", Duration::from_mins(1), || {
            Ok((value(&cluster.prometheus, named)? >= Some(2.0)).then_some(()))
        })?;
        attached.duration_since(stopped).context("the new daemon was there before the old one had gone")
    });
    println!("  nobody counted for {:.1} s while the daemon was replaced", gap?.as_secs_f64());
    Ok(())
}

/// Returns the time of the first log line with this text.
fn logged(log: &str, text: &str) -> Option<SystemTime> {
    let line = log.lines().find(|line| line.contains(text))?;
    humantime::parse_rfc3339(line.strip_prefix("ts=")?.split(' ').next()?).ok()
}
