//! Loads the object and attaches what this kernel can run: the choice of implementations is here.
//!
//! Chosen by trying, never by version numbers; each choice that is not the best one is in a [`ProbeStatus`].

use std::{error::Error as StdError, fs, io, os::fd::AsFd, path::Path};

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    maps::{MapData, RingBuf},
    programs::{BtfTracePoint, ProgramError, RawTracePoint, TracePoint},
};
use aya_log::EbpfLogger;
use syscallmon_common::{CGROUP_PATH_MAX, IndexRow, SlotCache, UNKNOWN_OFFSET};

use super::{
    Capacity, Error, Events, Kernel, Options, POSSIBLE_CPUS, Probe, ProbeStatus, SysEnter, fdinfo,
    log::KernelLog,
    offsets::{COMPAT_MASK, Offsets, OffsetsError},
    preemption,
    tables::Tables,
};

/// The object, as `build.rs` chose it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SYSCALLMON_BPF_OBJECT"));

/// The kernel's answer to what is not permitted.
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

/// See [`Kernel::load`].
pub(super) fn load(options: &Options, positions: &[u16]) -> Result<(Kernel, Events), Error> {
    let offsets = Offsets::read(&options.btf_path());
    let cpus = possible_cpus()?;
    let mut ebpf = load_object(options.capacity, cpus, offsets.as_ref().ok(), positions)?;

    // Everything is loaded and ready before anything is attached; cgroups first, so that none is missed.
    let sys_enter = load_sys_enter(&mut ebpf, options, &offsets)?;
    let memory_bytes = memory_bytes(&ebpf);
    let events = Events {
        logger: EbpfLogger::init_with_logger(&mut ebpf, KernelLog)?,
        cgroup: ring(&mut ebpf, "CGROUP_EVENTS")?,
        first_seen: ring(&mut ebpf, "FIRST_SEEN")?,
    };
    let tables = Tables::new(&mut ebpf, options.capacity, cpus, memory_bytes)?;
    let cgroup = cgroup_status(&offsets, || attach_cgroup(&mut ebpf));
    let (sys_enter_program, sys_enter) = attach_best_sys_enter(&mut ebpf, options, &offsets, sys_enter)?;
    Ok((Kernel { ebpf, sys_enter_program, probes: vec![sys_enter, cgroup], tables }, events))
}

/// See [`Kernel::verify`].
pub(super) fn verify(options: &Options, positions: &[u16]) -> Result<Vec<ProbeStatus>, Error> {
    let offsets = Offsets::read(&options.btf_path());
    // The smallest tables will do: the verifier does not care, beyond knowing that there are some.
    let capacity = Capacity { cgroups: 1, series: 1 };
    let mut ebpf = load_object(capacity, possible_cpus()?, offsets.as_ref().ok(), positions)?;
    let (_, sys_enter) = load_sys_enter(&mut ebpf, options, &offsets)?;
    let cgroup = cgroup_status(&offsets, || load_cgroup(&mut ebpf));
    Ok(vec![sys_enter, cgroup])
}

fn load_object(capacity: Capacity, cpus: usize, offsets: Option<&Offsets>, positions: &[u16]) -> Result<Ebpf, Error> {
    let offset = |field: fn(&Offsets) -> u64| offsets.map_or(UNKNOWN_OFFSET, field);
    let globals = [
        ("OFFSET_TASK_CGROUPS", offset(|o| o.task_cgroups)),
        ("OFFSET_CSS_SET_DFL_CGRP", offset(|o| o.css_set_dfl_cgrp)),
        ("OFFSET_CGROUP_KN", offset(|o| o.cgroup_kn)),
        ("OFFSET_CGROUP_ROOT", offset(|o| o.cgroup_root)),
        ("OFFSET_CGROUP_ROOT_HIERARCHY_ID", offset(|o| o.cgroup_root_hierarchy_id)),
        ("OFFSET_KERNFS_NODE_ID", offset(|o| o.kernfs_node_id)),
        ("OFFSET_TASK_COMPAT", offset(|o| o.task_compat)),
    ];
    // Series 0 and slot 0 mean none.
    let (series, slots) = (capacity.series + 1, capacity.cgroups + 1);
    let counters = u32::try_from(cpus).ok().and_then(|cpus| series.checked_mul(cpus));
    let counters = counters.ok_or(Error::Capacity { series: capacity.series, cpus })?;
    let mut loader = EbpfLoader::new();
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader
        .override_global("COMPAT_MASK", &COMPAT_MASK, true)
        .override_global("PREEMPTION_TEST_NR", &preemption::TEST_NR, true)
        .override_global("SERIES_PER_CPU", &series, true)
        .override_global("POSITIONS", positions, true)
        .map_max_entries("COUNTERS", counters)
        .map_max_entries("SERIES_KEYS", series)
        .map_max_entries("SERIES_INDEX", slots)
        .map_max_entries("SLOTS", slots)
        .map_max_entries("SLOT_OF_CGROUP", capacity.cgroups)
        .map_max_entries("FREE_SLOTS", capacity.cgroups)
        .map_max_entries("FREE_SERIES", capacity.series);
    loader.load(OBJECT).map_err(|error| privileges(&error, "making a map").unwrap_or(Error::Load(error)))
}

