//! The kernel's BTF: its types, published in `/sys/kernel/btf/vmlinux` (Linux 5.2, `CONFIG_DEBUG_INFO_BTF`).

mod types;

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use types::{Kind, Type, Types};

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

/// Maximum size of a kernel's BTF. Those of distributions have 4 to 10 MB.
const MAX_BYTES: u64 = 64 << 20;

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
    types: Types,
    /// Ids of structs. Each search visits all types.
    structs: RefCell<HashMap<String, Option<u32>>>,
}

impl KernelBtf {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not readable BTF.
    pub(super) fn read(path: &Path) -> Result<Self, BtfError> {
        let unreadable = |reason: String| BtfError::Unreadable { path: path.to_owned(), reason };
        let bytes = read_whole(path).map_err(|error| unreadable(error.to_string()))?;
        let types = Types::parse(bytes).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { types, structs: RefCell::default() })
    }

    /// Returns the offset of a field of a struct, in bytes. Searches unnamed structs and unions inside it, too.
    pub(super) fn offset_of(&self, structure: &str, field: &str) -> Option<u64> {
        offset_in(self.structure(structure)?, field.as_bytes(), MAX_NESTED_STRUCTS).map(u64::from)
    }

    /// Size of a struct, in bytes.
    pub(super) fn size_of(&self, structure: &str) -> Option<u64> {
        self.structure(structure).map(|found| found.size().into())
    }

    /// The value of an enumerator.
    pub(super) fn enum_value(&self, name: &str, enumerator: &str) -> Option<u32> {
        let mut members = self.types.all_named(Kind::Enum, name).flat_map(Type::enumerators);
        members.find(|&(name, _)| name == enumerator.as_bytes()).map(|(_, value)| value)
    }

    /// Returns the id of the type for a tracepoint that programs can attach to (`include/trace/bpf_probe.h`).
    pub(super) fn tracepoint(&self, name: &str) -> Option<u32> {
        self.handler(name).map(|handler| handler.id)
    }

    /// Returns the arguments that a tracepoint passes to programs.
    pub(super) fn arguments(&self, tracepoint: &str) -> Option<Vec<Argument>> {
        let prototype = self.handler(tracepoint)?.chain().into_iter().find(|found| found.kind == Kind::FuncProto)?;
        // The first one is for the handler itself.
        Some(prototype.parameters().skip(1).map(|parameter| argument(&parameter)).collect())
    }

    fn structure(&self, name: &str) -> Option<Type<'_>> {
        let mut structs = self.structs.borrow_mut();
        let search = || self.types.all_named(Kind::Struct, name).next().map(|found| found.id);
        self.types.get((*structs.entry(name.to_owned()).or_insert_with(search))?)
    }

    fn handler(&self, tracepoint: &str) -> Option<Type<'_>> {
        self.types.all_named(Kind::Typedef, &format!("btf_trace_{tracepoint}")).next()
    }
}

/// Reads a file of at most [`MAX_BYTES`]. Not by its size, since files in sysfs may have none.
fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if let Ok(size) = file.metadata().map(|metadata| metadata.len()) {
        bytes.reserve_exact(usize::try_from(size.min(MAX_BYTES)).unwrap_or_default() + 1);
    }
    let length = file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if length as u64 > MAX_BYTES { Err(io::Error::other("exceeds 64 MiB")) } else { Ok(bytes) }
}

fn offset_in(structure: Type<'_>, field: &[u8], depth: u32) -> Option<u32> {
    structure.members().find_map(|member| {
        if member.name == field {
            return Some(member.offset);
        }
        let is_unnamed = depth > 0 && member.name.is_empty();
        let nested = is_unnamed.then(|| member.aggregate()).flatten()?;
        member.offset.checked_add(offset_in(nested, field, depth - 1)?)
    })
}

fn argument(types: &[Type<'_>]) -> Argument {
    match types {
        [first, .., last] if first.kind == Kind::Ptr && last.kind == Kind::Struct => {
            Argument::Pointer(String::from_utf8_lossy(last.name()).into_owned())
        }
        [.., last] if last.kind == Kind::Int && last.size() == 1 && !last.is_bool() => Argument::Byte,
        _ => Argument::Other,
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
