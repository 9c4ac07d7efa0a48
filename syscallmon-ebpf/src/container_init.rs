//! Which calls a container's runtime makes in the container's cgroup, before the container's program begins.
//!
//! Runtimes put a process of theirs into the cgroup, which mounts, unshares, changes its root and what not, and then becomes the
//! container's program by an exec; the same again for each command that somebody has run in the container. Those calls are
//! counted, but they are not the container's: they would look like an attack.
//!
//! A process is taken for a runtime's when a runtime puts it into the cgroup (see [`crate::outside`] for who can be one) while it still runs the
//! runtime's own program; and its children are, too, until they exec. What runtimes do (runc 1.1.5, 1.1.15 and 1.3.6, crun 1.21 and 1.28):
//!
//! - runc 1.1 starts `/proc/self/exe init` outside, moves it in, and that runs itself once more from a bind mount of the same file, or from a
//!   sealed memfd of the same length. runc 1.2 and later seal the file before (an overlay that is mounted nowhere, or a memfd), start
//!   `/proc/self/fd/N init` from it, and move that in. For `exec`, the process is in the container's namespaces before it is moved.
//! - crun seals itself before all else, and then clones, in new namespaces at once, into the cgroup or to be moved there.
//! - With systemd's cgroups, it is systemd that moves the process, which is a child of the runtime.
//!
//! The calls of the daemon itself are its own in the same way, wherever it runs: not those of the container that it is in.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
};
use syscallmon_common::{CONTAINER_INIT_TIMEOUT_NS, ContainerInit, MAX_CONTAINER_INIT_COPIES};

use crate::{
    executable::{self, Identity},
    globals::{
        COUNTS_CGROUP2, OFFSET_CSS_SET_DFL_CGRP, OFFSET_NSPROXY_MNT_NS, OFFSET_TASK_CGROUPS, OFFSET_TASK_NSPROXY,
        OFFSET_TASK_REAL_PARENT, OFFSET_TASK_TGID,
    },
    maps::{CONTAINER_INIT, DAEMON},
    outside::{administers_host, administers_root_s, is_outside},
    task::{ProbeReadTask, Task, field},
};

/// Whether the current process sets a container up, or is the daemon.
#[inline(always)]
pub fn in_runtime_init() -> bool {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    DAEMON.get(0) == Some(&tgid) || marked(tgid).is_some()
}

/// Notes that the current process is the daemon.
#[inline(always)]
pub fn current_is_daemon() {
    let _ = DAEMON.set(0, (bpf_get_current_pid_tgid() >> 32) as u32, 0);
}

/// The entry of a process that sets a container up now.
#[inline(always)]
fn marked(tgid: u32) -> Option<ContainerInit> {
    // SAFETY: a copy of the value; whoever changes it meanwhile writes another process', as the table is full.
    let entry = unsafe { CONTAINER_INIT.get(tgid) }.copied()?;
    // SAFETY: the helper takes nothing.
    (entry.until_ns > unsafe { bpf_ktime_get_ns() }).then_some(entry)
}

