//! Offsets of the fields that the programs read; they differ by kernel version and configuration.

use super::btf::{BtfError, KernelBtf};

/// Byte offsets of fields, named as in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    /// `task_struct.cgroups`
    pub(super) task_cgroups: u64,
    /// `css_set.dfl_cgrp`
    pub(super) css_set_dfl_cgrp: u64,
    /// `cgroup.kn`
    pub(super) cgroup_kn: u64,
    /// `cgroup.root`
    pub(super) cgroup_root: u64,
    /// `cgroup_root.hierarchy_id`
    pub(super) cgroup_root_hierarchy_id: u64,
    /// `kernfs_node.id`
    pub(super) kernfs_node_id: u64,
    /// `cgroup_subsys_state.cgroup`
    pub(super) css_cgroup: u64,
    /// Offset in `task_struct` of the word with the flag of 32-bit calls.
    pub(super) task_compat: u64,
    /// `task_struct.ptrace`
    pub(super) task_ptrace: Option<u64>,
    /// Offsets of a cgroup's ancestors.
    pub(super) ancestry: Option<AncestryOffsets>,
}

/// Offsets of a cgroup's ancestors, named as in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AncestryOffsets {
    /// `cgroup.level`
    pub(super) level: u64,
    /// `cgroup.ancestors`, from Linux 6.1 on.
    pub(super) ancestors: Option<u64>,
    /// `cgroup.ancestor_ids`, before Linux 6.1.
    pub(super) ancestor_ids: Option<u64>,
}

impl AncestryOffsets {
    fn read(btf: &KernelBtf) -> Option<Self> {
        let level = btf.offset_of("cgroup", "level")?;
        let ancestors = btf.offset_of("cgroup", "ancestors");
        let ancestor_ids = btf.offset_of("cgroup", "ancestor_ids");
        (ancestors.is_some() || ancestor_ids.is_some()).then_some(Self { level, ancestors, ancestor_ids })
    }
}

