//! The reader, beside bpftool and with damaged blobs.

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
