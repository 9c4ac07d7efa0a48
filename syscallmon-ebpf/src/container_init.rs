//! Finds calls that a container runtime makes in the container's cgroup before the container's program begins.
//!
//! A runtime places a process into the cgroup. The process mounts, unshares, changes its root, and then executes the
//! container's program. The same happens for each command that is run in the container later. These calls are counted,
//! but they are not the container's: they would look like an attack.
//!
//! A process is in container init when a runtime places it into the cgroup while it still runs the runtime's own
//! program (see [`crate::runtime`] for possible runtimes), or when its child enters the cgroup itself. Its children are
//! too, until they execute a program. What real runtimes do (runc 1.1.5, 1.1.15 and 1.3.6, crun 1.21 and 1.28):
//!
//! - runc 1.1 starts `/proc/self/exe init` outside and moves it in. That process executes itself again, from a bind
//!   mount of the same file or from a sealed memfd of the same length. runc 1.2 and later seal the file first (an
//!   overlay that is mounted nowhere, or a memfd), start `/proc/self/fd/N init` from it, and move that in. For `exec`,
//!   the process is in the container's namespaces before the move.
//! - crun seals itself first, and then clones in new namespaces, directly into the cgroup or followed by a move.
//! - With the systemd cgroup driver, systemd moves the process, which is a child of the runtime.
//! - youki 0.7 forks, and its child moves itself and clones once more.
//! - systemd itself clones into the cgroup of a unit, or moves its child there. From version 255 on, the child executes
//!   `systemd-executor`, which prepares the unit (mounts, namespaces, filters) and executes the unit's program.
//!
//! The daemon's own calls are excluded in the same way, wherever it runs. They are not calls of the daemon's container.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
};
use syscallmon_common::{CONTAINER_INIT_ENDED, CONTAINER_INIT_TIMEOUT_NS, ContainerInit, MAX_CONTAINER_INIT_COPIES};

use crate::{
    executable::{self, Identity},
    globals::{
        COUNTS_CGROUP2, OFFSET_CSS_SET_DFL_CGRP, OFFSET_NSPROXY_MNT_NS, OFFSET_TASK_CGROUPS, OFFSET_TASK_GROUP_LEADER,
        OFFSET_TASK_NSPROXY, OFFSET_TASK_REAL_PARENT, OFFSET_TASK_START_TIME, OFFSET_TASK_TGID,
    },
    maps::{CONTAINER_INIT, DAEMON},
    runtime::{administers_host, administers_namespace_of_root, is_outside},
    task::{ProbeReadTask, Task, chosen_cgroup, field},
};

/// Whether the current process is in container init, or is the daemon.
#[inline(always)]
pub fn in_runtime_init() -> bool {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    DAEMON.get(0) == Some(&tgid) || entry_of(tgid).map_or_else(is_being_moved, is_live)
}

/// Whether a runtime is moving its child, the current process, into this cgroup. The kernel reports a move only after
/// it (`cgroup_attach_task` in `kernel/cgroup/cgroup.c`). Meanwhile, threads of the process make calls on other CPUs.
#[inline(always)]
fn is_being_moved() -> bool {
    is_like_moved_by_parent(ProbeReadTask::current().address()) != 0
}

/// Whether a process could be one that its parent, a runtime, has just moved into its cgroup. A global function: the
/// verifier checks it once for each program, not for each path to it.
#[cold]
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn is_like_moved_by_parent(task: u64) -> u32 {
    let task = task as *const u8;
    if !is_young(task) || !administers_namespace_of_root(task) {
        return 0;
    }
    let Some(parent) = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load()) else { return 0 };
    let Some((cgroup, _)) = chosen_cgroup(task) else { return 0 };
    u32::from(administers_host(parent) && runs_program_of(task, parent) && is_outside(parent, cgroup))
}

/// Whether a process could still be in container init. Otherwise, a process whose move nobody saw would be in it for
/// ever.
#[inline(always)]
fn is_young(task: *const u8) -> bool {
    let Some(leader) = field::<*const u8>(task, OFFSET_TASK_GROUP_LEADER.load()) else { return false };
    let Some(start_ns) = field::<u64>(leader, OFFSET_TASK_START_TIME.load()) else { return false };
    // SAFETY: the helper takes nothing.
    start_ns + CONTAINER_INIT_TIMEOUT_NS > unsafe { bpf_ktime_get_ns() }
}

/// Notes that the current process is the daemon.
#[inline(always)]
pub fn current_is_daemon() {
    let _ = DAEMON.set(0, (bpf_get_current_pid_tgid() >> 32) as u32, 0);
}

/// Returns the entry of a process that is or was in container init.
#[inline(always)]
fn entry_of(tgid: u32) -> Option<ContainerInit> {
    // SAFETY: copies the value. A concurrent change comes only from another process that reuses the entry of a full
    // table.
    unsafe { CONTAINER_INIT.get(tgid) }.copied()
}

/// Whether an entry's process is in container init.
#[inline(always)]
fn is_live(entry: ContainerInit) -> bool {
    // SAFETY: the helper takes nothing.
    entry.until_ns > unsafe { bpf_ktime_get_ns() }
}

