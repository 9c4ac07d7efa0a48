//! The first record: data that stay the same while a daemon runs.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{FORMAT, VERSION, encoder::unix_nanoseconds};
use crate::{
    kernel::{Probe, ProbeStatus, TableCapacity},
    snapshot::Bound,
    syscalls::{CallId, CallTable, UNKNOWN},
    view::FixedFacts,
};

/// The first record of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    format: String,
    version: u32,
    /// The version of syscallmon that wrote it.
    pub syscallmon: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether names are pseudonyms.
    pub is_masked: bool,
    /// When counting began, in nanoseconds since 1970.
    started: u64,
    hierarchy: String,
    probes: Vec<RecordedProbe>,
    capacity: TableCapacity,
    duration_bounds: Vec<Bound>,
    kernel_memory_bytes: u64,
    max_series: u64,
    /// Whether classes of arguments are counted.
    #[serde(default)]
    knows_arguments: bool,
    /// ABI and name of every call, in the order of ids.
    calls: Vec<(String, String)>,
}

/// The status of a probe. The name of its implementation may come from a later version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RecordedProbe {
    probe: Probe,
    implementation: Option<String>,
    problem: Option<String>,
}

/// The part of a header that every version has.
#[derive(Deserialize)]
pub(super) struct FormatVersion {
    #[serde(default)]
    format: String,
    #[serde(default)]
    version: u32,
}

/// Why a file is not a usable recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("is not a recording of syscallmon")]
    Other,
    #[error("has recording version {0}; this syscallmon reads version {VERSION}")]
    Version(u32),
}

impl FormatVersion {
    pub(super) fn check(&self) -> Result<(), FormatError> {
        if self.format != FORMAT {
            return Err(FormatError::Other);
        }
        if self.version == VERSION { Ok(()) } else { Err(FormatError::Version(self.version)) }
    }
}

/// Names of implementations of probes. Other names come from a later version.
const IMPLEMENTATIONS: [&str; 3] = ["tp_btf", "raw_tp", "tracepoint"];
const OTHER_IMPLEMENTATION: &str = "other";

impl Header {
    /// Returns the header of a recording on this host, for a model with a maximum of series.
    #[must_use]
    pub fn new(facts: &FixedFacts, max_series: usize, is_masked: bool) -> Self {
        let probe = |status: &ProbeStatus| RecordedProbe {
            probe: status.probe,
            implementation: status.implementation.map(str::to_owned),
            problem: status.problem.clone(),
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            syscallmon: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            is_masked,
            started: unix_nanoseconds(facts.started.1),
            hierarchy: facts.hierarchy.clone(),
            probes: facts.probes.iter().map(probe).collect(),
            capacity: facts.capacity,
            duration_bounds: facts.duration_bounds.clone(),
            kernel_memory_bytes: facts.kernel_memory_bytes,
            max_series: max_series as u64,
            knows_arguments: facts.knows_arguments,
            calls: facts.calls.all().map(|(_, call)| (call.abi.to_owned(), call.syscall.to_owned())).collect(),
        }
    }

    /// Returns the facts for a view, if counting began at this moment of this machine's clock.
    #[must_use]
    pub fn facts(&self, started: Instant) -> FixedFacts {
        let known = |name: &String| IMPLEMENTATIONS.into_iter().find(|known| known == name);
        let probe = |recorded: &RecordedProbe| ProbeStatus {
            probe: recorded.probe,
            implementation: recorded.implementation.as_ref().map(|name| known(name).unwrap_or(OTHER_IMPLEMENTATION)),
            problem: recorded.problem.clone(),
        };
        // One row each, because every probe has one status.
        let mut probes: Vec<ProbeStatus> = Vec::new();
        for status in self.probes.iter().map(probe) {
            if !probes.iter().any(|known| known.probe == status.probe) {
                probes.push(status);
            }
        }
        let mut duration_bounds = self.duration_bounds.clone();
        duration_bounds.sort_unstable();
        duration_bounds.dedup();
        FixedFacts {
            calls: Arc::new(self.call_table()),
            knows_arguments: self.knows_arguments,
            hierarchy: self.hierarchy.clone(),
            probes,
            capacity: self.capacity,
            duration_bounds,
            layout: Arc::default(),
            created_timestamps: false,
            kernel_memory_bytes: self.kernel_memory_bytes,
            started: (started, self.started()),
            is_replay: true,
        }
    }

    /// Returns when counting began.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.started)
    }

    /// Returns the sizes of the recorded kernel's tables.
    #[must_use]
    pub fn capacity(&self) -> TableCapacity {
        self.capacity
    }

    /// Returns the maximum series of the recorded model.
    #[must_use]
    pub fn max_series(&self) -> usize {
        usize::try_from(self.max_series).unwrap_or(usize::MAX)
    }

    /// Returns the calls of the recorded architecture, in the tables of this version.
    pub(super) fn call_table(&self) -> CallTable {
        let is_arm = self.calls.first().is_some_and(|(abi, _)| abi == "aarch64");
        if is_arm { CallTable::aarch64() } else { CallTable::x86_64() }
    }

    /// Returns for each recorded id the id of the same call here. A call that this version lacks gets the id of its
    /// ABI's unknown calls.
    pub(super) fn translation(&self, calls: &CallTable) -> Vec<CallId> {
        let mut ids = HashMap::new();
        for (id, call) in calls.all() {
            ids.entry((call.abi, call.syscall)).or_insert(id);
        }
        let of = |(abi, syscall): &(String, String)| {
            let id = ids.get(&(abi.as_str(), syscall.as_str())).or_else(|| ids.get(&(abi.as_str(), UNKNOWN)));
            id.copied().unwrap_or(CallId(0))
        };
        self.calls.iter().map(of).collect()
    }
}
