//! The maps. Their sizes here are the defaults; user space sets others before loading.
//!
//! All that user space reads at every snapshot is an array that it maps into its memory, so a snapshot
//! takes no system call. Series and slots are numbered from 1; 0 means none.

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

/// Calls counted, one row for each possible CPU: index = cpu * `SERIES_PER_CPU` + series.
///
/// Only its own CPU writes to a row, and not preemptibly, so a plain add loses nothing.
#[map]
pub static COUNTERS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What each series counts. Two series may have one key (two CPUs met its first call): they add up.
#[map]
pub static SERIES_KEYS: Array<SeriesKey> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Calls of each series that were made to set a container up, over all CPUs (atomic adds).
#[map]
pub static CONTAINER_INIT_COUNTS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Processes that set containers up: see [`crate::container_init`]. The oldest give way, of those that ended without having become a container's.
#[map]
pub static CONTAINER_INIT: LruHashMap<u32, ContainerInit> = LruHashMap::with_max_entries(CONTAINER_INIT_LEN, 0);

/// The process of the daemon, in the initial pid namespace; 0 until user space has run `reclaim` for the first time.
#[map]
pub static DAEMON: Array<u32> = Array::with_max_entries(1, 0);

/// The series of each cgroup's calls: one row a slot.
#[map]
pub static SERIES_INDEX: Array<IndexRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The cgroup id of each slot; 0 in a free one.
#[map]
pub static SLOTS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Calls that found no slot or no series, by position, over all CPUs (atomic adds).
#[map]
pub static REMAINDER: Array<u64> = Array::with_max_entries(POSITIONS_PER_CGROUP as u32, BPF_F_MMAPABLE);

/// The same for calls that were refused.
#[map]
pub static DENIED_REMAINDER: Array<u64> = Array::with_max_entries(POSITIONS_PER_CGROUP as u32, BPF_F_MMAPABLE);

/// What was lost, by [`LossReason`] (atomic adds).
#[map]
pub static LOST: Array<u64> = Array::with_max_entries(LossReason::COUNT as u32, BPF_F_MMAPABLE);

/// Not 0 while a [`Pool`] was found empty. User space clears it when it has freed some.
#[map]
pub static EXHAUSTED: Array<u64> = Array::with_max_entries(Pool::COUNT as u32, BPF_F_MMAPABLE);

/// When the log was last told that a [`Pool`] is empty, in ns.
#[map]
pub static WARNED: Array<u64> = Array::with_max_entries(Pool::COUNT as u32, 0);

/// Cgroups whose slot is that of all cgroups nested in them, with the kind of root that each is: containers, and units that have too many
/// nested cgroups. Filled by user space.
#[map]
pub static ATTRIBUTION_ROOTS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// First calls that have no series of their own, but were reported. The oldest give way, and are then reported once more.
#[map]
pub static REPORTED: LruHashMap<Reported, u32> = LruHashMap::with_max_entries(REPORTED_LEN, 0);

/// Slot of each cgroup that has one of its own, behind [`SLOT_CACHE`].
#[map]
pub static SLOT_OF_CGROUP: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// This CPU's last cgroups and their slots.
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

/// Series of refused calls, likewise: a table of their own, so that no way to fail takes their room.
#[map]
pub static DENIED: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Histograms, likewise.
#[map]
pub static TIMED: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Pairs of call and errno that each slot has a series for.
#[map]
pub static ERRORS_OF_SLOT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Refused calls that each slot has a series for.
#[map]
pub static DENIED_OF_SLOT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Marks of threads by the low, then the high bits of their ids: see [`crate::denied`].
#[map]
pub static TASK_STATE: Array<[u8; TASK_STATES_PER_ROW]> = Array::with_max_entries(TASK_STATE_ROWS, 0);

/// When each task began the call that it is in, by the task's address: see [`crate::duration`].
#[map]
pub static STARTS: HashMap<u64, Start> = HashMap::with_max_entries(1, 0);

/// How long calls took, one row for each possible CPU: index = cpu * `HISTOGRAMS_PER_CPU` + histogram.
///
/// Written as `COUNTERS` is.
#[map]
pub static HISTOGRAMS: Array<Durations> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Whose durations each histogram has.
#[map]
pub static HISTOGRAM_KEYS: Array<SeriesKey> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Free histograms, filled by user space.
#[map]
pub static FREE_HISTOGRAMS: Queue<u32> = Queue::with_max_entries(1, 0);

/// What user space gives back: see [`crate::reclaim`].
#[map]
pub static RECLAIM_OPS: Array<ReclaimOp> = Array::with_max_entries(RECLAIM_OPS_LEN as u32, BPF_F_MMAPABLE);

/// Births and deaths of cgroups: `CgroupEvent`, then the path.
#[map]
pub static CGROUP_EVENTS: RingBuf = RingBuf::with_byte_size(CGROUP_EVENTS_BYTES as u32, 0);

/// `RawFirstCall` records.
#[map]
pub static FIRST_CALLS: RingBuf = RingBuf::with_byte_size(FIRST_CALLS_BYTES as u32, 0);
