//! The kernel side's keeper: loads, attaches, reads. The only place that knows aya.
//!
//! Never knows what a cgroup or a call is named, and never sees Prometheus. [`Kernel`] detaches everything
//! when it is dropped; nothing is pinned, so nothing outlives the process, however it ends.

mod attachments;
mod btf;
mod event_probe;
mod events;
mod explain;
mod facts;
mod fdinfo;
mod globals;
mod implementation;
mod io_uring;
mod last_read;
mod load;
mod log;
mod mapped;
mod offsets;
mod preemption;
mod probe;
mod returns;
mod sizes;
mod sleepable;
mod streams;
mod sys_enter;
mod sys_exit;
mod tables;
mod tracefs;

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
    probe::{PROBES, Probe, ProbeRow, ProbeStatus, SysEnter},
    streams::{EventStreams, Events, Ring},
};

/// What `fuzz/` puts records of ring buffers into.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{CgroupChange, FirstCallEvent, events};

    /// As [`Events::cgroup_changes`](super::Events) reads one.
    #[must_use]
    pub fn cgroup_change(record: &[u8]) -> Option<CgroupChange> {
        events::cgroup_change(record)
    }

    /// As [`Events::first_calls`](super::Events) reads one.
    #[must_use]
    pub fn first_call(record: &[u8]) -> Option<FirstCallEvent> {
        events::first_call(record)
    }
}
use crate::snapshot::Snapshot;
use tables::Tables;

/// The numbers of the CPUs that this kernel can have; always the running kernel's, wherever its BTF is read from.
const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// Sizes of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Cgroups that can be counted at the same time; the rest go to the remainder.
    pub cgroups: u32,
    /// (cgroup, ABI, syscall) triples that can be counted at the same time, and outcomes of such calls.
    pub series: u32,
    /// Pairs of syscall and errno that are told apart in one cgroup; the rest go to a remainder of the cgroup.
    pub errors: u32,
    /// Refused syscalls that are told apart in one cgroup; the rest go to a remainder of the cgroup.
    pub denied: u32,
    /// (cgroup, ABI, syscall) triples whose durations can be measured at the same time.
    pub histograms: u32,
    /// Calls that are measured and under way at the same time.
    pub timed_calls: u32,
}

/// What is counted besides calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct Signals {
    /// Errors, by errno.
    pub errors: bool,
    /// Calls that seccomp refused.
    pub denied: bool,
    /// How long calls take: those that the position table marks.
    pub latency: bool,
    /// Operations given to io_uring.
    pub io_uring: bool,
}

impl Signals {
    /// Whether somebody must see calls end.
    fn need_exit(self) -> bool {
        self.errors || self.denied || self.latency
    }
}

/// What [`Kernel::load`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes of the tables.
    pub capacity: Capacity,
    /// Where sysfs is.
    pub sysfs: PathBuf,
    /// Which `sys_enter` program to use.
    pub sys_enter: SysEnter,
    /// What to count besides calls.
    pub signals: Signals,
    /// Which cgroups to count by.
    pub hierarchies: CountedHierarchies,
}

/// The cgroup hierarchies that calls are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedHierarchies {
    /// Whether by cgroup2's. Where both are, v1 is for tasks in cgroup2's root.
    pub cgroup2: bool,
    /// The id of the cgroup that is mounted as cgroup2's root: another than the host's in a nested cgroup namespace.
    pub cgroup2_root: u64,
    /// A v1 hierarchy. The ids of its cgroups have the mark [`syscallmon_common::V1_CGROUP`] everywhere.
    pub v1: Option<V1Hierarchy>,
}

/// A v1 hierarchy, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V1Hierarchy {
    /// Its number in `/proc/<pid>/cgroup`.
    pub number: i32,
    /// One of its controllers.
    pub controller: &'static str,
    /// The id of the cgroup that is mounted as its root, without a mark.
    pub root: u64,
}

impl Options {
    /// The kernel's BTF.
    #[must_use]
    pub fn btf_path(&self) -> PathBuf {
        self.sysfs.join("kernel/btf/vmlinux")
    }
}