/// Notes that the current process has put another one into a cgroup.
#[inline(always)]
pub fn moved(cgroup: *const u8, task: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    // Once only, however often it is moved: the time that a process has is not renewed.
    // SAFETY: only whether it is there.
    let is_known = unsafe { CONTAINER_INIT.get(tgid) }.is_some();
    if is_known || (bpf_get_current_pid_tgid() >> 32) as u32 == tgid || !administers_root_s(task) {
        return;
    }
    let mover = ProbeReadTask::current().address() as *const u8;
    // systemd moves what the runtime has made.
    let (is_mover_s, parent) = (runs_copy_of(task, mover), field(task, OFFSET_TASK_REAL_PARENT.load()));
    let runtime = if is_mover_s { mover } else { parent.unwrap_or(mover) };
    if administers_host(mover)
        && (is_mover_s || administers_host(runtime) && runs_copy_of(task, runtime))
        && is_outside(runtime, cgroup)
    {
        begins(tgid, runtime);
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
    if let Some(entry) = unsafe { CONTAINER_INIT.get(old) }.copied() {
        let _ = CONTAINER_INIT.insert(new, entry, BPF_ANY.into());
        return;
    }
    let css_set = |task| field::<*const u8>(task, OFFSET_TASK_CGROUPS.load());
    if let (Some(old), Some(of_child)) = (css_set(parent), css_set(child))
        && old != of_child
        && COUNTS_CGROUP2.load() != 0
        && field(of_child, OFFSET_CSS_SET_DFL_CGRP.load())
            .is_some_and(|cgroup| administers_host(parent) && is_outside(parent, cgroup))
    {
        begins(new, parent);
        return;
    }
    // The id may have been another's, which was killed.
    // SAFETY: only whether it is there.
    if unsafe { CONTAINER_INIT.get(new) }.is_some() {
        let _ = CONTAINER_INIT.remove(new);
    }
}

/// Notes that the current process runs another program now: the container's, unless it is a copy of the runtime, or a hook that sets the container
/// up.
#[inline(always)]
pub fn executed(task: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    // SAFETY: a copy of the value, as above.
    let Some(entry) = unsafe { CONTAINER_INIT.get(tgid) }.copied() else { return };
    if is_own_copy(task, &entry) {
        let entry = ContainerInit { copies_left: entry.copies_left - 1, ..entry };
        let _ = CONTAINER_INIT.insert(tgid, entry, BPF_ANY.into());
    } else if !is_hook(task, &entry) {
        let _ = CONTAINER_INIT.remove(tgid);
    }
}

/// Whether what a process runs is the runtime once more. It is so only while the process is still in the runtime's mount namespace: a container's own
/// can lead to the same file (`/proc/self/exe`).
#[inline(always)]
fn is_own_copy(task: *const u8, entry: &ContainerInit) -> bool {
    let original = Identity { inode: entry.exe_inode, len: entry.exe_len };
    entry.copies_left > 0
        && mount_namespace(task) == Some(entry.mount_namespace)
        && executable::of(task).is_some_and(|file| executable::is_copy(file, original, entry.mount_namespace))
}

/// Whether who runs the program is the child of somebody who sets the container up, in the same cgroups and in the container's mount namespace: the
/// container's own program is the child of a runtime outside.
#[inline(always)]
fn is_hook(task: *const u8, entry: &ContainerInit) -> bool {
    let Some(parent) = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load()) else { return false };
    let css_set = |task| field::<u64>(task, OFFSET_TASK_CGROUPS.load());
    css_set(parent) == css_set(task)
        && mount_namespace(task).is_some_and(|own| own != entry.mount_namespace)
        && field(parent, OFFSET_TASK_TGID.load()).is_some_and(|tgid| marked(tgid).is_some())
}

/// Whether a task runs the executable of another one, or a copy of it.
#[inline(always)]
fn runs_copy_of(task: *const u8, runtime: *const u8) -> bool {
    let original = executable::of(runtime).and_then(executable::identity);
    let (Some(file), Some(original), Some(namespace)) = (executable::of(task), original, mount_namespace(runtime))
    else {
        return false;
    };
    executable::is_copy(file, original, namespace)
}

/// Notes that a process sets a container up, for that runtime.
#[inline(always)]
fn begins(tgid: u32, runtime: *const u8) {
    let Some(mount_namespace) = mount_namespace(runtime) else { return };
    let Some(Identity { inode, len }) = executable::of(runtime).and_then(executable::identity) else { return };
    // SAFETY: the helper takes nothing.
    let until_ns = unsafe { bpf_ktime_get_ns() } + CONTAINER_INIT_TIMEOUT_NS;
    let entry = ContainerInit {
        mount_namespace,
        exe_inode: inode,
        exe_len: len,
        until_ns,
        copies_left: MAX_CONTAINER_INIT_COPIES,
        padding: 0,
    };
    let _ = CONTAINER_INIT.insert(tgid, entry, BPF_ANY.into());
}

#[inline(always)]
fn mount_namespace(task: *const u8) -> Option<u64> {
    let namespaces: *const u8 = field(task, OFFSET_TASK_NSPROXY.load())?;
    field(namespaces, OFFSET_NSPROXY_MNT_NS.load())
}
