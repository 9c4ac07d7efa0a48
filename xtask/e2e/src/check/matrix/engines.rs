//! Engines under one interface: containers of one name that are started, entered, restarted and removed.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::{system::cgroup_of, user};
use crate::{
    containerd::Containerd,
    cri::{Cri, Pod},
    images::BUSYBOX,
    namespaces::Namespaces,
};

/// Kubernetes' namespace of the pods.
const NAMESPACE: &str = "matrix";

/// An engine with an OCI runtime, and at most one container in it.
pub(super) trait Engine {
    /// Returns the names and versions of the engine and the OCI runtime.
    fn versions(&self) -> &[String; 2];
    /// Returns the name of its container, which is unique on the machine.
    fn name(&self) -> &str;
    /// Returns how the daemon knows the running container with this id.
    fn known(&self, id: &str) -> Result<Known>;
    /// Whether the daemon distinguishes the runtime's calls from the container's. Policies of the others allow them.
    fn is_runtime_distinguished(&self) -> bool {
        true
    }
    /// Whether the runtime leaves the container in the cgroup of its caller, so that there is nothing to check.
    fn lacks_cgroup(&self) -> bool {
        false
    }
    /// Starts the container with this script. Returns its id.
    fn start(&self, script: &str) -> Result<String>;
    /// Runs a script in the container.
    fn exec(&self, id: &str, script: &str) -> Result<()>;
    /// Ends the container's program and starts it again. Returns the container's id, which may be another.
    fn restart(&self, id: &str, script: &str) -> Result<String>;
    /// Removes the container.
    fn remove(&self, id: &str) -> Result<()>;
}

/// How the daemon knows a container.
pub(super) enum Known {
    /// By an API: the label `runtime`, and the id there, which may be that of the container around it.
    Name(&'static str, String),
    /// By the path of its cgroup.
    Path(String),
}

/// containerd through its CRI, as Kubernetes uses it.
pub(super) struct Pods {
    cri: Cri,
    runtime: &'static str,
    versions: [String; 2],
    pod: Pod,
    sandbox: Mutex<String>,
}

impl Pods {
    pub(super) fn new(namespaces: &Namespaces, runtime: &'static str, versions: [String; 2]) -> Result<Self> {
        let pod = Pod::named(NAMESPACE, &format!("containerd-{runtime}"));
        Ok(Self { cri: Containerd::cri(namespaces)?, runtime, versions, pod, sandbox: Mutex::default() })
    }

    fn run(&self, script: &str) -> Result<String> {
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        self.cri.run_container(&self.pod, &sandbox, &self.pod.name, BUSYBOX, &["sh", "-c", script])
    }
}

impl Engine for Pods {
    fn versions(&self) -> &[String; 2] {
        &self.versions
    }

    fn name(&self) -> &str {
        &self.pod.name
    }

    fn known(&self, id: &str) -> Result<Known> {
        Ok(Known::Name("containerd", id.to_owned()))
    }

    fn start(&self, script: &str) -> Result<String> {
        let sandbox = self.cri.run_pod_with(self.runtime, &self.pod)?;
        *self.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = sandbox;
        self.run(script)
    }

    fn exec(&self, id: &str, script: &str) -> Result<()> {
        self.cri.exec(id, &["sh", "-c", script]).map(drop)
    }

    /// A kubelet makes another container of the same name.
    fn restart(&self, id: &str, script: &str) -> Result<String> {
        self.cri.stop_container(id, 0)?;
        self.cri.remove_container(id)?;
        self.run(script)
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.cri.remove_pod(&self.sandbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Docker or Podman, by its command.
pub(super) struct Command<'a> {
    namespaces: &'a Namespaces,
    /// The command, with its first arguments.
    program: Vec<&'static str>,
    owner: Owner,
    runtime: &'static str,
    versions: [String; 2],
    name: String,
}

/// Whose engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Root,
    User,
}

impl<'a> Command<'a> {
    fn new(
        namespaces: &'a Namespaces,
        program: &[&'static str],
        owner: Owner,
        runtime: &'static str,
        versions: [String; 2],
    ) -> Self {
        let rootless = if owner == Owner::User { "rootless-" } else { "" };
        let name = format!("{rootless}{}-{runtime}", program[0]);
        Self { namespaces, program: program.to_vec(), owner, runtime, versions, name }
    }

    pub(super) fn docker(namespaces: &'a Namespaces, runtime: &'static str, versions: [String; 2]) -> Self {
        Self::new(namespaces, &["docker"], Owner::Root, runtime, versions)
    }

    /// Docker of a user without privileges.
    pub(super) fn rootless_docker(namespaces: &'a Namespaces, runtime: &'static str, versions: [String; 2]) -> Self {
        Self::new(namespaces, &["docker", "--host", user::DOCKER], Owner::User, runtime, versions)
    }

    pub(super) fn podman(namespaces: &'a Namespaces, runtime: &'static str, versions: [String; 2]) -> Self {
        Self::new(namespaces, &["podman", "--runtime", runtime], Owner::Root, runtime, versions)
    }

    /// Podman of a user without privileges.
    pub(super) fn rootless_podman(namespaces: &'a Namespaces, runtime: &'static str, versions: [String; 2]) -> Self {
        Self::new(namespaces, &["podman", "--runtime", runtime], Owner::User, runtime, versions)
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let args = [&self.program, args].concat();
        let output = match self.owner {
            Owner::User => user::run(self.namespaces, &args)?,
            Owner::Root => self.namespaces.run(args[0], &args[1..])?,
        };
        Ok(output.trim_end().to_owned())
    }
}

impl Engine for Command<'_> {
    fn versions(&self) -> &[String; 2] {
        &self.versions
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn known(&self, id: &str) -> Result<Known> {
        Ok(match self.owner {
            Owner::User => Known::Path(cgroup_of(id)?),
            Owner::Root => Known::Name(self.program[0], id.to_owned()),
        })
    }

    fn is_runtime_distinguished(&self) -> bool {
        self.owner == Owner::Root
    }

    /// Without systemd, crun of Debian 12 gives rootless containers no cgroup.
    fn lacks_cgroup(&self) -> bool {
        self.owner == Owner::User && self.versions[1].starts_with("crun 1.8.")
    }

    fn start(&self, script: &str) -> Result<String> {
        let name = format!("--name={}", self.name);
        let runtime = format!("--runtime={}", self.runtime);
        let mut args = vec!["run", "--detach", &name];
        match self.program[0] {
            "docker" => args.push(&runtime),
            // cgroup2 may lack the controller that limits processes.
            _ => args.push("--pids-limit=0"),
        }
        args.extend([BUSYBOX, "sh", "-c", script]);
        let output = self.run(&args)?;
        Ok(output.lines().last().context("the engine printed no id")?.to_owned())
    }

    fn exec(&self, _: &str, script: &str) -> Result<()> {
        self.run(&["exec", &self.name, "sh", "-c", script]).map(drop)
    }

    fn restart(&self, id: &str, _: &str) -> Result<String> {
        self.run(&["restart", "--time=0", &self.name])?;
        Ok(id.to_owned())
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.run(&["rm", "--force", &self.name]).map(drop)
    }
}
