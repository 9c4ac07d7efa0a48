//! Reads tracepoints from tracefs: whether they exist, and the fields of their records.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Mount points, as in aya.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Why a classic tracepoint is unusable.
#[derive(Debug, thiserror::Error)]
pub(super) enum TracefsError {
    /// The file is missing, or not readable.
    #[error("cannot read {path} ({source}): requires tracefs (mount -t tracefs nodev /sys/kernel/tracing) and permission to read it", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The record lacks a field.
    #[error("{path} has no field {field}", path = path.display())]
    NoField {
        /// The file.
        path: PathBuf,
        /// The name of the field.
        field: &'static str,
    },
}

/// Whether tracefs is readable.
pub(super) fn is_there() -> bool {
    events().is_dir()
}

/// Checks that a tracepoint such as `raw_syscalls/sys_enter` can be attached to.
pub(super) fn require(tracepoint: &str) -> Result<(), TracefsError> {
    read(&events().join(tracepoint).join("id")).map(drop)
}

/// Returns the offsets of these fields in a tracepoint's records, in bytes.
pub(super) fn offsets<const N: usize>(tracepoint: &str, fields: [&'static str; N]) -> Result<[u64; N], TracefsError> {
    let path = events().join(tracepoint).join("format");
    let text = read(&path)?;
    let mut offsets = [0; N];
    for (offset, field) in offsets.iter_mut().zip(fields) {
        *offset = offset_of(&text, field).ok_or_else(|| TracefsError::NoField { path: path.clone(), field })?;
    }
    Ok(offsets)
}

/// Returns the directory of all tracepoints.
fn events() -> PathBuf {
    let places = PLACES.map(|place| Path::new(place).join("events"));
    let [first, _] = &places;
    places.iter().find(|place| place.is_dir()).unwrap_or(first).clone()
}

fn read(path: &Path) -> Result<String, TracefsError> {
    fs::read_to_string(path).map_err(|source| TracefsError::Unreadable { path: path.to_owned(), source })
}

/// Parses lines such as `field:__data_loc char[] path; offset:24; size:4; signed:0;`, with tabs in between.
fn offset_of(format: &str, field: &str) -> Option<u64> {
    format.lines().find_map(|line| {
        let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
        if declaration.split_whitespace().next_back()? != field {
            return None;
        }
        rest.trim().strip_prefix("offset:")?.split(';').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: cgroup_mkdir\nID: 544\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:int root;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:u64 id;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] path;\toffset:24;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"root=%d id=%llu path=%s\", REC->root, REC->id, __get_str(path)\n";

    #[test]
    fn fields_are_found_by_their_whole_name() {
        assert_eq!(["root", "id", "path"].map(|field| offset_of(FORMAT, field)), [Some(8), Some(16), Some(24)]);
        assert_eq!(["level", "type", "pat", ""].map(|field| offset_of(FORMAT, field)), [None; 4]);
    }

    #[test]
    fn a_tracepoint_that_does_not_exist_is_an_error_with_a_remedy() {
        let error = require("raw_syscalls/no_such").unwrap_err().to_string();
        assert!(error.contains("raw_syscalls/no_such/id") && error.contains("mount -t tracefs"), "{error}");
    }
}
