//! One Kubernetes Event for each incident, which grows with it, at a real API server.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{cluster::Cluster, step, workloads};
use crate::wait::wait_for;

/// Checks that the Event of an incident is created at the first call and changed at the second one.
pub(super) fn grow_with_their_incident(cluster: &Cluster<'_>) -> Result<()> {
    step("one Event for an incident, which grows", || {
        cluster.install(&["alerts.kubernetesEvents=true"])?;
        cluster.wait_for_daemon()?;
        cluster.node.apply(&workloads::intruded())?;
        let first = wait_for_event(cluster, "unshare(CLONE_NEWNS)")?;
        cluster.node.kubectl(&["exec", "intruded", "--namespace=shop", "--", "touch", "/go"])?;
        let grown = wait_for_event(cluster, "mount")?;
        ensure!(text(&first, "/metadata/name") == text(&grown, "/metadata/name"), "{first} is not {grown}");
        ensure!(text(&grown, "/message").contains("unshare"), "{grown}");
        ensure!(text(&grown, "/involvedObject/fieldPath") == "spec.containers{c}", "{grown}");
        ensure!(grown["type"] == "Warning" && grown["count"].as_u64() > first["count"].as_u64(), "{grown}");
        Ok(())
    })
}

/// Waits for an Event about the pod with this call, and returns it. There must be one Event at most.
fn wait_for_event(cluster: &Cluster<'_>, syscall: &str) -> Result<Value> {
    // The command line has the names of both calls, too.
    let line = format!("\n{syscall}, critical: ");
    let selector = "--field-selector=reason=UnexpectedSyscall,involvedObject.name=intruded";
    wait_for(&format!("an Event with {syscall}"), super::TIMEOUT, || {
        let events = cluster.node.kubectl(&["get", "events", "--namespace=shop", "-o=json", selector])?;
        let events: Value = serde_json::from_str(&events).context("cannot understand kubectl")?;
        let events = events["items"].as_array().context("no list of Events")?;
        ensure!(events.len() < 2, "more than one Event: {events:?}");
        Ok(events.first().filter(|event| text(event, "/message").contains(&line)).cloned())
    })
    .with_context(|| cluster.daemon_log())
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
