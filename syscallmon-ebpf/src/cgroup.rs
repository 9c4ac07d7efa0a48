//! Reports births and deaths of cgroups, so user space can name even a cgroup that lives for a millisecond.

use aya_ebpf::{
    bindings::BPF_RB_AVAIL_DATA,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::map,
    maps::PerCpuArray,
};
use syscallmon_common::{
    CGROUP_BORN, CGROUP_BORN_UNPRIVILEGED, CGROUP_DIED, CGROUP_EVENTS_BYTES, CGROUP_PATH_MAX, CgroupEvent, LossReason,
    UNKNOWN_OFFSET, V1_CGROUP,
};

use crate::{
    ancestry::parent,
    counter::lost,
    globals::{
        COUNTS_CGROUP2, OFFSET_CGROUP_KN, OFFSET_CGROUP_ROOT, OFFSET_CGROUP_ROOT_HIERARCHY_ID,
        OFFSET_CRED_CAP_EFFECTIVE, OFFSET_EVENT_ID, OFFSET_EVENT_PATH, OFFSET_EVENT_ROOT, OFFSET_KERNFS_NODE_ID,
        V1_HIERARCHY,
    },
    maps::CGROUP_EVENTS,
    runtime::has_host_privileges,
    task::{ProbeReadTask, Task, field},
};

/// A birth with room for its path.
#[repr(C)]
pub struct Birth {
    head: CgroupEvent,
    path: [u8; CGROUP_PATH_MAX],
}

/// Buffer for a birth. Only its used part is copied to the ring buffer.
#[map]
static SCRATCH: PerCpuArray<Birth> = PerCpuArray::with_max_entries(1, 0);

const HEAD_LEN: usize = size_of::<CgroupEvent>();

/// A created or removed cgroup.
#[derive(Clone, Copy)]
pub struct TracedCgroup {
    hierarchy: i32,
    id: u64,
    parent_id: u64,
    path: *const u8,
}

impl TracedCgroup {
    /// From a raw tracepoint's arguments: `struct cgroup *`, `const char *path`.
    #[inline(always)]
    pub fn of_arguments(cgroup: *const u8, path: *const u8) -> Option<Self> {
        let root: *const u8 = field(cgroup, OFFSET_CGROUP_ROOT.load())?;
        let kernfs_node: *const u8 = field(cgroup, OFFSET_CGROUP_KN.load())?;
        Some(Self {
            hierarchy: field(root, OFFSET_CGROUP_ROOT_HIERARCHY_ID.load())?,
            id: field(kernfs_node, OFFSET_KERNFS_NODE_ID.load())?,
            parent_id: parent(cgroup),
            path,
        })
    }

    /// From a classic tracepoint's record, whose layout user space read from tracefs.
    #[inline(always)]
    pub fn of_record(record: *const u8) -> Option<Self> {
        // The low half is the offset of the text from the start of the record (`__data_loc`).
        let location: u32 = field(record, OFFSET_EVENT_PATH.load())?;
        Some(Self {
            hierarchy: field(record, OFFSET_EVENT_ROOT.load())?,
            id: field(record, OFFSET_EVENT_ID.load())?,
            parent_id: 0,
            path: record.wrapping_add((location & 0xffff) as usize),
        })
    }

    /// Returns the cgroup's id, marked if it is in the v1 hierarchy; `None` for hierarchies that are not counted.
    #[inline(always)]
    fn cgroup_id(self) -> Option<u64> {
        // The default hierarchy is number 0, as in /proc/<pid>/cgroup.
        if self.hierarchy == 0 {
            return (COUNTS_CGROUP2.load() != 0).then_some(self.id);
        }
        (self.hierarchy == V1_HIERARCHY.load()).then_some(self.id | V1_CGROUP)
    }
}

/// Whether the current task may not administer the host, as container runtimes may. False without BTF.
#[inline(always)]
fn is_unprivileged() -> bool {
    OFFSET_CRED_CAP_EFFECTIVE.load() != UNKNOWN_OFFSET
        && !has_host_privileges(ProbeReadTask::current().address() as *const u8)
}

/// Whether there is room for an event. Half of the ring is reserved for cgroups created by host administrators, so no
/// container or user can displace the names of other containers.
#[inline(always)]
fn has_room(unprivileged: bool) -> bool {
    let has_room = !unprivileged || CGROUP_EVENTS.query(BPF_RB_AVAIL_DATA.into()) <= CGROUP_EVENTS_BYTES / 2;
    if !has_room {
        lost(LossReason::CgroupEvents);
    }
    has_room
}

/// Reports a birth.
#[inline(always)]
pub fn born(cgroup: Option<TracedCgroup>) {
    let Some(TracedCgroup { path, parent_id, .. }) = cgroup else { return };
    let Some(cgroup_id) = cgroup.and_then(TracedCgroup::cgroup_id) else { return };
    let unprivileged = is_unprivileged();
    if !has_room(unprivileged) {
        return;
    }
    let kind = if unprivileged { CGROUP_BORN_UNPRIVILEGED } else { CGROUP_BORN };
    let parent_id = if parent_id == 0 { 0 } else { parent_id | cgroup_id & V1_CGROUP };
    let Some(birth) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a whole map value of this CPU; the kernel calls this tracepoint with interrupts off, under the lock of
    // its own path buffer (`trace_cgroup_path_lock`), so one birth or death is reported at a time.
    let birth = unsafe { &mut *birth };
    // SAFETY: the kernel checks the read.
    let path_len = unsafe { bpf_probe_read_kernel_str_bytes(path, &mut birth.path) }.map_or(0, <[u8]>::len);
    birth.head = CgroupEvent { parent_id, ..event(kind, cgroup_id, path_len as u32) };
    // The mask gives the verifier the bound. A path is at most CGROUP_PATH_MAX - 1 bytes without its NUL.
    let len = HEAD_LEN + (path_len & (CGROUP_PATH_MAX - 1));
    // SAFETY: `len` is at most the size of `Birth`, which this slice does not outlive.
    let bytes = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(birth).cast::<u8>(), len) };
    if CGROUP_EVENTS.output::<[u8]>(bytes, 0).is_err() {
        lost(LossReason::CgroupEvents);
    }
}

/// Reports a death.
#[inline(always)]
pub fn died(cgroup: Option<TracedCgroup>) {
    let Some(cgroup_id) = cgroup.and_then(TracedCgroup::cgroup_id) else { return };
    if !has_room(is_unprivileged()) {
        return;
    }
    let event = event(CGROUP_DIED, cgroup_id, 0);
    if CGROUP_EVENTS.output::<CgroupEvent>(&event, 0).is_err() {
        lost(LossReason::CgroupEvents);
    }
}

#[inline(always)]
fn event(kind: u32, cgroup_id: u64, path_len: u32) -> CgroupEvent {
    // SAFETY: the helper takes nothing.
    CgroupEvent { time_ns: unsafe { bpf_ktime_get_ns() }, cgroup_id, kind, path_len, parent_id: 0 }
}
