//! What the chart's pods may do, and what happens when one thing of it is taken away.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    cluster::{Cluster, DAEMON},
    step,
};
use crate::wait::wait_for;

/// What all pods of the daemon have, one after the other.
const CAPABILITIES: &str = "-o=jsonpath={.items[*].spec.containers[0].securityContext.capabilities.add}";

/// The service account can read pods, look at controllers one at a time, and nothing else.
pub(super) fn only_pods_and_their_controllers(cluster: &Cluster<'_>) -> Result<()> {
    let may = |verb: &str, what: &str| {
        let account = "--as=system:serviceaccount:syscallmon:syscallmon";
        // Its exit code says the same.
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

/// Without one of its capabilities, the daemon says which and does not run; with both again, it does.
pub(super) fn each_capability(cluster: &Cluster<'_>) -> Result<()> {
    for (lacking, left) in [("BPF", "PERFMON"), ("PERFMON", "BPF")] {
        step(&format!("without CAP_{lacking}, it says so"), || {
            cluster.install(&[&format!("capabilities={{{left}}}")])?;
            // The kubelet may take a minute, until it collects its garbage, to let the old pod go.
            wait_for("a message of the daemon", Duration::from_mins(3), || {
                // Not of the one before, which may lack the other.
                let is_new = cluster.node.kubectl(&[&["get", "pods", CAPABILITIES], DAEMON.as_slice()].concat())?
                    == format!(r#"["{left}"]"#);
                let says_so = is_new && cluster.daemon_log().contains("requires CAP_BPF and CAP_PERFMON");
                Ok(says_so.then_some(()))
            })
        })?;
    }
    step("with both, it runs again", || {
        cluster.install(&[])?;
        // It waits before it is started once more; a new one need not.
        cluster.node.kubectl(&[&["delete", "pods", "--wait=false"], DAEMON.as_slice()].concat())?;
        cluster.wait_for_daemon()
    })
}
