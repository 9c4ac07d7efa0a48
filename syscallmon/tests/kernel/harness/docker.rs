//! Real containers: a Docker daemon of the test, isolated from the host.
//!
//! It has its own mount, network and process namespaces, so its bridges, mounts and processes end with it. It has
//! nothing in /etc, /opt or /run, so it neither reads the host's settings nor leaves files there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use syscallmon_testkit::{Process, cgroup, docker};
use tempfile::TempDir;

use super::KnownCalls;

/// An image without files.
const IMAGE: &str = "nothing";

const MISSING: &str = "if it is missing, run `cargo xtask setup --for test`";

/// A Docker daemon. Dropping it ends it and its containers.
pub(crate) struct Docker {
    dockerd: Process,
    /// The daemon's name, which is also the name of its cgroup.
    directory: TempDir,
}

impl Docker {
    /// Starts one and waits until it can run containers.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("syscallmon-test-docker-").tempdir().unwrap();
        let path = directory.path();
        let dockerd = docker::start(dockerd(path), || client(path), path, path).expect(MISSING);
        let docker = Self { dockerd, directory };
        output_of(&mut docker.command(&["import", "-", IMAGE]));
        docker
    }

    /// Runs `known_calls` in a container until it ends. Returns the container's id, which is the name of its cgroup.
    ///
    /// `options` are those of `docker create`.
    pub(crate) fn run(&self, options: &[&str], args: &[String]) -> String {
        let id = self.create(options, args);
        output_of(&mut self.command(&["start", "--attach", &id]));
        id
    }

    /// Does the same without waiting for the end.
    pub(crate) fn start_container(&self, options: &[&str], args: &[String]) -> String {
        let id = self.create(options, args);
        output_of(&mut self.command(&["start", &id]));
        id
    }

    /// Runs a command in a running container until it ends.
    pub(crate) fn exec(&self, id: &str, args: &[&str]) {
        output_of(self.command(&["exec", id]).args(args));
    }

    /// Renames a container.
    pub(crate) fn rename(&self, id: &str, name: &str) {
        output_of(&mut self.command(&["rename", id, name]));
    }

    fn create(&self, options: &[&str], args: &[String]) -> String {
        // AppArmor's profile would be loaded for the whole host.
        let mut create = self.command(&["create", "--network=none", "--security-opt=apparmor=unconfined"]);
        let libraries = ["/lib", "/lib64"].map(PathBuf::from).into_iter().filter(|path| path.exists());
        let mounts = libraries.map(|path| (path.clone(), path)).chain([(KnownCalls::binary(), "/known_calls".into())]);
        for (source, target) in mounts {
            let (source, target) = (source.display(), target.display());
            create.args(["--mount", &format!("type=bind,source={source},target={target},readonly")]);
        }
        output_of(create.args(options).args([IMAGE, "/known_calls"]).args(args))
    }

    /// Removes a container.
    pub(crate) fn remove(&self, id: &str) {
        output_of(&mut self.command(&["rm", "--force", id]));
    }

    /// Its pid and mount namespaces, for `nsenter`. The daemon and its containers see other process ids than the host,
    /// and its `/proc` has these.
    pub(crate) fn namespaces(&self) -> [String; 2] {
        let of = |kind| format!("/proc/{}/ns/{kind}", self.dockerd.pid());
        [format!("--pid={}", of("pid_for_children")), format!("--mount={}", of("mnt"))]
    }

    /// The socket of its API.
    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("docker.sock").display().to_string()
    }

    /// Returns a command for the daemon.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = client(self.directory.path());
        command.args(args).stdin(Stdio::null());
        command
    }
}

/// Returns a command for the daemon of a directory, without the current user's settings.
fn client(directory: &Path) -> Command {
    let mut command = Command::new("docker");
    command.arg("--config").arg(directory);
    command.arg(format!("--host=unix://{}", directory.join("docker.sock").display()));
    command
}

/// Returns a command for the daemon as the first process of its namespace, so the kernel ends all others with it.
fn dockerd(directory: &Path) -> Command {
    let namespaces = ["--mount", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"];
    let script = r#"for host in /etc /opt /run; do mount -t tmpfs none "$host" || exit; done; exec "$@""#;
    let cgroup = directory.file_name().expect("a name");
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", script, "sh", "dockerd", "--log-level=error"]);
    // Avoids the need for iptables.
    command.args(["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"]);
    command.arg("--data-root").arg(directory.join("data")).arg("--cgroup-parent").arg(Path::new("/").join(cgroup));
    // containerd writes its stacks there when it is slow.
    command.env("TMPDIR", directory);
    command
}

/// Returns the output of a command, without the line break.
fn output_of(command: &mut Command) -> String {
    let output = command.output().expect(MISSING);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.dockerd.kill();
        let cgroup = self.directory.path().file_name().expect("a name").to_str().expect("text");
        // runc makes the cgroup in all hierarchies.
        if let Err(error) = cgroup::remove(cgroup) {
            eprintln!("cannot remove the cgroups of dockerd: {error:#}");
        }
    }
}
