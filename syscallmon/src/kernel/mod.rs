//! Loads, attaches and reads the eBPF programs. The only module that uses aya.
//!
//! It knows no names of cgroups, and nothing of Prometheus. [`Kernel`] detaches everything when it is dropped, except
//! in [pinned mode](pinned).

mod attachments;
mod btf;
mod events;
mod facts;
mod fdinfo;
mod globals;
mod hooks;
mod implementation;
mod io_uring;
mod last_read;
mod load;
mod log;
mod mapped;
mod offsets;
mod pinned;
mod preemption;
mod probe;
mod reclaim;
mod remedies;
mod sizes;
mod sleepable;
mod streams;
mod sys_enter;
mod sys_exit;
mod tables;
mod tracefs;
mod tracepoint_probe;

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{Ebpf, EbpfError, maps::MapError, programs::ProgramError};
use rustix::thread::{MembarrierCommand, membarrier};
use serde::{Deserialize, Serialize};

pub use self::{
    btf::BtfError,
    events::{CgroupChange, FirstCallEvent},
    pinned::{PinDirectory, PinGap, PinOptions, PreviousTables, check_pins, make_pin_directory, unpin},
    probe::{PROBES, Probe, ProbeRow, ProbeStatus, SysEnter},
    streams::{EventRings, EventStreams, Ring},
};

/// Decoders of ring buffer records, for `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{CgroupChange, FirstCallEvent, events};

    /// Decodes a record about a birth or death of a cgroup.
    #[must_use]
    pub fn cgroup_change(record: &[u8]) -> Option<CgroupChange> {
        events::cgroup_change(record)
    }

    /// Decodes a record about a first call.
    #[must_use]
    pub fn first_call(record: &[u8]) -> Option<FirstCallEvent> {
        events::first_call(record)
    }
}
use crate::{
    snapshot::Snapshot,
    syscalls::{ArgumentClasses, KernelTables},
};
use pinned::Pins;
use tables::Tables;

/// What is missing if classes of arguments are not counted.
pub const NUMBERS_ONLY: &str = "policies judge calls by number only, because arguments are not counted";

/// What follows when nothing can be pinned.
pub const NOT_PINNED: &str = "pinned mode is off: calls before this daemon and after it are not counted";

/// The possible CPUs of the running kernel, wherever its BTF is read from.
const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// Sizes of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCapacity {
    /// Maximum cgroups that are counted at the same time; the rest go to the remainder.
    pub cgroups: u32,
    /// Maximum (cgroup, ABI, syscall) triples at the same time, with the outcomes of such calls.
    pub series: u32,
    /// Maximum pairs of syscall and errno with their own series in one cgroup; the rest share a series of the cgroup.
    pub errors: u32,
    /// Maximum denied syscalls with their own series in one cgroup; the rest share a series of the cgroup.
    pub denied: u32,
    /// Maximum (cgroup, ABI, syscall) triples with durations at the same time.
    pub histograms: u32,
    /// Maximum measured calls under way at the same time.
    pub timed_calls: u32,
}

/// Features besides counting calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct Features {
    /// Errors, by errno.
    pub errors: bool,
    /// Calls denied by seccomp.
    pub denied: bool,
    /// Durations of the calls that the position table flags.
    pub latency: bool,
    /// Operations of io_uring.
    pub io_uring: bool,
    /// Classes of arguments.
    pub arguments: ArgumentClasses,
}

impl Features {
    /// Whether a feature needs `sys_exit`.
    fn need_exit(self) -> bool {
        self.errors || self.denied || self.latency
    }
}

/// Options of [`Kernel::load`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes of the tables.
    pub capacity: TableCapacity,
    /// Mount point of sysfs.
    pub sysfs: PathBuf,
    /// The `sys_enter` program to use.
    pub sys_enter: SysEnter,
    /// Features besides counting calls.
    pub features: Features,
    /// The hierarchies that are counted.
    pub hierarchies: CountedHierarchies,
    /// Pinned mode; `None`: the programs end with the daemon.
    pub pin: Option<PinOptions>,
}

/// The cgroup hierarchies that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedHierarchies {
    /// Whether cgroup2 is counted. If v1 is counted too, it is for tasks in the root of cgroup2.
    pub cgroup2: bool,
    /// The id of the cgroup mounted as the root of cgroup2. In a nested cgroup namespace, it differs from the host's.
    pub cgroup2_root: u64,
    /// A v1 hierarchy. The ids of its cgroups always have the mark [`syscallmon_common::V1_CGROUP`].
    pub v1: Option<V1Hierarchy>,
}

