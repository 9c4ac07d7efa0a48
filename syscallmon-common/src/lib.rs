//! Sizes, keys and events that the kernel side and user space share.
//!
//! Shared types are `repr(C)` and made of integers only, with explicit padding. Their sizes are asserted at compile
//! time. This crate contains no logic: no I/O, no allocation, no `std`.
//!
//! With the feature `bytes`, types that user space reads or writes as a whole convert to and from bytes.

#![no_std]

mod arguments;
mod dispatch;
mod globals;
mod loss;
mod reclaim;

pub use self::{
    arguments::{
        ARGUMENT_CALLS_LEN, ARGUMENT_RULES_LEN, ArgumentCall, ArgumentRule, MAX_RULES_PER_CALL, RULE_CONTINUES,
        RULE_IS_REST, SOURCE_CLONE3, SOURCE_IO_URING_SETUP, SOURCE_OLD_MMAP, SOURCE_REGISTERS, SOURCE_SOCKETCALL,
    },
    dispatch::{
        DESCRIPTION_BYTES, DISPATCH_CGROUP_MKDIR, DISPATCH_CGROUP_RMDIR, DISPATCH_CONTAINER_INIT_EXECUTED,
        DISPATCH_CONTAINER_INIT_FORKED, DISPATCH_CONTAINER_INIT_MOVED, DISPATCH_IO_URING_SUBMIT, DISPATCH_LEN,
        DISPATCH_SYS_ENTER, DISPATCH_SYS_EXIT, DISPATCH_TASK_EXIT, DISPATCH_TASK_FORK, Lease,
    },
    loss::LossReason,
    reclaim::{
        RECLAIM_ADD_ROOT, RECLAIM_ARGUMENT, RECLAIM_CGROUP, RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM,
        RECLAIM_OPS_LEN, RECLAIM_REMOVE_ROOT, RECLAIM_SERIES, RECLAIM_SLOT, RECLAIM_TIMED, ReclaimOp,
    },
};
#[cfg(feature = "bytes")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Numbers of one ABI that the position table covers, from 0; a power of two.
///
/// The highest number in any Linux table is 547 (x32). All higher numbers are unknown.
pub const NUMBERS_PER_ABI: usize = 1024;

/// Entries of the table that maps an (ABI, number) to a [position](POSITIONS_PER_CGROUP).
pub const POSITION_TABLE_LEN: usize = Abi::COUNT * NUMBERS_PER_ABI;

/// Positions of one cgroup: one for each call of all tables of an architecture, and one for the unknown numbers of each
/// table. x86, the largest, needs about 1,310 in Linux 7.
pub const POSITIONS_PER_CGROUP: usize = 1344;

/// The bits of an entry of the position table that hold the position. The other bits are flags.
pub const POSITION_MASK: u16 = 0x07ff;
/// Flag of an entry of the position table: the duration of the call is measured.
pub const POSITION_TIMED: u16 = 1 << 15;
/// Flag of an entry of the position table: the call creates a task. The new task also returns from the call, with 0 and
/// without `sys_enter`.
pub const POSITION_FORKS: u16 = 1 << 14;

/// Flag of an entry of the position table: the return value of the call is arbitrary data, not a result of the kernel.
pub const POSITION_NO_ANSWER: u16 = 1 << 13;
/// Flag of an entry of the position table: the arguments of the call have [classes](ArgumentRule).
pub const POSITION_ARGUMENTS: u16 = 1 << 12;

/// Entries of the per-CPU cache from cgroup id to slot; a power of two.
pub const SLOT_CACHE_LEN: usize = 128;

/// Maximum length of paths in cgroup tracepoints (`TRACE_CGROUP_PATH_LEN`).
pub const CGROUP_PATH_MAX: usize = 1024;

