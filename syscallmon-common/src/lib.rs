//! What the kernel side and user space share: sizes, keys and events.
//!
//! Everything that crosses the boundary is `repr(C)`, made of integers only, with explicit padding and
//! its size asserted at compile time. Nothing here does anything: no I/O, no allocation, no `std`.
//!
//! With the feature `bytes`, what user space reads or writes as a whole can be turned into bytes and back.

#![no_std]

mod globals;
mod loss;

pub use self::loss::LossReason;
#[cfg(feature = "bytes")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many numbers of one ABI the position table covers: 0 up to and excluding this; a power of two.
///
/// The highest number in any table of Linux is x32's 547; everything above is unknown by definition.
pub const NUMBERS_PER_ABI: usize = 1024;

/// Entries of the table that maps an (ABI, number) to a [position](POSITIONS_PER_CGROUP).
pub const POSITION_TABLE_LEN: usize = Abi::COUNT * NUMBERS_PER_ABI;

/// Room for the calls of one cgroup: one position for each call that the kernel knows, over all of an
/// architecture's tables, and one for each table's unknown numbers. x86 (the largest) needs about 1,310 in Linux 7.
pub const POSITIONS_PER_CGROUP: usize = 1344;

/// The position in an entry of the position table; the other bits are flags.
pub const POSITION_MASK: u16 = 0x07ff;
/// Flag of such an entry: how long the call takes is measured.
pub const POSITION_TIMED: u16 = 1 << 15;
/// Flag of such an entry: the call makes a task, which returns from it too, with 0 and without having entered.
pub const POSITION_FORKS: u16 = 1 << 14;

/// Flag of such an entry: what the call returns is no answer of the kernel's, but somebody else's value.
pub const POSITION_NO_ANSWER: u16 = 1 << 13;

/// Entries of the per-CPU cache from cgroup id to slot; a power of two.
pub const SLOT_CACHE_LEN: usize = 128;

/// The kernel's bound for the paths in cgroup tracepoints (`TRACE_CGROUP_PATH_LEN`).
pub const CGROUP_PATH_MAX: usize = 1024;

/// How a task asked the kernel for something: which table the number belongs to.
///
/// The names are those of x86; on arm64, [`Abi::Native`] is aarch64 and [`Abi::Compat`] aarch32.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// The 64-bit ABI. Its unknown numbers have position 0.
    Native = 0,
    /// The 32-bit ABI: ia32 (`int 0x80`, 32-bit binaries) or aarch32. Its unknown numbers have position 1.
    Compat = 1,
    /// x32: the 64-bit entry with [`X32_BIT`] set. Its unknown numbers have position 2.
    X32 = 2,
    /// No system call: an operation given to io_uring, by its opcode. Unknown ones have position 3.
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

/// Offset that says "this kernel's BTF did not tell".
pub const UNKNOWN_OFFSET: u64 = u64::MAX;

/// What a series counts: an entry of the map `SERIES_KEYS`. All zero means that the series is free.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct SeriesKey {
    /// Slot of the cgroup, from 1.
    pub slot: u32,
    /// Position of the call, below [`POSITIONS_PER_CGROUP`].
    pub position: u16,
    /// Which of the call's outcomes: [`OUTCOME_ENTERED`], an errno, or another of the constants below.
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
/// The most that an errno can be; above are values that only the kernel uses (`include/linux/errno.h`), and sees in
/// `sys_exit` when a call is restarted.
pub const ERRNO_MAX: u16 = 511;
/// The call was refused before it entered the kernel: [`SeriesKey::outcome`].
pub const OUTCOME_DENIED: u16 = 0xffff;
/// Errors of any call, in a cgroup that has too many different ones; position 0: [`SeriesKey::outcome`].
pub const OUTCOME_OTHER_ERRORS: u16 = 0xfffe;
/// Refused calls of any kind, in a cgroup that has too many different ones; position 0: [`SeriesKey::outcome`].
pub const OUTCOME_OTHER_DENIED: u16 = 0xfffd;
/// The call was refused with `ENOSYS`, as if the kernel did not have it: [`SeriesKey::outcome`].
pub const OUTCOME_DENIED_ENOSYS: u16 = 0xfffc;
/// `ENOSYS` of `include/uapi/asm-generic/errno.h`, the same on every architecture that is supported.
pub const ENOSYS: i64 = 38;

