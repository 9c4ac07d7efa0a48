//! Loads the object and attaches what this kernel can run.
//!
//! Which implementation of a probe that is, [`super::sys_enter`] and [`super::cgroup_probe`] say.

use std::{fs, io, os::fd::AsFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
    programs::RawTracePoint,
};
use aya_log::EbpfLogger;
use syscallmon_common::{CGROUP_PATH_MAX, IndexRow, SlotCache, UNKNOWN_OFFSET};

use super::{
    Capacity, Error, Events, Kernel, Options, POSSIBLE_CPUS, ProbeStatus, cgroup_probe,
    explain::privileges,
    facts::Facts,
    fdinfo,
    log::KernelLog,
    offsets::{COMPAT_MASK, Offsets},
    preemption, program, returns, sys_enter,
    tables::Tables,
};

/// The object, as `build.rs` chose it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SYSCALLMON_BPF_OBJECT"));

/// See [`Kernel::load`].
pub(super) fn load(options: &Options, positions: &[u16]) -> Result<(Kernel, Events), Error> {
    let facts = Facts::find(options)?;
    let cpus = possible_cpus()?;
    let mut ebpf = load_object(options, options.capacity, cpus, &facts, positions)?;

    // Everything is loaded and ready before anything is attached; cgroups first, so that none is missed.
    let sys_enter = sys_enter::load(&mut ebpf, options, &facts)?;
    program::<RawTracePoint>(&mut ebpf, returns::PROGRAM)?.load()?;
    let memory_bytes = memory_bytes(&ebpf);
    let events = Events {
        logger: EbpfLogger::init_with_logger(&mut ebpf, KernelLog)?,
        cgroup: ring(&mut ebpf, "CGROUP_EVENTS")?,
        first_seen: ring(&mut ebpf, "FIRST_SEEN")?,
    };
    let tables = Tables::new(&ebpf, options.capacity, cpus, memory_bytes)?;
    let cgroup = cgroup_probe::attach(&mut ebpf, &facts);
    let sys_enter = sys_enter.attach(&mut ebpf, options, &facts)?;
    Ok((
        Kernel { ebpf, sys_enter_program: sys_enter.program(), probes: vec![sys_enter.status(), cgroup], tables },
        events,
    ))
}

/// See [`Kernel::verify`].
pub(super) fn verify(options: &Options, positions: &[u16]) -> Result<Vec<ProbeStatus>, Error> {
    let facts = Facts::find(options)?;
    // The smallest tables will do: the verifier does not care, beyond knowing that there are some.
    let capacity = Capacity { cgroups: 1, series: 1 };
    let mut ebpf = load_object(options, capacity, possible_cpus()?, &facts, positions)?;
    let sys_enter = sys_enter::load(&mut ebpf, options, &facts)?;
    Ok(vec![sys_enter.status(), cgroup_probe::verify(&mut ebpf, &facts)])
}

fn load_object(
    options: &Options,
    capacity: Capacity,
    cpus: usize,
    facts: &Facts,
    positions: &[u16],
) -> Result<Ebpf, Error> {
    let offset = |field: fn(&Offsets) -> u64| facts.offsets.as_ref().map_or(UNKNOWN_OFFSET, field);
    let records = facts.cgroup_records.as_ref().copied().unwrap_or([UNKNOWN_OFFSET; 3]);
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
        ("OFFSET_EVENT_ROOT", records[0]),
        ("OFFSET_EVENT_ID", records[1]),
        ("OFFSET_EVENT_PATH", records[2]),
    ];
    let flags = [
        ("COUNTS_CGROUP2", u32::from(facts.counts_cgroup2(options))),
        ("HAS_TASK_BTF", u32::from(facts.has_task_btf)),
        ("COMPAT_MASK", COMPAT_MASK),
    ];
    let v1_hierarchy = options.hierarchies.v1.map_or(-1, |v1| v1.number);
    // Series 0 and slot 0 mean none.
    let (series, slots) = (capacity.series + 1, capacity.cgroups + 1);
    let counters = u32::try_from(cpus).ok().and_then(|cpus| series.checked_mul(cpus));
    let counters = counters.ok_or(Error::Capacity { series: capacity.series, cpus })?;
    let mut loader = EbpfLoader::new();
    for (name, value) in &offsets {
        loader.override_global(name, value, true);
    }
    for (name, value) in &flags {
        loader.override_global(name, value, true);
    }
    loader
        .override_global("V1_HIERARCHY", &v1_hierarchy, true)
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
