//! The calling task: its cgroup, whether it is in a 32-bit call, and other fields.
//!
//! There are two ways to read them. [`BtfTask`] follows BTF-typed pointers, as cheap as C code in the kernel, and needs
//! `bpf_get_current_task_btf` (Linux 5.11). [`ProbeReadTask`] reads through a helper and runs everywhere; without
//! offsets (no BTF) it still knows the cgroup2 cgroup. The verifier resolves branches on globals and removes the unused
//! ones.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf,
        bpf_probe_read_kernel,
    },
    programs::TracePointContext,
};
use syscallmon_common::{ROOT_CGROUP_ID, UNKNOWN_OFFSET, V1_CGROUP};

use crate::globals::{
    COMPAT_MASK, COUNTS_CGROUP2, OFFSET_CGROUP_KN, OFFSET_CSS_CGROUP, OFFSET_CSS_SET_CSS, OFFSET_CSS_SET_DFL_CGRP,
    OFFSET_KERNFS_NODE_ID, OFFSET_TASK_CGROUPS, OFFSET_TASK_COMPAT, OFFSET_TASK_PID, OFFSET_TASK_PTRACE,
    OFFSET_TASK_SECCOMP_MODE,
};

/// The current task.
pub trait Task: Copy {
    /// Gets the current task from the kernel.
    fn current() -> Self;
    /// Its cgroup id, marked with [`V1_CGROUP`] if the cgroup is in a v1 hierarchy.
    fn cgroup_id(self) -> u64;
    /// Whether it is in a 32-bit call.
    fn is_compat(self) -> bool;
    /// Whether it has a seccomp filter. Only such tasks can be denied calls.
    fn has_seccomp(self) -> bool;
    /// Whether a tracer (`ptrace`) sees its calls and may skip them before they enter the kernel.
    fn is_traced(self) -> bool;
    /// The thread's id in the initial pid namespace.
    fn pid(self) -> u32;
    /// Its address in kernel memory: its identity from fork to exit, also through an exec that changes its id.
    fn address(self) -> u64;
}

/// The current task as a BTF-typed pointer.
#[derive(Clone, Copy)]
pub struct BtfTask(*const u8);

/// The current task as an address that is read through a helper.
#[derive(Clone, Copy)]
pub struct ProbeReadTask(*const u8);

impl Task for BtfTask {
    #[inline(always)]
    fn current() -> Self {
        // SAFETY: the helper takes nothing, and returns a task that lives as long as the program runs.
        Self(unsafe { bpf_get_current_task_btf().cast::<u8>().cast_const() })
    }

    #[inline(always)]
    fn cgroup_id(self) -> u64 {
        let css_set: *const u8 = typed(self.0, OFFSET_TASK_CGROUPS.load());
        let cgroup2 = || id_of(typed(css_set, OFFSET_CSS_SET_DFL_CGRP.load()));
        let v1 = || {
            let css: *const u8 = typed(css_set, OFFSET_CSS_SET_CSS.load());
            id_of(typed(css, OFFSET_CSS_CGROUP.load()))
        };
        choose(cgroup2, v1)
    }

    #[inline(always)]
    fn is_compat(self) -> bool {
        let flags: u32 = typed(self.0, OFFSET_TASK_COMPAT.load());
        flags & COMPAT_MASK.load() != 0
    }

    #[inline(always)]
    fn has_seccomp(self) -> bool {
        typed::<u32>(self.0, OFFSET_TASK_SECCOMP_MODE.load()) != 0
    }

    #[inline(always)]
    fn is_traced(self) -> bool {
        OFFSET_TASK_PTRACE.load() != UNKNOWN_OFFSET && typed::<u32>(self.0, OFFSET_TASK_PTRACE.load()) != 0
    }

    #[inline(always)]
    fn pid(self) -> u32 {
        typed(self.0, OFFSET_TASK_PID.load())
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }
}

impl Task for ProbeReadTask {
    #[inline(always)]
    fn current() -> Self {
        // SAFETY: the helper takes nothing.
        Self(unsafe { bpf_get_current_task() } as *const u8)
    }

    #[inline(always)]
    fn cgroup_id(self) -> u64 {
        // SAFETY: the helper takes nothing.
        choose(|| unsafe { bpf_get_current_cgroup_id() }, || v1_id(self.0).unwrap_or(0))
    }