/// A v1 hierarchy, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V1Hierarchy {
    /// Its number in `/proc/<pid>/cgroup`.
    pub number: i32,
    /// One of its controllers.
    pub controller: &'static str,
    /// The id of the cgroup mounted as its root, without the mark.
    pub root: u64,
}

impl Options {
    /// Returns the path of the kernel's BTF.
    #[must_use]
    pub fn btf_path(&self) -> PathBuf {
        self.sysfs.join("kernel/btf/vmlinux")
    }
}

/// Why loading or reading the probes failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel answered EPERM.
    #[error("the kernel does not permit loading eBPF ({operation}): requires CAP_BPF and CAP_PERFMON, or root")]
    Privileges {
        /// The operation that was tried.
        operation: &'static str,
    },
    /// The required probe could not be attached.
    #[error("cannot attach sys_enter as {implementation}: {reason}")]
    SysEnter {
        /// `tp_btf`, `raw_tp`, `tracepoint` or several.
        implementation: String,
        /// The kernel's error, and its remedy.
        reason: String,
    },
    /// The built-in object lacks a map or program, which is a build mistake.
    #[error("the eBPF object has no usable {name}: rebuild it with `cargo xtask ebpf`")]
    Object {
        /// The map's or program's name.
        name: &'static str,
    },
    /// A map could not be mapped into memory.
    #[error("cannot map {name} into memory")]
    Mmap {
        /// The map.
        name: &'static str,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The kernel's BTF lacks something.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The number of CPUs is unknown.
    #[error("cannot read the possible CPUs from {POSSIBLE_CPUS}")]
    Cpus(#[source] io::Error),
    /// The tables would exceed the kernel's limit.
    #[error("{count} {what} on {cpus} CPUs exceed the size of one table: lower capacity.{what}")]
    Capacity {
        /// What there are too many of.
        what: &'static str,
        /// The number of them.
        count: u32,
        /// The number of CPUs.
        cpus: usize,
    },
    /// The object could not be loaded.
    #[error("cannot load the eBPF object")]
    Load(#[from] EbpfError),
    /// The kernel side did not reclaim all listed numbers.
    #[error("the eBPF program reclaimed only some numbers: {left} of {wanted} remain")]
    Reclaim {
        /// Numbers that were not reclaimed.
        left: usize,
        /// Numbers that were listed.
        wanted: usize,
    },
    /// A map operation failed.
    #[error("cannot access an eBPF map")]
    Map(#[from] MapError),
    /// A program operation failed.
    #[error("cannot load or attach an eBPF program")]
    Program(#[from] ProgramError),
    /// The eBPF side's log cannot be read.
    #[error("cannot read the log of the eBPF programs")]
    Log(#[from] aya_log::Error),
    /// A pinned object could not be made, read or removed.
    #[error("cannot use {}", path.display())]
    Pin {
        /// The object or directory.
        path: PathBuf,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The directory of pins is elsewhere.
    #[error("{} is not on a bpf file system: `mount -t bpf bpf /sys/fs/bpf`", path.display())]
    NoBpfFileSystem {
        /// The directory.
        path: PathBuf,
    },
    /// Another daemon has the directory of pins.
    #[error("another syscallmon uses {}", path.display())]
    Pinned {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel has no link for a classic tracepoint.
    #[error("programs on {tracepoint} cannot be pinned: requires Linux 5.15")]
    NoLink {
        /// The tracepoint.
        tracepoint: &'static str,
    },
    /// A ring buffer cannot be waited for.
    #[error("cannot wait for a ring buffer")]
    Wait(#[source] io::Error),
}

/// The loaded and attached programs, and their tables.
pub struct Kernel {
    ebpf: Ebpf,
    /// Names of the programs on `sys_enter` and `sys_exit`.
    counting: [Option<&'static str>; 2],
    probes: Vec<ProbeStatus>,
    counts_arguments: bool,
    tables: Tables,
    pins: Option<Pins>,
}

impl Kernel {
    /// Loads the programs that this kernel can run and attaches them.
    ///
    /// # Errors
    ///
    /// When calls cannot be counted: missing privileges, a kernel older than 5.10, a lockdown. A missing cgroup probe
    /// is not an error, but a [`ProbeStatus`].
    pub fn load(options: &Options, tables: &KernelTables) -> Result<(Self, EventRings), Error> {
        load::load(options, tables)
    }

    /// Checks whether [`Self::load`] would work: the kernel's verifier checks the programs, and nothing is attached.
    /// Returns the status that each probe would have.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn verify(options: &Options, tables: &KernelTables) -> Result<Vec<ProbeStatus>, Error> {
        load::verify(options, tables)
    }

    /// Whether classes of arguments are counted.
    #[must_use]
    pub fn counts_arguments(&self) -> bool {
        self.counts_arguments
    }

    /// Returns the status of each probe.
    #[must_use]
    pub fn probes(&self) -> &[ProbeStatus] {
        &self.probes
    }

    /// Returns the kernel memory of all tables, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.tables.memory_bytes()
    }

    /// Reads all counts.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = self.tables.snapshot();
        let [enter, exit] = self.counting.map(|name| self.recursion_misses(name?));
        (snapshot.losses.recursion, snapshot.losses.exit_recursion) = (enter, exit);
        snapshot
    }

    /// Begins to reclaim the slots of these cgroups. Returns the slots, whose counts are final from now on. Harmless
    /// for a live cgroup: its next call gets another slot. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; a retry is harmless.
    pub fn retire(&mut self, cgroups: &[u64]) -> Result<Vec<u32>, Error> {
        let run = || reclaim::run(&self.ebpf);
        self.tables.retire(&run, wait_for_programs, &cgroups.iter().copied().collect())
    }

    /// Finishes reclaiming retired slots after their last counts were read. Must be called after every snapshot.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn free(&mut self, retired: &[u32]) -> Result<(), Error> {
        self.tables.free(&|| reclaim::run(&self.ebpf), retired)
    }

    /// Adds or removes attribution roots.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. The next call, or [`Self::free`], retries what is left.
    pub fn set_roots(&mut self, changes: &[(u64, Option<Root>)]) -> Result<(), Error> {
        self.tables.set_roots(&|| reclaim::run(&self.ebpf), changes)
    }

    /// Maximum attribution roots at the same time.
    #[must_use]
    pub fn max_roots(&self) -> usize {
        self.tables.max_roots()
    }

    /// Whether a cgroup found no free slot since slots were last freed.
    #[must_use]
    pub fn are_slots_exhausted(&self) -> bool {
        self.tables.are_slots_exhausted()
    }

    /// Whether [`Self::retire`] and [`Self::free`] work with the current privileges of the process.
    #[must_use]
    pub fn is_accessible(&self) -> bool {
        self.tables.is_accessible(&|| reclaim::run(&self.ebpf))
    }

    /// Returns how often the kernel skipped a program; `None` before Linux 5.12, which does not report it.
    fn recursion_misses(&self, name: &str) -> Option<u64> {
        if let Some(pins) = &self.pins {
            return fdinfo::field(pins.dispatchers.descriptor(name)?, "recursion_misses");
        }
        let program = self.ebpf.program(name)?.fd().ok()?;
        fdinfo::field(program.as_fd(), "recursion_misses")
    }
}

/// The scope of an attribution root: the cgroups that share its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// All nested cgroups.
    OfAll,
    /// Nested cgroups that are in no nearer root.
    OfRest,
}

/// Checks that the kernel's BTF has everything that the programs need.
///
/// # Errors
///
/// When it cannot be read, or lacks something.
pub fn check_btf(path: &Path) -> Result<(), BtfError> {
    offsets::Offsets::read(&btf::KernelBtf::read(path)?).map(drop)
}

/// Returns the tracepoints (`category/name`) that the kernel lacks, by its BTF or by tracefs; `None` without both.
#[must_use]
pub fn missing_tracepoints<'a>(btf: &Path, wanted: &[&'a str]) -> Option<Vec<&'a str>> {
    let btf = btf::KernelBtf::read(btf).ok();
    if btf.is_none() && !tracefs::is_there() {
        return None;
    }
    let is_missing = |tracepoint: &&&str| {
        let name = tracepoint.rsplit('/').next().unwrap_or_default();
        btf.as_ref().map_or_else(|| tracefs::require(tracepoint).is_err(), |btf| btf.tracepoint(name).is_none())
    };
    Some(wanted.iter().filter(is_missing).copied().collect())
}

/// Returns a program of the object.
fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, Error>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(Error::Object { name })?;
    Ok(program.try_into()?)
}

/// Estimates the memory of the kernel's tables, in bytes.
///
/// # Errors
///
/// When the number of CPUs is unknown.
pub fn memory_needed(options: &Options) -> Result<u64, Error> {
    Ok(sizes::Sizes::new(options, options.capacity).memory_needed(load::possible_cpus()?))
}

/// Waits until all programs that run now have ended.
///
/// Programs run with preemption off, and so inside an RCU read section. `membarrier(MEMBARRIER_CMD_GLOBAL)` waits for a
/// grace period (`kernel/sched/membarrier.c`). Takes some milliseconds, and no CPU time.
fn wait_for_programs() {
    if membarrier(MembarrierCommand::Global).is_err() {
        // Kernels with nohz_full refuse. A program runs for well under a microsecond.
        std::thread::sleep(Duration::from_millis(20));
    }
}
