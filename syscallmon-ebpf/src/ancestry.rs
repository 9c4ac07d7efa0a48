//! The position of a cgroup in its hierarchy: its parent, and the attribution root above it.
//!
//! A container may create any number of nested cgroups. They share the container's slot: user space lists container
//! cgroups in [`ATTRIBUTION_ROOTS`], and the slow path searches the ancestors for one. The search starts at the top,
//! because the outermost container counts and because a workload must not decide the result by nesting its cgroup
//! deeper.

use syscallmon_common::{ROOT_LEVELS, ROOT_OF_ALL, UNKNOWN_OFFSET, V1_CGROUP};

use crate::{
    globals::{
        OFFSET_CGROUP_ANCESTOR_IDS, OFFSET_CGROUP_ANCESTORS, OFFSET_CGROUP_LEVEL, OFFSET_CSS_CGROUP,
        OFFSET_CSS_SET_CSS, OFFSET_CSS_SET_DFL_CGRP, OFFSET_TASK_CGROUPS,
    },
    maps::ATTRIBUTION_ROOTS,
    task::{ProbeReadTask, Task, cgroup_node_id, field},
};

/// Returns the cgroup that the current task's calls are attributed to: an attribution root, or the cgroup itself. A
/// global function: the verifier checks it once for each program, not for each path to it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn attributed_to(cgroup_id: u64) -> u64 {
    if OFFSET_CGROUP_LEVEL.load() == UNKNOWN_OFFSET {
        return cgroup_id;
    }
    let mark = cgroup_id & V1_CGROUP;
    let Some(cgroup) = own_cgroup(mark != 0) else { return cgroup_id };
    // The call may belong to another task, or the task was just moved.
    if cgroup_node_id(cgroup) != Some(cgroup_id & !V1_CGROUP) {
        return cgroup_id;
    }
    let level = level(cgroup);
    let mut owner = cgroup_id;
    for above in 1..ROOT_LEVELS {
        if above > level {
            break;
        }
        let Some(id) = ancestor(cgroup, above) else { break };
        let id = id | mark;
        // SAFETY: copies the value, which is one word.
        match unsafe { ATTRIBUTION_ROOTS.get(id) }.copied() {
            Some(ROOT_OF_ALL) => return id,
            Some(_) => owner = id,
            None => {}
        }
    }
    owner
}

/// Returns the id of a cgroup's parent; 0 if unknown.
#[inline(always)]
pub fn parent(cgroup: *const u8) -> u64 {
    if OFFSET_CGROUP_LEVEL.load() == UNKNOWN_OFFSET {
        return 0;
    }
    level(cgroup).checked_sub(1).and_then(|above| ancestor(cgroup, above)).unwrap_or(0)
}

/// Returns the distance of a cgroup from the root of its hierarchy.
#[inline(always)]
fn level(cgroup: *const u8) -> u32 {
    field(cgroup, OFFSET_CGROUP_LEVEL.load()).unwrap_or(0)
}

/// Returns the id of the ancestor at a level. The level must not be below the cgroup's own.
#[inline(always)]
fn ancestor(cgroup: *const u8, level: u32) -> Option<u64> {
    let index = u64::from(level) * size_of::<u64>() as u64;
    if OFFSET_CGROUP_ANCESTOR_IDS.load() != UNKNOWN_OFFSET {
        return field(cgroup, OFFSET_CGROUP_ANCESTOR_IDS.load() + index);
    }
    cgroup_node_id(field(cgroup, OFFSET_CGROUP_ANCESTORS.load() + index)?)
}

/// Returns the current task's cgroup in the v1 hierarchy or in cgroup2.
#[inline(always)]
fn own_cgroup(is_v1: bool) -> Option<*const u8> {
    let css_set: *const u8 = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_CGROUPS.load())?;
    if !is_v1 {
        return field(css_set, OFFSET_CSS_SET_DFL_CGRP.load());
    }
    let css: *const u8 = field(css_set, OFFSET_CSS_SET_CSS.load())?;
    field(css, OFFSET_CSS_CGROUP.load())
}