/// Upper bounds of the buckets of [`Durations`]: 2^0 to 2^24 microseconds, that is 1 us to 16.8 s.
pub const DURATION_BOUNDS: usize = 25;
/// Buckets of [`Durations`]: one below each bound, and one above all.
pub const DURATION_BUCKETS: usize = DURATION_BOUNDS + 1;

/// How long the calls of one cgroup took, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// How many took at most 2^i microseconds, and more than the bucket before; the last has no bound.
    pub buckets: [u64; DURATION_BUCKETS],
    /// All together, in nanoseconds.
    pub sum_ns: u64,
}

/// When a task began a call that is measured: an entry of the map `STARTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// Position of the call.
    pub position: u32,
    /// Slot of the cgroup that the task was in, from 1.
    pub slot: u32,
    /// [`IndexRow::owner`] of that slot: another one means that the slot was taken back meanwhile.
    pub owner: u64,
}

/// Rows of the map `TASK_STATE`, one for each value of the low bits of a thread id, so that threads whose ids follow each other
/// never write to one cache line.
pub const TASK_STATE_ROWS: u32 = 1 << 16;
/// Marks in such a row: as many threads as the kernel can have (`PID_MAX_LIMIT`), by the high bits of their ids.
pub const TASK_STATES_PER_ROW: usize = (1 << 22) / TASK_STATE_ROWS as usize;

/// One entry of the per-CPU cache that remembers which slot a cgroup has.
///
/// Valid as long as the slot's [`IndexRow::owner`] is the one that is cached: user space takes slots back without asking the caches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachedSlot {
    /// The cgroup's id; 0 in an entry that was never used.
    pub cgroup_id: u64,
    /// The cgroup that the slot belongs to: this one, or an ancestor that is an [attribution root](ROOT_OF_ALL).
    pub owner: u64,
    /// The slot, from 1.
    pub slot: u32,
    /// Keeps the layout explicit, and entries within cache lines.
    pub padding: [u32; 3],
}

/// The per-CPU cache from cgroup id to slot, indexed by the low bits of the id.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SlotCache {
    /// The entries.
    pub entries: [CachedSlot; SLOT_CACHE_LEN],
}

/// Flag of an entry of [`IndexRow::series`]: so far only whoever sets the cgroup's container up made the call. Such calls are counted in
/// `CONTAINER_INIT_COUNTS`, and the container's own first one is still to come. An entry with it is negative as an `i32`.
pub const SERIES_OF_CONTAINER_INIT: u32 = 1 << 31;

/// The series of one cgroup's calls.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IndexRow {
    /// Id of the cgroup that has the slot, for itself and for nested ones without a slot; 0 when it is free or being taken back.
    pub owner: u64,
    /// By position; 0 where there is none yet, and perhaps with [`SERIES_OF_CONTAINER_INIT`].
    pub series: [u32; POSITIONS_PER_CGROUP],
}

/// The mark in the ids of cgroups of a v1 hierarchy: each hierarchy numbers its own, and a number never gets that far
/// (32 bits of generation above 32 bits of inode number, `kernfs_node.id`).
pub const V1_CGROUP: u64 = 1 << 63;
/// The id of every hierarchy's root (`kernfs_create_root`).
pub const ROOT_CGROUP_ID: u64 = 1;

