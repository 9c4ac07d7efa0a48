//! What was read from the kernel at one moment, as plain data.
//!
//! Everything to the right of `kernel` works on snapshots, so a recorded one can be replayed without
//! privileges. Values are the kernel's running counts, not differences: [`crate::model`] takes those.

use serde::{Deserialize, Serialize};

use crate::syscalls::CallId;

/// How often a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Which call.
    pub call: CallId,
    /// How often, since the cgroup got its slot in the kernel's tables.
    pub calls: u64,
}

/// The counts of one cgroup, sorted by call, each call once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupCounts {
    /// The cgroup's id (its inode number in cgroupfs).
    pub id: u64,
    /// Its counts, none of them 0.
    pub counts: Vec<Count>,
}

/// Running totals of what could not be done as it should, since the probes were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Calls counted in the remainder, since every cgroup slot was taken.
    pub cgroups_full: u64,
    /// Calls counted in the remainder, since every series was taken.
    pub series_full: u64,
    /// Births and deaths of cgroups that did not fit their ring buffer.
    pub cgroup_events: u64,
    /// First-seen events that did not fit their ring buffer.
    pub first_seen_events: u64,
    /// Times that the kernel skipped a program that would have met itself on its CPU: calls not counted at all.
    pub recursion: u64,
}

/// The kernel's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every cgroup that has a slot.
    pub cgroups: Vec<CgroupCounts>,
    /// Calls of cgroups that got no slot or no series, sorted by call. Never falls.
    pub remainder: Vec<Count>,
    /// What was lost.
    pub losses: Losses,
    /// Series in use.
    pub series: u32,
}
