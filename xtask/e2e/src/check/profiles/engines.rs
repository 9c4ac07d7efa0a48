//! The same under Docker and Podman: `--security-opt seccomp=FILE`.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use syscallmon_testkit::{Network, cgroup, try_wait_for};

use super::{Profiles, generate::allowed, monitor::Monitor};
use crate::{
    directories::Directories,
    docker::Docker,
    podman::Podman,
    servers::{
        self, Server,
        load::{Phase, Target},
    },
    software::{self, DEBIAN},
};

const SERVERS: [&str; 2] = ["nginx", "redis"];
const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Where containers find the files of the servers.
const FILES: &str = "/srv";

/// A container engine.
struct Engine<'a> {
    name: &'static str,
    run: &'a dyn Fn(&[&str]) -> Result<String>,
    directories: &'a Directories,
}

/// Runs servers under both engines.
pub(super) fn all(root: &Path, tree: &Path, monitor: &Monitor, profiles: &Profiles) -> Result<()> {
    let image = software::debian()?;
    let docker = Docker::start(root)?;
    docker.load(&image)?;
    let run = |args: &[&str]| docker.docker(args);
    let directories = docker.directories();
    Engine { name: "docker", run: &run, directories }.enforce(tree, monitor, profiles)?;
    drop(docker);
    let podman = Podman::start(root)?;
    podman.load(&image)?;
    let run = |args: &[&str]| podman.podman(args);
    let directories = podman.directories();
    Engine { name: "podman", run: &run, directories }.enforce(tree, monitor, profiles)
}

impl Engine<'_> {
    fn enforce(&self, tree: &Path, monitor: &Monitor, profiles: &Profiles) -> Result<()> {
        for server in SERVERS.map(servers::named) {
            let profile = &profiles[server.name];
            let file = self.directories.directory("profiles")?.join(format!("{}.json", server.name));
            fs::write(&file, profile.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
            for options in [&[][..], &["--security-opt=no-new-privileges"]] {
                let id = self.start(server, tree, &file, options)?;
                let result = self.exercise(&id, server, tree);
                let counted = result.and_then(|cgroup| monitor.counted(&cgroup));
                let logs = || (self.run)(&["logs", &id]).unwrap_or_default();
                let counted = counted.with_context(|| format!("{} under {}: {}", server.name, self.name, logs()))?;
                (self.run)(&["rm", "--force", &id])?;
                let calls = allowed(profile).len();
                println!(
                    "  {} under {} {options:?}: {calls} calls allowed, refused {:?}, ENOSYS {:?}",
                    server.name, self.name, counted.refused, counted.nonexistent
                );
                ensure!(counted.refused.is_empty(), "{} refused calls of {}", self.name, server.name);
            }
        }
        Ok(())
    }

    fn start(&self, server: &Server, tree: &Path, profile: &Path, options: &[&str]) -> Result<String> {
        let seccomp = format!("--security-opt=seccomp={}", profile.display());
        let (user, files) = (format!("--user={0}:{0}", server.user), tree.join("srv"));
        let volume = format!("--volume={}:{FILES}:ro", files.display());
        let mut args = vec!["run", "--detach", "--network=none", "--tmpfs=/tmp:mode=1777", &seccomp, &user, &volume];
        args.extend(options);
        args.push(DEBIAN);
        args.extend(server.command);
        (self.run)(&args)
    }

    /// Returns the cgroup of a container in which the server has served both loads and stopped.
    fn exercise(&self, id: &str, server: &Server, tree: &Path) -> Result<String> {
        let cgroup = cgroup_of(id)?;
        let pid = try_wait_for("a process of the container", TIMEOUT, PAUSE, || first_process(&cgroup))?;
        let network = Network::OfProcess(Pid::from_raw(pid.cast_signed()).context("a process has an id")?);
        // The network ends with the container.
        let _kept = File::open(format!("/proc/{pid}/ns/net")).context("the container has ended")?;
        try_wait_for("connections", TIMEOUT, PAUSE, || {
            Ok(network.run(|| TcpStream::connect(("127.0.0.1", server.port)).is_ok())?.then_some(()))
        })?;
        let target = Target { network, pid, port: server.port, tree };
        (server.load)(&target, Phase::Second)?;
        if let Some(signal) = server.reload {
            (self.run)(&["kill", &format!("--signal={signal}"), id])?;
            thread::sleep(PAUSE);
        }
        (server.load)(&target, Phase::First)?;
        (self.run)(&["kill", &format!("--signal={}", server.stop), id])?;
        let status = (self.run)(&["wait", id])?;
        ensure!(status == "0", "the server ended with status {status}");
        label(&cgroup)
    }
}

fn cgroup_of(id: &str) -> Result<PathBuf> {
    cgroup::containing(id).into_iter().next().context("the container has no cgroup")
}

fn first_process(cgroup: &Path) -> Result<Option<u32>> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).context("the container has ended")?;
    Ok(text.lines().next().and_then(|pid| pid.parse().ok()))
}

/// Returns the path of a cgroup below its mount.
fn label(cgroup: &Path) -> Result<String> {
    let mounts = cgroup::mounts();
    let relative = mounts.iter().find_map(|mount| cgroup.strip_prefix(mount).ok());
    Ok(format!("/{}", relative.context("the cgroup is below no mount")?.display()))
}
