//! Which calls a container's runtime makes in the container's cgroup, before the container's program begins.
//!
//! Runtimes put a process of theirs into the cgroup, which mounts, unshares, changes its root and what not, and then becomes the
//! container's program by an exec; the same again for each command that somebody has run in the container. Those calls are
//! counted, but they are not the container's: they would look like an attack.
//!
//! A process is taken for a runtime's when another one puts it into the cgroup from outside, and its children are, too, until
//! they exec. Nothing inside a container can do that: who puts it there must be neither in the cgroup nor above it, as those are who
//! sort themselves into cgroups of their own; and in the daemon's pid namespace or the initial one, which is not a container's.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
};
use syscallmon_common::{SETUP_NS, SettingUp, UNKNOWN_OFFSET};

use crate::{
    globals::{
        COUNTS_CGROUP2, OFFSET_BPRM_FDPATH, OFFSET_BPRM_FILENAME, OFFSET_CGROUP_ROOT, OFFSET_CGROUP_ROOT_HIERARCHY_ID,
        OFFSET_CGROUP_SELF, OFFSET_CSS_CGROUP, OFFSET_CSS_PARENT, OFFSET_CSS_SET_CSS, OFFSET_CSS_SET_DFL_CGRP,
        OFFSET_NSPROXY_MNT_NS, OFFSET_PID_LEVEL, OFFSET_TASK_CGROUPS, OFFSET_TASK_NSPROXY, OFFSET_TASK_REAL_PARENT,
        OFFSET_TASK_TGID, OFFSET_TASK_THREAD_PID, PID_NAMESPACE, V1_HIERARCHY,
    },
    maps::SETTING_UP,
    origin::pid_namespace,
    task::{Plain, Task, field},
};

/// Levels of cgroups that are looked at; who makes more does not set up containers.
const MOST_LEVELS: u32 = 32;

/// What the path of a runtime's own copy begins with: `/proc/self/exe`, `/proc/self/fd/6`.
const OWN_COPY: [u8; 11] = *b"/proc/self/";

/// Whether the current process sets a container up.
#[inline(always)]
pub fn is_under_way() -> bool {
    sets_up((bpf_get_current_pid_tgid() >> 32) as u32)
}

#[inline(always)]
fn sets_up(tgid: u32) -> bool {
    // SAFETY: a copy of the value; whoever changes it meanwhile writes another process', as the table is full.
    let until = unsafe { SETTING_UP.get(tgid) }.map(|entry| entry.until_ns);
    // SAFETY: the helper takes nothing.
    until.is_some_and(|until| until > unsafe { bpf_ktime_get_ns() })
}

/// Notes that the current process has put another one into a cgroup.
#[inline(always)]
pub fn moved(cgroup: *const u8, task: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    let is_another = (bpf_get_current_pid_tgid() >> 32) as u32 != tgid;
    if is_another && from_outside(cgroup) {
        begins(tgid, task);
    }
}

/// Notes that the current process has made another one, perhaps in another cgroup at once (`CLONE_INTO_CGROUP`).
#[inline(always)]
pub fn forked(parent: *const u8, child: *const u8) {
    let tgid = |task| field::<u32>(task, OFFSET_TASK_TGID.load());
    let (Some(old), Some(new)) = (tgid(parent), tgid(child)) else { return };
    if old == new {
        return;
    }
    // SAFETY: a copy of the value, as above.
    if let Some(entry) = unsafe { SETTING_UP.get(old) }.copied() {
        let _ = SETTING_UP.insert(new, entry, BPF_ANY.into());
        return;
    }
    let css_set = |task| field::<*const u8>(task, OFFSET_TASK_CGROUPS.load());
    if let (Some(old), Some(of_child)) = (css_set(parent), css_set(child))
        && old != of_child
        && COUNTS_CGROUP2.load() != 0
        && field(of_child, OFFSET_CSS_SET_DFL_CGRP.load()).is_some_and(from_outside)
    {
        begins(new, child);
        return;
    }
    // The id may have been another's, which was killed.
    // SAFETY: only whether it is there.
    if unsafe { SETTING_UP.get(new) }.is_some() {
        let _ = SETTING_UP.remove(new);
    }
}