/// Loads the best `sys_enter` program that the options permit and the kernel takes; its name and status.
fn load_sys_enter(
    ebpf: &mut Ebpf,
    options: &Options,
    offsets: &Result<Offsets, OffsetsError>,
) -> Result<(&'static str, ProbeStatus), Error> {
    let status =
        |implementation, problem| ProbeStatus { probe: Probe::SysEnter, implementation: Some(implementation), problem };
    if options.sys_enter == SysEnter::Tracepoint {
        let loaded = load_sys_enter_tp(ebpf, offsets);
        let refused = |error: Error| Error::SysEnter { implementation: "tracepoint", reason: one_line(&error) };
        return loaded.map(|()| ("sys_enter_tp", status("tracepoint", None))).map_err(refused);
    }
    let problem = match (options.sys_enter, offsets) {
        (SysEnter::RawTp, _) => None,
        (_, Err(error)) => Some(error.to_string()),
        (_, Ok(_)) => match load_sys_enter_btf(ebpf, &options.btf_path()) {
            Ok(()) => return Ok(("sys_enter_btf", status("tp_btf", None))),
            Err(error @ Error::Privileges { .. }) => return Err(error),
            Err(error) => Some(one_line(&error)),
        },
    };
    if options.sys_enter == SysEnter::TpBtf {
        return Err(Error::SysEnter { implementation: "tp_btf", reason: problem.unwrap_or_default() });
    }
    let program: &mut RawTracePoint = program(ebpf, "sys_enter_raw")?;
    program.load().map_err(|error| {
        privileges(&error, "loading a program")
            .unwrap_or_else(|| Error::SysEnter { implementation: "raw_tp", reason: one_line(&error) })
    })?;
    let problem = problem.map(|problem| match offsets {
        Ok(_) => problem,
        Err(_) => format!("{problem}; 32-bit calls cannot be told from {}", std::env::consts::ARCH),
    });
    Ok(("sys_enter_raw", status("raw_tp", problem)))
}

/// Attaches what was loaded; where that would lose calls and the choice is ours, the classic tracepoint instead.
fn attach_best_sys_enter(
    ebpf: &mut Ebpf,
    options: &Options,
    offsets: &Result<Offsets, OffsetsError>,
    (program, status): (&'static str, ProbeStatus),
) -> Result<(&'static str, ProbeStatus), Error> {
    let problem = if options.sys_enter == SysEnter::Auto && preemption::is_possible(ebpf)? {
        let attached = load_sys_enter_tp(ebpf, offsets).and_then(|()| attach_sys_enter(ebpf, "sys_enter_tp"));
        match attached {
            Ok(()) => return Ok(("sys_enter_tp", ProbeStatus { implementation: Some("tracepoint"), ..status })),
            Err(error) => Some(format!(
                "this kernel preempts the program and then loses calls (see syscallmon_lost_total), and the classic \
                 tracepoint cannot be used: {}: is tracefs mounted at /sys/kernel/tracing and readable?",
                one_line(&error)
            )),
        }
    } else {
        None
    };
    attach_sys_enter(ebpf, program)?;
    Ok((program, ProbeStatus { problem: problem.or(status.problem), ..status }))
}

fn load_sys_enter_tp(ebpf: &mut Ebpf, offsets: &Result<Offsets, OffsetsError>) -> Result<(), Error> {
    if let Err(error) = offsets {
        return Err(Error::SysEnter { implementation: "tracepoint", reason: error.to_string() });
    }
    Ok(program::<TracePoint>(ebpf, "sys_enter_tp")?.load()?)
}

fn load_sys_enter_btf(ebpf: &mut Ebpf, btf: &Path) -> Result<(), Error> {
    let btf = Btf::parse_file(btf, Endianness::default()).map_err(|error| Error::Program(ProgramError::Btf(error)))?;
    let program: &mut BtfTracePoint = program(ebpf, "sys_enter_btf")?;
    program
        .load("sys_enter", &btf)
        .map_err(|error| privileges(&error, "loading a program").unwrap_or(Error::Program(error)))
}

fn attach_sys_enter(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    let attached = match name {
        "sys_enter_btf" => program::<BtfTracePoint>(ebpf, name)?.attach().map(drop),
        "sys_enter_tp" => program::<TracePoint>(ebpf, name)?.attach("raw_syscalls", "sys_enter").map(drop),
        _ => program::<RawTracePoint>(ebpf, name)?.attach("sys_enter").map(drop),
    };
    attached.map_err(|error| privileges(&error, "attaching to sys_enter").unwrap_or(Error::Program(error)))
}

/// Births and deaths of cgroups: the programs are called as their tracepoints.
const CGROUP_PROGRAMS: [&str; 2] = ["cgroup_mkdir", "cgroup_rmdir"];

/// How the cgroup probe fares: whether `work` with its programs succeeds.
fn cgroup_status(offsets: &Result<Offsets, OffsetsError>, work: impl FnOnce() -> Result<(), Error>) -> ProbeStatus {
    let problem = match offsets {
        Err(error) => Some(error.to_string()),
        Ok(_) => work().err().map(|error| one_line(&error)),
    };
    ProbeStatus { probe: Probe::Cgroup, implementation: problem.is_none().then_some("raw_tp"), problem }
}

fn load_cgroup(ebpf: &mut Ebpf) -> Result<(), Error> {
    CGROUP_PROGRAMS.iter().try_for_each(|name| Ok(program::<RawTracePoint>(ebpf, name)?.load()?))
}

fn attach_cgroup(ebpf: &mut Ebpf) -> Result<(), Error> {
    load_cgroup(ebpf)?;
    CGROUP_PROGRAMS.iter().try_for_each(|name| {
        program::<RawTracePoint>(ebpf, name)?.attach(name)?;
        Ok(())
    })
}

pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, Error>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(Error::Object { name })?;
    Ok(program.try_into()?)
}

