//! Engines under one interface: containers of one name that are started, entered, restarted and removed.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::system::System;
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
    /// Returns the name of the engine in the label `runtime`, or `None` if the daemon cannot know it.
    fn label(&self) -> Option<&'static str>;
    /// Starts the container with this script. Returns its id.
    fn start(&self, script: &str) -> Result<String>;
    /// Runs a script in the container.
    fn exec(&self, id: &str, script: &str) -> Result<()>;
    /// Ends the container's program and starts it again. Returns the container's id, which may be another.
    fn restart(&self, id: &str, script: &str) -> Result<String>;
    /// Removes the container.
    fn remove(&self, id: &str) -> Result<()>;
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

    fn label(&self) -> Option<&'static str> {
        Some("containerd")
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
    system: &'a System,
    program: &'static str,
    is_rootless: bool,
    runtime: &'static str,
    versions: [String; 2],
    name: String,
}

impl<'a> Command<'a> {
    pub(super) fn docker(system: &'a System, runtime: &'static str, versions: [String; 2]) -> Self {
        let name = format!("docker-{runtime}");
        Self { system, program: "docker", is_rootless: false, runtime, versions, name }
    }

    pub(super) fn podman(system: &'a System, runtime: &'static str, versions: [String; 2]) -> Self {
        let name = format!("podman-{runtime}");
        Self { system, program: "podman", is_rootless: false, runtime, versions, name }
    }

    /// Podman of a user without privileges.
    pub(super) fn rootless(system: &'a System, runtime: &'static str, versions: [String; 2]) -> Self {
        let name = format!("rootless-{runtime}");
        Self { system, program: "podman", is_rootless: true, runtime, versions, name }
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let args = match self.program {
            "podman" => [&[self.program, "--runtime", self.runtime], args].concat(),
            _ => [&[self.program], args].concat(),
        };
        let output = if self.is_rootless {
            self.system.run_as_user(&args)
        } else {
            self.system.namespaces.run(args[0], &args[1..])
        };
        Ok(output?.trim_end().to_owned())
    }
}

impl Engine for Command<'_> {
    fn versions(&self) -> &[String; 2] {
        &self.versions
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self) -> Option<&'static str> {
        (!self.is_rootless).then_some(self.program)
    }

    fn start(&self, script: &str) -> Result<String> {
        let name = format!("--name={}", self.name);
        let runtime = format!("--runtime={}", self.runtime);
        let mut args = vec!["run", "--detach", &name];
        match self.program {
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