    #[inline(always)]
    fn is_compat(self) -> bool {
        let offset = OFFSET_TASK_COMPAT.load();
        offset != UNKNOWN_OFFSET && field::<u32>(self.0, offset).is_some_and(|flags| flags & COMPAT_MASK.load() != 0)
    }

    #[inline(always)]
    fn has_seccomp(self) -> bool {
        has_seccomp(self.0)
    }

    #[inline(always)]
    fn is_traced(self) -> bool {
        let offset = OFFSET_TASK_PTRACE.load();
        offset != UNKNOWN_OFFSET && field::<u32>(self.0, offset).is_some_and(|flags| flags != 0)
    }

    #[inline(always)]
    fn pid(self) -> u32 {
        bpf_get_current_pid_tgid() as u32
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }
}

/// Selects the hierarchy that user space chose. If both are counted, the v1 hierarchy is for tasks in the root of
/// cgroup2.
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
pub fn typed<T: Copy>(base: *const u8, offset: u64) -> T {
    // SAFETY: the verifier checks the offset against the pointer's BTF type, and rejects the program if no such field
    // is there. Reads through invalid BTF pointers give 0.
    unsafe { *base.add(offset as usize).cast::<T>() }
}

/// `cgroup->kn->id`.
#[inline(always)]
fn id_of(cgroup: *const u8) -> u64 {
    let kernfs_node: *const u8 = typed(cgroup, OFFSET_CGROUP_KN.load());
    typed(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

/// Returns the id of any task's cgroup, as [`Task::cgroup_id`], read through a helper.
#[inline(always)]
pub fn cgroup_of(task: *const u8) -> Option<u64> {
    let (cgroup, mark) = chosen_cgroup(task)?;
    Some(cgroup_node_id(cgroup)? | mark)
}

/// Returns the cgroup of any task in the hierarchy that [`choose`] selects, and the mark of its id.
#[inline(always)]
pub fn chosen_cgroup(task: *const u8) -> Option<(*const u8, u64)> {
    let css_set: *const u8 = field(task, OFFSET_TASK_CGROUPS.load())?;
    if COUNTS_CGROUP2.load() != 0 {
        let cgroup: *const u8 = field(css_set, OFFSET_CSS_SET_DFL_CGRP.load())?;
        if OFFSET_CSS_SET_CSS.load() == UNKNOWN_OFFSET || cgroup_node_id(cgroup) != Some(ROOT_CGROUP_ID) {
            return Some((cgroup, 0));
        }
    }
    let css: *const u8 = field(css_set, OFFSET_CSS_SET_CSS.load())?;
    Some((field(css, OFFSET_CSS_CGROUP.load())?, V1_CGROUP))
}

/// Whether any task has a seccomp filter, read through a helper.
#[inline(always)]
pub fn has_seccomp(task: *const u8) -> bool {
    field::<u32>(task, OFFSET_TASK_SECCOMP_MODE.load()).is_some_and(|mode| mode != 0)
}

#[inline(always)]
fn v1_id(task: *const u8) -> Option<u64> {
    let css_set: *const u8 = field(task, OFFSET_TASK_CGROUPS.load())?;
    let css: *const u8 = field(css_set, OFFSET_CSS_SET_CSS.load())?;
    cgroup_node_id(field(css, OFFSET_CSS_CGROUP.load())?)
}

/// `cgroup->kn->id`, read through a helper.
#[inline(always)]
pub fn cgroup_node_id(cgroup: *const u8) -> Option<u64> {
    let kernfs_node: *const u8 = field(cgroup, OFFSET_CGROUP_KN.load())?;
    field(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

/// A word of a classic tracepoint's record.
#[inline(always)]
pub fn word_of(ctx: &TracePointContext, offset: usize) -> i64 {
    // SAFETY: the verifier checks reads of the context against its size.
    unsafe { *ctx.as_ptr().cast::<u8>().add(offset).cast::<i64>() }
}

/// Reads one field through a helper.
#[inline(always)]
pub fn field<T: Copy>(base: *const u8, offset: u64) -> Option<T> {
    // SAFETY: the kernel checks the read. A failure is harmless.
    unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.ok()
}
