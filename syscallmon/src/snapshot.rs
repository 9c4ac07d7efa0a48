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

/// The counts of one slot, sorted by call, each call once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// The slot, from 1. Until it is freed, it is one cgroup's, and its counts do not fall.
    pub slot: u32,
    /// The id of that cgroup (its inode number in cgroupfs). Two slots have the same one only while one is taken back.
    pub cgroup_id: u64,
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
    /// `None` where the kernel does not tell (before Linux 5.12).
    pub recursion: Option<u64>,
}

/// The kernel's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every slot that a cgroup has.
    pub slots: Vec<SlotCounts>,
    /// Calls of cgroups that got no slot or no series, sorted by call. Never falls.
    pub remainder: Vec<Count>,
    /// What was lost.
    pub losses: Losses,
    /// Series in use.
    pub series: u32,
}
