//! A container that imitates another container, or many containers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::cgroup;

use super::{CALL, calls, cluster::Cluster, step, value, workloads};
use crate::wait::wait_for;

/// Cgroups that the container has inside its own.
const NESTED: u32 = 5000;

/// Checks that a pod's owner comes from the API server, and not from names that the pod's author chose.
pub(super) fn owners(cluster: &Cluster<'_>) -> Result<()> {
    step("nothing gets another's owner by its name, a label or a claim", || {
        let uid = ["get", "deployment", "web", "--namespace=shop", "-o=jsonpath={.metadata.uid}"];
        cluster.node.apply(&workloads::pretenders(cluster.node.kubectl(&uid)?.trim()))?;
        let owned = |owner: &str| format!(r#"count(syscallmon_workload_info{{namespace="shop",{owner}}})"#);
        cluster.expect_count(&owned(r#"owner_kind="ReplicaSet",owner="web-evil""#), 1)?;
        cluster.expect_count(&owned(r#"owner_kind="Job",owner="backup-12345678""#), 1)?;
        cluster.expect_count(&owned(r#"pod="claims",owner="""#), 1)?;
        cluster.expect_nothing(&owned(r#"container="c",owner_kind="Deployment""#))
    })?;
    step("a Job that a CronJob makes is the CronJob's", || {
        let owned = r#"count(syscallmon_workload_info{namespace="shop",owner_kind="CronJob",owner="nightly"})"#;
        // The `CronJob` starts it at the next minute.
        wait_for("its Job", Duration::from_mins(3), || {
            Ok(value(&cluster.prometheus, owned)?.is_some_and(|count| count >= 1.0).then_some(()))
        })?;
        let all = ["replicaset/web-evil", "job/backup-12345678", "cronjob/nightly", "pod/claims"];
        cluster.node.kubectl(&[&["delete", "--namespace=shop", "--wait=false"], all.as_slice()].concat()).map(drop)
    })
}

/// Checks that all cgroups inside a container's cgroup belong to the container, whatever their names and number.
pub(super) fn names(cluster: &Cluster<'_>) -> Result<()> {
    step("what a container has in its cgroup is its own", || {
        let id = cluster.container("app=agent", "agent")?;
        let own = cgroup::containing(&id).into_iter().next().context("the container has no cgroup")?;
        // In a pod, this requires a writable mount of the pod's cgroup. Here, the host creates the directories.
        let fake = own.join(format!("kubepods/pod00000000-0000-0000-0000-000000000000/{}", "9".repeat(64)));
        std::fs::create_dir_all(&fake).with_context(|| format!("cannot make {}", fake.display()))?;
        for number in 0..NESTED {
            let nested = own.join(format!("n{number}"));
            std::fs::create_dir(&nested).with_context(|| format!("cannot make {}", nested.display()))?;
        }
        for cgroup in [&fake, &own.join("n0"), &own.join(format!("n{}", NESTED - 1))] {
            let script = format!("echo $$ >{}/cgroup.procs && {}", cgroup.display(), calls(100));
            let status = std::process::Command::new("sh").args(["-c", &script]).status().context("cannot start sh")?;
            ensure!(status.success(), "{script}: {status}");
        }
        cluster.expect_count(&Cluster::sum(r#"pod=~"agent-.*",container="agent""#), 700 + 3 * 100)?;
        cluster.expect_nothing(&format!(
            r#"syscallmon_syscalls_total{{cgroup!="",syscall="{CALL}",cgroup=~"/kubepods.*"}}"#
        ))
    })
}