/// Why the probes could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel answered EPERM.
    #[error("the kernel does not permit loading eBPF ({operation}): requires CAP_BPF and CAP_PERFMON, or root")]
    Privileges {
        /// What was tried.
        operation: &'static str,
    },
    /// The one probe that must be there could not be attached.
    #[error("cannot attach sys_enter as {implementation}: {reason}")]
    SysEnter {
        /// `tp_btf`, `raw_tp`, `tracepoint` or several.
        implementation: String,
        /// The kernel's answer and its remedy.
        reason: String,
    },
    /// The built-in object lacks a map or program: a build mistake.
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
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel's BTF lacks something.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The number of CPUs is not known.
    #[error("cannot read the possible CPUs from {POSSIBLE_CPUS}")]
    Cpus(#[source] io::Error),
    /// The tables would be too large for the kernel.
    #[error("{count} {what} on {cpus} CPUs exceed the size of one table: lower capacity.{what}")]
    Capacity {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u32,
        /// The CPUs.
        cpus: usize,
    },
    /// The object could not be loaded.
    #[error("cannot load the eBPF object")]
    Load(#[from] EbpfError),
    /// The kernel side did not take everything that it was given back.
    #[error("the eBPF program reclaimed only some numbers: {left} of {wanted} remain")]
    Returns {
        /// What it did not take.
        left: usize,
        /// What it was given.
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
    /// A ring buffer cannot be waited for.
    #[error("cannot wait for a ring buffer")]
    Wait(#[source] io::Error),
}

/// The loaded and attached programs, and their tables.
pub struct Kernel {
    ebpf: Ebpf,
    /// Names of the programs that see calls begin and end.
    counting: [Option<&'static str>; 2],
    probes: Vec<ProbeStatus>,
    tables: Tables,
}

impl Kernel {
    /// Loads the programs that this kernel can run and attaches them.
    ///
    /// # Errors
    ///
    /// When calls cannot be counted: no privilege, a kernel older than 5.10, a lockdown. A missing cgroup probe
    /// is no error, but a [`ProbeStatus`].
    pub fn load(options: &Options, positions: &[u16]) -> Result<(Self, Events), Error> {
        load::load(options, positions)
    }

    /// Whether [`Self::load`] would work, by letting the kernel's verifier judge the programs; attaches nothing.
    /// Returns how each probe would fare.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn verify(options: &Options, positions: &[u16]) -> Result<Vec<ProbeStatus>, Error> {
        load::verify(options, positions)
    }

    /// How each probe fares.
    #[must_use]
    pub fn probes(&self) -> &[ProbeStatus] {
        &self.probes
    }

    /// Kernel memory of all tables, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.tables.memory_bytes()
    }

    /// Reads every count.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = self.tables.snapshot();
        let [enter, exit] = self.counting.map(|name| self.recursion_misses(name?));
        (snapshot.losses.recursion, snapshot.losses.exit_recursion) = (enter, exit);
        snapshot
    }

    /// Begins to take back the slots of these cgroups, and returns them: from now on, the counts in them are final. Harmless for a cgroup
    /// that is alive after all: its next call gets it another slot. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; trying again is harmless.
    pub fn retire(&mut self, cgroups: &[u64]) -> Result<Vec<u32>, Error> {
        let run = || returns::run(&self.ebpf);
        self.tables.retire(&run, wait_for_programs, &cgroups.iter().copied().collect())
    }

    /// Ends to take back retired slots, whose last counts were read. To be called after every snapshot.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn free(&mut self, retired: &[u32]) -> Result<(), Error> {
        self.tables.free(&|| returns::run(&self.ebpf), retired)
    }

    /// Makes cgroups attribution roots, or none any more.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; what was not done by then is tried again by the next call, or by [`Self::free`].
    pub fn set_roots(&mut self, changes: &[(u64, Option<Root>)]) -> Result<(), Error> {
        self.tables.set_roots(&|| returns::run(&self.ebpf), changes)
    }

    /// Cgroups that can be attribution roots at the same time.
    #[must_use]
    pub fn most_roots(&self) -> usize {
        self.tables.most_roots()
    }

    /// Whether a cgroup has found no free slot since slots were last freed.
    #[must_use]
    pub fn are_slots_exhausted(&self) -> bool {
        self.tables.are_slots_exhausted()
    }

    /// Whether [`Self::retire`] and [`Self::free`] work with the privileges that the process has now.
    #[must_use]
    pub fn is_accessible(&self) -> bool {
        self.tables.is_accessible(&|| returns::run(&self.ebpf))
    }

    /// Times that the kernel skipped a program; `None` before Linux 5.12, which does not tell.
    fn recursion_misses(&self, name: &str) -> Option<u64> {
        let program = self.ebpf.program(name)?.fd().ok()?;
        fdinfo::field(program.as_fd(), "recursion_misses")
    }
}

/// What a cgroup is an attribution root of: whose calls are counted in its slot besides its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Every cgroup nested in it.
    OfAll,
    /// Nested cgroups that are in no other root below it.
    OfRest,
}

/// Whether the kernel's BTF tells everything that the programs need.
///
/// # Errors
///
/// When it cannot be read, or lacks something.
pub fn check_btf(path: &Path) -> Result<(), BtfError> {
    offsets::Offsets::read(&btf::KernelBtf::read(path)?).map(drop)
}

/// Those of the tracepoints (`category/name`) that the kernel does not have, by its BTF or else by tracefs; `None` without both.
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

/// A program of the object.
fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, Error>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(Error::Object { name })?;
    Ok(program.try_into()?)
}

/// Memory that the kernel's tables will take, in bytes.
///
/// # Errors
///
/// When the number of CPUs is not known.
pub fn memory_needed(options: &Options) -> Result<u64, Error> {
    Ok(sizes::Sizes::new(options, options.capacity).memory_needed(load::possible_cpus()?))
}

/// Waits until every program that runs now has ended.
///
/// Programs run with preemption off, hence inside an RCU read section; `membarrier(MEMBARRIER_CMD_GLOBAL)`
/// waits for a grace period (`kernel/sched/membarrier.c`). Takes some milliseconds, and no CPU.
fn wait_for_programs() {
    if membarrier(MembarrierCommand::Global).is_err() {
        // Kernels with nohz_full refuse; a program runs for well under a microsecond.
        std::thread::sleep(Duration::from_millis(20));
    }
}
