//! The kernel's BTF: its types, published in `/sys/kernel/btf/vmlinux` (Linux 5.2, `CONFIG_DEBUG_INFO_BTF`).

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use btf_rs::{Backend, Btf, BtfType, EnumMember, Member, Struct, Type};
use rustix::fs::MemfdFlags;

/// Why BTF does not answer a question.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BtfError {
    /// The file is missing, or is not BTF.
    #[error("cannot read kernel BTF at {path} ({reason}): requires a kernel with CONFIG_DEBUG_INFO_BTF=y", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        reason: String,
    },
    /// The kernel lacks a cgroup controller.
    #[error("the kernel has no cgroup controller {controller}")]
    NoController {
        /// Its name in cgroup v1.
        controller: String,
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

/// Copies a file into memory that can be mapped.
fn copy_in_memory(path: &Path) -> io::Result<File> {
    let mut copy = File::from(rustix::fs::memfd_create("btf", MemfdFlags::CLOEXEC)?);
    io::copy(&mut File::open(path)?, &mut copy)?;
    Ok(copy)
}

/// Maximum depth of nested structs in a search; the kernel nests less.
const MAX_NESTED_STRUCTS: u32 = 8;

/// An argument that a tracepoint passes to programs, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// A pointer to a struct, by its name.
    Pointer(String),
    /// A byte that is not a bool.
    Byte,
    /// Anything else.
    Other,
}

/// The kernel's BTF, with the structs found so far.
pub(super) struct KernelBtf {
    btf: Btf,
    /// Results of searches for structs. Each search visits all types.
    structs: RefCell<HashMap<String, Option<Struct>>>,
}

impl KernelBtf {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not readable BTF.
    pub(super) fn read(path: &Path) -> Result<Self, BtfError> {
        // Kernels from 6.16 on allow mapping the file; on others, a copy is mapped. Without a mapping, the reader
        // parses all types at once: 150 ms and 40 MB, or seconds in an emulated machine.
        let btf = Btf::from_file_with_backend(path, Backend::Mmap).or_else(|error| {
            let Ok(copy) = copy_in_memory(path) else { return Err(error) };
            Btf::from_file_with_backend(format!("/proc/self/fd/{}", copy.as_raw_fd()), Backend::Mmap)
        });
        btf.map(|btf| Self { btf, structs: RefCell::default() })
            .map_err(|source| BtfError::Unreadable { path: path.to_owned(), reason: source.to_string() })
    }

    /// Returns the offset of a field of a struct, in bytes. Searches unnamed structs and unions inside it, too.
    pub(super) fn offset_of(&self, structure: &str, field: &str) -> Option<u64> {
        let mut structs = self.structs.borrow_mut();
        let found = structs.entry(structure.to_owned()).or_insert_with(|| self.find_struct(structure));
        self.offset_in(&found.as_ref()?.members, field, MAX_NESTED_STRUCTS)
    }

    fn find_struct(&self, name: &str) -> Option<Struct> {
        let types = self.btf.resolve_types_by_name(name).ok()?;
        types.into_iter().find_map(|kind| match kind {
            Type::Struct(found) => Some(found),
            _ => None,
        })
    }

    fn offset_in(&self, members: &[Member], field: &str, depth: u32) -> Option<u64> {
        members.iter().find_map(|member| {
            let start = u64::from(member.bit_offset() / 8);
            if self.is_named(member, field) {
                return Some(start);
            }
            let is_unnamed = depth > 0 && self.is_named(member, "");
            let nested = is_unnamed.then(|| self.btf.resolve_chained_type(member).ok()).flatten()?;
            match nested {
                Type::Struct(inner) | Type::Union(inner) => {
                    Some(start + self.offset_in(&inner.members, field, depth - 1)?)
                }
                _ => None,
            }
        })
    }

    /// Size of a struct, in bytes.
    pub(super) fn size_of(&self, structure: &str) -> Option<u64> {
        self.find_struct(structure).map(|found| found.size() as u64)
    }

    /// The value of an enumerator.
    pub(super) fn enum_value(&self, name: &str, enumerator: &str) -> Option<u32> {
        let types = self.btf.resolve_types_by_name(name).ok()?;
        let members = types.iter().filter_map(|kind| match kind {
            Type::Enum(definition) => Some(&definition.members),
            _ => None,
        });
        members.flatten().find(|&member| self.is_named(member, enumerator)).map(EnumMember::val)
    }

    /// Returns the id of the type for a tracepoint that programs can attach to (`include/trace/bpf_probe.h`).
    pub(super) fn tracepoint(&self, name: &str) -> Option<u32> {
        self.btf.resolve_ids_by_name(&format!("btf_trace_{name}")).ok()?.first().copied()
    }

    /// Returns the arguments that a tracepoint passes to programs.
    pub(super) fn arguments(&self, tracepoint: &str) -> Option<Vec<Argument>> {
        let Type::Typedef(handler) = self.btf.resolve_type_by_id(self.tracepoint(tracepoint)?).ok()? else {
            return None;
        };
        let proto = self.btf.chained_type_iter(&handler).find_map(|kind| match kind {
            Type::FuncProto(proto) => Some(proto),
            _ => None,
        })?;
        // The first one is for the handler itself.
        Some(proto.parameters.iter().skip(1).map(|parameter| self.argument(parameter)).collect())
    }

    fn argument(&self, parameter: &dyn BtfType) -> Argument {
        let types: Vec<Type> = self.btf.chained_type_iter(parameter).collect();
        match types.as_slice() {
            [Type::Ptr(_), .., Type::Struct(pointed)] => {
                Argument::Pointer(self.btf.resolve_name(pointed).unwrap_or_default())
            }
            [.., Type::Int(int)] if int.size() == 1 && !int.is_bool() => Argument::Byte,
            _ => Argument::Other,
        }
    }

    fn is_named(&self, member: &dyn BtfType, name: &str) -> bool {
        self.btf.resolve_name(member).is_ok_and(|own| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_an_error_with_a_remedy() {
        let error = KernelBtf::read(Path::new("/nonexistent/vmlinux")).err().unwrap().to_string();
        assert!(error.contains("/nonexistent/vmlinux") && error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    }

    #[test]
    fn garbage_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0x5a; 4096]).unwrap();
        assert!(matches!(KernelBtf::read(file.path()), Err(BtfError::Unreadable { .. })));
    }
}
