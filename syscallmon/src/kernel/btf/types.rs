//! The types of a BTF blob (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`).
//!
//! The blob is scanned once, for where each type begins. Names are compared when a type is looked up.

use std::iter;

/// First bytes of a blob, in the byte order of its machine.
const MAGIC: u16 = 0xeb9f;

/// Bytes of `struct btf_header` that are read here. Later versions may have more.
const HEADER_BYTES: usize = 24;

/// Bytes of `struct btf_type`, without what follows for its kind.
const TYPE_BYTES: usize = 12;

/// Bytes of `struct btf_member`.
const MEMBER_BYTES: usize = 12;

/// Maximum number of types that a type may refer to one after the other: pointer, modifiers, typedefs.
const MAX_CHAIN: usize = 32;

/// Encoding of an integer that is a `bool` (`BTF_INT_BOOL`).
const INT_BOOL: u32 = 1 << 2;

/// The kinds of types (`BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int = 1,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

const KINDS: [Kind; 19] = [
    Kind::Int,
    Kind::Ptr,
    Kind::Array,
    Kind::Struct,
    Kind::Union,
    Kind::Enum,
    Kind::Fwd,
    Kind::Typedef,
    Kind::Volatile,
    Kind::Const,
    Kind::Restrict,
    Kind::Func,
    Kind::FuncProto,
    Kind::Var,
    Kind::Datasec,
    Kind::Float,
    Kind::DeclTag,
    Kind::TypeTag,
    Kind::Enum64,
];

impl Kind {
    /// Bytes that follow a type of this kind, given its number of elements.
    fn trailer(self, elements: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => elements * MEMBER_BYTES,
            Self::Enum | Self::FuncProto => elements * 8,
            Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => 0,
        }
    }

    /// Whether a type of this kind stands for another one.
    fn refers(self) -> bool {
        matches!(self, Self::Ptr | Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }
}

/// Why bytes are not BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("not BTF of this machine's byte order")]
    Magic,
    #[error("BTF of version {0}, expected 1")]
    Version(u8),
    #[error("BTF is cut off")]
    Cut,
    #[error("BTF has a type of unknown kind {0}")]
    Kind(u32),
}

/// All types of a blob.
pub(super) struct Types {
    bytes: Vec<u8>,
    /// Offsets of types in `bytes`, by their id minus one: the type 0 is `void`.
    starts: Vec<u32>,
    /// Range of the strings.
    strings: std::ops::Range<usize>,
}

/// A type.
#[derive(Clone, Copy)]
pub(super) struct Type<'a> {
    types: &'a Types,
    pub(super) id: u32,
    pub(super) kind: Kind,
    at: usize,
}

/// A field of a struct or union.
pub(super) struct Member<'a> {
    pub(super) name: &'a [u8],
    /// Offset in bytes.
    pub(super) offset: u32,
    type_id: u32,
    types: &'a Types,
}

impl Types {
    /// Finds the types in a blob.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(FormatError::Cut)?;
        if u16::from_ne_bytes([header[0], header[1]]) != MAGIC {
            return Err(FormatError::Magic);
        }
        if header[2] != 1 {
            return Err(FormatError::Version(header[2]));
        }
        let field = |at| word(&bytes, at).map(|value| value as usize).ok_or(FormatError::Cut);
        let [header_bytes, types_at, types_bytes, strings_at, strings_bytes] =
            [field(4)?, field(8)?, field(12)?, field(16)?, field(20)?];
        let range = |at: usize, length: usize| {
            let start = header_bytes.checked_add(at)?;
            let end = start.checked_add(length)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let strings = range(strings_at, strings_bytes).ok_or(FormatError::Cut)?;
        let types = range(types_at, types_bytes).ok_or(FormatError::Cut)?;
        let (mut starts, mut at) = (Vec::new(), types.start);
        while at < types.end {
            let info = word(&bytes, at + 4).ok_or(FormatError::Cut)?;
            let trailer = kind(info).ok_or(FormatError::Kind(kind_number(info)))?.trailer(elements(info));
            let start = u32::try_from(at).map_err(|_| FormatError::Cut)?;
            at += TYPE_BYTES + trailer;
            if at > types.end {
                return Err(FormatError::Cut);
            }
            starts.push(start);
        }
        Ok(Self { bytes, starts, strings })
    }