/// Value of the map `ATTRIBUTION_ROOTS`: every cgroup nested in this one is counted in its slot, as in a container.
pub const ROOT_OF_ALL: u32 = 1;
/// Value of the map `ATTRIBUTION_ROOTS`: likewise, unless a root below it is nearer, as in a unit that has containers.
pub const ROOT_OF_REST: u32 = 2;
/// How many levels below the hierarchy's root are searched for an attribution root. Runtimes use up to 12 (kind in an LXC container).
pub const ROOT_LEVELS: u32 = 16;

/// What user space wants back in the kernel's tables, or changed there: an entry of the map `RECLAIM_OPS`. A kind of 0 is the end of the list,
/// or an entry that is done.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct ReclaimOp {
    /// The cgroup that is to lose its slot, or the [`SeriesKey`] that is to lose its number; 0 otherwise.
    pub key: u64,
    /// [`RECLAIM_CGROUP`] and its like.
    pub kind: u32,
    /// The slot, series or histogram.
    pub number: u32,
}

/// Takes a cgroup out of the hash table: [`ReclaimOp::kind`].
pub const RECLAIM_CGROUP: u32 = 1;
/// Gives a slot back: [`ReclaimOp::kind`].
pub const RECLAIM_SLOT: u32 = 2;
/// Gives a series back: [`ReclaimOp::kind`].
pub const RECLAIM_SERIES: u32 = 3;

/// Takes a [`SeriesKey`] out of the hash table of errors: [`ReclaimOp::kind`].
pub const RECLAIM_ERROR: u32 = 4;
/// Takes a [`SeriesKey`] out of the hash table of refused calls: [`ReclaimOp::kind`].
pub const RECLAIM_DENIED: u32 = 5;
/// Takes a [`SeriesKey`] out of the hash table of histograms: [`ReclaimOp::kind`].
pub const RECLAIM_TIMED: u32 = 6;
/// Gives a histogram back: [`ReclaimOp::kind`].
pub const RECLAIM_HISTOGRAM: u32 = 7;
/// Makes a cgroup an attribution root of the kind in [`ReclaimOp::number`]: [`ReclaimOp::kind`].
pub const RECLAIM_ADD_ROOT: u32 = 8;
/// Makes it none: [`ReclaimOp::kind`].
pub const RECLAIM_REMOVE_ROOT: u32 = 9;

/// Entries of `RECLAIM_OPS`: how many are done in one run.
pub const RECLAIM_OPS_LEN: usize = 64;

/// What can be used up: an index of the maps `EXHAUSTED` and `WARNED`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Slots of cgroups.
    Slots = 0,
    /// Series.
    Series = 1,
    /// Places in the hash table of errors.
    Errors = 2,
    /// Places in the hash table of refused calls.
    Denied = 3,
    /// Histograms.
    Histograms = 4,
}

impl Pool {
    /// Number of pools.
    pub const COUNT: usize = 5;
}

/// Key of the map `REPORTED`: a call that has no series of its own, and whose first-call event was sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The cgroup that it is attributed to.
    pub cgroup_id: u64,
    /// Position of the call.
    pub position: u32,
    /// 1 when it was refused, 0 when it was made.
    pub denied: u32,
}

/// Entries of `REPORTED`, at least.
pub const REPORTED_LEN: u32 = 8192;

/// A cgroup was made: [`CgroupEvent::kind`].
pub const CGROUP_BORN: u32 = 1;
/// A cgroup was removed: [`CgroupEvent::kind`].
pub const CGROUP_DIED: u32 = 2;
/// A cgroup was made by a process that may not administer the host, as container runtimes may: [`CgroupEvent::kind`].
pub const CGROUP_BORN_UNPRIVILEGED: u32 = 3;
/// Size of the ring buffer `CGROUP_EVENTS`, in bytes.
pub const CGROUP_EVENTS_BYTES: u64 = 512 * 1024;

