//! What the daemon knows at this moment, for whoever shows it.
//!
//! Written by [`crate::sampler`] after each snapshot, read by `export` under the lock of [`Shared`]. Plain data.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    alert::Alerts,
    durations::Bound,
    first_calls::FirstCalls,
    kernel::{Capacity, ProbeStatus},
    model::Model,
    policy::{Baselines, Policies, Violations},
    snapshot::Losses,
    syscalls::CallTable,
    workload::Directory,
};

/// Facts about the newest snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFacts {
    /// 1 for the first; 0 before it.
    pub number: u64,
    /// When it was taken.
    pub taken: Instant,
    /// The same, as people tell time.
    pub time: SystemTime,
    /// How long it took to read and to take up.
    pub duration: Duration,
}

/// Everything there is to show.
#[derive(Debug)]
pub struct State {
    /// Names of calls.
    pub calls: CallTable,
    /// Totals by workload.
    pub model: Model,
    /// Names of containers.
    pub directory: Directory,
    /// The cgroup hierarchies that are counted by: `cgroup2`, `memory`, `cgroup2+memory`.
    pub hierarchy: String,
    /// How each probe fares.
    pub probes: Vec<ProbeStatus>,
    /// Running totals of what was lost.
    pub losses: Losses,
    /// Sizes of the kernel's tables.
    pub capacity: Capacity,
    /// Series in use in the kernel.
    pub series: u32,
    /// Histograms in use in the kernel.
    pub histograms: u32,
    /// Upper bounds of the buckets that are exported, in order.
    pub duration_bounds: Vec<Bound>,
    /// Cgroups that have a slot in the kernel.
    pub cgroups: usize,
    /// Memory of the kernel's tables.
    pub kernel_memory_bytes: u64,
    /// The newest snapshot.
    pub snapshot: SnapshotFacts,
    /// The newest first calls of each workload.
    pub first_calls: FirstCalls,
    /// What is expected of workloads.
    pub policies: Arc<Policies>,
    /// Whether the last load of the policies worked, and when the last one did that worked.
    pub policy_reload: (bool, SystemTime),
    /// What was wrong with the policies at the last load.
    pub policy_problems: usize,
    /// What was not expected.
    pub violations: Violations,
    /// What kinds of workloads have learned.
    pub baselines: Baselines,
    /// Where violations go.
    pub alerts: Alerts,
    /// Whether the last load of the configuration worked, and when the last one did that worked.
    pub config_reload: (bool, SystemTime),
}

impl State {
    /// What is known before the first snapshot.
    #[must_use]
    pub fn new(
        calls: CallTable,
        probes: Vec<ProbeStatus>,
        capacity: Capacity,
        kernel_memory_bytes: u64,
        hierarchy: String,
        duration_bounds: Vec<Bound>,
        (model, directory): (Model, Directory),
    ) -> Self {
        let time = SystemTime::now();
        Self {
            calls,
            model,
            directory,
            hierarchy,
            probes,
            losses: Losses::default(),
            capacity,
            series: 0,
            histograms: 0,
            duration_bounds,
            cgroups: 0,
            kernel_memory_bytes,
            snapshot: SnapshotFacts { number: 0, taken: Instant::now(), time, duration: Duration::ZERO },
            first_calls: FirstCalls::default(),
            policies: Arc::default(),
            policy_reload: (true, time),
            policy_problems: 0,
            violations: Violations::default(),
            baselines: Baselines::default(),
            alerts: Alerts::default(),
            config_reload: (true, time),
        }
    }
}

/// The state that several tasks share.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// Shares a state.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Locks it. Holders must not wait for anything while they have it.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it left totals that are still true.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970, with a fraction.
#[must_use]
pub fn unix_time(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The same, for serde.
///
/// # Errors
///
/// The serializer's.
pub fn unix_seconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(unix_time(*time))
}
