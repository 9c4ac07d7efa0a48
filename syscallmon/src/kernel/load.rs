//! Loads the object and attaches what this kernel can run, probe by probe of the table [`super::PROBES`].
//!
//! Which implementation of a probe that is, [`super::sys_enter`], [`super::sys_exit`] and [`super::event_probe`] say.

use std::{fs, io, os::fd::AsFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
    programs::RawTracePoint,
};
use aya_log::EbpfLogger;
use syscallmon_common::{ROOT_CGROUP_ID, UNKNOWN_OFFSET};

use super::{
    Capacity, Error, Events, Kernel, Options, POSSIBLE_CPUS, Probe, ProbeStatus,
    attachments::Attachments,
    explain::privileges,
    facts::Facts,
    fdinfo,
    log::KernelLog,
    offsets::{AncestryOffsets, COMPAT_MASK, Offsets, ProcessOffsets, RegisterOffsets, SeccompOffsets},
    preemption,
    probe::Turn,
    program, returns,
    sizes::Sizes,
    tables::Tables,
};

/// The object, as `build.rs` chose it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SYSCALLMON_BPF_OBJECT"));

/// See [`Kernel::load`].
pub(super) fn load(options: &Options, positions: &[u16]) -> Result<(Kernel, Events), Error> {
    let facts = Facts::find(options)?;
    let cpus = possible_cpus()?;
    let mut ebpf = load_object(options, options.capacity, cpus, &facts, positions)?;

    let mut probes = Attachments::wanted(options, &facts);
    probes.load(&mut ebpf, Turn::First)?;
    probes.attach(&mut ebpf, Turn::First)?;
    probes.load(&mut ebpf, Turn::Calls)?;
    program::<RawTracePoint>(&mut ebpf, returns::PROGRAM)?.load()?;
    // What the daemon calls is its own from the first call on that is counted.
    returns::run(&ebpf)?;
    let memory_bytes = memory_bytes(&ebpf);
    let events = Events {
        logger: EbpfLogger::init_with_logger(&mut ebpf, KernelLog)?,
        cgroup: ring(&mut ebpf, "CGROUP_EVENTS")?,
        first_seen: ring(&mut ebpf, "FIRST_SEEN")?,
    };
    let tables = Tables::new(&ebpf, &Sizes::new(options, options.capacity), cpus, memory_bytes)?;
    probes.settle(&mut ebpf)?;
    // All are loaded and ready before they are attached.
    for turn in Turn::REST {
        probes.load(&mut ebpf, turn)?;
    }
    for turn in Turn::REST {
        probes.attach(&mut ebpf, turn)?;
    }
    let counting = [Probe::SysEnter, Probe::SysExit].map(|probe| probes.program(probe));
    let probes = probes.statuses();
    Ok((Kernel { ebpf, counting, probes, tables }, events))
}

/// See [`Kernel::verify`].
pub(super) fn verify(options: &Options, positions: &[u16]) -> Result<Vec<ProbeStatus>, Error> {
    let facts = Facts::find(options)?;
    // The smallest tables will do: the verifier does not care, beyond knowing that there are some.
    let capacity = Capacity { cgroups: 1, series: 1, errors: 1, denied: 1, histograms: 1, timed_calls: 1 };
    let mut ebpf = load_object(options, capacity, possible_cpus()?, &facts, positions)?;
    let mut probes = Attachments::wanted(options, &facts);
    probes.verify(&mut ebpf)?;
    Ok(probes.statuses())
}

