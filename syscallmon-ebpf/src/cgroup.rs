//! Births and deaths of cgroups, for user space to name them by: even one that lives for a millisecond.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str_bytes},
    macros::map,
    maps::PerCpuArray,
};
use syscallmon_common::{CGROUP_BORN, CGROUP_DIED, CGROUP_PATH_MAX, CgroupEvent, Loss};

use crate::{
    allocate::lost,
    globals::{OFFSET_CGROUP_KN, OFFSET_CGROUP_ROOT, OFFSET_CGROUP_ROOT_HIERARCHY_ID, OFFSET_KERNFS_NODE_ID},
    maps::CGROUP_EVENTS,
};

/// A birth with room for its path.
#[repr(C)]
pub struct Birth {
    head: CgroupEvent,
    path: [u8; CGROUP_PATH_MAX],
}

/// Where a birth is put together before as much of it as is used goes to the ring buffer.
#[map]
static SCRATCH: PerCpuArray<Birth> = PerCpuArray::with_max_entries(1, 0);

const HEAD_LEN: usize = size_of::<CgroupEvent>();

/// Reports a birth.
#[inline(always)]
pub fn born(cgroup: *const u8, path: *const u8) {
    let Some(cgroup_id) = cgroup2_id(cgroup) else { return };
    let Some(birth) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a whole map value of this CPU; the kernel calls this tracepoint with interrupts off, under the lock of its
    // own path buffer (`trace_cgroup_path_lock`), so one birth or death is reported at a time.
    let birth = unsafe { &mut *birth };
    // SAFETY: the kernel checks the read.
    let path_len = unsafe { bpf_probe_read_kernel_str_bytes(path, &mut birth.path) }.map_or(0, <[u8]>::len);
    birth.head = event(CGROUP_BORN, cgroup_id, path_len as u32);
    // The mask tells the verifier the bound; a path is at most CGROUP_PATH_MAX - 1 bytes without its NUL.
    let len = HEAD_LEN + (path_len & (CGROUP_PATH_MAX - 1));
    // SAFETY: `len` is at most the size of `Birth`, which this slice does not outlive.
    let bytes = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(birth).cast::<u8>(), len) };
    if CGROUP_EVENTS.output::<[u8]>(bytes, 0).is_err() {
        lost(Loss::CgroupEvents);
    }
}

/// Reports a death.
#[inline(always)]
pub fn died(cgroup: *const u8) {
    let Some(cgroup_id) = cgroup2_id(cgroup) else { return };
    let event = event(CGROUP_DIED, cgroup_id, 0);
    if CGROUP_EVENTS.output::<CgroupEvent>(&event, 0).is_err() {
        lost(Loss::CgroupEvents);
    }
}

#[inline(always)]
fn event(kind: u32, cgroup_id: u64, path_len: u32) -> CgroupEvent {
    // SAFETY: the helper takes nothing.
    CgroupEvent { time_ns: unsafe { bpf_ktime_get_ns() }, cgroup_id, kind, path_len }
}

/// The id of a cgroup of the cgroup2 hierarchy; `None` for those of v1 hierarchies, whose ids are others'.
#[inline(always)]
fn cgroup2_id(cgroup: *const u8) -> Option<u64> {
    let root: *const u8 = field(cgroup, OFFSET_CGROUP_ROOT.load())?;
    // The default hierarchy is number 0, as in /proc/<pid>/cgroup.
    if field::<i32>(root, OFFSET_CGROUP_ROOT_HIERARCHY_ID.load())? != 0 {
        return None;
    }
    let kernfs_node: *const u8 = field(cgroup, OFFSET_CGROUP_KN.load())?;
    field(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

#[inline(always)]
fn field<T: Copy>(base: *const u8, offset: u64) -> Option<T> {
    // SAFETY: the kernel checks the read, and fails without harm.
    unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.ok()
}