/// The ABI of a call: the table that its number belongs to.
///
/// The names are those of x86. On arm64, [`Abi::Native`] is aarch64 and [`Abi::Compat`] is aarch32.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// The 64-bit ABI. Its unknown numbers have position 0.
    Native = 0,
    /// The 32-bit ABI: ia32 (`int 0x80`, 32-bit binaries) or aarch32. Its unknown numbers have position 1.
    Compat = 1,
    /// x32: the 64-bit entry with [`X32_BIT`] set. Its unknown numbers have position 2.
    X32 = 2,
    /// An operation of io_uring, which is not a system call, by its opcode. Unknown opcodes have position 3.
    IoUring = 3,
}

impl Abi {
    /// Number of tables.
    pub const COUNT: usize = 4;
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [Self::Native, Self::Compat, Self::X32, Self::IoUring];

    /// The position of this ABI's unknown numbers.
    #[must_use]
    pub const fn unknown_position(self) -> u32 {
        self as u32
    }
}

/// `__X32_SYSCALL_BIT` of `arch/x86/include/uapi/asm/unistd.h`.
pub const X32_BIT: u64 = 0x4000_0000;

/// Stands for an offset that is missing in the kernel's BTF.
pub const UNKNOWN_OFFSET: u64 = u64::MAX;

/// Key of a series: an entry of the map `SERIES_KEYS`. A free series has zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct SeriesKey {
    /// Slot of the cgroup, from 1.
    pub slot: u32,
    /// Position of the call, below [`POSITIONS_PER_CGROUP`].
    pub position: u16,
    /// The outcome of the call: [`OUTCOME_ENTERED`], an errno, or another constant below.
    pub outcome: u16,
}

impl SeriesKey {
    /// As one word: the key of the maps `ERRORS`, `DENIED` and `TIMED`.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.slot as u64 | (self.position as u64) << 32 | (self.outcome as u64) << 48
    }

    /// From one word.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "parts of a word")]
    pub const fn from_word(word: u64) -> Self {
        Self { slot: word as u32, position: (word >> 32) as u16, outcome: (word >> 48) as u16 }
    }
}

/// The call entered the kernel: [`SeriesKey::outcome`].
pub const OUTCOME_ENTERED: u16 = 0;
/// Maximum errno. The kernel uses higher values internally (`include/linux/errno.h`); `sys_exit` shows them when a call
/// restarts.
pub const ERRNO_MAX: u16 = 511;
/// Seccomp denied the call before it entered the kernel: [`SeriesKey::outcome`].
pub const OUTCOME_DENIED: u16 = 0xffff;
/// All further errors of a cgroup that has too many different ones; position 0: [`SeriesKey::outcome`].
pub const OUTCOME_OTHER_ERRORS: u16 = 0xfffe;
/// All further denied calls of a cgroup that has too many different ones; position 0: [`SeriesKey::outcome`].
pub const OUTCOME_OTHER_DENIED: u16 = 0xfffd;
/// Seccomp denied the call with `ENOSYS`, as if the kernel did not have it: [`SeriesKey::outcome`].
pub const OUTCOME_DENIED_ENOSYS: u16 = 0xfffc;
/// Seccomp denied a call of container init, whatever the errno: [`SeriesKey::outcome`].
pub const OUTCOME_DENIED_CONTAINER_INIT: u16 = 0xfffb;
/// A class of arguments of calls that entered the kernel; the position is that of the class: [`SeriesKey::outcome`].
pub const OUTCOME_ARGUMENT: u16 = 0xfffa;
/// The same for calls that seccomp denied: [`SeriesKey::outcome`].
pub const OUTCOME_ARGUMENT_DENIED: u16 = 0xfff9;
/// All further classes of arguments of a cgroup that has too many different ones; position 0: [`SeriesKey::outcome`].
pub const OUTCOME_OTHER_ARGUMENTS: u16 = 0xfff8;

/// Whether an outcome is that of a denied call with a series of its own.
#[inline]
#[must_use]
pub const fn is_denied(outcome: u16) -> bool {
    matches!(outcome, OUTCOME_DENIED | OUTCOME_DENIED_ENOSYS | OUTCOME_DENIED_CONTAINER_INIT)
}

