//! The process of a first call: its ids, its executable, its parent and the parent's executable. Sent with the first
//! call, because the process may end before user space can read `/proc`.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel_buf};
use syscallmon_common::{RawFirstCall, UNKNOWN_OFFSET};

use crate::{
    executable::write_names,
    globals::{
        OFFSET_PID_NAMESPACE_INUM, OFFSET_PID_NUMBERS, OFFSET_TASK_COMM, OFFSET_TASK_GROUP_LEADER, OFFSET_TASK_MM,
        OFFSET_TASK_REAL_PARENT, OFFSET_TASK_TGID, OFFSET_TASK_THREAD_PID, OFFSET_UPID_NR, OFFSET_UPID_NS,
        PID_NAMESPACE, SIZE_UPID,
    },
    task::{ProbeReadTask, Task, field},
};

/// Maximum levels of pid namespaces that are read. The kernel allows 32; hosts use two or three.
const MAX_LEVELS: u32 = 6;

/// Fills in the ids, the parent and the executables.
///
/// # Safety
///
/// Only the caller may access the record.
#[inline(always)]
pub unsafe fn write(record: *mut RawFirstCall) {
    // SAFETY: guaranteed by the caller.
    let record = unsafe { &mut *record };
    let pid_tgid = bpf_get_current_pid_tgid();
    (record.tgid, record.pid) = ((pid_tgid >> 32) as u32, pid_tgid as u32);
    (record.parent, record.parent_comm) = (0, [0; 16]);
    (record.exe.parts, record.parent_exe.parts) = (0, 0);
    if OFFSET_TASK_MM.load() == UNKNOWN_OFFSET {
        return;
    }
    let task = ProbeReadTask::current().address() as *const u8;
    if let Some(tid) = id(task) {
        record.pid = tid;
        record.tgid = process_id(task).unwrap_or(record.tgid);
    }
    if let Some(parent) = field::<*const u8>(task, OFFSET_TASK_REAL_PARENT.load()) {
        record.parent = process_id(parent).or_else(|| field(parent, OFFSET_TASK_TGID.load())).unwrap_or(0);
        let comm = parent.wrapping_add(OFFSET_TASK_COMM.load() as usize);
        // SAFETY: the kernel checks the read.
        let _ = unsafe { bpf_probe_read_kernel_buf(comm, &mut record.parent_comm) };
        let _ = write_names(parent, &mut record.parent_exe);
    }
    let _ = write_names(task, &mut record.exe);
}

/// Returns the process id of a task in the daemon's pid namespace, if that is not the initial one.
#[inline(always)]
fn process_id(task: *const u8) -> Option<u32> {
    if PID_NAMESPACE.load() == 0 { None } else { id(field(task, OFFSET_TASK_GROUP_LEADER.load())?) }
}

/// Returns the thread id of a task in the daemon's pid namespace.
#[inline(always)]
fn id(task: *const u8) -> Option<u32> {
    if PID_NAMESPACE.load() == 0 {
        return None;
    }
    let pid: *const u8 = field(task, OFFSET_TASK_THREAD_PID.load())?;
    for level in 0..MAX_LEVELS {
        if pid_namespace(pid, level)? == PID_NAMESPACE.load() {
            return field(number_of(pid, level), OFFSET_UPID_NR.load());
        }
    }
    None
}

/// Returns the pid namespace at a level of a `struct pid`.
#[inline(always)]
pub fn pid_namespace(pid: *const u8, level: u32) -> Option<u32> {
    let namespace: *const u8 = field(number_of(pid, level), OFFSET_UPID_NS.load())?;
    field(namespace, OFFSET_PID_NAMESPACE_INUM.load())
}

#[inline(always)]
fn number_of(pid: *const u8, level: u32) -> *const u8 {
    pid.wrapping_add((OFFSET_PID_NUMBERS.load() + u64::from(level) * SIZE_UPID.load()) as usize)
}
