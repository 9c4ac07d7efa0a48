//! Read-only globals that user space sets before it loads the programs.
//!
//! The map behind them is frozen, so the verifier treats each value as a constant: offsets read from
//! the kernel's BTF cost as little as compiled ones, and branches on them vanish.

use core::ptr::read_volatile;

use aya_ebpf::Global;
use syscallmon_common::{POSITION_TABLE_LEN, UNKNOWN_OFFSET};

/// `offsetof(struct task_struct, cgroups)`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_CGROUPS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct css_set, dfl_cgrp)`.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_SET_DFL_CGRP: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, kn)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_KN: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, root)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ROOT: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup_root, hierarchy_id)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ROOT_HIERARCHY_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct kernfs_node, id)`.
#[unsafe(no_mangle)]
pub static OFFSET_KERNFS_NODE_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, level)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_LEVEL: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, ancestors)`: pointers to cgroups, from the root down (Linux 6.1).
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ANCESTORS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, ancestor_ids)`: ids of cgroups, likewise (before Linux 6.1).
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ANCESTOR_IDS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, ptrace)`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_PTRACE: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where in `task_struct` the word with the 32-bit flag is: `thread_info.status` on x86, `.flags` on arm64.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_COMPAT: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// The flag in that word: `TS_COMPAT` on x86, `TIF_32BIT` on arm64.
#[unsafe(no_mangle)]
pub static COMPAT_MASK: Global<u32> = Global::new(0);
/// `offsetof(struct task_struct, seccomp.mode)` and `.seccomp.filter`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_SECCOMP_MODE: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_SECCOMP_FILTER: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, pid)`, `exit_code` and `flags`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_PID: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_EXIT_CODE: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_FLAGS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, pending.signal)`: the signals that wait for the thread.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_PENDING: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, tgid)`, `nsproxy`, `real_parent`, `comm` and `mm`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_TGID: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_NSPROXY: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_REAL_PARENT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_COMM: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_MM: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, thread_pid)` and `group_leader`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_THREAD_PID: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_GROUP_LEADER: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct pid, level)`.
#[unsafe(no_mangle)]
pub static OFFSET_PID_LEVEL: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct pid, numbers)`, `sizeof(struct upid)`, `offsetof(struct upid, nr)` and `ns`, `offsetof(struct pid_namespace, ns.inum)`.
#[unsafe(no_mangle)]
pub static OFFSET_PID_NUMBERS: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static SIZE_UPID: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
pub static OFFSET_UPID_NR: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_UPID_NS: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_PID_NAMESPACE_INUM: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// The inode number of the daemon's pid namespace; 0 where that is the initial one.
#[unsafe(no_mangle)]
pub static PID_NAMESPACE: Global<u32> = Global::new(0);
/// `offsetof(struct nsproxy, mnt_ns)`.
#[unsafe(no_mangle)]
pub static OFFSET_NSPROXY_MNT_NS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct task_struct, real_cred)`, `offsetof(struct cred, cap_effective)` and `user_ns`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_REAL_CRED: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_CRED_CAP_EFFECTIVE: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_CRED_USER_NS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct user_namespace, level)` and `owner`.
#[unsafe(no_mangle)]
pub static OFFSET_USER_NAMESPACE_LEVEL: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_USER_NAMESPACE_OWNER: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct kernfs_node, name)`.
#[unsafe(no_mangle)]
pub static OFFSET_KERNFS_NODE_NAME: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Ids of the cgroups that are mounted as roots, without a mark: cgroup2's, and the v1 hierarchy's.
#[unsafe(no_mangle)]
pub static CGROUP2_ROOT_ID: Global<u64> = Global::new(1);
#[unsafe(no_mangle)]
pub static V1_ROOT_ID: Global<u64> = Global::new(1);
/// `offsetof(struct cgroup, self)` and `offsetof(struct cgroup_subsys_state, parent)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_SELF: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_CSS_PARENT: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct mm_struct, exe_file)`.
#[unsafe(no_mangle)]
pub static OFFSET_MM_EXE_FILE: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct file, f_path.dentry)`, `f_path.mnt` and `f_inode`.
#[unsafe(no_mangle)]
pub static OFFSET_FILE_DENTRY: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_FILE_MNT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_FILE_INODE: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct inode, i_size)` and `i_nlink`.
#[unsafe(no_mangle)]
pub static OFFSET_INODE_SIZE: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_INODE_NLINK: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct mount, mnt)` and `mnt_ns`.
#[unsafe(no_mangle)]
pub static OFFSET_MOUNT_MNT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_MOUNT_MNT_NS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct dentry, d_hash.pprev)`: 0 in one that no name leads to.
#[unsafe(no_mangle)]
pub static OFFSET_DENTRY_HASHED: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct dentry, d_parent)` and `d_name.name`.
#[unsafe(no_mangle)]
pub static OFFSET_DENTRY_PARENT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_DENTRY_NAME: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct seccomp_filter, prev)` and `notif`; the latter unknown where the kernel has no supervisors.
#[unsafe(no_mangle)]
pub static OFFSET_FILTER_PREV: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_FILTER_NOTIF: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where `struct pt_regs` has the number of the call: `orig_ax` on x86, `syscallno` on arm64.
#[unsafe(no_mangle)]
pub static OFFSET_REGS_NR: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where a task's registers are, for kernels without `bpf_task_pt_regs`: from `task_struct.stack`, which is at the second offset.
#[unsafe(no_mangle)]
pub static OFFSET_STACK_REGS: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_TASK_STACK: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where a `sched_process_fork` record has the child's id (`events/sched/sched_process_fork/format` in tracefs).
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_CHILD: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct css_set, subsys[x])`, for the controller x of the v1 hierarchy that is counted by; unknown where none is.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_SET_CSS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup_subsys_state, cgroup)`.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_CGROUP: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where a `cgroup_mkdir` or `cgroup_rmdir` record has its `root`, `id` and `path` (`events/cgroup/*/format` in tracefs).
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_ROOT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_PATH: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct io_kiocb, opcode)`.
#[unsafe(no_mangle)]
pub static OFFSET_IO_KIOCB_OPCODE: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct io_ring_ctx, sqo_task)`, on kernels whose submission threads are the kernel's.
#[unsafe(no_mangle)]
pub static OFFSET_RING_SQO_TASK: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Which argument of io_uring's tracepoint is the opcode: 1 or 2; 0 where the first is a request that has it.
#[unsafe(no_mangle)]
pub static IO_URING_OPCODE_ARGUMENT: Global<u32> = Global::new(0);
/// Where a record of io_uring's tracepoint has its `opcode`.
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_OPCODE: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Whether calls are counted by cgroup2 cgroups: 1 or 0.
#[unsafe(no_mangle)]
pub static COUNTS_CGROUP2: Global<u32> = Global::new(1);
/// Number of the v1 hierarchy that is counted by; -1 where none is.
#[unsafe(no_mangle)]
pub static V1_HIERARCHY: Global<i32> = Global::new(-1);
/// Whether the kernel has `bpf_get_current_task_btf` and its BTF told every offset: 1 or 0.
#[unsafe(no_mangle)]
pub static HAS_TASK_BTF: Global<u32> = Global::new(0);
/// Whether the kernel has `bpf_task_pt_regs` (Linux 5.15): 1 or 0.
#[unsafe(no_mangle)]
pub static HAS_TASK_PT_REGS: Global<u32> = Global::new(0);
/// Whether errors are counted: 1 or 0.
#[unsafe(no_mangle)]
pub static COUNTS_ERRORS: Global<u32> = Global::new(0);
/// Whether refused calls are counted: 1 or 0.
#[unsafe(no_mangle)]
pub static COUNTS_DENIED: Global<u32> = Global::new(0);
/// Whether it is measured how long calls take: 1 or 0. Which calls, the position table says.
#[unsafe(no_mangle)]
pub static TIMES_CALLS: Global<u32> = Global::new(0);
/// Pairs of call and errno that are told apart in one cgroup.
#[unsafe(no_mangle)]
pub static ERRORS_PER_CGROUP: Global<u32> = Global::new(0);
/// Refused calls that are told apart in one cgroup.
#[unsafe(no_mangle)]
pub static DENIED_PER_CGROUP: Global<u32> = Global::new(0);
/// Length of one CPU's row in `HISTOGRAMS`: the number of histograms, and 1 since histogram 0 is none.
#[unsafe(no_mangle)]
pub static HISTOGRAMS_PER_CPU: Global<u32> = Global::new(0);
/// Length of one CPU's row in `COUNTERS`: the number of series, and 1 since series 0 is none.
#[unsafe(no_mangle)]
pub static SERIES_PER_CPU: Global<u32> = Global::new(0);

/// The number of the call that `preemption_test` runs long in.
#[unsafe(no_mangle)]
pub static PREEMPTION_TEST_NR: Global<i64> = Global::new(-1);

/// By (ABI, number): the position of the call, that of its ABI's unknown calls for numbers that the ABI does not know, and flags.
#[unsafe(no_mangle)]
static POSITIONS: [u16; POSITION_TABLE_LEN] = [0; POSITION_TABLE_LEN];

/// The table's entry.
///
/// # Safety
///
/// The index must be below [`POSITION_TABLE_LEN`].
#[inline(always)]
pub unsafe fn position_entry(index: usize) -> u16 {
    // SAFETY: inside, as the caller says; volatile because user space replaces the initial values.
    unsafe { read_volatile(POSITIONS.as_ptr().add(index)) }
}