/// Whether an outcome is that of a class of arguments.
#[inline]
#[must_use]
pub const fn is_argument(outcome: u16) -> bool {
    matches!(outcome, OUTCOME_ARGUMENT | OUTCOME_ARGUMENT_DENIED | OUTCOME_OTHER_ARGUMENTS)
}

/// `ENOSYS` of `include/uapi/asm-generic/errno.h`, the same on all supported architectures.
pub const ENOSYS: i64 = 38;

/// Upper bounds of the buckets of [`Durations`]: 2^0 to 2^24 microseconds, that is 1 us to 16.8 s.
pub const DURATION_BOUNDS: usize = 25;
/// Buckets of [`Durations`]: one for each bound, and one without a bound.
pub const DURATION_BUCKETS: usize = DURATION_BOUNDS + 1;

/// Histogram of the durations of one call in one cgroup, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// Number of calls by duration. Bucket i has the calls of at most 2^i microseconds that are not in a lower bucket.
    /// The last bucket has no bound.
    pub buckets: [u64; DURATION_BUCKETS],
    /// Sum of all durations, in nanoseconds.
    pub sum_ns: u64,
}

/// The start of a measured call of a task: an entry of the map `STARTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// Position of the call.
    pub position: u32,
    /// Slot of the task's cgroup at the start, from 1.
    pub slot: u32,
    /// [`IndexRow::owner`] of that slot at the start. If it differs at the end, the slot was reclaimed in between.
    pub owner: u64,
}

/// Rows of the map `TASK_STATE`. The low bits of a thread id select the row, so threads with consecutive ids never
/// write to the same cache line.
pub const TASK_STATE_ROWS: u32 = 1 << 16;
/// Task states in a row, selected by the high bits of the thread id. All rows together have room for `PID_MAX_LIMIT`
/// threads.
pub const TASK_STATES_PER_ROW: usize = (1 << 22) / TASK_STATE_ROWS as usize;

/// One entry of the per-CPU cache from cgroup id to slot.
///
/// An entry is valid while the slot's [`IndexRow::owner`] equals the cached owner. User space reclaims slots without
/// clearing caches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachedSlot {
    /// The cgroup's id; 0 in an unused entry.
    pub cgroup_id: u64,
    /// The cgroup that owns the slot: this one, or an ancestor that is an [attribution root](ROOT_OF_ALL).
    pub owner: u64,
    /// The slot, from 1.
    pub slot: u32,
    /// Keeps the layout explicit, and each entry within a cache line.
    pub padding: [u32; 3],
}

/// The per-CPU cache from cgroup id to slot, indexed by the low bits of the id.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SlotCache {
    /// The entries.
    pub entries: [CachedSlot; SLOT_CACHE_LEN],
}

/// Flag of an entry of [`IndexRow::series`]: only container init has made the call so far. `CONTAINER_INIT_COUNTS`
/// counts such calls. The first call of the container itself clears the flag. An entry with the flag is negative as an
/// `i32`.
pub const SERIES_OF_CONTAINER_INIT: u32 = 1 << 31;

/// The series of one cgroup's calls.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IndexRow {
    /// Id of the cgroup that owns the slot, for itself and for nested cgroups without a slot; 0 while the slot is free
    /// or being reclaimed.
    pub owner: u64,
    /// Series by position; 0 if there is none. An entry may have the flag [`SERIES_OF_CONTAINER_INIT`].
    pub series: [u32; POSITIONS_PER_CGROUP],
}

/// Mark in the ids of cgroups of a v1 hierarchy, because each hierarchy has its own ids. No id uses this bit: an id has
/// 32 bits of generation above 32 bits of inode number (`kernfs_node.id`).
pub const V1_CGROUP: u64 = 1 << 63;
/// The id of the root of every hierarchy (`kernfs_create_root`).
pub const ROOT_CGROUP_ID: u64 = 1;

/// Value of the map `ATTRIBUTION_ROOTS`: calls of all nested cgroups are counted in the slot of this cgroup. Used for
/// containers.
pub const ROOT_OF_ALL: u32 = 1;
/// Value of the map `ATTRIBUTION_ROOTS`: the same, except for cgroups below a nearer root. Used for units that have
/// containers.
pub const ROOT_OF_REST: u32 = 2;
/// Levels below the root of the hierarchy that are searched for an attribution root. Runtimes use up to 12 (kind in an
/// LXC container).
pub const ROOT_LEVELS: u32 = 16;

