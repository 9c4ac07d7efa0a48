//! The privileges of the chart's pods, and the effect of missing capabilities.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    cluster::{Cluster, DAEMON},
    step,
};
use crate::wait::wait_for;

/// The capabilities of all of the daemon's pods, in sequence.
const CAPABILITIES: &str = "-o=jsonpath={.items[*].spec.containers[0].securityContext.capabilities.add}";

/// Checks that the service account can read pods, get single controllers, and do nothing else.
pub(super) fn only_pods_and_their_controllers(cluster: &Cluster<'_>) -> Result<()> {
    let may = |verb: &str, what: &str| {
        let account = "--as=system:serviceaccount:syscallmon:syscallmon";
        // The exit code has the same meaning.
        cluster.node.kubectl(&["auth", "can-i", verb, what, account, "--all-namespaces"]).is_ok()
    };
    for verb in ["get", "list", "watch"] {
        ensure!(may(verb, "pods"), "it may not {verb} pods");
        for other in ["secrets", "nodes", "configmaps", "services"] {
            ensure!(!may(verb, other), "it may {verb} {other}");
        }
    }
    for controller in ["replicasets.apps", "jobs.batch"] {
        ensure!(may("get", controller), "it may not get {controller}");
        ensure!(!may("list", controller) && !may("watch", controller), "it may list {controller}");
    }
    for verb in ["create", "update", "patch", "delete", "deletecollection"] {
        for what in ["pods", "replicasets.apps", "jobs.batch"] {
            ensure!(!may(verb, what), "it may {verb} {what}");
        }
    }
    Ok(())
}

/// Checks that the daemon reports a missing capability and does not run. With both capabilities, it runs again.
pub(super) fn each_capability(cluster: &Cluster<'_>) -> Result<()> {
    for (lacking, left) in [("BPF", "PERFMON"), ("PERFMON", "BPF")] {
        step(&format!("without CAP_{lacking}, it says so"), || {
            cluster.install(&[&format!("capabilities={{{left}}}")])?;
            // The kubelet may need a minute, until its garbage collection, to remove the old pod.
            wait_for("a message of the daemon", Duration::from_mins(3), || {
                // The log must not be that of the previous pod, which may lack the other capability.
                let is_new = cluster.node.kubectl(&[&["get", "pods", CAPABILITIES], DAEMON.as_slice()].concat())?
                    == format!(r#"["{left}"]"#);
                let says_so = is_new && cluster.daemon_log().contains("requires CAP_BPF and CAP_PERFMON");
                Ok(says_so.then_some(()))
            })
        })?;
    }
    step("with both, it runs again", || {
        cluster.install(&[])?;
        // The kubelet delays another start of the old pod. A new pod starts without delay.
        cluster.node.kubectl(&[&["delete", "pods", "--wait=false"], DAEMON.as_slice()].concat())?;
        cluster.wait_for_daemon()
    })
}
