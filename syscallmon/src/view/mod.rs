//! The state of the daemon at one moment: published by [`crate::engine`], read by [`crate::serve`].
//!
//! Plain data that nobody changes. A view shares with the one before what has not changed since.

mod first_calls;
mod requests;

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
    requests::Requester,
};
use crate::{
    alert::AlertStatus,
    detect::{BaselinesView, Policies, ViolationsView},
    kernel::{Capacity, ProbeStatus},
    model::{ModelView, SeriesLayout},
    snapshot::{Bound, Losses, Lost},
    syscalls::CallTable,
    workload::ProviderStatus,
};

/// What stays the same for as long as the daemon runs.
#[derive(Clone, Debug)]
pub struct Host {
    /// Names of calls.
    pub calls: Arc<CallTable>,
    /// The cgroup hierarchies that are counted by: `cgroup2`, `memory`, `cgroup2+memory`.
    pub hierarchy: String,
    /// How each probe fares.
    pub probes: Vec<ProbeStatus>,
    /// Sizes of the kernel's tables.
    pub capacity: Capacity,
    /// Upper bounds of the buckets that are exported, in order.
    pub duration_bounds: Vec<Bound>,
    /// Which series counts make.
    pub layout: Arc<SeriesLayout>,
    /// Whether `OpenMetrics` has when counters began.
    pub created_timestamps: bool,
    /// Memory of the kernel's tables.
    pub kernel_memory_bytes: u64,
    /// When counting began, by both clocks.
    pub started: (Instant, SystemTime),
    /// Whether all of it comes from a recording.
    pub is_replay: bool,
}

impl Host {
    /// What people call a moment since counting began, and that of the beginning for `None`. Steps of the wall
    /// clock change nothing.
    #[must_use]
    pub fn time_of(&self, moment: Option<Instant>) -> SystemTime {
        let (start, time) = self.started;
        time + moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(start))
    }

    /// When a counter began, for expositions that say so: at a moment since counting began, or then.
    #[must_use]
    pub fn created(&self, moment: Option<Instant>) -> Option<SystemTime> {
        self.created_timestamps.then(|| self.time_of(moment))
    }

    /// A host without probes and with the smallest tables, for tests and fuzz targets.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn minimal() -> Self {
        Self {
            calls: Arc::new(CallTable::x86_64()),
            hierarchy: "cgroup2".into(),
            probes: Vec::new(),
            capacity: Capacity { cgroups: 1, series: 1, errors: 1, denied: 1, histograms: 1, timed_calls: 1 },
            duration_bounds: Vec::new(),
            layout: Arc::default(),
            created_timestamps: false,
            kernel_memory_bytes: 1,
            started: (Instant::now(), SystemTime::UNIX_EPOCH),
            is_replay: false,
        }
    }
}

/// Facts about the newest snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInfo {
    /// 1 for the first; 0 before it.
    pub number: u64,
    /// When it was taken.
    pub taken: Instant,
    /// The same, as people tell time.
    pub time: SystemTime,
    /// How long it took to read and to take up.
    pub duration: Duration,
    /// Series in use in the kernel.
    pub series: u32,
    /// Histograms in use in the kernel.
    pub histograms: u32,
    /// Cgroups that have a slot in the kernel.
    pub cgroups: usize,
    /// Running totals of what was lost.
    pub losses: Losses,
}

/// How the last load of something fared.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// Whether it worked.
    pub is_ok: bool,
    /// When the last one did that worked.
    pub last_success: SystemTime,
    /// What was wrong with it.
    pub problems: usize,
}

impl Reload {
    /// A load that has worked just now.
    #[must_use]
    pub fn succeeded(now: SystemTime) -> Self {
        Self { is_ok: true, last_success: now, problems: 0 }
    }

    /// The next load, with so many problems; it worked if there are none.
    #[must_use]
    pub fn then(self, problems: usize, now: SystemTime) -> Self {
        let is_ok = problems == 0;
        Self { is_ok, problems, last_success: if is_ok { now } else { self.last_success } }
    }
}

/// Everything there is to show.
#[derive(Clone, Debug)]
pub struct View {
    /// 1 for the first; each that is published has the next.
    pub number: u64,
    /// What stays the same.
    pub host: Arc<Host>,
    /// The newest snapshot.
    pub snapshot: SnapshotInfo,
    /// Totals by workload.
    pub model: ModelView,
    /// Sources of names.
    pub sources: Vec<ProviderStatus>,
    /// Containers that are wanted and not known.
    pub unresolved: usize,
    /// The newest first calls of each workload, the newest first.
    pub first_calls: Vec<Arc<RecordedFirstCall>>,
    /// What is expected of workloads.
    pub policies: Arc<Policies>,
    /// The last load of the policies.
    pub policy_reload: Reload,
    /// What was not expected.
    pub violations: ViolationsView,
    /// What kinds of workloads have learned.
    pub baselines: BaselinesView,
    /// How delivery of alerts fares.
    pub alerts: AlertStatus,
    /// The last load of the configuration.
    pub config_reload: Reload,
}

impl View {
    /// What is known before the first snapshot.
    #[must_use]
    pub fn empty(host: Arc<Host>) -> Self {
        let (taken, time) = (Instant::now(), SystemTime::now());
        Self {
            number: 0,
            host,
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
            sources: Vec::new(),
            unresolved: 0,
            first_calls: Vec::new(),
            policies: Arc::default(),
            policy_reload: Reload::succeeded(time),
            violations: ViolationsView::default(),
            baselines: BaselinesView::default(),
            alerts: AlertStatus::default(),
            config_reload: Reload::succeeded(time),
        }
    }

    /// How much was lost for each reason.
    #[must_use]
    pub fn losses(&self) -> Vec<Lost> {
        let mut losses = self.snapshot.losses.all();
        losses.extend(self.model.losses());
        losses
    }
}

/// The newest view, whenever somebody looks. Never waits.
#[derive(Clone, Debug)]
pub struct Views(watch::Receiver<Arc<View>>);

impl Views {
    /// Views that are published through the sender.
    #[must_use]
    pub fn new(first: View) -> (watch::Sender<Arc<View>>, Self) {
        let (sender, views) = watch::channel(Arc::new(first));
        (sender, Self(views))
    }

    /// The newest one.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        Arc::clone(&self.0.borrow())
    }
}
