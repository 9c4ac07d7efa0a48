//! The description of pinned tables: what another daemon must know to read them.

use serde::{Deserialize, Serialize};

use super::super::sizes::Sizes;
use crate::syscalls::{CallId, CallTable, UNKNOWN};

/// The name of the map.
pub(super) const DESCRIPTION: &str = "DESCRIPTION";

/// Version of the layout of the tables. It changes when an older daemon would misread newer tables, or the reverse.
const VERSION: u32 = 1;

/// More CPUs than any kernel has. With more, sizes in bytes could overflow.
const MAX_CPUS: usize = 1 << 16;

/// The description of pinned tables.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    version: u32,
    /// Possible CPUs: rows of the counters.
    pub(super) cpus: usize,
    slots: u32,
    series: u32,
    histograms: u32,
    /// ABI and name of the call of each position.
    calls: Vec<(String, String)>,
}

impl Description {
    /// Describes tables of these sizes.
    pub(super) fn new(sizes: &Sizes, cpus: usize, calls: &CallTable) -> Self {
        let calls = calls.all().map(|(_, call)| (call.abi.to_owned(), call.syscall.to_owned())).collect();
        let &Sizes { slots, series, histograms, .. } = sizes;
        Self { version: VERSION, cpus, slots, series, histograms, calls }
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// When it is half-written, or of another layout.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct OfAnyVersion {
            version: u32,
        }
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let text = &bytes[..end];
        let unusable = |error: serde_json::Error| format!("the description of the tables is unusable: {error}");
        let OfAnyVersion { version } = serde_json::from_slice(text).map_err(unusable)?;
        if version != VERSION {
            return Err(format!("the tables have layout {version}; this syscallmon reads layout {VERSION}"));
        }
        let description: Self = serde_json::from_slice(text).map_err(unusable)?;
        let Self { cpus, slots, series, histograms, .. } = description;
        if cpus == 0 || slots == 0 || series == 0 || histograms == 0 {
            return Err("the description of the tables has a size of 0".to_owned());
        }
        if cpus > MAX_CPUS {
            return Err(format!("the description of the tables has {cpus} CPUs"));
        }
        Ok(description)
    }

    /// Returns the sizes of the tables.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes::of_counts(self.slots, self.series, self.histograms)
    }

    /// Returns the call of this daemon for each position of the tables; `None` if all are the same. A call that this
    /// daemon does not know is an unknown one of its ABI.
    pub(super) fn translation(&self, known: &CallTable) -> Option<Vec<CallId>> {
        let is_same = |((_, call), (abi, syscall)): (_, &(String, String))| {
            let call: crate::syscalls::Call = call;
            call.abi == abi && call.syscall == syscall
        };
        if known.all().count() == self.calls.len() && known.all().zip(&self.calls).all(is_same) {
            return None;
        }
        let ids = self
            .calls
            .iter()
            .map(|(abi, syscall)| known.id(abi, syscall).or_else(|| known.id(abi, UNKNOWN)).unwrap_or(CallId(0)));
        Some(ids.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description::new(&Sizes::of_counts(3, 4, 5), 2, &CallTable::x86_64())
    }

    #[test]
    fn a_description_is_read_as_it_was_written_and_fits_into_its_map() {
        let description = description();
        let mut bytes = serde_json::to_vec(&description).unwrap();
        assert!(bytes.len() < syscallmon_common::DESCRIPTION_BYTES, "{}", bytes.len());
        bytes.resize(syscallmon_common::DESCRIPTION_BYTES, 0);
        assert_eq!(Description::parse(&bytes), Ok(description));
    }

    #[test]
    fn what_is_half_written_or_of_another_layout_is_refused_with_the_reason() {
        let bytes = serde_json::to_vec(&description()).unwrap();
        for len in 0..bytes.len() {
            assert!(Description::parse(&bytes[..len]).is_err(), "{len}");
        }
        let newer = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
        let error = Description::parse(newer.as_bytes()).unwrap_err();
        assert_eq!(error, "the tables have layout 2; this syscallmon reads layout 1");
        let none = newer.replace("\"version\":2", "\"version\":1").replace("\"cpus\":2", "\"cpus\":0");
        assert!(Description::parse(none.as_bytes()).unwrap_err().contains("size of 0"));
        let many = none.replace("\"cpus\":0", "\"cpus\":2000000000000000000");
        assert!(Description::parse(many.as_bytes()).unwrap_err().contains("2000000000000000000 CPUs"));
    }

    #[test]
    fn calls_are_found_by_name_in_another_table() {
        let known = CallTable::x86_64();
        assert_eq!(description().translation(&known), None);
        let mut other = description();
        other.calls.insert(7, ("x86_64".to_owned(), "newer_than_this".to_owned()));
        let ids = other.translation(&known).unwrap();
        assert_eq!(ids[7], known.id("x86_64", UNKNOWN).unwrap());
        assert_eq!((ids[6], ids[8]), (CallId(6), CallId(7)));
    }
}
