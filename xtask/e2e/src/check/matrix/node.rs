//! Nodes: privileged containers of Docker that run an engine, as kind and Docker-in-Docker make them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::process::Pid;
use syscallmon_testkit::{Process, cgroup};

use super::{
    cell::{Cell, Row},
    engines::{Command, Engine, Known, Pods},
    system::{self, RUNTIMES, System},
    watch::Watch,
};
use crate::{
    containerd::{self, Containerd},
    images::BUSYBOX,
    namespaces::Namespaces,
};

/// Programs and libraries of the suite, which nodes share.
const SHARED: [&str; 8] = ["/bin", "/busybox", "/etc", "/lib", "/lib64", "/pause", "/sbin", "/usr"];
/// Directories of images and containers, on a disk.
const VOLUMES: [&str; 2] = [containerd::ROOT, "/var/lib/docker"];
/// Where Docker's client finds the engine. There is no /var/run.
const DOCKER_HOST: &str = "--env=DOCKER_HOST=unix:///run/docker.sock";
/// Runs a program in a cgroup of its own below the node's, as systemd does.
const IN_SERVICE: &str = r#"service=/sys/fs/cgroup/system.slice/node.service
    mkdir -p $service && echo 0 >$service/cgroup.procs && exec "$@""#;

/// The engine of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// containerd, as in a node of kind.
    Containerd,
    /// Docker, as in Docker-in-Docker.
    Docker,
}

/// Where the daemon runs that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    /// On the host, where the node is one container.
    OnHost,
    /// In the node.
    InNode,
}

/// A node to check.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    kind: Kind,
    daemon: Daemon,
}

/// A running node.
struct Node<'a> {
    // Dropped first: all processes end with the container.
    container: Container<'a>,
    inside: Namespaces,
    logs: PathBuf,
    _engine: Running,
}

/// The container of Docker that is the node. Removed when dropped.
struct Container<'a> {
    docker: &'a Namespaces,
    name: String,
    id: String,
}

/// A running engine, which ends when it is dropped.
enum Running {
    Containerd { _engine: Containerd },
    Docker { _engine: Process },
}

impl Plan {
    /// Returns the nodes to check.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let plans = |kind| [Daemon::OnHost, Daemon::InNode].map(|daemon| Self { kind, daemon });
        [Kind::Containerd, Kind::Docker].into_iter().flat_map(plans)
    }

    /// Starts the node, makes all checks in it, and removes it. The watch is the host's.
    pub(super) fn check(self, root: &Path, system: &System, watch: &Watch<'_>, logs: &Path) -> Result<Row> {
        let versions = self.versions(system)?;
        let row = Node::start(system, self, logs).and_then(|node| {
            let engine = node.engine(self.kind, versions.clone())?;
            match self.daemon {
                Daemon::OnHost => {
                    let engine = Outer { engine, node: &node };
                    Ok(Cell::new(Box::new(engine), watch).check(system))
                }
                Daemon::InNode => {
                    let watch = Watch::start(root, &node.inside, &node.logs)?;
                    Ok(Cell::new(engine, &watch).check(system))
                }
            }
        });
        Ok(row.unwrap_or_else(|error| Row::failed(system, versions, &self.name(), &error)))
    }

    /// Returns the name of its container.
    pub(super) fn name(self) -> String {
        format!("node-{:?}-{:?}", self.kind, self.daemon).to_lowercase()
    }

    fn versions(self, system: &System) -> Result<[String; 2]> {
        let engine = match self.kind {
            Kind::Containerd => format!("containerd {}", system.version("containerd")?),
            Kind::Docker => format!("Docker {}", system.version("docker.io")?),
        };
        let engine = match self.daemon {
            Daemon::OnHost => format!("{engine} in Docker"),
            Daemon::InNode => format!("{engine} in Docker, with the daemon"),
        };
        let [(runc, _), _] = RUNTIMES;
        Ok([engine, format!("{runc} {}", system.version(runc)?)])
    }
}

