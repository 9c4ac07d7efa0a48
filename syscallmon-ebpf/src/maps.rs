//! The maps. Sizes here are defaults; user space sets the real sizes before loading.
//!
//! All data of a snapshot is in arrays that user space maps into its memory, so a snapshot needs no system call. Series
//! and slots are numbered from 1; 0 means none.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf},
};
use syscallmon_common::{
    CGROUP_EVENTS_BYTES, CONTAINER_INIT_LEN, ContainerInit, Durations, FIRST_CALLS_BYTES, IndexRow, LossReason,
    POSITIONS_PER_CGROUP, Pool, RECLAIM_OPS_LEN, REPORTED_LEN, ReclaimOp, Reported, SeriesKey, SlotCache, Start,
    TASK_STATE_ROWS, TASK_STATES_PER_ROW,
};

/// Counts of calls, one row per possible CPU: index = cpu * `SERIES_PER_CPU` + series.
///
/// Only its own CPU writes to a row, with preemption off, so a plain add loses nothing.
#[map]
pub static COUNTERS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The key of each series. Two series may have the same key (two CPUs met its first call); user space adds them up.
#[map]
pub static SERIES_KEYS: Array<SeriesKey> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Calls of container init by series, over all CPUs (atomic adds).
#[map]
pub static CONTAINER_INIT_COUNTS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Processes that are or were in container init: see [`crate::container_init`]. When the map is full, the kernel drops
/// entries that nobody used for long.
#[map]
pub static CONTAINER_INIT: LruHashMap<u32, ContainerInit> = LruHashMap::with_max_entries(CONTAINER_INIT_LEN, 0);

/// The daemon's process id in the initial pid namespace; 0 until user space has run `reclaim` once.
#[map]
pub static DAEMON: Array<u32> = Array::with_max_entries(1, 0);

/// The series of each cgroup's calls: one row per slot.
#[map]
pub static SERIES_INDEX: Array<IndexRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The cgroup id of each slot; 0 in a free slot.
#[map]
pub static SLOTS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Calls without a slot or series, by position, over all CPUs (atomic adds).
#[map]
pub static REMAINDER: Array<u64> = Array::with_max_entries(POSITIONS_PER_CGROUP as u32, BPF_F_MMAPABLE);

/// The same for denied calls.
#[map]
pub static DENIED_REMAINDER: Array<u64> = Array::with_max_entries(POSITIONS_PER_CGROUP as u32, BPF_F_MMAPABLE);

/// Losses, by [`LossReason`] (atomic adds).
#[map]
pub static LOST: Array<u64> = Array::with_max_entries(LossReason::COUNT as u32, BPF_F_MMAPABLE);

/// Not 0 after a [`Pool`] was found empty, until user space refills it.
#[map]
pub static EXHAUSTED: Array<u64> = Array::with_max_entries(Pool::COUNT as u32, BPF_F_MMAPABLE);

/// Time of the last log message that a [`Pool`] is empty, in ns.
#[map]
pub static WARNED: Array<u64> = Array::with_max_entries(Pool::COUNT as u32, 0);

/// Attribution roots: cgroups that share their slot with nested cgroups, with the kind of root. Containers, and units
/// that have too many nested cgroups. Filled by user space.
#[map]
pub static ATTRIBUTION_ROOTS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// First calls without a series of their own that were reported. When the map is full, the oldest entries are dropped,
/// and those calls are reported again.
#[map]
pub static REPORTED: LruHashMap<Reported, u32> = LruHashMap::with_max_entries(REPORTED_LEN, 0);

/// The slot of each cgroup that has its own, behind [`SLOT_CACHE`].
#[map]
pub static SLOT_OF_CGROUP: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Recent cgroups of this CPU, and their slots.
#[map]
pub static SLOT_CACHE: PerCpuArray<SlotCache> = PerCpuArray::with_max_entries(1, 0);

/// Free slots, filled by user space.
#[map]
pub static FREE_SLOTS: Queue<u32> = Queue::with_max_entries(1, 0);

/// Free series, filled by user space.
#[map]
pub static FREE_SERIES: Queue<u32> = Queue::with_max_entries(1, 0);

/// Series of errors, by [`SeriesKey`] as a word.
#[map]
pub static ERRORS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Series of denied calls, by [`SeriesKey`] as a word. A separate table, so errors cannot use up its entries.
#[map]
pub static DENIED: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Series of classes of arguments, by [`SeriesKey`] as a word.
#[map]
pub static ARGUMENTS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Histograms, by [`SeriesKey`] as a word.
#[map]
pub static TIMED: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Number of pairs of call and errno that have a series, by slot.
#[map]
pub static ERRORS_OF_SLOT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Number of denied calls that have a series, by slot.
#[map]
pub static DENIED_OF_SLOT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Number of classes of arguments that have a series, by slot.
#[map]
pub static ARGUMENTS_OF_SLOT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// States of threads, by the low and then the high bits of their ids: see [`crate::denied`].
#[map]
pub static TASK_STATE: Array<[u8; TASK_STATES_PER_ROW]> = Array::with_max_entries(TASK_STATE_ROWS, 0);

/// The start of each task's current call, by the task's address: see [`crate::duration`].
#[map]
pub static STARTS: HashMap<u64, Start> = HashMap::with_max_entries(1, 0);

/// Durations of calls, one row per possible CPU: index = cpu * `HISTOGRAMS_PER_CPU` + histogram.
///
/// Written in the same way as `COUNTERS`.
#[map]
pub static HISTOGRAMS: Array<Durations> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The key of each histogram.
#[map]
pub static HISTOGRAM_KEYS: Array<SeriesKey> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Free histograms, filled by user space.
#[map]
pub static FREE_HISTOGRAMS: Queue<u32> = Queue::with_max_entries(1, 0);

/// Numbers to reclaim: see [`crate::reclaim`].
#[map]
pub static RECLAIM_OPS: Array<ReclaimOp> = Array::with_max_entries(RECLAIM_OPS_LEN as u32, BPF_F_MMAPABLE);

/// Births and deaths of cgroups: `CgroupEvent`, then the path.
#[map]
pub static CGROUP_EVENTS: RingBuf = RingBuf::with_byte_size(CGROUP_EVENTS_BYTES as u32, 0);

/// First calls: `RawFirstCall` records.
#[map]
pub static FIRST_CALLS: RingBuf = RingBuf::with_byte_size(FIRST_CALLS_BYTES as u32, 0);