/// A pool of numbers or entries that can be exhausted: an index of the maps `EXHAUSTED` and `WARNED`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Slots of cgroups.
    Slots = 0,
    /// Series.
    Series = 1,
    /// Entries of the hash table of errors.
    Errors = 2,
    /// Entries of the hash table of denied calls.
    Denied = 3,
    /// Histograms.
    Histograms = 4,
    /// Entries of the hash table of classes of arguments.
    Arguments = 5,
}

impl Pool {
    /// Number of pools.
    pub const COUNT: usize = 6;
}

/// Key of the map `REPORTED`: a call without a series of its own that was reported as a first call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The cgroup that the call is attributed to.
    pub cgroup_id: u64,
    /// Position of the call, or of the class of its arguments.
    pub position: u32,
    /// 1 for a denied call, otherwise 0.
    pub denied: u32,
}

/// Minimum number of entries of `REPORTED`.
pub const REPORTED_LEN: u32 = 8192;

/// A cgroup was created: [`CgroupEvent::kind`].
pub const CGROUP_BORN: u32 = 1;
/// A cgroup was removed: [`CgroupEvent::kind`].
pub const CGROUP_DIED: u32 = 2;
/// A cgroup was created by a process that may not administer the host; container runtimes may: [`CgroupEvent::kind`].
pub const CGROUP_BORN_UNPRIVILEGED: u32 = 3;
/// Size of the ring buffer `CGROUP_EVENTS`, in bytes.
pub const CGROUP_EVENTS_BYTES: u64 = 512 * 1024;

/// Head of a record in the ring buffer `CGROUP_EVENTS`. After it, a birth has `path_len` bytes of path.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct CgroupEvent {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// The cgroup's id: its inode number in cgroupfs, with [`V1_CGROUP`] in a v1 hierarchy.
    pub cgroup_id: u64,
    /// [`CGROUP_BORN`], [`CGROUP_BORN_UNPRIVILEGED`] or [`CGROUP_DIED`].
    pub kind: u32,
    /// Bytes of path after this head, without a NUL; 0 for a death, at most [`CGROUP_PATH_MAX`] - 1.
    pub path_len: u32,
    /// The id of the parent cgroup, with the same mark; 0 for a death, and if the kernel's BTF lacks it.
    pub parent_id: u64,
}

/// Maximum number of path components in an [`Executable`], counted from the file name up.
pub const EXE_PARTS: usize = 8;
/// Bytes of each component, with a NUL. Longer ones are cut.
pub const EXE_PART_LEN: usize = 48;

/// The file was removed, or never had a path: [`Executable::flags`].
pub const EXE_DELETED: u32 = 1;
/// The file has a name and no path: [`Executable::flags`].
pub const EXE_NO_PATH: u32 = 2;

/// The path of an executable within its file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct Executable {
    /// Number of components.
    pub parts: u32,
    /// [`EXE_DELETED`] and [`EXE_NO_PATH`].
    pub flags: u32,
    /// The components, the file name first; each ends with a NUL.
    pub names: [[u8; EXE_PART_LEN]; EXE_PARTS],
}

/// A process that is or was in container init: a runtime placed it in a container's cgroup, and it has not yet become
/// the container's program, or it has ([`CONTAINER_INIT_ENDED`]). An entry of the map `CONTAINER_INIT`, by process id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerInit {
    /// The runtime's mount namespace, by address.
    pub mount_namespace: u64,
    /// The inode of the runtime's executable, by address.
    pub exe_inode: u64,
    /// Bytes of the runtime's executable.
    pub exe_len: u64,
    /// Deadline in `CLOCK_MONOTONIC` nanoseconds, or [`CONTAINER_INIT_ENDED`]. After it, the process counts as the
    /// container's.
    pub until_ns: u64,
    /// How often the process may still execute a copy of the runtime.
    pub copies_left: u32,
    /// Keeps the layout explicit.
    pub padding: u32,
}

