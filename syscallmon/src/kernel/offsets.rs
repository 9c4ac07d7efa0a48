//! Where the running kernel keeps the fields that the programs read, from its BTF.
//!
//! Offsets differ by version and configuration; the kernel itself publishes them in
//! `/sys/kernel/btf/vmlinux` (Linux 5.2 with `CONFIG_DEBUG_INFO_BTF`).

use std::path::{Path, PathBuf};

use btf_rs::{Backend, Btf, Type};

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
    /// Where the flag of 32-bit calls is, from the start of `task_struct`.
    pub(super) task_compat: u64,
}

/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h`, or `TIF_32BIT` (bit 22) of arm64's.
pub(super) const COMPAT_MASK: u32 = if cfg!(target_arch = "aarch64") { 1 << 22 } else { 2 };

/// The field of `thread_info` that has the flag.
const COMPAT_FIELD: &str = if cfg!(target_arch = "aarch64") { "flags" } else { "status" };

/// Why the offsets are not known.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The file is not there or not BTF.
    #[error("no kernel BTF at {path} ({source}): needs a kernel built with CONFIG_DEBUG_INFO_BTF=y", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What `btf-rs` said.
        #[source]
        source: btf_rs::Error,
    },
    /// The BTF lacks something that the programs need.
    #[error("the kernel's BTF has no {structure}.{field}")]
    Missing {
        /// Name of the struct.
        structure: &'static str,
        /// Name of the field.
        field: &'static str,
    },
}

impl Offsets {
    /// Reads them from a BTF file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read as BTF, or lacks one of the fields.
    pub(super) fn read(path: &Path) -> Result<Self, OffsetsError> {
        let btf = open(path).map_err(|source| OffsetsError::Unreadable { path: path.to_owned(), source })?;
        let offset =
            |structure, field| offset_of(&btf, structure, field).ok_or(OffsetsError::Missing { structure, field });
        Ok(Self {
            task_cgroups: offset("task_struct", "cgroups")?,
            css_set_dfl_cgrp: offset("css_set", "dfl_cgrp")?,
            cgroup_kn: offset("cgroup", "kn")?,
            cgroup_root: offset("cgroup", "root")?,
            cgroup_root_hierarchy_id: offset("cgroup_root", "hierarchy_id")?,
            kernfs_node_id: offset("kernfs_node", "id")?,
            task_compat: offset("task_struct", "thread_info")? + offset("thread_info", COMPAT_FIELD)?,
        })
    }
}

/// Those of the tracepoints that the kernel does not have; `None` when the file cannot be read.
pub(super) fn missing_tracepoints<'a>(path: &Path, wanted: &[&'a str]) -> Option<Vec<&'a str>> {
    let btf = open(path).ok()?;
    // Each tracepoint that programs can attach to has a type of this name (include/trace/bpf_probe.h).
    let there =
        |name: &str| btf.resolve_types_by_name(&format!("btf_trace_{name}")).is_ok_and(|found| !found.is_empty());
    Some(wanted.iter().copied().filter(|name| !there(name)).collect())
}

/// Kernels from 6.16 on let the file be mapped, which saves 150 ms and 40 MB.
fn open(path: &Path) -> Result<Btf, btf_rs::Error> {
    Btf::from_file_with_backend(path, Backend::Mmap).or_else(|_| Btf::from_file_with_backend(path, Backend::Cache))
}

/// Offset of a field that is a direct member of the struct, in bytes.
fn offset_of(btf: &Btf, structure: &str, field: &str) -> Option<u64> {
    let types = btf.resolve_types_by_name(structure).ok()?;
    let members = types.iter().filter_map(|kind| match kind {
        Type::Struct(structure) => Some(&structure.members),
        _ => None,
    });
    let member = members.flatten().find(|member| btf.resolve_name(*member).is_ok_and(|name| name == field))?;
    Some(u64::from(member.bit_offset() / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_an_error_with_a_remedy() {
        let error = Offsets::read(Path::new("/nonexistent/vmlinux")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/vmlinux") && error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    }

    #[test]
    fn garbage_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0x5a; 4096]).unwrap();
        assert!(matches!(Offsets::read(file.path()), Err(OffsetsError::Unreadable { .. })));
    }
}