fn ring(ebpf: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Object { name })?;
    Ok(RingBuf::try_from(map)?)
}

/// Highest possible CPU number plus one: rows of `COUNTERS` are indexed by CPU number.
pub(super) fn possible_cpus() -> Result<usize, Error> {
    let text = fs::read_to_string(POSSIBLE_CPUS).map_err(Error::Cpus)?;
    let odd = || Error::Cpus(io::Error::new(io::ErrorKind::InvalidData, "not a list of CPUs"));
    last_cpu(&text).map(|last| last + 1).ok_or_else(odd)
}

/// The last number of a list such as `0-3,8`.
fn last_cpu(list: &str) -> Option<usize> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// Kernel memory that the tables will take, in bytes, within some percent.
pub(super) fn memory_needed(capacity: Capacity, cpus: usize) -> u64 {
    let (series, cgroups) = (u64::from(capacity.series), u64::from(capacity.cgroups));
    let row = size_of::<IndexRow>() as u64;
    let per_cpu = 8 * series + (size_of::<SlotCache>() + CGROUP_PATH_MAX) as u64;
    // Keys and free list of series; index rows, free list and hash table of cgroups; ring buffers and the rest.
    cpus as u64 * per_cpu + (8 + 4) * series + (row + 8 + 4 + 96) * cgroups + (1 << 20)
}

/// Kernel memory of every map of the object, as the kernel accounts it.
fn memory_bytes(ebpf: &Ebpf) -> u64 {
    use aya::maps::Map;
    ebpf.maps()
        .filter_map(|(_, map)| match map {
            Map::Array(map) | Map::PerCpuArray(map) | Map::HashMap(map) | Map::Queue(map) | Map::RingBuf(map) => {
                fdinfo::field(map.fd().as_fd(), "memlock")
            }
            _ => None,
        })
        .sum()
}

/// [`Error::Privileges`] when the kernel's answer was EPERM.
fn privileges(error: &(dyn StdError + 'static), operation: &'static str) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.raw_os_error() == Some(EPERM)) {
            return Some(Error::Privileges { operation });
        }
        cause = error.source();
    }
    None
}

/// An error and its causes in one line; of a verifier's log, only the last line that says something.
pub(super) fn one_line(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = error.downcast_ref() {
            let log = verifier_log.to_string();
            let complaint = log.lines().rev().find(|line| !line.is_empty() && !line.starts_with("processed "));
            return format!("{text}the kernel refused it ({io_error}): {}", complaint.unwrap_or("no verifier log"));
        }
        let own = error.to_string();
        text.push_str(own.lines().next().unwrap_or_default());
        cause = error.source();
        if cause.is_some() {
            text.push_str(": ");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_for_the_highest_possible_cpu() {
        assert_eq!(last_cpu("0-3\n"), Some(3));
        assert_eq!(last_cpu("0,2-5,9\n"), Some(9));
        assert_eq!(last_cpu("0\n"), Some(0));
        assert_eq!(last_cpu("none"), None);
    }
}
