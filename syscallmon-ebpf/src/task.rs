//! Who calls: the current task's cgroup and whether it is in a 32-bit call.
//!
//! Two ways to read it. [`Caller::by_btf`] follows BTF-typed pointers, which costs as little as C does in the kernel, and needs
//! `bpf_get_current_task_btf` (Linux 5.11). [`Caller::by_helpers`] runs everywhere, and without offsets (no BTF) still knows
//! the cgroup2 cgroup. Branches on globals are decided by the verifier: what is not chosen is not in the kernel.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel,
};
use syscallmon_common::{ROOT_CGROUP_ID, UNKNOWN_OFFSET, V1_CGROUP};

use crate::globals::{
    COMPAT_MASK, COUNTS_CGROUP2, HAS_TASK_BTF, OFFSET_CGROUP_KN, OFFSET_CSS_CGROUP, OFFSET_CSS_SET_CSS,
    OFFSET_CSS_SET_DFL_CGRP, OFFSET_KERNFS_NODE_ID, OFFSET_TASK_CGROUPS, OFFSET_TASK_COMPAT,
};

/// What of a task decides where its calls are counted.
pub struct Caller {
    /// Its cgroup, as user space names it: marked with [`V1_CGROUP`] when it is one of a v1 hierarchy.
    pub cgroup_id: u64,
    /// Whether it is in a 32-bit call.
    pub compat: bool,
}

impl Caller {
    /// The current task, in the way that user space found this kernel to have.
    #[inline(always)]
    pub fn current() -> Self {
        if HAS_TASK_BTF.load() != 0 { Self::by_btf() } else { Self::by_helpers() }
    }

    /// The current task, by BTF-typed loads.
    #[inline(always)]
    pub fn by_btf() -> Self {
        // SAFETY: the helper takes nothing, and returns a task that lives as long as the program runs.
        let task = unsafe { bpf_get_current_task_btf().cast::<u8>().cast_const() };
        let css_set: *const u8 = typed(task, OFFSET_TASK_CGROUPS.load());
        let cgroup2 = || id_of(typed(css_set, OFFSET_CSS_SET_DFL_CGRP.load()));
        let v1 = || {
            let css: *const u8 = typed(css_set, OFFSET_CSS_SET_CSS.load());
            id_of(typed(css, OFFSET_CSS_CGROUP.load()))
        };
        let flags: u32 = typed(task, OFFSET_TASK_COMPAT.load());
        Self { cgroup_id: choose(cgroup2, v1), compat: flags & COMPAT_MASK.load() != 0 }
    }

    /// The current task, by helpers.
    #[inline(always)]
    pub fn by_helpers() -> Self {
        // SAFETY: the helpers take nothing.
        let (cgroup2, task) = unsafe { (|| bpf_get_current_cgroup_id(), bpf_get_current_task() as *const u8) };
        let v1 = || v1_id(task).unwrap_or(0);
        Self { cgroup_id: choose(cgroup2, v1), compat: is_compat(task) }
    }
}

/// The cgroup of the hierarchy that user space chose; of both, where the task is not in the root.
#[inline(always)]
fn choose(cgroup2: impl Fn() -> u64, v1: impl Fn() -> u64) -> u64 {
    if COUNTS_CGROUP2.load() != 0 {
        let id = cgroup2();
        if OFFSET_CSS_SET_CSS.load() == UNKNOWN_OFFSET || id != ROOT_CGROUP_ID {
            return id;
        }
    }
    v1() | V1_CGROUP
}

/// Follows one field of a BTF-typed pointer.
#[inline(always)]
fn typed<T: Copy>(base: *const u8, offset: u64) -> T {
    // SAFETY: the verifier checks the offset against the pointer's BTF type, and refuses the program if
    // it is not the start of a field of this size; reads of BTF pointers that went bad give 0.
    unsafe { *base.add(offset as usize).cast::<T>() }
}

/// `cgroup->kn->id`.
#[inline(always)]
fn id_of(cgroup: *const u8) -> u64 {
    let kernfs_node: *const u8 = typed(cgroup, OFFSET_CGROUP_KN.load());
    typed(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

#[inline(always)]
fn v1_id(task: *const u8) -> Option<u64> {
    let css_set: *const u8 = field(task, OFFSET_TASK_CGROUPS.load())?;
    let css: *const u8 = field(css_set, OFFSET_CSS_SET_CSS.load())?;
    let cgroup: *const u8 = field(css, OFFSET_CSS_CGROUP.load())?;
    let kernfs_node: *const u8 = field(cgroup, OFFSET_CGROUP_KN.load())?;
    field(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

#[inline(always)]
fn is_compat(task: *const u8) -> bool {
    let offset = OFFSET_TASK_COMPAT.load();
    offset != UNKNOWN_OFFSET && field::<u32>(task, offset).is_some_and(|flags| flags & COMPAT_MASK.load() != 0)
}

/// Reads one field through a helper.
#[inline(always)]
pub fn field<T: Copy>(base: *const u8, offset: u64) -> Option<T> {
    // SAFETY: the kernel checks the read, and fails without harm.
    unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.ok()
}