/// Notes that the current process has moved one, possibly itself, into a cgroup.
#[inline(always)]
pub fn moved(cgroup: *const u8, task: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    // Only the first move counts, so later moves do not extend the timeout.
    if entry_of(tgid).is_some() || !administers_namespace_of_root(task) {
        return;
    }
    let mover = ProbeReadTask::current().address() as *const u8;
    let parent = field(task, OFFSET_TASK_REAL_PARENT.load()).unwrap_or(mover);
    if DAEMON.get(0).is_some_and(|daemon| field::<u32>(parent, OFFSET_TASK_TGID.load()) == Some(*daemon)) {
        // The child of `syscallmon record`, before it executes the command.
        ended(tgid);
        return;
    }
    // systemd moves the runtime's child, and youki's child moves itself.
    let is_mover = (bpf_get_current_pid_tgid() >> 32) as u32 == tgid;
    let runs_mover = !is_mover && runs_program_of(task, mover);
    let runtime = if runs_mover { mover } else { parent };
    if administers_host(mover)
        && (runs_mover || administers_host(runtime) && runs_program_of(task, runtime))
        && is_outside(runtime, cgroup)
    {
        begins(tgid, runtime);
    } else if is_like_moved_by_parent(task as u64) != 0 {
        // Such as a child that a process in a container has moved.
        ended(tgid);
    }
}

/// Notes that the current process has created another one, possibly in another cgroup (`CLONE_INTO_CGROUP`).
#[inline(always)]
pub fn forked(parent: *const u8, child: *const u8) {
    let tgid = |task| field::<u32>(task, OFFSET_TASK_TGID.load());
    let (Some(old), Some(new)) = (tgid(parent), tgid(child)) else { return };
    if old == new {
        return;
    }
    if DAEMON.get(0) == Some(&new) {
        // The daemon has ended, and its id belongs to another process now. In pinned mode, the programs go on.
        let _ = DAEMON.set(0, 0, 0);
    }
    if let Some(entry) = entry_of(old)
        && entry.until_ns != CONTAINER_INIT_ENDED
    {
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
    // The id may have belonged to another process.
    if entry_of(new).is_some() {
        let _ = CONTAINER_INIT.remove(new);
    }
}

/// Notes that the current process executes a program. The program is the container's, unless it is the runtime's or a
/// hook. The entry of a container's program stays, because that program could be the runtime's file, and must not begin
/// container init again.
#[inline(always)]
pub fn executed(task: *const u8) {
    let Some(tgid) = field::<u32>(task, OFFSET_TASK_TGID.load()) else { return };
    let Some(entry) = entry_of(tgid) else { return };
    if runs_runtime_again(task, &entry) {
        let entry = ContainerInit { copies_left: entry.copies_left - 1, ..entry };
        let _ = CONTAINER_INIT.insert(tgid, entry, BPF_ANY.into());
    } else if !is_hook(task, &entry) {
        ended(tgid);
    }
}

/// Whether a process runs the runtime once more: a copy of it, or systemd's executor. This requires the runtime's mount
/// namespace, because in the container's own, `/proc/self/exe` can lead to the same file. It also requires privileges:
/// a user's own systemd (`user@UID.service`) is the unit's program, and the user's to control.
#[inline(always)]
fn runs_runtime_again(task: *const u8, entry: &ContainerInit) -> bool {
    let original = Identity { inode: entry.exe_inode, len: entry.exe_len };
    entry.copies_left > 0
        && mount_namespace(task) == Some(entry.mount_namespace)
        && administers_namespace_of_root(task)
        && executable::of(task).is_some_and(|file| {
            executable::is_copy(file, original, entry.mount_namespace) || is_executor_of_parent(task, file, original)
        })
}

/// Whether the executable of a task is the executor of the systemd that started it.
#[inline(always)]
fn is_executor_of_parent(task: *const u8, file: *const u8, systemd: Identity) -> bool {
    let parent = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load());
    parent.and_then(executable::of).is_some_and(|of_parent| {
        executable::identity(of_parent).is_some_and(|identity| identity.inode == systemd.inode)
            && executable::is_executor_beside(file, of_parent)
    })
}

/// Whether a process is a hook: a child of a process in container init, in the same cgroups and in the container's
/// mount namespace. The container's own program is the child of a runtime outside.
#[inline(always)]
fn is_hook(task: *const u8, entry: &ContainerInit) -> bool {
    let Some(parent) = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load()) else { return false };
    let css_set = |task| field::<u64>(task, OFFSET_TASK_CGROUPS.load());
    css_set(parent) == css_set(task)
        && mount_namespace(task).is_some_and(|own| own != entry.mount_namespace)
        && field(parent, OFFSET_TASK_TGID.load()).is_some_and(|tgid| entry_of(tgid).is_some_and(is_live))
}

/// Whether a task runs the executable of a runtime, a copy of it, or its executor.
#[inline(always)]
fn runs_program_of(task: *const u8, runtime: *const u8) -> bool {
    let (Some(file), Some(original), Some(namespace)) =
        (executable::of(task), executable::of(runtime), mount_namespace(runtime))
    else {
        return false;
    };
    executable::identity(original).is_some_and(|identity| executable::is_copy(file, identity, namespace))
        || executable::is_executor_beside(file, original)
}

/// Notes that a process begins container init for that runtime.
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

/// Notes that a process is not in container init, and never will be.
#[inline(always)]
fn ended(tgid: u32) {
    let entry = ContainerInit {
        mount_namespace: 0,
        exe_inode: 0,
        exe_len: 0,
        until_ns: CONTAINER_INIT_ENDED,
        copies_left: 0,
        padding: 0,
    };
    let _ = CONTAINER_INIT.insert(tgid, entry, BPF_ANY.into());
}

#[inline(always)]
fn mount_namespace(task: *const u8) -> Option<u64> {
    let namespaces: *const u8 = field(task, OFFSET_TASK_NSPROXY.load())?;
    field(namespaces, OFFSET_NSPROXY_MNT_NS.load())
}
