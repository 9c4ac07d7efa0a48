//! The state of the daemon at one moment: published by [`crate::engine`], read by [`crate::serve`].
//!
//! Plain immutable data. A view shares its unchanged parts with the previous one.

mod first_calls;
mod rates;
mod requests;
mod totals;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

#[cfg(fuzzing)]
pub use self::requests::fuzzing;
#[cfg(test)]
pub(crate) use self::requests::testing;
pub(crate) use self::requests::{Request, Requests};
pub use self::{
    first_calls::{FirstCalls, RecordedFirstCall},
    rates::{RATE_STEP, Rate, RateHistory, RatesView, Sums},
    requests::{LastingState, Requester},
    totals::{NewestTotals, SavedTotals, TotalsSave, TotalsSender},
};
use crate::{
    alert::AlertStatus,
    detect::{BaselinesView, Incident, Policies, PolicyUsage, ViolationsView},
    kernel::{ProbeStatus, TableCapacity},
    model::{ModelView, SeriesLayout, Totals},
    snapshot::{Bound, Losses, Lost},
    syscalls::CallTable,
    workload::ProviderStatus,
};

/// Calls that were first seen in this time after a workload began, or after counting began, belong to the start.
pub(crate) const START: Duration = Duration::from_mins(5);

/// Facts that stay the same while the daemon runs.
#[derive(Clone, Debug)]
pub struct FixedFacts {
    /// Names of calls.
    pub calls: Arc<CallTable>,
    /// The counted cgroup hierarchies: `cgroup2`, `memory`, `cgroup2+memory`.
    pub hierarchy: String,
    /// State of each probe.
    pub probes: Vec<ProbeStatus>,
    /// Sizes of the kernel's tables.
    pub capacity: TableCapacity,
    /// Upper bounds of the exported buckets, in order.
    pub duration_bounds: Vec<Bound>,
    /// Layout of series.
    pub layout: Arc<SeriesLayout>,
    /// Whether `OpenMetrics` says when counters began.
    pub created_timestamps: bool,
    /// Memory of the kernel's tables.
    pub kernel_memory_bytes: u64,
    /// When counting began, by both clocks.
    pub started: (Instant, SystemTime),
    /// Whether the data come from a recording.
    pub is_replay: bool,
    /// Whether classes of arguments are counted, so that policies judge them.
    pub knows_arguments: bool,
}

impl FixedFacts {
    /// Returns the wall-clock time of a moment since counting began; of the beginning for `None`. Steps of the wall
    /// clock change nothing.
    #[must_use]
    pub fn time_of(&self, moment: Option<Instant>) -> SystemTime {
        let (start, time) = self.started;
        time + moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(start))
    }

    /// Whether a call that was first seen at a moment belongs to the start of its workload, or of the daemon.
    pub(crate) fn is_during_start(&self, totals: &Totals, first_seen: Instant) -> bool {
        first_seen.saturating_duration_since(totals.created().unwrap_or(self.started.0)) < START
    }

    /// Returns when a counter began, if expositions say so: at a moment since counting began, or at its beginning.
    #[must_use]
    pub fn created(&self, moment: Option<Instant>) -> Option<SystemTime> {
        self.created_timestamps.then(|| self.time_of(moment))
    }

    /// Returns facts without probes, and with the smallest tables, for tests and fuzz targets.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn minimal() -> Self {
        Self {
            calls: Arc::new(CallTable::x86_64()),
            hierarchy: "cgroup2".into(),
            probes: Vec::new(),
            capacity: TableCapacity { cgroups: 1, series: 1, errors: 1, denied: 1, histograms: 1, timed_calls: 1 },
            duration_bounds: Vec::new(),
            layout: Arc::default(),
            created_timestamps: false,
            kernel_memory_bytes: 1,
            started: (Instant::now(), SystemTime::UNIX_EPOCH),
            is_replay: false,
            knows_arguments: true,
        }
    }
}

