//! Where a generated profile comes from, for the file itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use serde::Serialize;

use super::{Confidence, Evidence};
use crate::{process::printable_name, syscalls::IO_URING};

/// Maximum number of images that are named.
const MAX_IMAGES: usize = 20;

/// Where a generated profile comes from. Keys are in the order of importance for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// The program and its version.
    pub generator: String,
    /// When the profile was made.
    pub generated: String,
    /// The sources: kind and name.
    pub sources: Vec<String>,
    /// Number of replicas of all sources.
    pub replicas: usize,
    /// Images with digest, as far as known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<String>,
    /// Begin of the first observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the last observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Calls that could not be attributed while the replicas were observed.
    pub lost: u64,
    /// Whether the start of no replica was observed, so that calls of the start may be missing.
    pub partial: bool,
    /// The base that was added for the container runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// How sure it is that no call is missing.
    pub confidence: Confidence,
    /// Number of replicas that made each call.
    pub coverage: BTreeMap<&'static str, usize>,
}

impl Provenance {
    /// Describes evidence.
    #[must_use]
    pub fn new(evidence: &Evidence, runtime: Option<String>, now: SystemTime) -> Self {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let replicas = &evidence.replicas;
        let images = replicas.iter().filter_map(|replica| replica.image.as_deref()).map(printable_name);
        Self {
            generator: format!("syscallmon {}", env!("CARGO_PKG_VERSION")),
            generated: time(now),
            sources: evidence
                .sources
                .iter()
                .map(|of| format!("{} {}", of.kind.name(), printable_name(&of.name)))
                .collect(),
            replicas: replicas.len(),
            images: images.take(MAX_IMAGES).collect(),
            from: replicas.iter().filter_map(|replica| replica.from).min().map(time),
            to: replicas.iter().filter_map(|replica| replica.to).max().map(time),
            lost: replicas.iter().fold(0, |sum, replica| sum.saturating_add(replica.lost)),
            partial: !replicas.iter().any(|replica| replica.saw_start),
            runtime,
            confidence: Confidence::new(evidence, now),
            coverage: coverage(evidence),
        }
    }
}

/// Returns how many replicas made each call.
#[must_use]
pub fn coverage(evidence: &Evidence) -> BTreeMap<&'static str, usize> {
    let mut replicas: BTreeMap<&'static str, BTreeSet<u32>> = BTreeMap::new();
    for (call, observation) in evidence.calls.iter().filter(|(call, _)| call.abi != IO_URING) {
        if observation.count > 0 {
            replicas.entry(call.syscall).or_default().extend(&observation.replicas);
        }
    }
    replicas.into_iter().map(|(name, replicas)| (name, replicas.len())).collect()
}
