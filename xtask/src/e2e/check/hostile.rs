//! A container that tries to look like another, or like many.

use anyhow::{Context, Result, ensure};

use super::{CALL, calls, cluster::Cluster, step};
use crate::e2e::cgroups;

/// Cgroups that the container has inside its own.
const NESTED: u32 = 5000;

/// Whatever is inside a container's cgroup is the container's, however it is called and however many there are.
pub(super) fn names(cluster: &Cluster<'_>) -> Result<()> {
    step("what a container has in its cgroup is its own", || {
        let id = cluster.container("app=agent", "agent")?;
        let own = cgroups::containing(&id).into_iter().next().context("the container has no cgroup")?;
        // A pod needs its own cgroup mounted writable for that; here the host does it in its place.
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