    /// Returns the type with this id; `None` for `void`.
    pub(super) fn get(&self, id: u32) -> Option<Type<'_>> {
        let at = *self.starts.get(usize::try_from(id.checked_sub(1)?).ok()?)? as usize;
        Some(Type { types: self, id, kind: kind(word(&self.bytes, at + 4)?)?, at })
    }

    /// Returns all types of this kind and name.
    pub(super) fn all_named(&self, wanted: Kind, name: &str) -> impl Iterator<Item = Type<'_>> {
        self.all().filter(move |found| found.kind == wanted && found.name() == name.as_bytes())
    }

    fn all(&self) -> impl Iterator<Item = Type<'_>> {
        (1..).map_while(|id| self.get(id))
    }

    /// Returns the string at an offset; empty if there is none.
    fn string(&self, at: u32) -> &[u8] {
        let strings = &self.bytes[self.strings.clone()];
        let rest = strings.get(at as usize..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl<'a> Type<'a> {
    /// Its name; empty if it has none.
    pub(super) fn name(self) -> &'a [u8] {
        self.types.string(self.word(0))
    }

    /// Bytes that a value takes. Only for kinds that have a size.
    pub(super) fn size(self) -> u32 {
        self.word(8)
    }

    /// Whether it is a `bool`.
    pub(super) fn is_bool(self) -> bool {
        self.kind == Kind::Int && (self.word(TYPE_BYTES) >> 24) & INT_BOOL != 0
    }

    /// The fields of a struct or union.
    pub(super) fn members(self) -> impl Iterator<Item = Member<'a>> {
        // With bit fields, the upper byte of an offset is the number of bits.
        let mask = if self.word(4) >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        self.elements(&[Kind::Struct, Kind::Union], MEMBER_BYTES).map(move |at| Member {
            name: self.types.string(self.word(at)),
            type_id: self.word(at + 4),
            offset: (self.word(at + 8) & mask) / 8,
            types: self.types,
        })
    }

    /// Names and values of an enum.
    pub(super) fn enumerators(self) -> impl Iterator<Item = (&'a [u8], u32)> {
        self.elements(&[Kind::Enum], 8).map(move |at| (self.types.string(self.word(at)), self.word(at + 4)))
    }

    /// The types of a function's parameters, each as [`Self::chain`] has it.
    pub(super) fn parameters(self) -> impl Iterator<Item = Vec<Type<'a>>> {
        self.elements(&[Kind::FuncProto], 8).map(move |at| chain(self.types.get(self.word(at + 4))))
    }

    /// This type, the one that it stands for, and so on.
    pub(super) fn chain(self) -> Vec<Type<'a>> {
        chain(Some(self))
    }

    /// The type that it refers to.
    fn target(self) -> Option<Self> {
        self.kind.refers().then(|| self.types.get(self.word(8))).flatten()
    }

    /// Offsets of what follows the type, one for each element.
    fn elements(self, kinds: &[Kind], bytes: usize) -> impl Iterator<Item = usize> + use<'a> {
        let count = if kinds.contains(&self.kind) { elements(self.word(4)) } else { 0 };
        (0..count).map(move |index| TYPE_BYTES + index * bytes)
    }

    /// A word of the type. `parse` has checked that the type is whole.
    fn word(self, at: usize) -> u32 {
        word(&self.types.bytes, self.at + at).unwrap_or_default()
    }
}

impl<'a> Member<'a> {
    /// Its type, if that is a struct or union.
    pub(super) fn aggregate(&self) -> Option<Type<'a>> {
        self.types.get(self.type_id).filter(|found| matches!(found.kind, Kind::Struct | Kind::Union))
    }
}

