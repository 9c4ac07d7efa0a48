//! Decides which processes can be a container runtime: privileged processes of the host, in another container or unit
//! than the cgroup that they fill.
//!
//! A process inside a container cannot be a runtime for that container, whatever it writes. This excludes processes in
//! the cgroup, above it, and beside it in the same container or unit. The names of cgroups show where a container or
//! unit begins, as in user space: `workload/cgroup_identity.rs`.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;

use crate::{
    globals::{
        CGROUP2_ROOT_ID, COUNTS_CGROUP2, OFFSET_CGROUP_KN, OFFSET_CGROUP_LEVEL, OFFSET_CGROUP_ROOT,
        OFFSET_CGROUP_ROOT_HIERARCHY_ID, OFFSET_CGROUP_SELF, OFFSET_CRED_CAP_EFFECTIVE, OFFSET_CRED_USER_NS,
        OFFSET_CSS_CGROUP, OFFSET_CSS_PARENT, OFFSET_CSS_SET_CSS, OFFSET_CSS_SET_DFL_CGRP, OFFSET_KERNFS_NODE_NAME,
        OFFSET_PID_LEVEL, OFFSET_TASK_CGROUPS, OFFSET_TASK_REAL_CRED, OFFSET_TASK_THREAD_PID,
        OFFSET_USER_NAMESPACE_LEVEL, OFFSET_USER_NAMESPACE_OWNER, PID_NAMESPACE, V1_HIERARCHY, V1_ROOT_ID,
    },
    origin::pid_namespace,
    task::{cgroup_node_id, field},
};

/// Maximum steps up from two cgroups to their common ancestor. Creators of deeper cgroups are not runtimes.
const MAX_STEPS: u32 = 20;

/// `CAP_SYS_ADMIN` of `include/uapi/linux/capability.h`: every runtime needs it.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Characters of a container's id, which is in the name of its cgroup.
const CONTAINER_ID_LEN: u64 = 64;

/// Maximum bytes of a cgroup's name that are read.
const NAME_LEN: usize = 128;

/// Whether a task may administer the host, and is in a pid namespace that belongs to no container.
#[inline(always)]
pub fn administers_host(task: *const u8) -> bool {
    in_host_pid_namespace(task) && has_host_privileges(task)
}

/// Whether a task may administer the host's user namespace, from any pid namespace.
#[inline(always)]
pub fn has_host_privileges(task: *const u8) -> bool {
    administered(task).is_some_and(|namespace| field(namespace, OFFSET_USER_NAMESPACE_LEVEL.load()) == Some(0_i32))
}

/// Whether a task is in a pid namespace that belongs to no container.
#[inline(always)]
fn in_host_pid_namespace(task: *const u8) -> bool {
    let Some(pid) = field::<*const u8>(task, OFFSET_TASK_THREAD_PID.load()) else { return false };
    match field::<u32>(pid, OFFSET_PID_LEVEL.load()) {
        Some(0) => true,
        Some(level) => PID_NAMESPACE.load() != 0 && pid_namespace(pid, level) == Some(PID_NAMESPACE.load()),
        None => false,
    }
}

/// Whether a task may administer the host, or a user namespace that root of the host created.
#[inline(always)]
pub fn administers_namespace_of_root(task: *const u8) -> bool {
    administered(task).is_some_and(|namespace| field(namespace, OFFSET_USER_NAMESPACE_OWNER.load()) == Some(0_u32))
}

/// Returns the user namespace that a task may administer.
#[inline(always)]
fn administered(task: *const u8) -> Option<*const u8> {
    let credentials: *const u8 = field(task, OFFSET_TASK_REAL_CRED.load())?;
    let effective: u64 = field(credentials, OFFSET_CRED_CAP_EFFECTIVE.load())?;
    if effective & CAP_SYS_ADMIN == 0 {
        return None;
    }
    field(credentials, OFFSET_CRED_USER_NS.load())
}

/// The kind of a cgroup by its name: a container, a unit, or neither.
const CONTAINER: u32 = 1;
const UNIT: u32 = 2;
const NEITHER: u32 = 0;

/// Whether a task is outside of a cgroup: neither in it, nor above it, nor in the same container or unit. The root
/// cgroup counts as above no cgroup. False for hierarchies that are not counted.
#[inline(always)]
pub fn is_outside(task: *const u8, cgroup: *const u8) -> bool {
    is_task_outside(task as u64, cgroup as u64) != 0
}

