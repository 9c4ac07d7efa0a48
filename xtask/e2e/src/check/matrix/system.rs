//! The file system of one suite, and the engines that run in it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Process, cgroup, docker};
use xtask_support::apt::Suite;

use super::engines::{Command, Engine, Pods};
use crate::{
    containerd::Containerd, directories::Directories, images, namespaces::Namespaces, podman,
    runtime_bases::roots::Root, wait::wait_for,
};

/// Cgroups that the engines create.
pub(super) const CGROUPS: &[&str] = &["k8s.io", "kubepods", "docker", "libpod_parent", "user.slice/user-61100.slice"];
/// The cgroup above those of users. Machines with systemd have it.
pub(super) const USERS: &str = "user.slice";
/// Cgroup of the user whose Podman has no privileges, below the mount. systemd delegates such a cgroup.
const USER_SERVICE: &str = "user.slice/user-61100.slice/user@61100.service";
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";
/// Id of that user and of its group.
const USER: u32 = 61100;

/// The OCI runtimes, as paths inside.
pub(super) const RUNTIMES: [(&str, &str); 2] = [("runc", "/usr/local/bin/runc"), ("crun", "/usr/local/bin/crun")];

/// Packages in every suite. In newer ones, Docker's client is a package of its own.
const PACKAGES: [&str; 19] = [
    "catatonit",
    "conmon",
    "containerd",
    "containernetworking-plugins",
    "coreutils",
    "crun",
    "dash",
    "docker.io",
    "fuse-overlayfs",
    "iptables",
    "libgcc-s1",
    "mount",
    "podman",
    "prometheus",
    "prometheus-alertmanager",
    "runc",
    "slirp4netns",
    "uidmap",
    "util-linux",
];
const DOCKER_CLIENT: &str = "docker-cli";

/// Files of `/etc` that scripts of packages would create.
const FILES: [(&str, &str); 6] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:61100:61100::/home/user:/bin/sh\n"),
    ("etc/group", "root:x:0:\nuser:x:61100:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/resolv.conf", ""),
    ("etc/subuid", "user:100000:65536\n"),
    ("etc/subgid", "user:100000:65536\n"),
];
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\n\
    graphroot = \"/var/lib/containers/storage\"\n";
const USER_STORAGE: &str = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/user/61100/containers\"\n\
    graphroot = \"/home/user/storage\"\n";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A suite's engines, in namespaces of their own.
pub(super) struct System {
    // Dropped first: all processes end with the namespaces.
    pub(super) namespaces: Namespaces,
    root: Root,
    _containerd: Containerd,
    processes: Vec<Process>,
}

impl System {
    /// Fetches the packages, and starts the engines with our images.
    pub(super) fn start(suite: Suite, directories: &Directories, daemon: &Path) -> Result<Self> {
        let mut packages = PACKAGES.to_vec();
        packages.extend((suite != Suite::Bookworm).then_some(DOCKER_CLIENT));
        let root = Root::with_packages(suite, &packages, directories)?;
        complete(&root.path)?;
        let archives = images::write(directories)?;
        let images = directories.directory("images")?;
        let binaries = daemon.parent().context("the daemon is in a directory")?;
        let path = |path: &Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
        let (inside, daemons) = (path(&images)?, path(binaries)?);
        let namespaces = Namespaces::start_in_tree(&root.path, &[(&images, &inside), (binaries, &daemons)])?;
        let runtimes = RUNTIMES.map(|(name, path)| (name, Path::new(path)));
        let containerd = Containerd::with_runtimes(&namespaces, directories, &runtimes)?;
        let processes = vec![start_docker(&namespaces, directories)?, start_podman(&namespaces, directories)?];
        let system = Self { namespaces, root, _containerd: containerd, processes };
        for archive in archives {
            let archive = path(&archive)?;
            system.namespaces.run("docker", &["load", "--quiet", "--input", &archive])?;
            system.namespaces.run("podman", &["load", "--quiet", "--input", &archive])?;
            system.run_as_user(&["podman", "load", "--quiet", "--input", &archive])?;
        }
        Ok(system)
    }

    /// Returns each engine with each OCI runtime.
    pub(super) fn engines(&self) -> Result<Vec<Box<dyn Engine + Send + Sync + '_>>> {
        let mut engines: Vec<Box<dyn Engine + Send + Sync + '_>> = Vec::new();
        for (runtime, _) in RUNTIMES {
            let oci = format!("{runtime} {}", self.version(runtime)?);
            let containerd = format!("containerd {}", self.version("containerd")?);
            engines.push(Box::new(Pods::new(&self.namespaces, runtime, [containerd, oci.clone()])?));
            let docker = format!("Docker {}", self.version("docker.io")?);
            engines.push(Box::new(Command::docker(self, runtime, [docker, oci.clone()])));
            let podman = format!("Podman {}", self.version("podman")?);
            engines.push(Box::new(Command::podman(self, runtime, [podman.clone(), oci.clone()])));
            engines.push(Box::new(Command::rootless(self, runtime, [podman + ", rootless", oci])));
        }
        Ok(engines)
    }

    /// Returns the versions of Prometheus and Alertmanager.
    pub(super) fn servers(&self) -> Result<String> {
        Ok(format!(
            "Prometheus {}, Alertmanager {}",
            self.version("prometheus")?,
            self.version("prometheus-alertmanager")?
        ))
    }

    /// Runs a program as the user without privileges, in a cgroup of that user. Returns its output.
    pub(super) fn run_as_user(&self, command: &[&str]) -> Result<String> {
        const SCRIPT: &str = r#"echo 0 >"$1/app.slice/run.scope/cgroup.procs" && shift && exec setpriv --reuid=user \
            --regid=user --clear-groups env HOME=/home/user XDG_RUNTIME_DIR=/run/user/61100 "$@""#;
        let service = format!("{CGROUP_MOUNT}/{USER_SERVICE}");
        self.namespaces.run("sh", &[&["-c", SCRIPT, "sh", &service], command].concat())
    }

    /// Returns the ends of the engines' logs.
    pub(super) fn tails(&self) -> String {
        self.processes.iter().map(Process::tail).collect()
    }

    /// Returns the upstream's version of a package.
    fn version(&self, package: &str) -> Result<String> {
        let version = self.root.version(package)?;
        Ok(version.split(['+', '~', '-']).next().unwrap_or(&version).to_owned())
    }
}

