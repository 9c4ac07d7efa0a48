//! `syscallmon check`: can this host run it? One line per requirement, with the remedy.

use std::{fs, net::TcpListener, path::Path, process::ExitCode};

use caps::{CapSet, Capability};
use clap::Args;

use super::{ConfigFile, run::PART_OF_HIERARCHY};
use crate::{
    cgroup::Mount,
    export::web::WebConfig,
    kernel::{self, Kernel, Options},
    settings::{Config, Settings},
    syscalls::CallTable,
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
    /// `run` works without it, worse.
    Optional(String),
    /// `run` fails without it.
    Missing(String),
}

use Finding::{Missing, Ok as Fine, Optional};

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
        Optional(text) => ("missing", format!("(optional) {text}")),
        Missing(text) => ("missing", text.clone()),
    };
    println!("{state:<8} {name:<13} {text}");
}

fn requirements(config: &Config, file: Option<&Path>) -> Vec<(&'static str, Finding)> {
    let options = Options::from(config);
    vec![
        ("config", Fine(file.map_or("defaults and flags".to_owned(), |file| file.display().to_string()))),
        ("web config", web_config(config)),
        ("listen", listen(config)),
        ("kernel", kernel_version(&config.procfs)),
        ("btf", btf(&options)),
        ("tracepoints", tracepoints(config, &options)),
        ("capabilities", capabilities()),
        ("lockdown", lockdown(&config.sysfs)),
        ("cgroup mount", cgroup_mount(config)),
        ("memory", memory(config)),
        ("programs", programs(&options)),
    ]
}

fn web_config(config: &Config) -> Finding {
    let Some(path) = &config.web_config_file else { return Fine("none: plain HTTP, no password".to_owned()) };
    match WebConfig::load(path) {
        Ok(_) => Fine(path.display().to_string()),
        Err(error) => Missing(chain(&error)),
    }
}

fn listen(config: &Config) -> Finding {
    for address in &config.listen_addresses {
        if let Err(error) = TcpListener::bind(address) {
            return Missing(format!("{address}: {error}: choose another address with --web.listen-address"));
        }
    }
    Fine(config.listen_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The oldest kernel: `BPF_F_MMAPABLE` came with 5.5, ring buffers with 5.8.
const OLDEST: (u32, u32) = (5, 8);

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
            let lost =
                "without it counting costs more, 32-bit calls are not told apart, and cgroups are found by polling";
            let finding = if options.sys_enter == kernel::SysEnter::TpBtf { Missing } else { Optional };
            finding(format!("{}; {lost}", chain(&error)))
        }
    }
}

/// The kernel's BTF names every tracepoint (`btf_trace_<name>`); without BTF, tracefs does.
fn tracepoints(config: &Config, options: &Options) -> Finding {
    let wanted = ["sys_enter", "cgroup_mkdir", "cgroup_rmdir"];
    let missing = if let Some(missing) = kernel::missing_tracepoints(&options.btf_path(), &wanted) {
        missing
    } else {
        let events = config.sysfs.join("kernel/tracing/events");
        if !events.is_dir() {
            return Optional(format!("cannot be looked up without BTF or tracefs at {}", events.display()));
        }
        let groups = ["raw_syscalls", "cgroup", "cgroup"];
        let there = |(group, name): (&&str, &&str)| events.join(group).join(name).is_dir();
        groups.iter().zip(&wanted).filter(|&pair| !there(pair)).map(|(_, &name)| name).collect()
    };
    if missing.contains(&"sys_enter") {
        Missing("no raw_syscalls tracepoints: needs a kernel with CONFIG_FTRACE_SYSCALLS=y".to_owned())
    } else if missing.is_empty() {
        Fine(wanted.join(", "))
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

fn cgroup_mount(config: &Config) -> Finding {
    match Mount::find(&config.procfs, config.cgroupfs.as_deref()) {
        Ok(mount) if !mount.is_whole() => {
            Optional(format!("{} shows a part of the hierarchy only: {PART_OF_HIERARCHY}", mount.path.display()))
        }
        Ok(mount) => Fine(format!("cgroup2 at {}", mount.path.display())),
        Err(error) => Missing(chain(&error)),
    }
}

fn memory(config: &Config) -> Finding {
    let Ok(needed) = kernel::memory_needed(config.capacity) else {
        return Optional("the number of CPUs is unknown".to_owned());
    };
    let meminfo = fs::read_to_string(config.procfs.join("meminfo")).unwrap_or_default();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().split(' ').next()?.parse::<u64>().ok());
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match available.map(|kib| kib * 1024) {
        Some(available) if available < 2 * needed => Optional(format!(
            "the kernel's tables need {} MiB of {} MiB available: lower capacity.cgroups or capacity.series",
            mib(needed),
            mib(available)
        )),
        _ => Fine(format!("the kernel's tables need {} MiB", mib(needed))),
    }
}

/// The proof: the kernel's verifier takes the programs.
fn programs(options: &Options) -> Finding {
    let probes = match Kernel::verify(options, CallTable::native().positions()) {
        Ok(probes) => probes,
        Err(error) => return Missing(chain(&error)),
    };
    let told = |status: &kernel::ProbeStatus| {
        let told = format!("{} as {}", status.probe.name(), status.implementation.unwrap_or("nothing"));
        status.problem.as_ref().map_or(told.clone(), |problem| format!("{told} ({problem})"))
    };
    let finding = if probes.iter().any(|status| status.problem.is_some()) { Optional } else { Fine };
    finding(probes.iter().map(told).collect::<Vec<_>>().join(", "))
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
