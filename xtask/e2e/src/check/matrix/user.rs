//! A user without privileges, and the engines of that user. systemd would delegate the cgroups.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Process, docker};
use xtask_support::shell;

use super::system::{self, RUNTIMES};
use crate::namespaces::Namespaces;

/// The cgroup above those of users. Machines with systemd have it.
pub(super) const USERS: &str = "user.slice";
/// Cgroup of the user, below the mount.
const SERVICE: &str = "user.slice/user-61100.slice/user@61100.service";
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";
/// Id of the user and of its group.
const USER: u32 = 61100;
/// Directory of its runtime files, inside.
const RUNTIME_DIR: &str = "/run/user/61100";
/// Address of its Docker.
pub(super) const DOCKER: &str = "unix:///run/user/61100/docker.sock";
/// Starts Docker as a user, in Debian's package.
const ROOTLESS_DOCKER: &str = "/usr/share/docker.io/contrib/dockerd-rootless.sh";

/// Files of `/etc` for it.
pub(super) const FILES: [(&str, &str); 2] =
    [("etc/subuid", "user:100000:65536\n"), ("etc/subgid", "user:100000:65536\n")];
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/user/61100/containers\"\n\
    graphroot = \"/home/user/storage\"\n";

/// Gives the user a home in a file system.
pub(super) fn complete(tree: &Path) -> Result<()> {
    system::write(&tree.join("home/user/.config/containers/storage.conf"), STORAGE, 0o644)?;
    for dir in ["home/user", "home/user/.config", "home/user/.config/containers"] {
        chown(tree.join(dir), Some(USER), Some(USER)).context("cannot give the user a home")?;
    }
    Ok(())
}

/// Gives the user cgroups and a directory for its runtime files.
pub(super) fn delegate(namespaces: &Namespaces) -> Result<()> {
    let service = namespaces.file(&format!("{CGROUP_MOUNT}/{SERVICE}"));
    let runtime = namespaces.file(RUNTIME_DIR);
    let units = ["app.slice/run.scope", "app.slice/docker.service"].map(|unit| service.join(unit));
    for dir in units.iter().chain([&runtime]) {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::set_permissions(&runtime, Permissions::from_mode(0o700)).context("cannot set permissions")?;
    let cgroups = units.iter().cloned().chain([service.join("app.slice"), service.clone()]);
    let files = cgroups.flat_map(|cgroup| ["", "cgroup.procs", "cgroup.subtree_control"].map(|file| cgroup.join(file)));
    for file in files.chain([runtime]) {
        chown(&file, Some(USER), Some(USER)).with_context(|| format!("cannot give {} to the user", file.display()))?;
    }
    Ok(())
}

/// Runs a program as the user, in a cgroup of that user. Returns its output.
pub(super) fn run(namespaces: &Namespaces, command: &[&str]) -> Result<String> {
    shell::query(&mut as_user(namespaces, "run.scope", command), "its message says what it lacks")
}

/// Starts the user's Docker.
pub(super) fn start_docker(namespaces: &Namespaces, logs: &Path) -> Result<Process> {
    let logs = logs.join("rootless");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let mut command = as_user(namespaces, "docker.service", &["sh", ROOTLESS_DOCKER]);
    command.args(["--storage-driver=overlay2", "--userland-proxy=false", "--data-root=/home/user/docker"]);
    let [_, (name, path)] = RUNTIMES;
    command.arg(format!("--add-runtime={name}={path}"));
    let client = || {
        let mut docker = namespaces.command("docker");
        docker.args(["--host", DOCKER]);
        docker
    };
    docker::start(command, client, RUNTIME_DIR.as_ref(), &logs)
}

fn as_user(namespaces: &Namespaces, unit: &str, command: &[&str]) -> process::Command {
    const SCRIPT: &str = r#"echo 0 >"$1/cgroup.procs" && shift && exec setpriv --reuid=user --regid=user \
        --clear-groups env HOME=/home/user XDG_RUNTIME_DIR=/run/user/61100 "$@""#;
    let mut sh = namespaces.command("sh");
    sh.args(["-c", SCRIPT, "sh", &format!("{CGROUP_MOUNT}/{SERVICE}/app.slice/{unit}")]).args(command);
    sh
}
