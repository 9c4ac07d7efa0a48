//! LXC: containers with an init process of their own, which are known by their cgroup only.

use std::fs;

use anyhow::{Context, Result};

use super::{
    engines::{Engine, Known},
    system::cgroup_of,
};
use crate::namespaces::Namespaces;

/// The name of the container.
const NAME: &str = "lxc-matrix";
/// Parts of the names of cgroups that LXC makes for it, or leaves.
pub(super) const CGROUPS: [&str; 2] = [NAME, "lxc.pivot"];
const DIRECTORY: &str = "/var/lib/lxc/lxc-matrix";
const LOG: &str = "/run/lxc-matrix.log";
/// Debian's defaults, without a network and without `AppArmor`.
const CONFIG: &str = "lxc.include = /usr/share/lxc/config/common.conf
lxc.rootfs.path = dir:/var/lib/lxc/lxc-matrix/rootfs
lxc.uts.name = lxc-matrix
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
";

/// LXC of a suite.
pub(super) struct Lxc<'a> {
    namespaces: &'a Namespaces,
    versions: [String; 2],
}

impl<'a> Lxc<'a> {
    pub(super) fn new(namespaces: &'a Namespaces, version: &str) -> Self {
        Self { namespaces, versions: [format!("LXC {version}"), "none".to_owned()] }
    }

    fn run(&self, script: &str) -> Result<()> {
        // Its monitor would keep the output open.
        const START: &str = r#"exec lxc-start --name="$1" --logfile="$2" -- sh -c "$3" </dev/null >/dev/null 2>&1"#;
        let started = self.namespaces.run("sh", &["-c", START, "sh", NAME, LOG, script]);
        started.map(drop).with_context(|| {
            let log = fs::read_to_string(self.namespaces.file(LOG)).unwrap_or_default();
            log.lines().filter(|line| line.contains("ERROR")).collect::<Vec<_>>().join("; ")
        })
    }

    fn stop(&self) -> Result<()> {
        self.namespaces.run("lxc-stop", &["--kill", "--name", NAME]).map(drop)
    }
}

impl Engine for Lxc<'_> {
    fn versions(&self) -> &[String; 2] {
        &self.versions
    }

    fn name(&self) -> &str {
        NAME
    }

    /// The cgroup is beside that of the first process, whose cgroup is the root on hosts with systemd.
    fn known(&self, id: &str) -> Result<Known> {
        Ok(Known::Path(cgroup_of(&format!("lxc.payload.{id}"))?))
    }

    fn start(&self, script: &str) -> Result<String> {
        const ROOTFS: &str = "mkdir -p bin dev etc proc root run sys tmp var && cp /busybox bin && ./bin/busybox \
            --list | while read name; do [ -e bin/$name ] || ln -s busybox bin/$name; done";
        self.namespaces.write(&format!("{DIRECTORY}/config"), CONFIG)?;
        fs::create_dir_all(self.namespaces.file(&format!("{DIRECTORY}/rootfs"))).context("cannot make a rootfs")?;
        self.namespaces.run("sh", &["-c", &format!("cd {DIRECTORY}/rootfs && {ROOTFS}")])?;
        self.run(script)?;
        Ok(NAME.to_owned())
    }

    fn exec(&self, _: &str, script: &str) -> Result<()> {
        self.namespaces.run("lxc-attach", &["--name", NAME, "--", "sh", "-c", script]).map(drop)
    }

    fn restart(&self, id: &str, script: &str) -> Result<String> {
        self.stop()?;
        self.run(script)?;
        Ok(id.to_owned())
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.stop()?;
        fs::remove_dir_all(self.namespaces.file(DIRECTORY)).context("cannot remove the container")
    }
}