/// Maximum executions of a copy of the runtime by one process. runc does it once.
pub const MAX_CONTAINER_INIT_COPIES: u32 = 1;

/// Maximum duration of container init.
pub const CONTAINER_INIT_TIMEOUT_NS: u64 = 60_000_000_000;

/// The deadline of a process that is not in container init any more, or never was.
pub const CONTAINER_INIT_ENDED: u64 = 0;

/// Minimum number of entries of `CONTAINER_INIT`.
pub const CONTAINER_INIT_LEN: u32 = 4096;

/// Size of the ring buffer `FIRST_CALLS`, in bytes.
pub const FIRST_CALLS_BYTES: u64 = 1024 * 1024;

/// A record of the ring buffer `FIRST_CALLS`: a cgroup made a call for the first time, or seccomp denied it for the
/// first time. Calls of container init are not reported.
///
/// Two CPUs that make the same first call at the same moment may both report it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct RawFirstCall {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// The id of the cgroup that the call is attributed to: the container's, if nested cgroups share its slot.
    pub cgroup_id: u64,
    /// The number as the kernel reported it; any value is possible.
    pub nr: i64,
    /// The ABI: the discriminant of [`Abi`].
    pub abi: u32,
    /// Process id (the kernel's tgid) in the daemon's pid namespace, or in the initial one for processes outside the
    /// daemon's.
    pub tgid: u32,
    /// Thread id (the kernel's pid) in the same namespace.
    pub pid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// 1 for a denied call, otherwise 0.
    pub denied: u32,
    /// Process id of the parent in the same namespace; 0 if unknown.
    pub parent: u32,
    /// The thread's name, NUL-padded.
    pub comm: [u8; 16],
    /// The parent's name, NUL-padded.
    pub parent_comm: [u8; 16],
    /// The executable of the process.
    pub exe: Executable,
    /// The executable of the parent.
    pub parent_exe: Executable,
    /// 1 when the call has no series of its own, so the cgroup's counters do not contain it.
    pub uncounted: u32,
    /// Position of the class of arguments that is new; 0 when the call itself is.
    pub class: u32,
}

const _: () = {
    assert!(size_of::<ArgumentCall>() == 8 && size_of::<ArgumentRule>() == 32);
    assert!(ARGUMENT_CALLS_LEN.is_power_of_two() && ARGUMENT_RULES_LEN.is_power_of_two());
    assert!(size_of::<SeriesKey>() == 8 && align_of::<SeriesKey>() == 4);
    assert!(size_of::<CachedSlot>() == 32 && align_of::<CachedSlot>() == 8);
    assert!(size_of::<SlotCache>() == 32 * SLOT_CACHE_LEN && SLOT_CACHE_LEN.is_power_of_two());
    assert!(size_of::<IndexRow>() == 8 + 4 * POSITIONS_PER_CGROUP && POSITIONS_PER_CGROUP.is_multiple_of(2));
    assert!(size_of::<ReclaimOp>() == 16 && align_of::<ReclaimOp>() == 8);
    assert!(size_of::<Durations>() == 216 && align_of::<Durations>() == 8);
    assert!(size_of::<Start>() == 24 && align_of::<Start>() == 8);
    assert!(POSITIONS_PER_CGROUP <= POSITION_MASK as usize + 1 && NUMBERS_PER_ABI.is_power_of_two());
    assert!(size_of::<CgroupEvent>() == 32 && align_of::<CgroupEvent>() == 8);
    assert!(size_of::<Reported>() == 16 && align_of::<Reported>() == 8);
    assert!(size_of::<ContainerInit>() == 40 && align_of::<ContainerInit>() == 8);
    assert!(size_of::<Executable>() == 8 + EXE_PARTS * EXE_PART_LEN && align_of::<Executable>() == 4);
    assert!(size_of::<RawFirstCall>() == 88 + 2 * size_of::<Executable>() && align_of::<RawFirstCall>() == 8);
};