/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h`, or `TIF_32BIT` (bit 22) of arm64's.
pub(super) const COMPAT_MASK: u32 = if cfg!(target_arch = "aarch64") { 1 << 22 } else { 2 };

/// The field of `thread_info` with the flag.
const COMPAT_FIELD: &str = if cfg!(target_arch = "aarch64") { "flags" } else { "status" };

impl Offsets {
    /// Finds the offsets.
    ///
    /// # Errors
    ///
    /// When a field is missing.
    pub(super) fn read(btf: &KernelBtf) -> Result<Self, BtfError> {
        let offset = |structure, field| offset(btf, structure, field);
        Ok(Self {
            task_cgroups: offset("task_struct", "cgroups")?,
            css_set_dfl_cgrp: offset("css_set", "dfl_cgrp")?,
            cgroup_kn: offset("cgroup", "kn")?,
            cgroup_root: offset("cgroup", "root")?,
            cgroup_root_hierarchy_id: offset("cgroup_root", "hierarchy_id")?,
            kernfs_node_id: offset("kernfs_node", "id")?,
            css_cgroup: offset("cgroup_subsys_state", "cgroup")?,
            task_compat: offset("task_struct", "thread_info")? + offset("thread_info", COMPAT_FIELD)?,
            task_ptrace: btf.offset_of("task_struct", "ptrace"),
            ancestry: AncestryOffsets::read(btf),
        })
    }
}

/// Offsets for finding denied calls, named as in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeccompOffsets {
    /// `task_struct.seccomp.mode`
    pub(super) mode: u64,
    /// `task_struct.seccomp.filter`
    pub(super) filter: u64,
    /// `seccomp_filter.prev`
    pub(super) filter_prev: u64,
    /// `seccomp_filter.notif`
    pub(super) filter_notif: u64,
    /// `task_struct.pid`
    pub(super) pid: u64,
    /// `task_struct.exit_code`
    pub(super) exit_code: u64,
    /// `task_struct.flags`
    pub(super) flags: u64,
    /// `task_struct.pending.signal`
    pub(super) pending: u64,
}

/// Offsets for reading processes, named as in the kernel: for container init, and for the process of a first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessOffsets {
    /// `task_struct.tgid`
    pub(super) tgid: u64,
    /// `task_struct.nsproxy`
    pub(super) nsproxy: u64,
    /// `task_struct.real_parent`
    pub(super) real_parent: u64,
    /// `task_struct.comm`
    pub(super) comm: u64,
    /// `task_struct.mm`
    pub(super) mm: u64,
    /// `task_struct.thread_pid`
    pub(super) thread_pid: u64,
    /// `task_struct.group_leader`
    pub(super) group_leader: u64,
    /// `task_struct.start_time`
    pub(super) start_time: u64,
    /// `pid.level`
    pub(super) pid_level: u64,
    /// `pid.numbers`
    pub(super) pid_numbers: u64,
    /// Size of `upid`
    pub(super) upid_len: u64,
    /// `upid.nr`
    pub(super) upid_nr: u64,
    /// `upid.ns`
    pub(super) upid_ns: u64,
    /// `pid_namespace.ns.inum`
    pub(super) pid_namespace_inum: u64,
    /// `nsproxy.mnt_ns`
    pub(super) mnt_ns: u64,
    /// `cgroup.self`
    pub(super) cgroup_self: u64,
    /// `cgroup_subsys_state.parent`
    pub(super) css_parent: u64,
    /// `mm_struct.exe_file`
    pub(super) exe_file: u64,
    /// `file.f_path.dentry`
    pub(super) file_dentry: u64,
    /// `file.f_path.mnt`
    pub(super) file_mnt: u64,
    /// `file.f_inode`
    pub(super) file_inode: u64,
    /// `inode.i_size`
    pub(super) inode_size: u64,
    /// `inode.i_nlink`
    pub(super) inode_nlink: u64,
    /// `mount.mnt` and `mount.mnt_ns`; unknown if the BTF has only types for modules.
    pub(super) mount: Option<(u64, u64)>,
    /// `dentry.d_hash.pprev`
    pub(super) dentry_hashed: u64,
    /// `dentry.d_parent`
    pub(super) dentry_parent: u64,
    /// `dentry.d_name.name`
    pub(super) dentry_name: u64,
    /// `task_struct.real_cred`
    pub(super) real_cred: u64,
    /// `cred.cap_effective`
    pub(super) cap_effective: u64,
    /// `cred.user_ns`
    pub(super) user_ns: u64,
    /// `user_namespace.level`
    pub(super) user_namespace_level: u64,
    /// `user_namespace.owner`
    pub(super) user_namespace_owner: u64,
    /// `kernfs_node.name`
    pub(super) kernfs_node_name: u64,
}

/// Offsets in `pt_regs` for calls that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegisterOffsets {
    /// The number of the call.
    pub(super) nr: u64,
    /// The arguments; `None` if the BTF lacks one.
    pub(super) arguments: Option<ArgumentOffsets>,
    /// `task_struct.stack`
    pub(super) task_stack: u64,
    /// Offset of the registers on a task's stack.
    pub(super) on_stack: u64,
}

/// Offsets in `pt_regs` of a call's first arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArgumentOffsets {
    /// Of 64-bit calls.
    pub(super) native: [u64; 4],
    /// Of 32-bit calls.
    pub(super) compat: [u64; 4],
    /// Of argument 0 at the end of the call: of 64-bit and of 32-bit calls.
    pub(super) first_at_exit: [u64; 2],
}

impl ArgumentOffsets {
    /// Finds the offsets. The order of the registers is part of the ABI (`syscall_get_arguments`).
    fn read(btf: &KernelBtf) -> Option<Self> {
        let offset = |field| btf.offset_of("pt_regs", field);
        if cfg!(target_arch = "aarch64") {
            let registers = offset("regs")?;
            let arguments = [0, 1, 2, 3].map(|number| registers + number * size_of::<u64>() as u64);
            let first = offset("orig_x0")?;
            return Some(Self { native: arguments, compat: arguments, first_at_exit: [first, first] });
        }
        let native = [offset("di")?, offset("si")?, offset("dx")?, offset("r10")?];
        let compat = [offset("bx")?, offset("cx")?, offset("dx")?, offset("si")?];
        Some(Self { native, compat, first_at_exit: [native[0], compat[0]] })
    }
}

/// Size of a task's kernel stack (`THREAD_SIZE`): the same on both architectures, unless pages are larger.
const STACK_LEN: u64 = 16 * 1024;

impl SeccompOffsets {
    /// Finds the offsets.
    ///
    /// # Errors
    ///
    /// When a field is missing, for example in a kernel without seccomp.
    pub(super) fn read(btf: &KernelBtf) -> Result<Self, BtfError> {
        let seccomp = offset(btf, "task_struct", "seccomp")?;
        Ok(Self {
            mode: seccomp + offset(btf, "seccomp", "mode")?,
            filter: seccomp + offset(btf, "seccomp", "filter")?,
            filter_prev: offset(btf, "seccomp_filter", "prev")?,
            filter_notif: offset(btf, "seccomp_filter", "notif")?,
            pid: offset(btf, "task_struct", "pid")?,
            exit_code: offset(btf, "task_struct", "exit_code")?,
            flags: offset(btf, "task_struct", "flags")?,
            pending: offset(btf, "task_struct", "pending")? + offset(btf, "sigpending", "signal")?,
        })
    }
}

impl ProcessOffsets {
    /// Finds the offsets.
    ///
    /// # Errors
    ///
    /// When a field is missing.
    pub(super) fn read(btf: &KernelBtf) -> Result<Self, BtfError> {
        let offset = |structure, field| offset(btf, structure, field);
        Ok(Self {
            tgid: offset("task_struct", "tgid")?,
            nsproxy: offset("task_struct", "nsproxy")?,
            real_parent: offset("task_struct", "real_parent")?,
            comm: offset("task_struct", "comm")?,
            mm: offset("task_struct", "mm")?,
            thread_pid: offset("task_struct", "thread_pid")?,
            group_leader: offset("task_struct", "group_leader")?,
            start_time: offset("task_struct", "start_time")?,
            pid_level: offset("pid", "level")?,
            pid_numbers: offset("pid", "numbers")?,
            upid_len: btf.size_of("upid").ok_or(BtfError::Missing { structure: "upid", field: "nr" })?,
            upid_nr: offset("upid", "nr")?,
            upid_ns: offset("upid", "ns")?,
            pid_namespace_inum: offset("pid_namespace", "ns")? + offset("ns_common", "inum")?,
            mnt_ns: offset("nsproxy", "mnt_ns")?,
            cgroup_self: offset("cgroup", "self")?,
            css_parent: offset("cgroup_subsys_state", "parent")?,
            exe_file: offset("mm_struct", "exe_file")?,
            file_dentry: offset("file", "f_path")? + offset("path", "dentry")?,
            dentry_parent: offset("dentry", "d_parent")?,
            dentry_name: offset("dentry", "d_name")? + offset("qstr", "name")?,
            file_mnt: offset("file", "f_path")? + offset("path", "mnt")?,
            file_inode: offset("file", "f_inode")?,
            inode_size: offset("inode", "i_size")?,
            inode_nlink: offset("inode", "i_nlink")?,
            mount: btf.offset_of("mount", "mnt").zip(btf.offset_of("mount", "mnt_ns")),
            dentry_hashed: offset("dentry", "d_hash")? + offset("hlist_bl_node", "pprev")?,
            real_cred: offset("task_struct", "real_cred")?,
            cap_effective: offset("cred", "cap_effective")?,
            user_ns: offset("cred", "user_ns")?,
            user_namespace_level: offset("user_namespace", "level")?,
            user_namespace_owner: offset("user_namespace", "owner")?,
            kernfs_node_name: offset("kernfs_node", "name")?,
        })
    }
}

impl RegisterOffsets {
    /// Finds the offsets.
    ///
    /// # Errors
    ///
    /// When a field is missing.
    pub(super) fn read(btf: &KernelBtf) -> Result<Self, BtfError> {
        let nr = if cfg!(target_arch = "aarch64") { "syscallno" } else { "orig_ax" };
        let len = btf.size_of("pt_regs").ok_or(BtfError::Missing { structure: "pt_regs", field: nr })?;
        Ok(Self {
            nr: offset(btf, "pt_regs", nr)?,
            arguments: ArgumentOffsets::read(btf),
            task_stack: offset(btf, "task_struct", "stack")?,
            on_stack: STACK_LEN.max(rustix::param::page_size() as u64) - len,
        })
    }
}

fn offset(btf: &KernelBtf, structure: &'static str, field: &'static str) -> Result<u64, BtfError> {
    btf.offset_of(structure, field).ok_or(BtfError::Missing { structure, field })
}

/// Returns the offset in `css_set` of a v1 controller's state: its entry of `subsys`, in the order of `enum
/// cgroup_subsys_id`.
///
/// # Errors
///
/// When this kernel lacks the controller.
pub(super) fn css_of_controller(btf: &KernelBtf, controller: &str) -> Result<u64, BtfError> {
    let first = offset(btf, "css_set", "subsys")?;
    // The controller `io` has its old name in v1.
    let subsystem = if controller == "blkio" { "io" } else { controller };
    let index = btf.enum_value("cgroup_subsys_id", &format!("{subsystem}_cgrp_id"));
    let index = index.ok_or_else(|| BtfError::NoController { controller: controller.to_owned() })?;
    Ok(first + u64::from(index) * size_of::<u64>() as u64)
}