impl<'a> Node<'a> {
    /// Starts a node and the engine in it, with our images.
    fn start(system: &'a System, plan: Plan, logs: &Path) -> Result<Self> {
        let container = Container::start(system, plan.name())?;
        let logs = logs.join(&container.name);
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let enter = ["docker", "exec", &container.name, "sh", "-c", IN_SERVICE, "sh"];
        let inside = system.namespaces.of_container(container.first_process()?, &enter);
        let engine = match plan.kind {
            Kind::Containerd => {
                let engine = Containerd::with_runtimes(&inside, &logs, &[(RUNTIMES[0].0, RUNTIMES[0].1.as_ref())])?;
                system.archives.iter().try_for_each(|archive| Containerd::import(&inside, archive))?;
                Running::Containerd { _engine: engine }
            }
            Kind::Docker => {
                let engine = system::start_docker(&inside, &RUNTIMES, &logs)?;
                for archive in &system.archives {
                    inside.run("docker", &["load", "--quiet", "--input", path(archive)?])?;
                }
                Running::Docker { _engine: engine }
            }
        };
        Ok(Self { container, inside, logs, _engine: engine })
    }

    fn engine(&self, kind: Kind, versions: [String; 2]) -> Result<Box<dyn Engine + Send + Sync + '_>> {
        let [(runc, _), _] = RUNTIMES;
        Ok(match kind {
            Kind::Containerd => Box::new(Pods::new(&self.inside, runc, versions)?),
            Kind::Docker => Box::new(Command::docker(&self.inside, runc, versions)),
        })
    }
}

impl<'a> Container<'a> {
    fn start(system: &'a System, name: String) -> Result<Self> {
        let docker = &system.namespaces;
        let option = format!("--name={name}");
        let mut args = vec!["run", "--detach", "--privileged", "--cgroupns=private", &option, DOCKER_HOST];
        args.extend(["--tmpfs=/run", "--tmpfs=/tmp"]);
        let images = system.archives.first().and_then(|archive| archive.parent());
        let ours = [images, system.daemon.parent()].into_iter().flatten();
        let ours = ours.map(|dir| Ok(format!("--volume={0}:{0}:ro", path(dir)?))).collect::<Result<Vec<_>>>()?;
        let shared = SHARED.map(|dir| format!("--volume={dir}:{dir}"));
        let volumes = VOLUMES.map(|volume| format!("--volume={volume}"));
        args.extend(ours.iter().chain(&shared).chain(&volumes).map(String::as_str));
        args.extend([BUSYBOX, "/pause"]);
        let id = docker.run("docker", &args)?.trim_end().to_owned();
        Ok(Self { docker, name, id })
    }

    /// Returns its first process, as this program sees it.
    fn first_process(&self) -> Result<Pid> {
        let cgroups = cgroup::containing(&self.id);
        let processes = cgroups.iter().find_map(|cgroup| fs::read_to_string(cgroup.join("cgroup.procs")).ok());
        let pid = processes.as_deref().and_then(|processes| processes.lines().next()?.parse().ok());
        pid.and_then(Pid::from_raw).context("the node has no process")
    }

    fn remove(&self) -> Result<()> {
        self.docker.run("docker", &["rm", "--force", "--volumes", &self.name]).map(drop)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

/// A container in a node, as a daemon outside sees it: as a part of the node.
struct Outer<'a> {
    engine: Box<dyn Engine + Send + Sync + 'a>,
    node: &'a Node<'a>,
}

impl Engine for Outer<'_> {
    fn versions(&self) -> &[String; 2] {
        self.engine.versions()
    }

    fn name(&self) -> &str {
        &self.node.container.name
    }

    fn known(&self, _: &str) -> Result<Known> {
        Ok(Known::Name("docker", self.node.container.id.clone()))
    }

    fn is_runtime_distinguished(&self) -> bool {
        false
    }

    fn start(&self, script: &str) -> Result<String> {
        self.engine.start(script)
    }

    fn exec(&self, id: &str, script: &str) -> Result<()> {
        self.engine.exec(id, script)
    }

    fn restart(&self, id: &str, script: &str) -> Result<String> {
        self.engine.restart(id, script)
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.node.container.remove()
    }
}