fn load_object(
    options: &Options,
    capacity: Capacity,
    cpus: usize,
    facts: &Facts,
    positions: &[u16],
) -> Result<Ebpf, Error> {
    let signals = &options.signals;
    let sizes = Sizes::new(options, capacity);
    let offset = |field: fn(&Offsets) -> u64| facts.offsets.as_ref().map_or(UNKNOWN_OFFSET, field);
    let ancestry = |field: fn(&AncestryOffsets) -> Option<u64>| {
        let ancestry = facts.offsets.as_ref().ok().and_then(|offsets| offsets.ancestry.as_ref());
        ancestry.and_then(field).unwrap_or(UNKNOWN_OFFSET)
    };
    let seccomp = |field: fn(&SeccompOffsets) -> u64| facts.seccomp.as_ref().map_or(UNKNOWN_OFFSET, field);
    let register = |field: fn(&RegisterOffsets) -> u64| facts.registers.as_ref().map_or(UNKNOWN_OFFSET, field);
    let records = facts.cgroup_records.as_ref().copied().unwrap_or([UNKNOWN_OFFSET; 3]);
    let io_uring = facts.io_uring.arguments.as_ref().copied().unwrap_or_default();
    let offsets = [
        ("OFFSET_TASK_CGROUPS", offset(|o| o.task_cgroups)),
        ("OFFSET_CSS_SET_DFL_CGRP", offset(|o| o.css_set_dfl_cgrp)),
        ("OFFSET_CSS_SET_CSS", facts.v1_css.unwrap_or(UNKNOWN_OFFSET)),
        ("OFFSET_CSS_CGROUP", offset(|o| o.css_cgroup)),
        ("OFFSET_CGROUP_KN", offset(|o| o.cgroup_kn)),
        ("OFFSET_CGROUP_ROOT", offset(|o| o.cgroup_root)),
        ("OFFSET_CGROUP_ROOT_HIERARCHY_ID", offset(|o| o.cgroup_root_hierarchy_id)),
        ("OFFSET_KERNFS_NODE_ID", offset(|o| o.kernfs_node_id)),
        ("OFFSET_TASK_COMPAT", offset(|o| o.task_compat)),
        ("OFFSET_TASK_PTRACE", offset(|o| o.task_ptrace.unwrap_or(UNKNOWN_OFFSET))),
        ("OFFSET_CGROUP_LEVEL", ancestry(|o| Some(o.level))),
        ("OFFSET_CGROUP_ANCESTORS", ancestry(|o| o.ancestors)),
        ("OFFSET_CGROUP_ANCESTOR_IDS", ancestry(|o| o.ancestor_ids)),
        ("OFFSET_TASK_SECCOMP_MODE", seccomp(|o| o.mode)),
        ("OFFSET_TASK_SECCOMP_FILTER", seccomp(|o| o.filter)),
        ("OFFSET_TASK_PID", seccomp(|o| o.pid)),
        ("OFFSET_TASK_EXIT_CODE", seccomp(|o| o.exit_code)),
        ("OFFSET_TASK_FLAGS", seccomp(|o| o.flags)),
        ("OFFSET_TASK_PENDING", seccomp(|o| o.pending)),
        ("OFFSET_FILTER_PREV", seccomp(|o| o.filter_prev)),
        ("OFFSET_FILTER_NOTIF", seccomp(|o| o.filter_notif)),
        ("CGROUP2_ROOT_ID", options.hierarchies.cgroup2_root),
        ("V1_ROOT_ID", options.hierarchies.v1.map_or(ROOT_CGROUP_ID, |v1| v1.root)),
        ("OFFSET_REGS_NR", register(|o| o.nr)),
        ("OFFSET_TASK_STACK", register(|o| o.task_stack)),
        ("OFFSET_STACK_REGS", register(|o| o.on_stack)),
        ("OFFSET_EVENT_CHILD", facts.fork_record.as_ref().map_or(UNKNOWN_OFFSET, |record| record[0])),
        ("OFFSET_EVENT_ROOT", records[0]),
        ("OFFSET_EVENT_ID", records[1]),
        ("OFFSET_EVENT_PATH", records[2]),
        ("OFFSET_EVENT_OPCODE", facts.io_uring.record.as_ref().copied().unwrap_or(UNKNOWN_OFFSET)),
        ("OFFSET_IO_KIOCB_OPCODE", io_uring.request_opcode.unwrap_or(UNKNOWN_OFFSET)),
        ("OFFSET_RING_SQO_TASK", io_uring.sqo_task.unwrap_or(UNKNOWN_OFFSET)),
    ];
    let flags = [
        ("COUNTS_CGROUP2", u32::from(facts.counts_cgroup2(options))),
        ("HAS_TASK_BTF", u32::from(facts.has_task_btf)),
        ("PID_NAMESPACE", facts.pid_namespace),
        ("HAS_TASK_PT_REGS", u32::from(facts.has_task_pt_regs)),
        ("COUNTS_ERRORS", u32::from(signals.errors)),
        ("COUNTS_DENIED", u32::from(facts.counts_denied(options))),
        ("TIMES_CALLS", u32::from(signals.latency)),
        ("ERRORS_PER_CGROUP", capacity.errors),
        ("DENIED_PER_CGROUP", capacity.denied),
        ("HISTOGRAMS_PER_CPU", sizes.histograms),
        ("SERIES_PER_CPU", sizes.series),
        ("COMPAT_MASK", COMPAT_MASK),
        ("IO_URING_OPCODE_ARGUMENT", io_uring.opcode_argument),
    ];
    let v1_hierarchy = options.hierarchies.v1.map_or(-1, |v1| v1.number);
    let mut loader = EbpfLoader::new();
    let of_processes = ProcessOffsets::globals(facts.processes.as_ref().ok());
    for (name, value) in offsets.iter().chain(&of_processes) {
        loader.override_global(name, value, true);
    }
    for (name, value) in &flags {
        loader.override_global(name, value, true);
    }
    for (name, entries) in sizes.maps(cpus)? {
        loader.map_max_entries(name, entries);
    }
    loader
        .override_global("V1_HIERARCHY", &v1_hierarchy, true)
        .override_global("PREEMPTION_TEST_NR", &preemption::TEST_NR, true)
        .override_global("POSITIONS", positions, true);
    loader.load(OBJECT).map_err(|error| privileges(&error, "making a map").unwrap_or(Error::Load(error)))
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

/// Kernel memory of every map of the object, as the kernel accounts it.
fn memory_bytes(ebpf: &Ebpf) -> u64 {
    use aya::maps::Map;
    ebpf.maps()
        .filter_map(|(_, map)| match map {
            Map::Array(map)
            | Map::PerCpuArray(map)
            | Map::HashMap(map)
            | Map::LruHashMap(map)
            | Map::Queue(map)
            | Map::RingBuf(map) => fdinfo::field(map.fd().as_fd(), "memlock"),
            _ => None,
        })
        .sum()
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