/// Head of a record in the ring buffer `CGROUP_EVENTS`; `path_len` bytes of path follow a birth.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct CgroupEvent {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// The cgroup's id: its inode number in cgroupfs, and [`V1_CGROUP`] where that is a v1 hierarchy's.
    pub cgroup_id: u64,
    /// [`CGROUP_BORN`], [`CGROUP_BORN_UNPRIVILEGED`] or [`CGROUP_DIED`].
    pub kind: u32,
    /// Bytes of path after this head, without a NUL; 0 for a death, at most [`CGROUP_PATH_MAX`] - 1.
    pub path_len: u32,
    /// The id of the cgroup that it was made in, with the same mark; 0 for a death, and where the kernel's BTF does not tell.
    pub parent_id: u64,
}

/// How many names of an executable's path an [`Executable`] has room for, from the last one up.
pub const EXE_PARTS: usize = 8;
/// Bytes of each, with a NUL; longer ones are cut.
pub const EXE_PART_LEN: usize = 48;

/// The file is removed, or never had a path: [`Executable::flags`].
pub const EXE_DELETED: u32 = 1;
/// The file has a name and no path: [`Executable::flags`].
pub const EXE_NO_PATH: u32 = 2;

/// The path of an executable within its file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct Executable {
    /// Names that there are.
    pub parts: u32,
    /// [`EXE_DELETED`] and [`EXE_NO_PATH`].
    pub flags: u32,
    /// The names, the last one first; each ends with a NUL.
    pub names: [[u8; EXE_PART_LEN]; EXE_PARTS],
}

/// A process that a container's runtime puts into its cgroup, until it becomes the container's program: an entry of the map `CONTAINER_INIT`, by the
/// process id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerInit {
    /// The runtime's mount namespace, by address.
    pub mount_namespace: u64,
    /// The inode of the runtime's executable, by address.
    pub exe_inode: u64,
    /// Bytes of the runtime's executable.
    pub exe_len: u64,
    /// `CLOCK_MONOTONIC`, in nanoseconds: after that, the process is taken for the container's.
    pub until_ns: u64,
    /// How often the process may still run a copy of the runtime.
    pub copies_left: u32,
    /// Keeps the layout explicit.
    pub padding: u32,
}

/// How often a process may run a copy of the runtime: runc does it once.
pub const MAX_CONTAINER_INIT_COPIES: u32 = 1;

/// For how long a process is taken to set a container up, at most.
pub const CONTAINER_INIT_TIMEOUT_NS: u64 = 60_000_000_000;

/// Entries of `CONTAINER_INIT`, at least.
pub const CONTAINER_INIT_LEN: u32 = 4096;

/// Size of the ring buffer `FIRST_CALLS`, in bytes.
pub const FIRST_CALLS_BYTES: u64 = 1024 * 1024;

/// A record of the ring buffer `FIRST_CALLS`: a cgroup made a call for the first time, or was refused it for the first time. What is called to set
/// its container up is not the cgroup's.
///
/// Two CPUs that make the same first call at the same moment may both report it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct RawFirstCall {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub time_ns: u64,
    /// The id of the cgroup that the call is attributed to: of nested cgroups that share a container's slot, the container's.
    pub cgroup_id: u64,
    /// The number as the kernel reported it; any value is possible.
    pub nr: i64,
    /// The ABI, as [`Abi`]'s discriminant.
    pub abi: u32,
    /// Process id (the kernel's tgid) in the daemon's pid namespace; in the initial one for processes that are not in the daemon's.
    pub tgid: u32,
    /// Thread id (the kernel's pid), likewise.
    pub pid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// 1 when the call was refused, 0 when it was made.
    pub denied: u32,
    /// Process id of the parent, likewise; 0 where it is not known.
    pub parent: u32,
    /// The thread's name, NUL-padded.
    pub comm: [u8; 16],
    /// The parent's name, NUL-padded.
    pub parent_comm: [u8; 16],
    /// What the process runs.
    pub exe: Executable,
    /// What the parent runs.
    pub parent_exe: Executable,
    /// 1 when the call has no series of its own: the cgroup's counters do not tell of it.
    pub uncounted: u32,
    /// Keeps the layout explicit.
    pub padding: u32,
}

const _: () = {
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