/// Facts about the newest snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInfo {
    /// 1 for the first; 0 before it.
    pub number: u64,
    /// When it was taken, by the monotonic clock.
    pub taken: Instant,
    /// The same as wall-clock time.
    pub time: SystemTime,
    /// Duration of reading and applying it.
    pub duration: Duration,
    /// Series in use in the kernel.
    pub series: u32,
    /// Histograms in use in the kernel.
    pub histograms: u32,
    /// Cgroups that have a slot in the kernel.
    pub cgroups: usize,
    /// Running totals of losses.
    pub losses: Losses,
}

/// Result of the last load of something.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// Whether it succeeded.
    pub is_ok: bool,
    /// Time of the last success.
    pub last_success: SystemTime,
    /// Number of problems.
    pub problems: usize,
}

impl Reload {
    /// Returns a load that has just succeeded.
    #[must_use]
    pub fn succeeded(now: SystemTime) -> Self {
        Self { is_ok: true, last_success: now, problems: 0 }
    }

    /// Returns the next load with this many problems; it succeeded if there are none.
    #[must_use]
    pub fn then(self, problems: usize, now: SystemTime) -> Self {
        let is_ok = problems == 0;
        Self { is_ok, problems, last_success: if is_ok { now } else { self.last_success } }
    }
}

/// Everything that pages show.
#[derive(Clone, Debug)]
pub struct View {
    /// Number of the view, from 1.
    pub number: u64,
    /// Facts that stay the same while the daemon runs.
    pub facts: Arc<FixedFacts>,
    /// The newest snapshot.
    pub snapshot: SnapshotInfo,
    /// Totals by workload.
    pub model: ModelView,
    /// Rates of the last minutes.
    pub rates: RatesView,
    /// State of each metadata provider.
    pub sources: Vec<ProviderStatus>,
    /// Containers that wait for metadata.
    pub unresolved: usize,
    /// First calls, the newest first.
    pub first_calls: Vec<Arc<RecordedFirstCall>>,
    /// Policies in force.
    pub policies: Arc<Policies>,
    /// Calls that policies allow and nobody makes.
    pub policy_usage: Arc<[PolicyUsage]>,
    /// The last load of the policies.
    pub policy_reload: Reload,
    /// Counts of unexpected calls, and the violations that the API lists.
    pub violations: ViolationsView,
    /// Incidents, in no order.
    pub incidents: Vec<Arc<Incident>>,
    /// Baselines that learn or guard.
    pub baselines: BaselinesView,
    /// State of the delivery of alerts.
    pub alerts: AlertStatus,
    /// The last load of the configuration.
    pub config_reload: Reload,
}

impl View {
    /// Returns the view before the first snapshot.
    #[must_use]
    pub fn empty(facts: Arc<FixedFacts>) -> Self {
        let (taken, time) = (Instant::now(), SystemTime::now());
        Self {
            number: 0,
            facts,
            snapshot: SnapshotInfo {
                number: 0,
                taken,
                time,
                duration: Duration::ZERO,
                series: 0,
                histograms: 0,
                cgroups: 0,
                losses: Losses::default(),
            },
            model: ModelView::default(),
            rates: RatesView::default(),
            sources: Vec::new(),
            unresolved: 0,
            first_calls: Vec::new(),
            policies: Arc::default(),
            policy_usage: Arc::default(),
            policy_reload: Reload::succeeded(time),
            violations: ViolationsView::default(),
            incidents: Vec::new(),
            baselines: BaselinesView::default(),
            alerts: AlertStatus::default(),
            config_reload: Reload::succeeded(time),
        }
    }

    /// Returns the number of losses by reason.
    #[must_use]
    pub fn losses(&self) -> Vec<Lost> {
        let mut losses = self.snapshot.losses.all();
        losses.extend(self.model.losses());
        losses
    }
}

/// Gives access to the newest view. Never waits.
#[derive(Clone, Debug)]
pub struct Views(watch::Receiver<Arc<View>>);

impl Views {
    /// Returns a sender of views, and their reader.
    #[must_use]
    pub fn new(first: View) -> (watch::Sender<Arc<View>>, Self) {
        let (sender, views) = watch::channel(Arc::new(first));
        (sender, Self(views))
    }

    /// Returns the newest view.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        Arc::clone(&self.0.borrow())
    }
}
