//! Where the running kernel keeps the fields that the programs read; they differ by version and configuration.

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
    /// Where the flag of 32-bit calls is, from the start of `task_struct`.
    pub(super) task_compat: u64,
}

/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h`, or `TIF_32BIT` (bit 22) of arm64's.
pub(super) const COMPAT_MASK: u32 = if cfg!(target_arch = "aarch64") { 1 << 22 } else { 2 };

/// The field of `thread_info` that has the flag.
const COMPAT_FIELD: &str = if cfg!(target_arch = "aarch64") { "flags" } else { "status" };

impl Offsets {
    /// Looks them up.
    ///
    /// # Errors
    ///
    /// When one of the fields is missing.
    pub(super) fn read(btf: &KernelBtf) -> Result<Self, BtfError> {
        let offset = |structure, field| btf.offset_of(structure, field).ok_or(BtfError::Missing { structure, field });
        Ok(Self {
            task_cgroups: offset("task_struct", "cgroups")?,
            css_set_dfl_cgrp: offset("css_set", "dfl_cgrp")?,
            cgroup_kn: offset("cgroup", "kn")?,
            cgroup_root: offset("cgroup", "root")?,
            cgroup_root_hierarchy_id: offset("cgroup_root", "hierarchy_id")?,
            kernfs_node_id: offset("kernfs_node", "id")?,
            css_cgroup: offset("cgroup_subsys_state", "cgroup")?,
            task_compat: offset("task_struct", "thread_info")? + offset("thread_info", COMPAT_FIELD)?,
        })
    }
}

/// Where `css_set` has the state of a v1 controller: its entry of `subsys`, in the order of `enum cgroup_subsys_id`.
///
/// # Errors
///
/// When this kernel does not have that controller.
pub(super) fn css_of_controller(btf: &KernelBtf, controller: &str) -> Result<u64, BtfError> {
    let (structure, field) = ("css_set", "subsys");
    let first = btf.offset_of(structure, field).ok_or(BtfError::Missing { structure, field })?;
    // What cgroup2 calls io has its old name in v1 only.
    let subsystem = if controller == "blkio" { "io" } else { controller };
    let index = btf.enum_value("cgroup_subsys_id", &format!("{subsystem}_cgrp_id"));
    let index = index.ok_or_else(|| BtfError::NoController { controller: controller.to_owned() })?;
    Ok(first + u64::from(index) * size_of::<u64>() as u64)
}
