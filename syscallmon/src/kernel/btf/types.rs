//! The types of a BTF blob (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`).
//!
//! The blob is scanned once, for where each type begins. Names are compared when a type is looked up.

#[cfg(test)]
mod tests;

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

    /// Returns the string at an offset, or an empty one outside of the strings.
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
