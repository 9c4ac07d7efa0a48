//! Values of the programs' read-only globals: a field for each row of the shared table.

use aya::EbpfLoader;
use syscallmon_common::{ROOT_CGROUP_ID, UNKNOWN_OFFSET};

use super::{
    Options, TableCapacity,
    facts::Facts,
    offsets::{
        AncestryOffsets, ArgumentOffsets, COMPAT_MASK, Offsets, ProcessOffsets, RegisterOffsets, SeccompOffsets,
    },
    preemption,
    sizes::{self, Sizes},
};

macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $initial:expr;)*) => {
        /// Values of the read-only globals.
        #[derive(Clone, Copy, Debug)]
        pub(super) struct Globals {
            $($(#[$doc])* $name: $type,)*
        }

        impl Globals {
            /// Makes a loader set all globals.
            pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
                $(loader.override_global(stringify!($name), &self.$name, true);)*
            }
        }
    };
}

syscallmon_common::globals!(declare);

impl Globals {
    /// Returns the values for this kernel and these options. Unknown offsets are [`UNKNOWN_OFFSET`].
    #[expect(clippy::too_many_lines, reason = "a line for each global")]
    pub(super) fn new(options: &Options, capacity: TableCapacity, sizes: &Sizes, facts: &Facts) -> Self {
        let offset = |field: fn(&Offsets) -> u64| facts.offsets.as_ref().map_or(UNKNOWN_OFFSET, field);
        let maybe =
            |field: fn(&Offsets) -> Option<u64>| facts.offsets.as_ref().ok().and_then(field).unwrap_or(UNKNOWN_OFFSET);
        let ancestry = |field: fn(&AncestryOffsets) -> Option<u64>| {
            let ancestry = facts.offsets.as_ref().ok().and_then(|offsets| offsets.ancestry.as_ref());
            ancestry.and_then(field).unwrap_or(UNKNOWN_OFFSET)
        };
        let seccomp = |field: fn(&SeccompOffsets) -> u64| facts.seccomp.as_ref().map_or(UNKNOWN_OFFSET, field);
        let process = |field: fn(&ProcessOffsets) -> u64| facts.processes.as_ref().map_or(UNKNOWN_OFFSET, field);
        let register = |field: fn(&RegisterOffsets) -> u64| facts.registers.as_ref().map_or(UNKNOWN_OFFSET, field);
        let argument = |field: fn(&ArgumentOffsets) -> u64| facts.arguments().as_ref().map_or(UNKNOWN_OFFSET, field);
        let [event_root, event_id, event_path] =
            facts.cgroup_records.as_ref().map_or([UNKNOWN_OFFSET; 3], |offsets| *offsets);
        let io_uring = facts.io_uring.arguments.as_ref().copied().unwrap_or_default();
        let v1 = options.hierarchies.v1;
        Self {
            OFFSET_TASK_CGROUPS: offset(|o| o.task_cgroups),
            OFFSET_CSS_SET_DFL_CGRP: offset(|o| o.css_set_dfl_cgrp),
            OFFSET_CGROUP_KN: offset(|o| o.cgroup_kn),
            OFFSET_CGROUP_ROOT: offset(|o| o.cgroup_root),
            OFFSET_CGROUP_ROOT_HIERARCHY_ID: offset(|o| o.cgroup_root_hierarchy_id),
            OFFSET_KERNFS_NODE_ID: offset(|o| o.kernfs_node_id),
            OFFSET_CGROUP_LEVEL: ancestry(|o| Some(o.level)),
            OFFSET_CGROUP_ANCESTORS: ancestry(|o| o.ancestors),
            OFFSET_CGROUP_ANCESTOR_IDS: ancestry(|o| o.ancestor_ids),
            OFFSET_TASK_PTRACE: maybe(|o| o.task_ptrace),
            OFFSET_TASK_COMPAT: offset(|o| o.task_compat),
            COMPAT_MASK,
            OFFSET_TASK_SECCOMP_MODE: seccomp(|o| o.mode),
            OFFSET_TASK_SECCOMP_FILTER: seccomp(|o| o.filter),
            OFFSET_TASK_PID: seccomp(|o| o.pid),
            OFFSET_TASK_EXIT_CODE: seccomp(|o| o.exit_code),
            OFFSET_TASK_FLAGS: seccomp(|o| o.flags),
            OFFSET_TASK_PENDING: seccomp(|o| o.pending),
            OFFSET_TASK_TGID: process(|o| o.tgid),
            OFFSET_TASK_NSPROXY: process(|o| o.nsproxy),
            OFFSET_TASK_REAL_PARENT: process(|o| o.real_parent),
            OFFSET_TASK_COMM: process(|o| o.comm),
            OFFSET_TASK_MM: process(|o| o.mm),
            OFFSET_TASK_THREAD_PID: process(|o| o.thread_pid),
            OFFSET_TASK_GROUP_LEADER: process(|o| o.group_leader),
            OFFSET_TASK_START_TIME: process(|o| o.start_time),
            OFFSET_PID_LEVEL: process(|o| o.pid_level),
            OFFSET_PID_NUMBERS: process(|o| o.pid_numbers),
            SIZE_UPID: process(|o| o.upid_len),
            OFFSET_UPID_NR: process(|o| o.upid_nr),
            OFFSET_UPID_NS: process(|o| o.upid_ns),
            OFFSET_PID_NAMESPACE_INUM: process(|o| o.pid_namespace_inum),
            PID_NAMESPACE: facts.pid_namespace,
            OFFSET_NSPROXY_MNT_NS: process(|o| o.mnt_ns),
            OFFSET_TASK_REAL_CRED: process(|o| o.real_cred),
            OFFSET_CRED_CAP_EFFECTIVE: process(|o| o.cap_effective),
            OFFSET_CRED_USER_NS: process(|o| o.user_ns),
            OFFSET_USER_NAMESPACE_LEVEL: process(|o| o.user_namespace_level),
            OFFSET_USER_NAMESPACE_OWNER: process(|o| o.user_namespace_owner),
            OFFSET_KERNFS_NODE_NAME: process(|o| o.kernfs_node_name),
            CGROUP2_ROOT_ID: options.hierarchies.cgroup2_root,
            V1_ROOT_ID: v1.map_or(ROOT_CGROUP_ID, |v1| v1.root),
            OFFSET_CGROUP_SELF: process(|o| o.cgroup_self),
            OFFSET_CSS_PARENT: process(|o| o.css_parent),
            OFFSET_MM_EXE_FILE: process(|o| o.exe_file),
            OFFSET_FILE_DENTRY: process(|o| o.file_dentry),
            OFFSET_FILE_MNT: process(|o| o.file_mnt),
            OFFSET_FILE_INODE: process(|o| o.file_inode),
            OFFSET_INODE_SIZE: process(|o| o.inode_size),
            OFFSET_INODE_NLINK: process(|o| o.inode_nlink),
            OFFSET_MOUNT_MNT: process(|o| o.mount.map_or(UNKNOWN_OFFSET, |(mnt, _)| mnt)),
            OFFSET_MOUNT_MNT_NS: process(|o| o.mount.map_or(UNKNOWN_OFFSET, |(_, namespace)| namespace)),
            OFFSET_DENTRY_HASHED: process(|o| o.dentry_hashed),
            OFFSET_DENTRY_PARENT: process(|o| o.dentry_parent),
            OFFSET_DENTRY_NAME: process(|o| o.dentry_name),
            OFFSET_FILTER_PREV: seccomp(|o| o.filter_prev),
            OFFSET_FILTER_NOTIF: seccomp(|o| o.filter_notif),
            OFFSET_REGS_NR: register(|o| o.nr),
            OFFSET_STACK_REGS: register(|o| o.on_stack),
            OFFSET_TASK_STACK: register(|o| o.task_stack),
            OFFSET_EVENT_CHILD: facts.fork_record.as_ref().map_or(UNKNOWN_OFFSET, |record| record[0]),
            OFFSET_CSS_SET_CSS: facts.v1_css.unwrap_or(UNKNOWN_OFFSET),
            OFFSET_CSS_CGROUP: offset(|o| o.css_cgroup),
            OFFSET_EVENT_ROOT: event_root,
            OFFSET_EVENT_ID: event_id,
            OFFSET_EVENT_PATH: event_path,
            OFFSET_IO_KIOCB_OPCODE: io_uring.request_opcode.unwrap_or(UNKNOWN_OFFSET),
            OFFSET_RING_SQO_TASK: io_uring.sqo_task.unwrap_or(UNKNOWN_OFFSET),
            IO_URING_OPCODE_ARGUMENT: io_uring.opcode_argument,
            OFFSET_EVENT_OPCODE: facts.io_uring.record.as_ref().copied().unwrap_or(UNKNOWN_OFFSET),
            COUNTS_CGROUP2: u32::from(facts.counts_cgroup2(options)),
            V1_HIERARCHY: v1.map_or(-1, |v1| v1.number),
            HAS_TASK_BTF: u32::from(facts.has_task_btf),
            HAS_TASK_PT_REGS: u32::from(facts.has_task_pt_regs),
            COUNTS_ERRORS: u32::from(options.features.errors),
            COUNTS_DENIED: u32::from(facts.counts_denied(options)),
            TIMES_CALLS: u32::from(options.features.latency),
            COUNTS_ARGUMENTS: u32::from(facts.counts_arguments(options)),
            OFFSET_REGS_ARGUMENT_0: argument(|o| o.native[0]),
            OFFSET_REGS_ARGUMENT_0_AT_EXIT: argument(|o| o.first_at_exit[0]),
            OFFSET_REGS_ARGUMENT_1: argument(|o| o.native[1]),
            OFFSET_REGS_ARGUMENT_2: argument(|o| o.native[2]),
            OFFSET_REGS_ARGUMENT_3: argument(|o| o.native[3]),
            OFFSET_REGS_COMPAT_0: argument(|o| o.compat[0]),
            OFFSET_REGS_COMPAT_0_AT_EXIT: argument(|o| o.first_at_exit[1]),
            OFFSET_REGS_COMPAT_1: argument(|o| o.compat[1]),
            OFFSET_REGS_COMPAT_2: argument(|o| o.compat[2]),
            OFFSET_REGS_COMPAT_3: argument(|o| o.compat[3]),
            ARGUMENTS_PER_CGROUP: sizes::ARGUMENTS_PER_CGROUP,
            ERRORS_PER_CGROUP: capacity.errors,
            DENIED_PER_CGROUP: capacity.denied,
            HISTOGRAMS_PER_CPU: sizes.histograms,
            SERIES_PER_CPU: sizes.series,
            PREEMPTION_TEST_NR: preemption::TEST_NR,
        }
    }
}
