//! The file system of one suite, and the engines that run in it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Process, cgroup, docker};
use xtask_support::apt::Suite;

use super::{
    engines::{Command, Engine, Pods},
    lxc::Lxc,
    user, youki,
};
use crate::{
    containerd::Containerd, directories::Directories, images, namespaces::Namespaces, podman,
    runtime_bases::roots::Root, wait::wait_for,
};

/// Cgroups that the engines create.
pub(super) const CGROUPS: &[&str] = &["k8s.io", "kubepods", "docker", "libpod_parent", "user.slice/user-61100.slice"];
/// An OCI runtime: its name, and its path inside.
pub(super) type OciRuntime = (&'static str, &'static str);
/// The OCI runtimes of all suites.
pub(super) const RUNTIMES: [OciRuntime; 2] = [("runc", "/usr/local/bin/runc"), ("crun", "/usr/local/bin/crun")];

/// Packages in every suite. In newer ones, Docker's client is a package of its own.
const PACKAGES: [&str; 23] = [
    "catatonit",
    "conmon",
    "containerd",
    "containernetworking-plugins",
    "coreutils",
    "crun",
    "dash",
    "docker.io",
    "fuse-overlayfs",
    "grep",
    "iproute2",
    "iptables",
    "libgcc-s1",
    "lxc",
    "mount",
    "podman",
    "prometheus",
    "prometheus-alertmanager",
    "rootlesskit",
    "runc",
    "slirp4netns",
    "uidmap",
    "util-linux",
];
const DOCKER_CLIENT: &str = "docker-cli";

/// Files of `/etc` that scripts of packages would create.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:61100:61100::/home/user:/bin/sh\n"),
    ("etc/group", "root:x:0:\nuser:x:61100:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/resolv.conf", ""),
];
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\n\
    graphroot = \"/var/lib/containers/storage\"\n";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A suite's engines, in namespaces of their own.
pub(super) struct System {
    // Dropped first: all processes end with the namespaces.
    pub(super) namespaces: Namespaces,
    pub(super) suite: Suite,
    /// Our images, as paths inside.
    pub(super) archives: Vec<PathBuf>,
    /// The daemon, which is at the same path inside.
    pub(super) daemon: PathBuf,
    /// Names and versions of Prometheus and Alertmanager.
    pub(super) servers: String,
    has_youki: bool,
    root: Root,
    _containerd: Containerd,
    processes: Vec<Process>,
}

impl System {
    /// Fetches the packages, and starts the engines with our images.
    pub(super) fn start(suite: Suite, directories: &Directories, daemon: &Path, youki: Option<&Path>) -> Result<Self> {
        let mut packages = PACKAGES.to_vec();
        packages.extend((suite != Suite::Bookworm).then_some(DOCKER_CLIENT));
        let root = Root::with_packages(suite, &packages, directories)?;
        let runtimes: Vec<_> = RUNTIMES.into_iter().chain(youki.map(|_| youki::RUNTIME)).collect();
        complete(&root.path, &runtimes)?;
        youki.map_or(Ok(()), |program| youki::install(program, &root.path))?;
        let archives = images::write(directories)?;
        let images = directories.directory("images")?;
        let binaries = daemon.parent().context("the daemon is in a directory")?;
        let path = |path: &Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
        let (inside, daemons) = (path(&images)?, path(binaries)?);
        let namespaces = Namespaces::start_in_tree(&root.path, &[(&images, &inside), (binaries, &daemons)])?;
        let paths: Vec<_> = runtimes.iter().map(|(name, path)| (*name, Path::new(path))).collect();
        let containerd = Containerd::with_runtimes(&namespaces, &directories.logs, &paths)?;
        let processes = start_engines(&namespaces, &runtimes, &directories.logs)?;
        let (daemon, servers, has_youki) = (daemon.to_owned(), servers(&root)?, youki.is_some());
        let system =
            Self { namespaces, suite, archives, daemon, servers, has_youki, root, _containerd: containerd, processes };
        for archive in &system.archives {
            Containerd::import(&system.namespaces, archive)?;
            let archive = path(archive)?;
            system.namespaces.run("docker", &["load", "--quiet", "--input", &archive])?;
            system.namespaces.run("podman", &["load", "--quiet", "--input", &archive])?;
            user::run(&system.namespaces, &["podman", "load", "--quiet", "--input", &archive])?;
            system.namespaces.run("docker", &["--host", user::DOCKER, "load", "--quiet", "--input", &archive])?;
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
            engines.push(Box::new(Command::docker(&self.namespaces, runtime, [docker.clone(), oci.clone()])));
            let versions = [docker + ", rootless", oci.clone()];
            engines.push(Box::new(Command::rootless_docker(&self.namespaces, runtime, versions)));
            let podman = format!("Podman {}", self.version("podman")?);
            engines.push(Box::new(Command::podman(&self.namespaces, runtime, [podman.clone(), oci.clone()])));
            engines.push(Box::new(Command::rootless_podman(&self.namespaces, runtime, [podman + ", rootless", oci])));
        }
        if self.has_youki {
            let [containerd, docker, podman] = ["containerd", "docker.io", "podman"].map(|name| self.version(name));
            let versions = |engine: String| [engine, youki::version()];
            let (namespaces, (runtime, _)) = (&self.namespaces, youki::RUNTIME);
            engines.push(Box::new(Pods::new(namespaces, runtime, versions(format!("containerd {}", containerd?)))?));
            engines.push(Box::new(Command::docker(namespaces, runtime, versions(format!("Docker {}", docker?)))));
            engines.push(Box::new(Command::podman(namespaces, runtime, versions(format!("Podman {}", podman?)))));
        }
        engines.push(Box::new(Lxc::new(&self.namespaces, &self.version("lxc")?)));
        Ok(engines)
    }