/// Notes that the current process runs another program now: the container's, unless the runtime has run itself once more from a copy of its own,
/// which it does by descriptor and before it leaves its mount namespace, or runs a hook to set the container up.
#[inline(always)]
pub fn executed(task: *const u8, program: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    // SAFETY: a copy of the value, as above.
    let Some(entry) = unsafe { SETTING_UP.get(tgid) }.copied() else { return };
    let is_copy = is_own_copy(program) && mount_namespace(task) == Some(entry.mount_namespace);
    if !is_copy && !is_hook(task) {
        let _ = SETTING_UP.remove(tgid);
    }
}

/// Whether a program is run by a descriptor, in either way to say so.
#[inline(always)]
fn is_own_copy(program: *const u8) -> bool {
    let by_descriptor = OFFSET_BPRM_FDPATH.load() != UNKNOWN_OFFSET
        && field::<u64>(program, OFFSET_BPRM_FDPATH.load()).is_some_and(|path| path != 0);
    let name: Option<*const u8> = field(program, OFFSET_BPRM_FILENAME.load());
    by_descriptor || name.and_then(|name| field::<[u8; OWN_COPY.len()]>(name, 0)) == Some(OWN_COPY)
}

/// Whether who runs the program is the child of somebody who sets the container up, in the same cgroups: the container's own program is the child
/// of a runtime outside.
#[inline(always)]
fn is_hook(task: *const u8) -> bool {
    let Some(parent) = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load()) else { return false };
    let css_set = |task| field::<u64>(task, OFFSET_TASK_CGROUPS.load());
    css_set(parent) == css_set(task) && field(parent, OFFSET_TASK_TGID.load()).is_some_and(sets_up)
}

#[inline(always)]
fn begins(tgid: u32, task: *const u8) {
    let Some(mount_namespace) = mount_namespace(task) else { return };
    // SAFETY: the helper takes nothing.
    let until_ns = unsafe { bpf_ktime_get_ns() } + SETUP_NS;
    let _ = SETTING_UP.insert(tgid, SettingUp { mount_namespace, until_ns }, BPF_ANY.into());
}

#[inline(always)]
fn mount_namespace(task: *const u8) -> Option<u64> {
    let namespaces: *const u8 = field(task, OFFSET_TASK_NSPROXY.load())?;
    field(namespaces, OFFSET_NSPROXY_MNT_NS.load())
}

/// Whether the current task is in a pid namespace that is no container's.
#[inline(always)]
fn is_host_s() -> bool {
    let task = Plain::current().address() as *const u8;
    let Some(pid) = field::<*const u8>(task, OFFSET_TASK_THREAD_PID.load()) else { return false };
    match field::<u32>(pid, OFFSET_PID_LEVEL.load()) {
        Some(0) => true,
        Some(level) => PID_NAMESPACE.load() != 0 && pid_namespace(pid, level) == Some(PID_NAMESPACE.load()),
        None => false,
    }
}

/// Whether the current task is of the host, and neither in a cgroup nor above it; the root is above nobody. Of hierarchies that nobody
/// counts by: no.
#[inline(always)]
fn from_outside(cgroup: *const u8) -> bool {
    if !is_host_s() {
        return false;
    }
    let root: Option<*const u8> = field(cgroup, OFFSET_CGROUP_ROOT.load());
    let hierarchy: Option<i32> = root.and_then(|root| field(root, OFFSET_CGROUP_ROOT_HIERARCHY_ID.load()));
    let own = match hierarchy {
        Some(0) if COUNTS_CGROUP2.load() != 0 => own_cgroup2(),
        Some(number) if number == V1_HIERARCHY.load() => own_v1(),
        _ => None,
    };
    let Some(own) = own else { return false };
    let (own, mut css) = (own as u64 + OFFSET_CGROUP_SELF.load(), cgroup as u64 + OFFSET_CGROUP_SELF.load());
    for _ in 0..MOST_LEVELS {
        match field::<u64>(css as *const u8, OFFSET_CSS_PARENT.load()) {
            // The root.
            Some(0) => return true,
            Some(_) if css == own => return false,
            Some(parent) => css = parent,
            None => return false,
        }
    }
    false
}

#[inline(always)]
fn own_cgroup2() -> Option<*const u8> {
    field(own_css_set()?, OFFSET_CSS_SET_DFL_CGRP.load())
}

#[inline(always)]
fn own_v1() -> Option<*const u8> {
    field(field(own_css_set()?, OFFSET_CSS_SET_CSS.load())?, OFFSET_CSS_CGROUP.load())
}

#[inline(always)]
fn own_css_set() -> Option<*const u8> {
    field(Plain::current().address() as *const u8, OFFSET_TASK_CGROUPS.load())
}
