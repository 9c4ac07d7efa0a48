//! Where a cgroup is in its hierarchy: its parent, and the attribution root that it is nested in.
//!
//! A container may make any number of cgroups inside its own. They share the container's slot: user space lists the cgroups that
//! are a container's own in [`ATTRIBUTION_ROOTS`], and the slow path looks for one among the ancestors. The search goes from the top,
//! since the outermost container counts, and since no workload decides how deep its own cgroup is.

use syscallmon_common::{ROOT_LEVELS, ROOT_OF_ALL, UNKNOWN_OFFSET, V1_CGROUP};

use crate::{
    globals::{
        OFFSET_CGROUP_ANCESTOR_IDS, OFFSET_CGROUP_ANCESTORS, OFFSET_CGROUP_LEVEL, OFFSET_CSS_CGROUP,
        OFFSET_CSS_SET_CSS, OFFSET_CSS_SET_DFL_CGRP, OFFSET_TASK_CGROUPS,
    },
    maps::ATTRIBUTION_ROOTS,
    task::{ProbeReadTask, Task, cgroup_node_id, field},
};

/// The cgroup that calls of the current task's cgroup are attributed to: an attribution root, or the cgroup itself. A global function: the
/// verifier checks it once for each program, and not for each way that leads here.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn attributed_to(cgroup_id: u64) -> u64 {
    if OFFSET_CGROUP_LEVEL.load() == UNKNOWN_OFFSET {
        return cgroup_id;
    }
    let mark = cgroup_id & V1_CGROUP;
    let Some(cgroup) = own_cgroup(mark != 0) else { return cgroup_id };
    // Not where somebody else's call is counted, or the task was moved just now.
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
        // SAFETY: a copy of the value, which is one word.
        match unsafe { ATTRIBUTION_ROOTS.get(id) }.copied() {
            Some(ROOT_OF_ALL) => return id,
            Some(_) => owner = id,
            None => {}
        }
    }
    owner
}

/// The id of the cgroup that one was made in; 0 where that cannot be known.
#[inline(always)]
pub fn parent(cgroup: *const u8) -> u64 {
    if OFFSET_CGROUP_LEVEL.load() == UNKNOWN_OFFSET {
        return 0;
    }
    level(cgroup).checked_sub(1).and_then(|above| ancestor(cgroup, above)).unwrap_or(0)
}

/// How far a cgroup is below the root of its hierarchy.
#[inline(always)]
fn level(cgroup: *const u8) -> u32 {
    field(cgroup, OFFSET_CGROUP_LEVEL.load()).unwrap_or(0)
}

/// The id of the ancestor at a level, which must not be below the cgroup's own.
#[inline(always)]
fn ancestor(cgroup: *const u8, level: u32) -> Option<u64> {
    let index = u64::from(level) * size_of::<u64>() as u64;
    if OFFSET_CGROUP_ANCESTOR_IDS.load() != UNKNOWN_OFFSET {
        return field(cgroup, OFFSET_CGROUP_ANCESTOR_IDS.load() + index);
    }
    cgroup_node_id(field(cgroup, OFFSET_CGROUP_ANCESTORS.load() + index)?)
}

/// The current task's cgroup, in the v1 hierarchy or in cgroup2's.
#[inline(always)]
fn own_cgroup(is_v1: bool) -> Option<*const u8> {
    let css_set: *const u8 = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_CGROUPS.load())?;
    if !is_v1 {
        return field(css_set, OFFSET_CSS_SET_DFL_CGRP.load());
    }
    let css: *const u8 = field(css_set, OFFSET_CSS_SET_CSS.load())?;
    field(css, OFFSET_CSS_CGROUP.load())
}