/// Adds to unpacked packages what their scripts would create, and OCI runtimes that get along with this machine's
/// cgroups.
fn complete(tree: &Path) -> Result<()> {
    for (name, content) in FILES {
        write(&tree.join(name), content, 0o644)?;
    }
    for dir in ["var/tmp", "root", "home/user/.config/containers"] {
        let dir = tree.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::set_permissions(tree.join("var/tmp"), Permissions::from_mode(0o1777)).context("cannot set permissions")?;
    for (link, target) in
        [("var/run", "/run"), ("usr/sbin/iptables", "iptables-nft"), ("usr/sbin/ip6tables", "ip6tables-nft")]
    {
        link_to(&tree.join(link), target)?;
    }
    write(&tree.join("home/user/.config/containers/storage.conf"), USER_STORAGE, 0o644)?;
    for dir in ["home/user", "home/user/.config", "home/user/.config/containers"] {
        chown(tree.join(dir), Some(USER), Some(USER)).context("cannot give the user a home")?;
    }
    let wrapper = |path: &str| write(&tree.join(path.trim_start_matches('/')), include_str!("oci_runtime.sh"), 0o755);
    RUNTIMES.iter().try_for_each(|(_, path)| wrapper(path))
}

fn link_to(link: &Path, target: &str) -> Result<()> {
    match fs::symlink_metadata(link) {
        Ok(_) => Ok(()),
        Err(_) => symlink(target, link).with_context(|| format!("cannot make {}", link.display())),
    }
}

fn write(file: &Path, content: &str, mode: u32) -> Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
    fs::write(file, content).with_context(cannot)?;
    fs::set_permissions(file, Permissions::from_mode(mode)).with_context(cannot)
}

fn start_docker(namespaces: &Namespaces, directories: &Directories) -> Result<Process> {
    let mut dockerd = namespaces.command("dockerd");
    dockerd.args(["--storage-driver=overlay2", "--userland-proxy=false"]);
    dockerd.args(
        RUNTIMES.iter().filter(|(name, _)| *name != "runc").map(|(name, path)| format!("--add-runtime={name}={path}")),
    );
    docker::start(dockerd, || namespaces.command("docker"), "/run".as_ref(), &directories.logs)
}

/// Configures Podman, and serves its API. The user's Podman has no API.
fn start_podman(namespaces: &Namespaces, directories: &Directories) -> Result<Process> {
    let [(_, runc), (_, crun)] = RUNTIMES;
    namespaces.write("/etc/containers/policy.json", podman::ADMIT_ALL)?;
    namespaces.write("/etc/containers/storage.conf", STORAGE)?;
    namespaces.write("/etc/containers/containers.conf", podman::configuration(runc.as_ref(), crun.as_ref()))?;
    delegate(namespaces)?;
    namespaces.run("mkdir", &["-p", "/run/podman"])?;
    let mut command = namespaces.command("podman");
    command.args(["system", "service", "--time=0", &format!("unix://{PODMAN_SOCKET}")]);
    let service = Process::start("podman", &mut command, &directories.logs)?;
    let socket = namespaces.file(PODMAN_SOCKET);
    wait_for("Podman's socket", TIMEOUT, || Ok(socket.exists().then_some(())))?;
    Ok(service)
}

/// Gives the user a cgroup and a directory for its runtime files.
fn delegate(namespaces: &Namespaces) -> Result<()> {
    let service = namespaces.file(&format!("{CGROUP_MOUNT}/{USER_SERVICE}"));
    let runtime = namespaces.file("/run/user/61100");
    for dir in [&service.join("app.slice/run.scope"), &runtime] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let files = ["", "cgroup.procs", "cgroup.subtree_control"].map(|file| service.join(file));
    let below = ["app.slice", "app.slice/cgroup.procs", "app.slice/run.scope", "app.slice/run.scope/cgroup.procs"];
    let below = below.map(|file| service.join(file));
    for file in files.iter().chain(&below).chain([&runtime]) {
        chown(file, Some(USER), Some(USER)).with_context(|| format!("cannot give {} to the user", file.display()))?;
    }
    Ok(())
}

/// Returns the path of a container's cgroup below its mount, as the daemon sees it.
pub(super) fn cgroup_of(id: &str) -> Result<String> {
    let path: PathBuf = cgroup::containing(id).into_iter().next().context("the container has no cgroup")?;
    let mounts = cgroup::mounts();
    let relative = mounts.iter().find_map(|mount| path.strip_prefix(mount).ok());
    Ok(format!("/{}", relative.context("the cgroup is below no mount")?.display()))
}