/// See [`is_outside`]. A global function, like [`kind_of_cgroup`]: the verifier checks each once, not for each path to
/// it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn is_task_outside(task: u64, cgroup: u64) -> u32 {
    u32::from(search_outside(task as *const u8, cgroup as *const u8))
}

#[inline(always)]
fn search_outside(task: *const u8, cgroup: *const u8) -> bool {
    let Some((own, root_id)) = own_cgroup(task, cgroup) else { return false };
    // All kinds below `target`. Not a `bool`: the verifier would follow both of its values through each step.
    let (mut target, mut mover, mut kinds) = (cgroup, own, kind_of_cgroup(0));
    for _ in 0..MAX_STEPS {
        let (Some(level), Some(mover_level)) = (level(target), level(mover)) else { return false };
        let is_common = target == mover;
        if is_common && (level == 0 || cgroup_node_id(target) == Some(root_id)) {
            return true;
        }
        if !is_common && level < mover_level {
            let Some(parent) = parent(mover) else { return false };
            mover = parent;
            continue;
        }
        let kind = kind_of_cgroup(target as u64);
        // A unit with a nested container, as with Quadlet, is outside of that container.
        if is_common && (target == own || kind == CONTAINER || kind == UNIT && kinds & CONTAINER == 0) {
            return false;
        }
        kinds |= kind;
        let Some(parent) = parent(target) else { return false };
        target = parent;
        if is_common {
            mover = parent;
        }
    }
    false
}

/// Returns the cgroup of a task in the hierarchy of another cgroup, and the id of that hierarchy's root as user space
/// sees it. In a nested cgroup namespace, that is not the host's root.
#[inline(always)]
fn own_cgroup(task: *const u8, cgroup: *const u8) -> Option<(*const u8, u64)> {
    let root: *const u8 = field(cgroup, OFFSET_CGROUP_ROOT.load())?;
    let hierarchy: i32 = field(root, OFFSET_CGROUP_ROOT_HIERARCHY_ID.load())?;
    let css_set: *const u8 = field(task, OFFSET_TASK_CGROUPS.load())?;
    if hierarchy == 0 && COUNTS_CGROUP2.load() != 0 {
        return Some((field(css_set, OFFSET_CSS_SET_DFL_CGRP.load())?, CGROUP2_ROOT_ID.load()));
    }
    if hierarchy == 0 || hierarchy != V1_HIERARCHY.load() {
        return None;
    }
    Some((field(field(css_set, OFFSET_CSS_SET_CSS.load())?, OFFSET_CSS_CGROUP.load())?, V1_ROOT_ID.load()))
}

#[inline(always)]
fn level(cgroup: *const u8) -> Option<i32> {
    field(cgroup, OFFSET_CGROUP_LEVEL.load())
}

#[inline(always)]
fn parent(cgroup: *const u8) -> Option<*const u8> {
    let css: u64 = field((cgroup as u64 + OFFSET_CGROUP_SELF.load()) as *const u8, OFFSET_CSS_PARENT.load())?;
    Some(css.wrapping_sub(OFFSET_CGROUP_SELF.load()) as *const u8)
}

/// Returns the kind of a cgroup by its name. A global function.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn kind_of_cgroup(cgroup: u64) -> u32 {
    let cgroup = cgroup as *const u8;
    let Some(node) = field::<*const u8>(cgroup, OFFSET_CGROUP_KN.load()) else { return NEITHER };
    let Some(name) = field::<*const u8>(node, OFFSET_KERNFS_NODE_NAME.load()) else { return NEITHER };
    let mut text = [0; NAME_LEN];
    // SAFETY: the kernel checks the read.
    let len = unsafe { bpf_probe_read_kernel_str_bytes(name, &mut text) }.map_or(0, <[u8]>::len) as u64;
    // The end of the name, as one word.
    let end: u64 = if len < 8 { 0 } else { field(name, len - 8).unwrap_or(0) };
    if end == u64::from_le_bytes(*b".service") {
        UNIT
    } else if len >= CONTAINER_ID_LEN || text[..4] == *b"lxc." {
        CONTAINER
    } else if end >> 16 == u64::from_le_bytes(*b".scope\0\0") {
        UNIT
    } else {
        NEITHER
    }
}
