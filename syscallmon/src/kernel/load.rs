//! Loads the object and attaches the probes of the table [`super::PROBES`] that this kernel can run.
//!
//! [`super::sys_enter`], [`super::sys_exit`] and [`super::tracepoint_probe`] choose the implementation of each probe.

use std::{fs, io, os::fd::AsFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
    programs::RawTracePoint,
};
use aya_log::EbpfLogger;
use zerocopy::IntoBytes;

use super::{
    Error, EventRings, Kernel, NOT_PINNED, Options, POSSIBLE_CPUS, Probe, ProbeStatus, TableCapacity,
    attachments::Attachments,
    facts::Facts,
    fdinfo,
    globals::Globals,
    hooks::Hooks,
    log::KernelLog,
    pinned::{BEGINS_ANEW, Pins},
    probe::AttachPhase,
    program, reclaim,
    remedies::privileges,
    sizes::Sizes,
    tables::Tables,
    wait_for_programs,
};

use crate::{
    error_report::chain,
    syscalls::{KernelTables, arguments::KernelRules},
};

/// The eBPF object that `build.rs` chose.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SYSCALLMON_BPF_OBJECT"));

/// See [`Kernel::load`]. What is pinned may be broken in any way, and must not keep a daemon from counting: it is
/// removed, and if that does not help, the daemon counts without pins.
pub(super) fn load(options: &Options, tables: &KernelTables) -> Result<(Kernel, EventRings), Error> {
    let Some(pin) = &options.pin else { return attempt(options, tables) };
    let error = match attempt(options, tables) {
        Err(error) if !matches!(error, Error::Privileges { .. }) => error,
        done => return done,
    };
    tracing::error!(error = chain(&error), "cannot use the pins: {BEGINS_ANEW}");
    let error = match pin.directory.clear().and_then(|()| attempt(options, tables)) {
        Ok(loaded) => return Ok(loaded),
        Err(error) => error,
    };
    tracing::error!(error = chain(&error), "{NOT_PINNED}");
    attempt(&Options { pin: None, ..options.clone() }, tables)
}

fn attempt(options: &Options, tables: &KernelTables) -> Result<(Kernel, EventRings), Error> {
    let (facts, loader) = Facts::find(options)?;
    let cpus = possible_cpus()?;
    let mut pins = options.pin.as_ref().map(Pins::open).transpose()?;
    let mut ebpf = load_object(loader, (options, options.capacity), cpus, &facts, tables, pins.as_ref())?;

    let mut probes = Attachments::needed(options, &facts);
    let sizes = Sizes::new(options, options.capacity);
    if let Some(pins) = &mut pins {
        pins.pin_tables(&ebpf, &sizes, cpus)?;
    }
    let mut hooks = pins.as_mut().map_or(Hooks::Direct, |pins| Hooks::Dispatched(&mut pins.dispatchers));
    probes.load(&mut ebpf, AttachPhase::First)?;
    probes.attach(&mut ebpf, &mut hooks, AttachPhase::First)?;
    probes.load(&mut ebpf, AttachPhase::Calls)?;
    program::<RawTracePoint>(&mut ebpf, reclaim::PROGRAM)?.load()?;
    // Records the daemon's process id before the first call is counted.
    reclaim::run(&ebpf)?;
    let memory_bytes = memory_bytes(&ebpf);
    let events = EventRings {
        logger: EbpfLogger::init_with_logger(&mut ebpf, KernelLog)?,
        cgroup: ring(&mut ebpf, "CGROUP_EVENTS")?,
        first_calls: ring(&mut ebpf, "FIRST_CALLS")?,
    };
    let tables = Tables::new(&ebpf, &sizes, cpus, memory_bytes)?;
    probes.replace_lossy(&mut ebpf)?;
    // All programs are loaded before the first one is attached.
    for phase in AttachPhase::REST {
        probes.load(&mut ebpf, phase)?;
    }
    for phase in AttachPhase::REST {
        probes.attach(&mut ebpf, &mut hooks, phase)?;
    }
    if let Some(pins) = &mut pins {
        pins.dispatchers.remove_unused()?;
        // The programs of the daemon before have ended then: their counts are final.
        wait_for_programs();
    }
    let counting = [Probe::SysEnter, Probe::SysExit].map(|probe| probes.program(probe));
    let probes = probes.statuses();
    let counts_arguments = facts.counts_arguments(options);
    Ok((Kernel { ebpf, counting, probes, counts_arguments, tables, pins }, events))
}

/// See [`Kernel::verify`].
pub(super) fn verify(options: &Options, tables: &KernelTables) -> Result<Vec<ProbeStatus>, Error> {
    let (facts, loader) = Facts::find(options)?;
    // The smallest tables are enough: the verifier only needs to know that they exist.
    let capacity = TableCapacity { cgroups: 1, series: 1, errors: 1, denied: 1, histograms: 1, timed_calls: 1 };
    let mut ebpf = load_object(loader, (options, capacity), possible_cpus()?, &facts, tables, None)?;
    let mut probes = Attachments::needed(options, &facts);
    probes.verify(&mut ebpf)?;
    Ok(probes.statuses())
}

fn load_object(
    loader: EbpfLoader<'static>,
    (options, capacity): (&Options, TableCapacity),
    cpus: usize,
    facts: &Facts,
    call_tables: &KernelTables,
    pins: Option<&Pins>,
) -> Result<Ebpf, Error> {
    let sizes = Sizes::new(options, capacity);
    let globals = Globals::new(options, capacity, &sizes, facts);
    // From now on, the loader borrows values that live only here.
    let mut loader: EbpfLoader<'_> = loader;
    globals.set(&mut loader);
    loader.override_global("POSITIONS", call_tables.positions.as_slice(), true);
    let KernelRules { call_of, calls, rules } = &call_tables.arguments;
    loader.override_global("ARGUMENT_CALL_OF", call_of.as_slice(), true);
    loader.override_global("ARGUMENT_CALLS", calls.as_bytes(), true);
    loader.override_global("ARGUMENT_RULES", rules.as_bytes(), true);
    let entries = sizes.maps(cpus)?;
    for (name, entries) in entries {
        loader.map_max_entries(name, entries);
    }
    if let Some(pins) = pins {
        pins.share_task_tables(&mut loader, &entries)?;
    }
    loader.load(OBJECT).map_err(|error| privileges(&error, "making a map").unwrap_or(Error::Load(error)))
}

fn ring(ebpf: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Object { name })?;
    Ok(RingBuf::try_from(map)?)
}

/// Highest possible CPU number plus one, because rows of `COUNTERS` are indexed by CPU number.
pub(super) fn possible_cpus() -> Result<usize, Error> {
    let text = fs::read_to_string(POSSIBLE_CPUS).map_err(Error::Cpus)?;
    let odd = || Error::Cpus(io::Error::new(io::ErrorKind::InvalidData, "not a list of CPUs"));
    last_cpu(&text).map(|last| last + 1).ok_or_else(odd)
}

/// Returns the last number of a list such as `0-3,8`.
fn last_cpu(list: &str) -> Option<usize> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// Returns the kernel memory of all maps of the object, as the kernel accounts it.
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
