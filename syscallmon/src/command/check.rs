//! `syscallmon check`: can this host run it? One line per requirement, with the remedy.

use std::{
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
};

use caps::{CapSet, Capability};
use clap::Args;
use syscallmon_common::ROOT_CGROUP_ID;

use super::{
    ConfigFile,
    run::{PART_OF_HIERARCHY, options},
};
use crate::{
    cgroup::{Hierarchies, HierarchyError},
    export::web::WebConfig,
    kernel::{self, Kernel, Options, Probe, ProbeStatus},
    settings::{Config, Settings},
    syscalls::CallTable,
    workload::{
        Api,
        source::{SocketChoice, SourceName},
    },
};

/// Check whether this host can run syscallmon, and whether a configuration is valid.
///
/// Prints one line per requirement; ends with status 1 when `syscallmon run` would fail. Attaches nothing.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,

    #[command(flatten)]
    settings: Settings,
}

/// How a requirement fares.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Ok(String),
    /// `run` works, in another way than the best.
    Fallback(String),
    /// `run` works without it, worse.
    Optional(String),
    /// `run` fails without it.
    Missing(String),
}

use Finding::{Fallback, Missing, Ok as Fine, Optional};

impl Check {
    #[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let file = self.config.config_file.as_deref();
        let config = match Config::resolve(self.settings, file) {
            Ok(config) => config,
            Err(error) => {
                print("config", &Missing(error.to_string()));
                return Ok(ExitCode::FAILURE);
            }
        };
        let mut failed = false;
        for (name, finding) in requirements(&config, file) {
            print(name, &finding);
            failed |= matches!(finding, Missing(_));
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn print(name: &str, finding: &Finding) {
    let (state, text) = match finding {
        Fine(text) => ("ok", text.clone()),
        Fallback(text) => ("fallback", text.clone()),
        Optional(text) => ("missing", format!("(optional) {text}")),
        Missing(text) => ("missing", text.clone()),
    };
    // Whoever reads the first lines only may be gone.
    let _ = writeln!(io::stdout(), "{state:<8} {name:<15} {text}");
}

fn requirements(config: &Config, file: Option<&Path>) -> Vec<(&'static str, Finding)> {
    let hierarchies = Hierarchies::find(&config.procfs, config.cgroupfs.as_deref(), config.hierarchy);
    let options = hierarchies.as_ref().map_or_else(|_| options_without_cgroups(config), |found| options(config, found));
    let mut requirements = vec![
        ("config", Fine(file.map_or("defaults and flags".to_owned(), |file| file.display().to_string()))),
        ("web config", web_config(config)),
    ];
    requirements.extend(policies(config).into_iter().map(|finding| ("policies", finding)));
    requirements.extend([
        ("listen", listen(config)),
        ("kernel", kernel_version(&config.procfs)),
        ("btf", btf(&options)),
        ("tracepoints", tracepoints(&options)),
        ("capabilities", capabilities()),
        ("lockdown", lockdown(&config.sysfs)),
        ("cgroups", cgroups(hierarchies)),
        ("memory", memory(&options, &config.procfs)),
    ]);
    requirements.extend(names(config));
    requirements.extend(probes(&options, config));
    requirements
}

/// What the programs are tried with where no cgroups can be found.
fn options_without_cgroups(config: &Config) -> Options {
    Options {
        capacity: config.capacity,
        sysfs: config.sysfs.clone(),
        sys_enter: config.sys_enter,
        signals: config.signals,
        hierarchies: kernel::Hierarchies { cgroup2: true, cgroup2_root: ROOT_CGROUP_ID, v1: None },
    }
}

fn web_config(config: &Config) -> Finding {
    let Some(path) = &config.web_config_file else { return Fine("none: plain HTTP, no password".to_owned()) };
    match WebConfig::load(path) {
        Ok(_) => Fine(path.display().to_string()),
        Err(error) => Missing(chain(&error)),
    }
}

/// How many policies there are in each file, or all that is wrong with them.
fn policies(config: &Config) -> Vec<Finding> {
    let policies = match config.policies.load().policies {
        Ok(policies) => policies,
        Err(error) => return error.problems.iter().map(|problem| Missing(problem.to_string())).collect(),
    };
    let mut origins: Vec<(&str, usize)> = Vec::new();
    for policy in policies.iter() {
        match origins.last_mut().filter(|(origin, _)| **origin == **policy.origin()) {
            Some((_, count)) => *count += 1,
            None => origins.push((policy.origin(), 1)),
        }
    }
    let listed: Vec<String> = origins.iter().map(|(origin, count)| format!("{count} ({origin})")).collect();
    vec![Fine(if listed.is_empty() { "none: no call is unexpected".to_owned() } else { listed.join(", ") })]
}

fn listen(config: &Config) -> Finding {
    for address in &config.listen_addresses {
        if let Err(error) = address.listen() {
            return Missing(format!("{address}: {error}: choose another address with --web.listen-address"));
        }
    }
    Fine(config.listen_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The oldest kernel: mapped arrays came with 5.5, ring buffers with 5.8, programs run on demand with 5.10.
const OLDEST: (u32, u32) = (5, 10);

fn kernel_version(procfs: &Path) -> Finding {
    let release = fs::read_to_string(procfs.join("sys/kernel/osrelease")).unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Fine(format!("Linux {release}")),
        (Some(_), Some(_)) => Missing(format!("Linux {release}: needs {}.{} or newer", OLDEST.0, OLDEST.1)),
        _ => Optional(format!("release unknown: is procfs at {}? (--path.procfs)", procfs.display())),
    }
}

fn btf(options: &Options) -> Finding {
    match kernel::check_btf(&options.btf_path()) {
        Ok(()) => Fine(options.btf_path().display().to_string()),
        Err(error) => {
            let lost = "without it counting costs more, and 32-bit calls, v1 cgroups and refused calls are not told";
            let finding = if options.sys_enter == kernel::SysEnter::TpBtf { Missing } else { Optional };
            finding(format!("{}; {lost}", chain(&error)))
        }
    }
}

/// The tracepoints that the probes attach to.
const WANTED: [&str; 3] = ["raw_syscalls/sys_enter", "cgroup/cgroup_mkdir", "cgroup/cgroup_rmdir"];

fn tracepoints(options: &Options) -> Finding {
    let Some(missing) = kernel::missing_tracepoints(&options.btf_path(), &WANTED) else {
        return Optional(
            "cannot be looked up without BTF or tracefs (mount -t tracefs nodev /sys/kernel/tracing)".to_owned(),
        );
    };
    if missing.contains(&WANTED[0]) {
        Missing("no raw_syscalls tracepoints: needs a kernel with CONFIG_FTRACE_SYSCALLS=y".to_owned())
    } else if missing.is_empty() {
        Fine(WANTED.join(", "))
    } else {
        Optional(format!("no {}: short-lived cgroups will have no name", missing.join(", ")))
    }
}

fn capabilities() -> Finding {
    let Ok(effective) = caps::read(None, CapSet::Effective) else {
        return Optional("cannot be read".to_owned());
    };
    let has = |capability| effective.contains(&capability) || effective.contains(&Capability::CAP_SYS_ADMIN);
    let lacking: Vec<String> = [Capability::CAP_BPF, Capability::CAP_PERFMON]
        .into_iter()
        .filter(|&capability| !has(capability))
        .map(|capability| capability.to_string())
        .collect();
    if lacking.is_empty() {
        Fine("CAP_BPF, CAP_PERFMON".to_owned())
    } else {
        Missing(format!(
            "{}: run as root, or with these capabilities (setpriv, systemd's AmbientCapabilities)",
            lacking.join(", ")
        ))
    }
}

fn lockdown(sysfs: &Path) -> Finding {
    let Ok(text) = fs::read_to_string(sysfs.join("kernel/security/lockdown")) else {
        return Fine("not in force, or not to be seen".to_owned());
    };
    if text.contains("[confidentiality]") {
        Missing(
            "confidentiality: the kernel lets no eBPF program read its memory; boot with lockdown=integrity or none"
                .to_owned(),
        )
    } else {
        Fine(text.trim().to_owned())
    }
}

fn cgroups(hierarchies: Result<Hierarchies, HierarchyError>) -> Finding {
    match hierarchies {
        Ok(found) if !found.are_whole() => {
            Optional(format!("{found} shows a part of the hierarchy only: {PART_OF_HIERARCHY}"))
        }
        Ok(found) => Fine(format!("counted by {}: {found}", found.set())),
        Err(error) => Missing(chain(&error)),
    }
}

/// Who could tell names of containers.
fn names(config: &Config) -> Vec<(&'static str, Finding)> {
    let socket = |(api, choice): (Api, &SocketChoice)| {
        let finding = match choice.socket(api) {
            None => Fine("off, or not installed".to_owned()),
            Some(socket) => match UnixStream::connect(&socket) {
                Ok(_) => Fine(socket.display().to_string()),
                Err(error) => Optional(format!("{}: {error}: its containers will have no names", socket.display())),
            },
        };
        (source_label(SourceName::of(api)), finding)
    };
    let kubernetes = if config.sources.asks_kubernetes() {
        format!("pods of node {} are watched", config.node)
    } else {
        "off, or not in a pod and no --kubernetes.kubeconfig".to_owned()
    };
    let sockets = config.sources.sockets().map(socket);
    sockets.into_iter().chain([(source_label(SourceName::Kubernetes), Fine(kubernetes))]).collect()
}

fn memory(options: &Options, procfs: &Path) -> Finding {
    let Ok(needed) = kernel::memory_needed(options) else {
        return Optional("the number of CPUs is unknown".to_owned());
    };
    let meminfo = fs::read_to_string(procfs.join("meminfo")).unwrap_or_default();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().split(' ').next()?.parse::<u64>().ok());
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match available.map(|kib| kib * 1024) {
        Some(available) if available < 2 * needed => Optional(format!(
            "the kernel's tables need {} MiB of {} MiB available: lower capacity.*",
            mib(needed),
            mib(available)
        )),
        _ => Fine(format!("the kernel's tables need {} MiB", mib(needed))),
    }
}

/// The proof: the kernel's verifier takes the programs.
fn probes(options: &Options, config: &Config) -> Vec<(&'static str, Finding)> {
    let probes = match Kernel::verify(options, &CallTable::native().positions(&config.latency.calls)) {
        Ok(probes) => probes,
        Err(error) => return vec![("programs", Missing(chain(&error)))],
    };
    probes.iter().map(|status| (label(status.probe), finding(status))).collect()
}

fn source_label(source: SourceName) -> &'static str {
    match source {
        SourceName::Cri => "names cri",
        SourceName::Docker => "names docker",
        SourceName::Podman => "names podman",
        SourceName::Kubernetes => "kubernetes",
        SourceName::KubernetesOwners => "kubernetes owners",
    }
}

fn label(probe: Probe) -> &'static str {
    match probe {
        Probe::SysEnter => "probe sys_enter",
        Probe::SysExit => "probe sys_exit",
        Probe::Task => "probe task",
        Probe::Cgroup => "probe cgroup",
        Probe::Setup => "probe setup",
        Probe::IoUring => "probe io_uring",
    }
}