fn chain(first: Option<Type<'_>>) -> Vec<Type<'_>> {
    iter::successors(first, |found| found.target()).take(MAX_CHAIN).collect()
}

fn kind_number(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn kind(info: u32) -> Option<Kind> {
    KINDS.get((kind_number(info) as usize).checked_sub(1)?).copied()
}

fn elements(info: u32) -> usize {
    (info & 0xffff) as usize
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, env, fs, process::Command};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Returns what bpftool has about each type; `None` on a host without it.
    fn as_bpftool_reads_it(file: &str) -> Option<Vec<Value>> {
        let output = Command::new("bpftool").args(["--json", "btf", "dump", "file", file]).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut dump: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        Some(serde_json::from_value(dump["types"].take()).expect("types"))
    }

    fn text(name: &[u8]) -> String {
        if name.is_empty() { "(anon)".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
    }

    /// Returns a type in the words of bpftool, as far as it is read here.
    fn described(found: Type<'_>) -> Value {
        let kind = match found.kind {
            Kind::FuncProto => "FUNC_PROTO".to_owned(),
            Kind::DeclTag => "DECL_TAG".to_owned(),
            Kind::TypeTag => "TYPE_TAG".to_owned(),
            other => format!("{other:?}").to_uppercase(),
        };
        let member =
            |member: Member<'_>| json!({"name": text(member.name), "type_id": member.type_id, "bytes": member.offset});
        let mut described = json!({"id": found.id, "kind": kind, "name": text(found.name())});
        match found.kind {
            Kind::Struct | Kind::Union => described["members"] = found.members().map(member).collect(),
            Kind::Enum => {
                let value = |(name, value)| json!({"name": text(name), "val": value});
                described["values"] = found.enumerators().map(value).collect();
            }
            _ => {}
        }
        if matches!(found.kind, Kind::Int | Kind::Struct | Kind::Union | Kind::Enum) {
            described["size"] = found.size().into();
        }
        if found.kind.refers() {
            described["type_id"] = found.word(8).into();
        }
        described
    }

    /// Keeps of bpftool's description what [`described`] has.
    fn reduced(mut dumped: Value, described: &Value) -> Value {
        let own = described.as_object().expect("an object");
        let all = dumped.as_object_mut().expect("an object");
        all.retain(|key, _| own.contains_key(key));
        for member in all.get_mut("members").and_then(Value::as_array_mut).into_iter().flatten() {
            let bits = member["bits_offset"].as_u64().expect("an offset");
            *member = json!({"name": member["name"], "type_id": member["type_id"], "bytes": bits / 8});
        }
        for value in all.get_mut("values").and_then(Value::as_array_mut).into_iter().flatten() {
            // Some are negative there.
            let number = value["val"].as_u64().or_else(|| value["val"].as_i64().map(i64::cast_unsigned));
            value["val"] = (number.expect("a number") & u64::from(u32::MAX)).into();
        }
        dumped
    }

    /// Of this kernel, and of those in the files that `cargo xtask vm` names in `SYSCALLMON_TEST_BTF`.
    #[test]
    fn every_type_of_a_kernel_is_read_as_bpftool_reads_it() {
        let others = env::var("SYSCALLMON_TEST_BTF").unwrap_or_default();
        for file in iter::once("/sys/kernel/btf/vmlinux").chain(others.lines()) {
            let (Ok(bytes), Some(dump)) = (fs::read(file), as_bpftool_reads_it(file)) else { return };
            let types = Types::parse(bytes).unwrap();
            assert_eq!(types.starts.len(), dump.len(), "{file}");
            let mut kinds = BTreeSet::new();
            for (found, dumped) in types.all().zip(dump) {
                let described = described(found);
                assert_eq!(described, reduced(dumped, &described), "{file}");
                kinds.insert(format!("{:?}", found.kind));
            }
            assert!(kinds.len() >= 13, "{file}: {kinds:?}");
            println!("{file}: {} types of {} kinds", types.starts.len(), kinds.len());
        }
    }

    /// A blob with a struct of one field, an enum and a pointer.
    fn blob() -> Vec<u8> {
        let strings = b"\0task\0pid\0state\0DEAD\0";
        let info = |kind: Kind, elements: u32| (kind as u32) << 24 | elements;
        let words: Vec<u32> = [
            vec![1, info(Kind::Struct, 1), 8, 6, 2, 32],
            vec![0, info(Kind::Ptr, 0), 1],
            vec![10, info(Kind::Enum, 1), 4, 16, 3],
        ]
        .concat();
        let types: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let lengths = [24, 0, types.len(), types.len(), strings.len()];
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(lengths.into_iter().flat_map(|length| u32::try_from(length).unwrap().to_ne_bytes()));
        [bytes, types, strings.to_vec()].concat()
    }

    /// Asks everything that can be asked.
    fn visit(types: &Types) -> usize {
        let of = |found: Type<'_>| {
            let nested = found.members().filter(|member| member.aggregate().is_some()).count();
            let parameters: usize = found.parameters().map(|chain| chain.len()).sum();
            nested + parameters + found.enumerators().count() + found.chain().len() + found.name().len()
        };
        types.all().map(of).sum()
    }

    #[test]
    fn a_small_blob_is_read() {
        let types = Types::parse(blob()).unwrap();
        let task = types.all_named(Kind::Struct, "task").next().unwrap();
        let members: Vec<_> = task.members().map(|member| (text(member.name), member.offset)).collect();
        assert_eq!(members, [("pid".to_owned(), 4)]);
        let state = types.all_named(Kind::Enum, "state").next().unwrap();
        assert_eq!(state.enumerators().collect::<Vec<_>>(), [(&b"DEAD"[..], 3)]);
        assert!(types.all_named(Kind::Struct, "state").next().is_none());
        // The pointer refers to the struct.
        assert_eq!(types.get(2).unwrap().chain().iter().map(|found| found.id).collect::<Vec<_>>(), [2, 1]);
        assert!(types.get(0).is_none() && types.get(4).is_none());
    }

    #[test]
    fn a_type_that_refers_to_itself_ends() {
        let mut bytes = blob();
        let at = bytes.windows(12).position(|window| window == ptr(1)).unwrap();
        bytes[at..at + 12].copy_from_slice(&ptr(2));
        let types = Types::parse(bytes).unwrap();
        assert_eq!(types.get(2).unwrap().chain().len(), MAX_CHAIN);
        assert!(visit(&types) > 0);
    }

    fn ptr(to: u32) -> Vec<u8> {
        [0, (Kind::Ptr as u32) << 24, to].into_iter().flat_map(u32::to_ne_bytes).collect()
    }

    #[test]
    fn each_fault_has_its_error() {
        let with = |at: usize, byte: u8| {
            let mut bytes = blob();
            bytes[at] = byte;
            Types::parse(bytes).err()
        };
        assert_eq!(with(0, 0), Some(FormatError::Magic));
        assert_eq!(with(2, 9), Some(FormatError::Version(9)));
        assert_eq!(with(HEADER_BYTES + 7, 31), Some(FormatError::Kind(31)));
        assert_eq!(with(HEADER_BYTES + 4, 200), Some(FormatError::Cut), "more members than bytes");
        assert_eq!(with(23, 255), Some(FormatError::Cut), "more strings than bytes");
        for length in 0..blob().len() {
            assert!(Types::parse(blob()[..length].to_vec()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn damaged_blobs_are_refused_or_read_within_their_bounds(
            changes in proptest::collection::vec((0..blob().len(), any::<u8>()), 1..8),
        ) {
            let mut bytes = blob();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            if let Ok(types) = Types::parse(bytes) {
                prop_assert!(visit(&types) <= 3 * (MAX_CHAIN + 3 + blob().len()));
            }
        }
    }
}
