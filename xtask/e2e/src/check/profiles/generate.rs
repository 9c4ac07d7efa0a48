//! Generates a profile for each server: one start, one load, one reload, one stop.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use serde_json::Value;
use syscallmon::{
    profile::{Open, Surface},
    seccomp::Profile,
};
use syscallmon_testkit::{Guarded, Network, try_wait_for};

use super::{super::step, Profiles, check_command, monitor::Monitor};
use crate::{
    directories::Directories,
    servers::{
        self, Server,
        load::{Phase, Target},
        machine::Machine,
    },
};

/// The server that is recorded, too.
pub(super) const RECORDED: &str = "redis";
const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Mounts the file system of the servers and enters it. `$1` is the directory of mounts, `$2` the file system, and the
/// other arguments are the command that records.
const INSIDE: &str = r#"set -e; mount -t tmpfs none "$1"; mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" none "$1/root"
    mount -t tmpfs -o mode=1777 none "$1/root/tmp"; mount -t proc none "$1/root/proc"
    mount --rbind /dev "$1/root/dev"; ip link set lo up; root=$1/root; shift 2; exec "$@" chroot "$root" "#;

/// The server with profiles for one runtime each. It makes few calls that a runtime makes, too.
pub(super) const NARROW: &str = "rust";

/// A profile for one version of a runtime.
pub(super) struct Narrow {
    pub(super) runtime: String,
    pub(super) no_new_privileges: bool,
    pub(super) profile: Value,
}

/// Generates all profiles under the first runtime. Writes them into the logs.
pub(super) fn all(
    machines: &[Machine],
    monitor: &Monitor,
    directories: &Directories,
) -> Result<(Profiles, Vec<Narrow>)> {
    let (mut profiles, mut narrow) = (Profiles::new(), Vec::new());
    let machine = machines.first().context("there is no runtime")?;
    for server in &servers::ALL {
        let (profile, source) = step(&format!("{}: observed and generated", server.name), || {
            let mut container = machine.run(server, false, None)?;
            let cgroup = container.cgroup();
            container.exercise(&[Phase::First]).with_context(|| container.tail())?;
            let counted = monitor.counted(&cgroup)?;
            ensure!(counted.refused.is_empty(), "calls are refused without a profile: {:?}", counted.refused);
            ensure!(!counted.container_init.is_empty(), "the daemon does not distinguish the runtime's calls");
            let source = monitor.source(&cgroup);
            let flags = source.each_ref().map(String::as_str);
            let (profile, of_api) = (monitor.generate(&flags)?, monitor.profile(&cgroup)?);
            ensure!(allowed(&profile) == allowed(&of_api), "the API and the command generate different profiles");
            Ok((profile, source))
        })?;
        let path = path(directories, server.name);
        fs::write(&path, serde_json::to_string_pretty(&profile)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("    {} observed; {}", observed(&profile).len(), surface(&profile)?);
        profiles.insert(server.name, profile);
        let source = source.each_ref().map(String::as_str);
        check_command::check(server.name, &source, monitor, directories)?;
        if server.name == NARROW {
            narrow = for_each_runtime(machines, &source, monitor)?;
        }
    }
    Ok((profiles, narrow))
}

/// Generates a profile for each runtime, with and without `no_new_privs`.
fn for_each_runtime(machines: &[Machine], source: &[&str], monitor: &Monitor) -> Result<Vec<Narrow>> {
    let mut narrow = Vec::new();
    for machine in machines {
        for no_new_privileges in [true, false] {
            let runtime = format!("--runtime={}", machine.runtime);
            let mut flags = [source, &[&runtime]].concat();
            flags.extend(no_new_privileges.then_some("--no-new-privileges"));
            let profile = monitor.generate(&flags)?;
            narrow.push(Narrow { runtime: machine.runtime.clone(), no_new_privileges, profile });
        }
    }
    Ok(narrow)
}

/// Describes how much of the kernel a profile leaves open.
fn surface(profile: &Value) -> Result<String> {
    let surface = Surface::new(&Profile::from_value(profile.clone())?);
    let open = surface.architectures.values().next().context("the profile has no architecture")?;
    let Open { kernel, runtime_default, profile, dangerous: [all, in_default], dangerous_left, .. } = open;
    let left: Vec<&str> = dangerous_left.keys().copied().collect();
    Ok(format!(
        "allowed: {profile} calls (the kernel has {kernel}, the default of runtimes {runtime_default}), of dangerous ones \
         {} ({all}, {in_default}): {}",
        left.len(),
        left.join(" ")
    ))
}

/// Returns the file of a profile.
pub(super) fn path(directories: &Directories, server: &str) -> PathBuf {
    directories.logs.join(format!("{server}.profile.json"))
}

/// Returns the calls that a generated profile allows.
pub(super) fn allowed(profile: &Value) -> BTreeSet<String> {
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    let names = rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW").filter_map(|rule| rule["names"].as_array());
    names.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the calls that were observed for a generated profile.
pub(super) fn observed(profile: &Value) -> BTreeSet<String> {
    let coverage = profile["x-syscallmon"]["coverage"].as_object();
    coverage.into_iter().flat_map(|coverage| coverage.keys().cloned()).collect()
}

/// Records a server with `syscallmon record`, and prints how the calls differ from those of its container. Returns the
/// recording.
pub(super) fn compare_with_record(monitor: &Monitor, tree: &Path, directories: &Directories) -> Result<PathBuf> {
    let server = servers::named(RECORDED);
    let recording = directories.directory("recordings")?.join("a.json");
    let mounts = directories.directory("mounts")?;
    let made = step(&format!("{RECORDED}: recorded by a command"), || {
        record(server, monitor, tree, &mounts, &recording)?;
        let text = fs::read(&recording).with_context(|| format!("cannot read {}", recording.display()))?;
        let mut content: Value = serde_json::from_slice(&text)?;
        let calls = content["calls"].as_object_mut().context("a recording has calls")?;
        // The program that enters the file system of the server makes it.
        ensure!(calls.remove("x86_64/chroot").is_some(), "chroot was not recorded");
        let made = calls.keys().filter_map(|name| Some(name.split_once('/')?.1.to_owned())).collect::<BTreeSet<_>>();
        fs::write(&recording, content.to_string()).context("cannot write the recording")?;
        Ok(made)
    })?;
    let profile = fs::read(path(directories, RECORDED))?;
    let observed = observed(&serde_json::from_slice(&profile)?);
    let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(" ");
    println!("    only recorded: {}", list(made.difference(&observed).collect()));
    println!("    only in the container: {}", list(observed.difference(&made).collect()));
    Ok(recording)
}

fn record(server: &Server, monitor: &Monitor, tree: &Path, mounts: &Path, recording: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &format!("{INSIDE}{}", quoted(server.command)), "sh"]);
    command.arg(mounts).arg(tree).arg(monitor.binary()).args(["record", "--output"]).arg(recording).arg("--");
    let mut process = Guarded::spawn(&mut command)?;
    let pid = process.pid();
    let network = Network::OfProcess(Pid::from_raw(pid.cast_signed()).context("a process has an id")?);
    try_wait_for("connections", TIMEOUT, PAUSE, || {
        process.ensure_running()?;
        Ok(network.run(|| TcpStream::connect(("127.0.0.1", server.port)).is_ok()).ok().filter(|is_ok| *is_ok))
    })?;
    let target = Target { network, pid, port: server.port, tree };
    (server.load)(&target, Phase::First)?;
    process.signal(libc::SIGTERM)?;
    let status = process.wait(TIMEOUT)?;
    ensure!(status.success(), "the recorded server ended with {status}");
    Ok(())
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}
