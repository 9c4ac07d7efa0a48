//! Requirements for the host: kernel features, rights, cgroups, memory.

use std::{fs, path::Path};

use caps::{CapSet, Capability};
use syscallmon_common::ROOT_CGROUP_ID;

use super::Finding::{self, Failed, Fine, Remark};
use crate::{
    cgroup::{Hierarchies, HierarchyError},
    command::run::{PART_OF_HIERARCHY, options},
    error_report::chain,
    kernel::{self, Kernel, NUMBERS_ONLY, Options, PROBES, Probe, ProbeRow, ProbeStatus},
    settings::Config,
    syscalls::{ArgumentClasses, CallTable},
};

/// Checks the host.
pub(super) fn requirements(config: &Config) -> Vec<(&'static str, Finding)> {
    let hierarchies = Hierarchies::find(&config.procfs, config.cgroupfs.as_deref(), config.hierarchy);
    let options = hierarchies.as_ref().map_or_else(|_| options_without_cgroups(config), |found| options(config, found));
    let mut requirements = vec![
        ("kernel", kernel_version(&config.procfs)),
        ("btf", btf(&options)),
        ("tracepoints", tracepoints(&options)),
        ("capabilities", capabilities()),
        ("lockdown", lockdown(&config.sysfs)),
        ("cgroups", cgroups(hierarchies)),
        ("memory", memory(&options, &config.procfs)),
    ];
    requirements.extend(probes(&options, config));
    requirements
}

/// The hierarchy for loading the programs if no cgroups are found.
fn options_without_cgroups(config: &Config) -> Options {
    Options {
        capacity: config.capacity,
        sysfs: config.sysfs.clone(),
        sys_enter: config.sys_enter,
        features: config.features,
        hierarchies: kernel::CountedHierarchies { cgroup2: true, cgroup2_root: ROOT_CGROUP_ID, v1: None },
        pin: None,
    }
}

/// The oldest kernel: mapped arrays came with 5.5, ring buffers with 5.8, and programs on demand with 5.10.
const OLDEST: (u32, u32) = (5, 10);

/// Returns the kernel's release, and the two numbers at its beginning.
fn release(procfs: &Path) -> (String, Option<(u32, u32)>) {
    let release = fs::read_to_string(procfs.join("sys/kernel/osrelease")).unwrap_or_default().trim().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next());
    (release, version)
}

fn kernel_version(procfs: &Path) -> Finding {
    match release(procfs) {
        (release, Some(version)) if version >= OLDEST => Fine(format!("Linux {release}")),
        (release, Some(_)) => Failed(format!("Linux {release}: requires {}.{} or newer", OLDEST.0, OLDEST.1)),
        _ => Remark(format!("cannot read the release: is procfs mounted at {}? (--path.procfs)", procfs.display())),
    }
}

fn btf(options: &Options) -> Finding {
    match kernel::check_btf(&options.btf_path()) {
        Ok(()) => Fine(options.btf_path().display().to_string()),
        Err(error) => {
            let lost =
                "without BTF, counting costs more, and 32-bit calls, v1 cgroups and denied calls are not distinguished";
            let finding = if options.sys_enter == kernel::SysEnter::TpBtf { Failed } else { Remark };
            finding(format!("{}; {lost}", chain(&error)))
        }
    }
}

fn tracepoints(options: &Options) -> Finding {
    let mut all: Vec<&str> = Vec::new();
    for tracepoint in PROBES.iter().flat_map(|row| row.tracepoints) {
        if !all.contains(tracepoint) {
            all.push(tracepoint);
        }
    }
    match kernel::missing_tracepoints(&options.btf_path(), &all) {
        Some(missing) => judge(&all, &missing),
        None => {
            Remark("cannot be checked without BTF or tracefs (mount -t tracefs nodev /sys/kernel/tracing)".to_owned())
        }
    }
}

/// The effect of missing tracepoints.
fn judge(all: &[&str], missing: &[&str]) -> Finding {
    let lacks = |row: &&ProbeRow| row.tracepoints.iter().any(|tracepoint| missing.contains(tracepoint));
    let lacking: Vec<&ProbeRow> = PROBES.iter().filter(lacks).collect();
    if lacking.is_empty() {
        Fine(all.join(", "))
    } else if lacking.iter().any(|row| row.probe == Probe::SysEnter) {
        Failed("no raw_syscalls tracepoints: requires a kernel with CONFIG_FTRACE_SYSCALLS=y".to_owned())
    } else {
        let without: Vec<&str> = lacking.iter().map(|row| row.without).collect();
        Remark(format!("no {}: {}", missing.join(", "), without.join("; ")))
    }
}

/// The inode of the initial user namespace (`USER_NS_INIT_INO`), the same on every kernel since 3.8.
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

fn capabilities() -> Finding {
    let Ok(effective) = caps::read(None, CapSet::Effective) else {
        return Remark("cannot read the capabilities of this process".to_owned());
    };
    let has = |capability| effective.contains(&capability) || effective.contains(&Capability::CAP_SYS_ADMIN);
    let lacking: Vec<String> = [Capability::CAP_BPF, Capability::CAP_PERFMON]
        .into_iter()
        .filter(|&capability| !has(capability))
        .map(|capability| capability.to_string())
        .collect();
    if !lacking.is_empty() {
        return Failed(format!(
            "missing {}: run as root, or with these capabilities (setpriv, systemd's AmbientCapabilities)",
            lacking.join(", ")
        ));
    }
    match fs::read_link("/proc/self/ns/user") {
        Ok(namespace) if namespace.as_os_str() != INITIAL_USER_NAMESPACE => Failed(
            "CAP_BPF and CAP_PERFMON apply only to a user namespace (rootless container, unshare --user): run syscallmon outside of it"
                .to_owned(),
        ),
        _ => Fine("CAP_BPF, CAP_PERFMON".to_owned()),
    }
}

