//! The read-only globals of the kernel side, one row each. User space sets them before it loads the programs.
//!
//! The kernel side declares its statics from this table, and the loader a field for each row. A row that the loader
//! does not set does not compile.

/// Passes the table to a macro: `NAME: type = initial value;`, with documentation. Code that uses the initial values
/// imports [`UNKNOWN_OFFSET`](crate::UNKNOWN_OFFSET).
#[macro_export]
macro_rules! globals {
    ($with:ident) => {
        $with! {
            /// `offsetof(struct task_struct, cgroups)`.
            OFFSET_TASK_CGROUPS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct css_set, dfl_cgrp)`.
            OFFSET_CSS_SET_DFL_CGRP: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup, kn)`.
            OFFSET_CGROUP_KN: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup, root)`.
            OFFSET_CGROUP_ROOT: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup_root, hierarchy_id)`.
            OFFSET_CGROUP_ROOT_HIERARCHY_ID: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct kernfs_node, id)`.
            OFFSET_KERNFS_NODE_ID: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup, level)`.
            OFFSET_CGROUP_LEVEL: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup, ancestors)`: pointers to cgroups, from the root down (Linux 6.1).
            OFFSET_CGROUP_ANCESTORS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup, ancestor_ids)`: ids of cgroups, likewise (before Linux 6.1).
            OFFSET_CGROUP_ANCESTOR_IDS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, ptrace)`.
            OFFSET_TASK_PTRACE: u64 = UNKNOWN_OFFSET;
            /// Offset in `task_struct` of the word with the 32-bit flag: `thread_info.status` on x86, `.flags` on
            /// arm64.
            OFFSET_TASK_COMPAT: u64 = UNKNOWN_OFFSET;
            /// The flag in that word: `TS_COMPAT` on x86, `TIF_32BIT` on arm64.
            COMPAT_MASK: u32 = 0;
            /// `offsetof(struct task_struct, seccomp.mode)` and `.seccomp.filter`.
            OFFSET_TASK_SECCOMP_MODE: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_SECCOMP_FILTER: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, pid)`, `exit_code` and `flags`.
            OFFSET_TASK_PID: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_EXIT_CODE: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_FLAGS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, pending.signal)`: the pending signals of the thread.
            OFFSET_TASK_PENDING: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, tgid)`, `nsproxy`, `real_parent`, `comm` and `mm`.
            OFFSET_TASK_TGID: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_NSPROXY: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_REAL_PARENT: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_COMM: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_MM: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, thread_pid)` and `group_leader`.
            OFFSET_TASK_THREAD_PID: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_GROUP_LEADER: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, start_time)`: `CLOCK_MONOTONIC` nanoseconds.
            OFFSET_TASK_START_TIME: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct pid, level)`.
            OFFSET_PID_LEVEL: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct pid, numbers)`, `sizeof(struct upid)`, `offsetof(struct upid, nr)` and `ns`,
            /// `offsetof(struct pid_namespace, ns.inum)`.
            OFFSET_PID_NUMBERS: u64 = UNKNOWN_OFFSET;
            SIZE_UPID: u64 = 0;
            OFFSET_UPID_NR: u64 = UNKNOWN_OFFSET;
            OFFSET_UPID_NS: u64 = UNKNOWN_OFFSET;
            OFFSET_PID_NAMESPACE_INUM: u64 = UNKNOWN_OFFSET;
            /// The inode number of the daemon's pid namespace; 0 if that is the initial one.
            PID_NAMESPACE: u32 = 0;
            /// `offsetof(struct nsproxy, mnt_ns)`.
            OFFSET_NSPROXY_MNT_NS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct task_struct, real_cred)`, `offsetof(struct cred, cap_effective)` and `user_ns`.
            OFFSET_TASK_REAL_CRED: u64 = UNKNOWN_OFFSET;
            OFFSET_CRED_CAP_EFFECTIVE: u64 = UNKNOWN_OFFSET;
            OFFSET_CRED_USER_NS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct user_namespace, level)` and `owner`.
            OFFSET_USER_NAMESPACE_LEVEL: u64 = UNKNOWN_OFFSET;
            OFFSET_USER_NAMESPACE_OWNER: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct kernfs_node, name)`.
            OFFSET_KERNFS_NODE_NAME: u64 = UNKNOWN_OFFSET;
            /// Ids of the cgroups mounted as roots, without a mark: the one of cgroup2, and the one of the v1
            /// hierarchy.
            CGROUP2_ROOT_ID: u64 = 1;
            V1_ROOT_ID: u64 = 1;
            /// `offsetof(struct cgroup, self)` and `offsetof(struct cgroup_subsys_state, parent)`.
            OFFSET_CGROUP_SELF: u64 = UNKNOWN_OFFSET;
            OFFSET_CSS_PARENT: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct mm_struct, exe_file)`.
            OFFSET_MM_EXE_FILE: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct file, f_path.dentry)`, `f_path.mnt` and `f_inode`.
            OFFSET_FILE_DENTRY: u64 = UNKNOWN_OFFSET;
            OFFSET_FILE_MNT: u64 = UNKNOWN_OFFSET;
            OFFSET_FILE_INODE: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct inode, i_size)` and `i_nlink`.
            OFFSET_INODE_SIZE: u64 = UNKNOWN_OFFSET;
            OFFSET_INODE_NLINK: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct mount, mnt)` and `mnt_ns`.
            OFFSET_MOUNT_MNT: u64 = UNKNOWN_OFFSET;
            OFFSET_MOUNT_MNT_NS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct dentry, d_hash.pprev)`: 0 in a dentry that no name leads to.
            OFFSET_DENTRY_HASHED: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct dentry, d_parent)` and `d_name.name`.
            OFFSET_DENTRY_PARENT: u64 = UNKNOWN_OFFSET;
            OFFSET_DENTRY_NAME: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct seccomp_filter, prev)` and `notif`. The latter is unknown on kernels without seccomp
            /// supervisors.
            OFFSET_FILTER_PREV: u64 = UNKNOWN_OFFSET;
            OFFSET_FILTER_NOTIF: u64 = UNKNOWN_OFFSET;
            /// Offset of the call's number in `struct pt_regs`: `orig_ax` on x86, `syscallno` on arm64.
            OFFSET_REGS_NR: u64 = UNKNOWN_OFFSET;
            /// Offset of a task's registers from `task_struct.stack`, whose own offset follows. For kernels without
            /// `bpf_task_pt_regs`.
            OFFSET_STACK_REGS: u64 = UNKNOWN_OFFSET;
            OFFSET_TASK_STACK: u64 = UNKNOWN_OFFSET;
            /// Offset of the child's id in a `sched_process_fork` record (`events/sched/sched_process_fork/format` in
            /// tracefs).
            OFFSET_EVENT_CHILD: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct css_set, subsys[x])` for the controller x of the counted v1 hierarchy; unknown without
            /// one.
            OFFSET_CSS_SET_CSS: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct cgroup_subsys_state, cgroup)`.
            OFFSET_CSS_CGROUP: u64 = UNKNOWN_OFFSET;
            /// Offsets of `root`, `id` and `path` in `cgroup_mkdir` and `cgroup_rmdir` records
            /// (`events/cgroup/*/format` in tracefs).
            OFFSET_EVENT_ROOT: u64 = UNKNOWN_OFFSET;
            OFFSET_EVENT_ID: u64 = UNKNOWN_OFFSET;
            OFFSET_EVENT_PATH: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct io_kiocb, opcode)`.
            OFFSET_IO_KIOCB_OPCODE: u64 = UNKNOWN_OFFSET;
            /// `offsetof(struct io_ring_ctx, sqo_task)`, on kernels whose submission threads are kernel threads.
            OFFSET_RING_SQO_TASK: u64 = UNKNOWN_OFFSET;
            /// Index of the argument of io_uring's tracepoint that is the opcode: 1 or 2; 0 if argument 0 is a request
            /// that contains the opcode.
            IO_URING_OPCODE_ARGUMENT: u32 = 0;
            /// Offset of `opcode` in a record of io_uring's tracepoint.
            OFFSET_EVENT_OPCODE: u64 = UNKNOWN_OFFSET;
            /// Whether calls are counted by cgroup2 cgroup: 1 or 0.
            COUNTS_CGROUP2: u32 = 1;
            /// Number of the counted v1 hierarchy; -1 without one.
            V1_HIERARCHY: i32 = -1;
            /// Whether the kernel has `bpf_get_current_task_btf` and its BTF has every offset: 1 or 0.
            HAS_TASK_BTF: u32 = 0;
            /// Whether the kernel has `bpf_task_pt_regs` (Linux 5.15): 1 or 0.
            HAS_TASK_PT_REGS: u32 = 0;
            /// Whether errors are counted: 1 or 0.
            COUNTS_ERRORS: u32 = 0;
            /// Whether denied calls are counted: 1 or 0.
            COUNTS_DENIED: u32 = 0;
            /// Whether durations are measured: 1 or 0. The position table flags the measured calls.
            TIMES_CALLS: u32 = 0;
            /// Whether classes of arguments are counted: 1 or 0. The position table flags the calls that have classes.
            COUNTS_ARGUMENTS: u32 = 0;
            /// Offsets of the arguments 0 to 3 in `struct pt_regs`. Argument 0 of a call that ends is elsewhere on
            /// arm64, where the result replaces it.
            OFFSET_REGS_ARGUMENT_0: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_ARGUMENT_0_AT_EXIT: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_ARGUMENT_1: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_ARGUMENT_2: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_ARGUMENT_3: u64 = UNKNOWN_OFFSET;
            /// The same for 32-bit calls.
            OFFSET_REGS_COMPAT_0: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_COMPAT_0_AT_EXIT: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_COMPAT_1: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_COMPAT_2: u64 = UNKNOWN_OFFSET;
            OFFSET_REGS_COMPAT_3: u64 = UNKNOWN_OFFSET;
            /// Maximum classes of arguments that have their own series in one cgroup.
            ARGUMENTS_PER_CGROUP: u32 = 0;
            /// Maximum pairs of call and errno that have their own series in one cgroup.
            ERRORS_PER_CGROUP: u32 = 0;
            /// Maximum denied calls that have their own series in one cgroup.
            DENIED_PER_CGROUP: u32 = 0;
            /// Length of one CPU's row in `HISTOGRAMS`: the number of histograms plus 1, because histogram 0 is unused.
            HISTOGRAMS_PER_CPU: u32 = 0;
            /// Length of one CPU's row in `COUNTERS`: the number of series plus 1, because series 0 is unused.
            SERIES_PER_CPU: u32 = 0;
            /// The number of the call in which `preemption_test` runs long.
            PREEMPTION_TEST_NR: i64 = -1;
        }
    };
}