    /// Returns the ends of the engines' logs.
    pub(super) fn tails(&self) -> String {
        self.processes.iter().map(Process::tail).collect()
    }

    /// Returns the upstream's version of a package.
    pub(super) fn version(&self, package: &str) -> Result<String> {
        version(&self.root, package)
    }
}

fn version(root: &Root, package: &str) -> Result<String> {
    let version = root.version(package)?;
    let version = version.split_once(':').map_or(version.as_str(), |(_, version)| version);
    Ok(version.split(['+', '~', '-']).next().unwrap_or(version).to_owned())
}

/// Returns the names and versions of Prometheus and Alertmanager.
fn servers(root: &Root) -> Result<String> {
    let (prometheus, alertmanager) = (version(root, "prometheus")?, version(root, "prometheus-alertmanager")?);
    Ok(format!("Prometheus {prometheus}, Alertmanager {alertmanager}"))
}

/// Adds to unpacked packages what their scripts would create, and OCI runtimes that get along with this machine's
/// cgroups.
fn complete(tree: &Path, runtimes: &[OciRuntime]) -> Result<()> {
    for (name, content) in FILES.into_iter().chain(user::FILES) {
        write(&tree.join(name), content, 0o644)?;
    }
    for dir in ["var/tmp", "root"] {
        let dir = tree.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::set_permissions(tree.join("var/tmp"), Permissions::from_mode(0o1777)).context("cannot set permissions")?;
    for (link, target) in
        [("var/run", "/run"), ("usr/sbin/iptables", "iptables-nft"), ("usr/sbin/ip6tables", "ip6tables-nft")]
    {
        link_to(&tree.join(link), target)?;
    }
    user::complete(tree)?;
    let wrapper = |path: &str| write(&tree.join(path.trim_start_matches('/')), include_str!("oci_runtime.sh"), 0o755);
    runtimes.iter().try_for_each(|(_, path)| wrapper(path))
}

fn link_to(link: &Path, target: &str) -> Result<()> {
    match fs::symlink_metadata(link) {
        Ok(_) => Ok(()),
        Err(_) => symlink(target, link).with_context(|| format!("cannot make {}", link.display())),
    }
}

pub(super) fn write(file: &Path, content: &str, mode: u32) -> Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
    fs::write(file, content).with_context(cannot)?;
    fs::set_permissions(file, Permissions::from_mode(mode)).with_context(cannot)
}

/// Starts the engines but containerd, of root and of the user.
fn start_engines(namespaces: &Namespaces, runtimes: &[OciRuntime], logs: &Path) -> Result<Vec<Process>> {
    user::delegate(namespaces)?;
    let root_s = [start_docker(namespaces, runtimes, logs)?, start_podman(namespaces, runtimes, logs)?];
    Ok(root_s.into_iter().chain([user::start_docker(namespaces, logs)?]).collect())
}

/// Starts Docker with these OCI runtimes.
pub(super) fn start_docker(namespaces: &Namespaces, runtimes: &[OciRuntime], logs: &Path) -> Result<Process> {
    let mut dockerd = namespaces.command("dockerd");
    dockerd.args(["--storage-driver=overlay2", "--userland-proxy=false"]);
    dockerd.args(
        runtimes.iter().filter(|(name, _)| *name != "runc").map(|(name, path)| format!("--add-runtime={name}={path}")),
    );
    docker::start(dockerd, || namespaces.command("docker"), "/run".as_ref(), logs)
}

/// Configures Podman, and serves its API. The user's Podman has no API.
fn start_podman(namespaces: &Namespaces, runtimes: &[OciRuntime], logs: &Path) -> Result<Process> {
    let [(_, runc), (_, crun)] = RUNTIMES;
    namespaces.write("/etc/containers/policy.json", podman::ADMIT_ALL)?;
    namespaces.write("/etc/containers/storage.conf", STORAGE)?;
    let other = runtimes.iter().skip(RUNTIMES.len()).map(|(name, path)| format!("{name} = [\"{path}\"]\n"));
    let configuration = podman::configuration(runc.as_ref(), crun.as_ref()) + &other.collect::<String>();
    namespaces.write("/etc/containers/containers.conf", configuration)?;
    namespaces.run("mkdir", &["-p", "/run/podman"])?;
    let mut command = namespaces.command("podman");
    command.args(["system", "service", "--time=0", &format!("unix://{PODMAN_SOCKET}")]);
    let service = Process::start("podman", &mut command, logs)?;
    let socket = namespaces.file(PODMAN_SOCKET);
    wait_for("Podman's socket", TIMEOUT, || Ok(socket.exists().then_some(())))?;
    Ok(service)
}

/// Returns the path of a container's cgroup below its mount, as the daemon sees it.
pub(super) fn cgroup_of(id: &str) -> Result<String> {
    let path: PathBuf = cgroup::containing(id).into_iter().next().context("the container has no cgroup")?;
    let mounts = cgroup::mounts();
    let relative = mounts.iter().find_map(|mount| path.strip_prefix(mount).ok());
    Ok(format!("/{}", relative.context("the cgroup is below no mount")?.display()))
}