fn lockdown(sysfs: &Path) -> Finding {
    let Ok(text) = fs::read_to_string(sysfs.join("kernel/security/lockdown")) else {
        return Fine("off or not readable".to_owned());
    };
    if text.contains("[confidentiality]") {
        Failed(
            "confidentiality: eBPF programs cannot read kernel memory; boot with lockdown=integrity or none".to_owned(),
        )
    } else {
        Fine(text.trim().to_owned())
    }
}

fn cgroups(hierarchies: Result<Hierarchies, HierarchyError>) -> Finding {
    match hierarchies {
        Ok(found) if !found.are_whole() => {
            Remark(format!("{found} shows only part of the hierarchy: {PART_OF_HIERARCHY}"))
        }
        Ok(found) => Fine(format!("counted by {}: {found}", found.set())),
        Err(error) => Failed(chain(&error)),
    }
}

fn memory(options: &Options, procfs: &Path) -> Finding {
    let Ok(needed) = kernel::memory_needed(options) else {
        return Remark("cannot read the number of CPUs".to_owned());
    };
    let meminfo = fs::read_to_string(procfs.join("meminfo")).unwrap_or_default();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().split(' ').next()?.parse::<u64>().ok());
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match available.map(|kib| kib * 1024) {
        Some(available) if available < 2 * needed => Remark(format!(
            "the kernel's tables require {} MiB of {} MiB available: lower capacity.*",
            mib(needed),
            mib(available)
        )),
        _ => Fine(format!("the kernel's tables require {} MiB", mib(needed))),
    }
}

/// The proof: the kernel's verifier accepts the programs.
fn probes(options: &Options, config: &Config) -> Vec<(&'static str, Finding)> {
    let probes = match Kernel::verify(
        options,
        &CallTable::native().kernel_tables(&config.latency.calls, config.features.arguments),
    ) {
        Ok(probes) => probes,
        Err(error) => return vec![("programs", Failed(chain(&error)))],
    };
    let mut findings: Vec<_> = probes.iter().map(|status| (status.probe.row().check, finding(status))).collect();
    let is_classic = probes.iter().any(|status| status.implementation == Some("tracepoint"));
    let directory = config.pin.as_ref().map(|(directory, _)| directory.as_path());
    findings.push(("pinned mode", pinned(directory, is_classic, release(&config.procfs).1)));
    if config.features.arguments == ArgumentClasses::None {
        findings.push(("arguments", Remark(format!("{NUMBERS_ONLY} (probe.arguments=none)"))));
    }
    findings
}

/// The first kernel with links of classic tracepoints.
const PINS_CLASSIC: (u32, u32) = (5, 15);

/// Whether programs and tables can stay in the kernel while no daemon runs.
fn pinned(directory: Option<&Path>, is_classic: bool, version: Option<(u32, u32)>) -> Finding {
    let impossible = is_classic && version.is_some_and(|version| version < PINS_CLASSIC);
    let cause = format!("classic tracepoints require Linux {}.{} for it", PINS_CLASSIC.0, PINS_CLASSIC.1);
    match directory {
        None if impossible => Fine(format!("off, and impossible here: {cause}")),
        None => Fine("off (pin.directory)".to_owned()),
        Some(_) if impossible => Failed(format!("{cause}: remove pin.directory")),
        Some(directory) => match kernel::check_pins(directory) {
            Ok(0) => Fine(directory.display().to_string()),
            Ok(_) => Fine(format!("{}: the next daemon takes the counts there over", directory.display())),
            Err(error @ kernel::Error::Pinned { .. }) => Remark(chain(&error)),
            Err(error) => Failed(chain(&error)),
        },
    }
}

fn finding(status: &ProbeStatus) -> Finding {
    match (status.implementation, &status.problem) {
        (Some(implementation), None) => Fine(implementation.to_owned()),
        (Some(implementation), Some(problem)) => Remark(format!("{implementation}: {problem}")),
        (None, problem) => Remark(problem.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_tracepoints_of_old_kernels_cannot_be_pinned() {
        let (there, old) = (Some(Path::new("/proc")), Some((5, 14)));
        assert!(matches!(pinned(there, true, old), Failed(text) if text.contains("Linux 5.15")));
        assert!(matches!(pinned(None, true, old), Fine(text) if text.contains("impossible")));
        for (is_classic, version) in [(false, old), (true, Some((5, 15))), (true, None)] {
            let Failed(text) = pinned(there, is_classic, version) else { panic!("it is not a bpf file system") };
            assert!(text.contains("not on a bpf file system"), "{text}");
        }
    }

    #[test]
    fn a_missing_tracepoint_costs_what_its_probes_give() {
        let all = ["raw_syscalls/sys_enter", "cgroup/cgroup_rmdir"];
        assert_eq!(judge(&all, &[]), Fine("raw_syscalls/sys_enter, cgroup/cgroup_rmdir".to_owned()));
        let names = "no cgroup/cgroup_rmdir: short-lived cgroups have no path or name";
        assert_eq!(judge(&all, &["cgroup/cgroup_rmdir"]), Remark(names.to_owned()));
        let Remark(several) = judge(&all, &["sched/sched_process_fork"]) else { panic!("a remark") };
        assert!(several.contains("denied; calls of container init"), "{several}");
        assert!(matches!(judge(&all, &all), Failed(_)));
    }
}