fn finding(status: &ProbeStatus) -> Finding {
    match (status.implementation, &status.problem) {
        (Some(implementation), None) => Fine(implementation.to_owned()),
        (Some(implementation), Some(problem)) => Fallback(format!("{implementation}: {problem}")),
        (None, problem) => Optional(problem.clone().unwrap_or_default()),
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: Option<&Path>) -> Config {
        let mut config = Config::resolve(Settings::default(), None).expect("the defaults are valid");
        config.policies.directory = directory.map(Path::to_owned);
        config
    }

    #[test]
    fn policies_are_counted_by_file() {
        assert_eq!(policies(&config(None)), [Fine("1 (built in)".to_owned())]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        let policy = |name| format!("- {{name: {name}, match: [{{pod: a}}], allow: [read]}}\n");
        fs::write(&file, format!("policies:\n{}{}", policy("a"), policy("b"))).unwrap();
        let listed = format!("2 ({}), 1 (built in)", file.display());
        assert_eq!(policies(&config(Some(directory.path()))), [Fine(listed)]);
        let mut none = config(None);
        none.policies.built_in = false;
        assert_eq!(policies(&none), [Fine("none: no call is unexpected".to_owned())]);
    }

    #[test]
    fn every_bad_policy_is_a_line_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["a.yaml", "b.yaml"] {
            fs::write(directory.path().join(file), "policies: [{name: a}]\n").unwrap();
        }
        let findings = policies(&config(Some(directory.path())));
        assert!(findings.len() == 2 && findings.iter().all(|finding| matches!(finding, Missing(_))), "{findings:?}");
    }
}
