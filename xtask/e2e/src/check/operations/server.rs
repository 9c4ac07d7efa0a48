//! Servers of Debian in pods of containerd, and what operators do with them. Data and configuration are in volumes, so
//! a restarted container continues with the data of the one before, as in a cluster.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use syscallmon_testkit::cgroup;

use super::super::web;
use crate::{
    cri::{Container, Cri, Pod, Seccomp},
    namespaces::Namespaces,
    servers::load::{Load, Phase, Target},
    software::DEBIAN,
    wait::wait_for,
};

/// Directory with the volumes, inside the environment.
const VOLUMES: &str = "/run/servers";
const TIMEOUT: Duration = Duration::from_mins(1);

/// A server and its operations.
pub(super) struct Server {
    pub(super) name: &'static str,
    /// The command, with `PORT` for its port. `/data` is its volume.
    pub(super) command: &'static [&'static str],
    /// User and group that own the volume.
    pub(super) user: u32,
    pub(super) load: Load,
    /// The signal that stops it gracefully.
    pub(super) stop: Signal,
    pub(super) operations: &'static [Operation],
}

/// Something that an operator or the kubelet does with a server.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Running<'_>) -> Result<()>,
}

/// A server in a pod.
pub(super) struct Running<'a> {
    pub(super) server: &'static Server,
    pub(super) namespace: &'static str,
    pub(super) port: u16,
    environment: &'a Environment<'a>,
    pod: Pod,
    sandbox: String,
    container: String,
}

/// Where servers run, and their clients.
pub(super) struct Environment<'a> {
    pub(super) namespaces: &'a Namespaces,
    pub(super) cri: &'a Cri,
    /// A file system with clients of databases.
    pub(super) tree: PathBuf,
}

impl<'a> Running<'a> {
    /// Starts a server, and waits until it accepts connections.
    pub(super) fn start(
        environment: &'a Environment<'a>,
        server: &'static Server,
        namespace: &'static str,
        port: u16,
    ) -> Result<Self> {
        let pod = Pod::named(namespace, server.name);
        let sandbox = environment.cri.run_pod(&pod)?;
        let mut running = Self { server, namespace, port, environment, pod, sandbox, container: String::new() };
        running.write_volume()?;
        running.run()?;
        Ok(running)
    }

    /// Returns the key of its baseline.
    pub(super) fn kind(&self) -> String {
        format!("{}/pod/{}/main", self.namespace, self.server.name)
    }

    fn volume(&self) -> String {
        format!("{VOLUMES}/{}-{}", self.namespace, self.server.name)
    }

    /// Returns the path of a file of its volume, outside.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.environment.namespaces.file(&format!("{}/{name}", self.volume()))
    }

    fn write_volume(&self) -> Result<()> {
        let page = "<p>A page.</p>\n".repeat(40);
        let big = "0123456789abcdef".repeat(1 << 16);
        let port = self.port.to_string();
        let nginx = include_str!("../../servers/files/nginx.conf").replace("8080", &port).replace("/srv/", "/data/");
        let nginx = nginx.replace("/tmp/access.log", "/data/access.log").replace("/tmp/error.log", "/data/error.log");
        let redis = format!(
            "port {port}\ndir /data/db\nappendonly yes\nio-threads 2\nlogfile /data/log/redis.log\nsave 60 100\n"
        );
        let files = [
            ("nginx.conf", nginx.as_str()),
            ("redis.conf", &redis),
            ("db/.keep", ""),
            ("log/.keep", ""),
            ("www/index.html", &page),
            ("www/big", &big),
            ("www/list/a.txt", &page),
            ("www/list/b.txt", &big),
            ("www/closed/a", &page),
            ("www/secret", &page),
        ];
        for (name, content) in files {
            self.environment.namespaces.write(&format!("{}/{name}", self.volume()), content)?;
        }
        let user = Some(self.server.user);
        for name in ["", "redis.conf", "db", "log"] {
            chown(self.file(name), user, user).context("cannot give a volume to its user")?;
        }
        for (name, mode) in [("www/secret", 0o000), ("db", 0o700)] {
            fs::set_permissions(self.file(name), Permissions::from_mode(mode)).context("cannot set a mode")?;
        }
        Ok(())
    }

    /// Starts its container, and waits for connections.
    fn run(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let command: Vec<String> = self.server.command.iter().map(|word| word.replace("PORT", &port)).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let volume = self.volume();
        let container = Container {
            name: "main",
            image: DEBIAN,
            command: &command,
            seccomp: Seccomp::Unconfined,
            mounts: &[(&volume, "/data")],
        };
        self.container = self.environment.cri.run(&self.pod, &self.sandbox, &container)?;
        let (network, port) = (self.environment.namespaces.network(), self.port);
        wait_for(self.server.name, TIMEOUT, || Ok(network.run(|| web::answers(port))?.then_some(())))
    }

    /// Returns what clients need.
    pub(super) fn target(&self) -> Target<'_> {
        let Environment { namespaces, tree, .. } = self.environment;
        Target { network: namespaces.network(), pid: namespaces.pid(), port: self.port, tree }
    }

    /// Sends a load.
    pub(super) fn load(&self, phase: Phase) -> Result<()> {
        (self.server.load)(&self.target(), phase).with_context(|| format!("{phase:?} load of {}", self.server.name))
    }

    /// Runs a client with `PORT` in its arguments.
    pub(super) fn client(&self, words: &[&str]) -> Result<String> {
        let words: Vec<String> = words.iter().map(|word| word.replace("PORT", &self.port.to_string())).collect();
        self.target().client(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a program in the container, as a probe does.
    pub(super) fn exec(&self, words: &[&str]) -> Result<()> {
        let words: Vec<String> = words.iter().map(|word| word.replace("PORT", &self.port.to_string())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.environment.cri.exec(&self.container, &words).map(drop)
    }

    /// Sends a signal to the first process of the container.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.first_process()?, signal).context("cannot send a signal to a server")
    }

    /// Stops the container with a signal, and starts another one in its place.
    pub(super) fn restart(&mut self, signal: Signal) -> Result<()> {
        let first = self.first_process()?;
        self.signal(signal)?;
        wait_for("the end of a server", TIMEOUT, || Ok(kill_process(first, Signal::CONT).is_err().then_some(())))?;
        // containerd refuses while it learns of the end itself.
        let cri = self.environment.cri;
        wait_for("the removal of a container", TIMEOUT, || Ok(cri.remove_container(&self.container).ok()))?;
        self.run()
    }

    /// Ends it gracefully.
    pub(super) fn finish(self) -> Result<()> {
        self.signal(self.server.stop)?;
        self.environment.cri.remove_pod(&self.sandbox)
    }

    /// Returns the first process of the container. Its parent is outside, as that of a probe, which is younger.
    fn first_process(&self) -> Result<Pid> {
        let read = |cgroup: PathBuf| fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let procs: String = cgroup::containing(&self.container).into_iter().map(read).collect();
        let procs: BTreeSet<i32> = procs.lines().filter_map(|pid| pid.parse().ok()).collect();
        let parent = |pid: i32| -> Option<i32> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
        };
        let is_first = |pid: &&i32| parent(**pid).is_some_and(|parent| !procs.contains(&parent));
        let first = procs.iter().find(is_first).context("the container has no process")?;
        Pid::from_raw(*first).context("a process has an id")
    }
}
