//! Unexpected calls of all workloads: the count of each, and the newest with their metadata.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    detect::{
        Severity, Violation,
        saved::{age, moment},
    },
    fair_share::{Capacity, FairBudget, FairShare, Priority},
    syscalls::{Call, CallId},
    workload::Workload,
};

/// Maximum violations that are kept, of all workloads together.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 16 << 20 };

/// Interval in which a repeated violation becomes the newest of its tenant at most once.
const FRESH: Duration = Duration::from_mins(1);

/// Maximum new violations between two ticks that come from counters alone, of all tenants together. Critical ones, and
/// those with an event, are always kept.
const NEW_BY_COUNTERS: u64 = 2048;

/// Key of a series of `syscallmon_unexpected_syscalls_total`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViolationKey {
    /// The workload.
    pub workload: Workload,
    /// The call.
    pub call: CallId,
    /// The policy.
    pub policy: Arc<str>,
    /// The severity.
    pub severity: Severity,
}

/// Identity of a violation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ViolationIdentity {
    workload: Workload,
    policy: Arc<str>,
    call: Call,
    denied: bool,
}

#[derive(Debug)]
struct KeptViolation {
    violation: Arc<Violation>,
    /// Number of calls that the counters have reported.
    counted: u64,
    /// When the last one was reported.
    seen: Instant,
    /// When it became the newest of its tenant.
    touched: Instant,
}

/// Counts of all unexpected calls, and the newest violations.
#[derive(Debug)]
pub struct Violations {
    counts: Arc<BTreeMap<ViolationKey, u64>>,
    kept: FairShare<ViolationIdentity, KeptViolation>,
    /// A tenant with calls faster than they can be kept takes no time of others.
    budget: FairBudget,
    dropped: u64,
}

impl Default for Violations {
    fn default() -> Self {
        Self {
            counts: Arc::default(),
            kept: FairShare::new(CAPACITY),
            budget: FairBudget::new(NEW_BY_COUNTERS),
            dropped: 0,
        }
    }
}

/// A violation as it outlasts the daemon.
#[derive(Clone, Debug)]
pub struct LastingViolation {
    /// The violation.
    pub violation: Arc<Violation>,
    /// Number of calls that the counters have reported.
    pub counted: u64,
    /// How long ago the last one was reported.
    pub seen: Duration,
}

/// A recorded violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedViolation {
    /// Its current state.
    pub violation: Violation,
    /// Whether it is new.
    pub is_new: bool,
}

impl Violations {
    /// Records a call of a kernel event. Returns `None` for a repeat of a known violation, unless another container of
    /// the workload made it. A violation without room is returned as well.
    pub fn first(&mut self, violation: Violation, now: Instant) -> Option<RecordedViolation> {
        let key = ViolationIdentity::of(&violation);
        let Some(kept) = self.kept.get_mut(&key) else {
            self.keep(KeptViolation { violation: Arc::new(violation.clone()), counted: 0, seen: now, touched: now });
            return Some(RecordedViolation { violation, is_new: true });
        };
        let known = Arc::make_mut(&mut kept.violation);
        known.last_seen = known.last_seen.max(violation.last_seen);
        let is_another = known.metadata != violation.metadata;
        if known.process.is_none() || is_another {
            (known.process, known.number, known.metadata) = (violation.process, violation.number, violation.metadata);
        }
        let recorded = is_another.then(|| RecordedViolation { violation: known.clone(), is_new: false });
        let bytes = known.bytes();
        self.dropped += self.kept.resize(&key, bytes).len() as u64;
        self.touch(&key, now);
        recorded
    }

    /// Records calls of the counters; `count` is their number. Returns `None` if nothing new is to be reported.
    pub fn counted(&mut self, call: CallId, violation: &Violation, now: Instant) -> Option<RecordedViolation> {
        let Violation { workload, policy, severity, count: new, .. } = violation;
        let count = ViolationKey { workload: workload.clone(), call, policy: Arc::clone(policy), severity: *severity };
        *Arc::make_mut(&mut self.counts).entry(count).or_default() += new;
        let key = ViolationIdentity::of(violation);
        let Some(kept) = self.kept.get_mut(&key) else {
            self.begin_counted(violation, now);
            return Some(RecordedViolation { violation: violation.clone(), is_new: true });
        };
        let known = Arc::make_mut(&mut kept.violation);
        kept.counted += new;
        // The clock may have been set back.
        known.last_seen = violation.last_seen.max(known.time);
        // The event has reported the first one.
        let is_more = kept.counted > known.count;
        known.count = kept.counted.max(1);
        let recorded = is_more.then(|| RecordedViolation { violation: known.clone(), is_new: false });
        self.touch(&key, now);
        recorded
    }

    fn begin_counted(&mut self, violation: &Violation, now: Instant) {
        let (tenant, priority) = (violation.tenant(), Priority::from(violation.severity));
        if priority < Priority::High && !self.budget.may_spend(&tenant) {
            self.dropped += 1;
            return;
        }
        self.budget.spend(&tenant, 1);
        let kept = Arc::new(violation.clone());
        self.keep(KeptViolation { violation: kept, counted: violation.count, seen: now, touched: now });
    }

    /// Updates the time it was last seen.
    fn touch(&mut self, key: &ViolationIdentity, now: Instant) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        kept.seen = now;
        if now.saturating_duration_since(kept.touched) >= FRESH {
            kept.touched = now;
            self.kept.touch(key);
        }
    }

    /// Keeps it as the newest of its workload, if there is room.
    fn keep(&mut self, kept: KeptViolation) {
        let violation = &kept.violation;
        let (tenant, priority, bytes) = (violation.tenant(), violation.severity.into(), violation.bytes());
        let gone = self.kept.put(tenant, priority, ViolationIdentity::of(violation), kept, bytes);
        self.dropped += gone.len() as u64;
    }

    /// Returns what outlasts the daemon. Counts for series do not, because a restart resets counters.
    pub fn lasting(&self, now: Instant) -> impl Iterator<Item = LastingViolation> {
        self.kept.iter().map(move |(_, kept)| LastingViolation {
            violation: Arc::clone(&kept.violation),
            counted: kept.counted,
            seen: age(now, kept.seen),
        })
    }

    /// Takes over a violation of an earlier daemon. `now` is when it was saved.
    pub fn take_over(&mut self, LastingViolation { violation, counted, seen }: LastingViolation, now: Instant) {
        let seen = moment(now, seen);
        self.keep(KeptViolation { violation, counted, seen, touched: seen });
    }

    /// Removes violations of a workload.
    pub fn remove(&mut self, workload: &Workload, is_over: impl Fn(&Violation) -> bool) {
        self.kept.retain(|key, kept| key.workload != *workload || !is_over(&kept.violation));
    }

    /// Renames a workload.
    pub fn rename(&mut self, from: &Workload, to: &Workload) {
        for (mut counted, count) in self.take_counts(from) {
            counted.workload = to.clone();
            *Arc::make_mut(&mut self.counts).entry(counted).or_default() += count;
        }
        for key in self.keys_of(from) {
            let Some(mut kept) = self.kept.remove(&key) else { continue };
            Arc::make_mut(&mut kept.violation).workload = to.clone();
            if !self.kept.contains(&ViolationIdentity::of(&kept.violation)) {
                self.keep(kept);
            }
        }
    }

    /// Removes and returns all violations of a workload, with their counts, to judge them again.
    pub fn take_all_of(&mut self, workload: &Workload) -> Vec<Violation> {
        self.take_counts(workload);
        let keys = self.keys_of(workload);
        keys.iter().filter_map(|key| self.kept.remove(key)).map(|kept| Arc::unwrap_or_clone(kept.violation)).collect()
    }

    /// Removes everything of a workload, which another policy judges from now on.
    pub fn forget_all_of(&mut self, workload: &Workload) {
        self.take_counts(workload);
        self.kept.retain(|key, _| key.workload != *workload);
    }

    fn take_counts(&mut self, workload: &Workload) -> Vec<(ViolationKey, u64)> {
        let first = ViolationKey {
            workload: workload.clone(),
            call: CallId(0),
            policy: Arc::default(),
            severity: Severity::Info,
        };
        let of_it = self.counts.range(first..).take_while(|(counted, _)| counted.workload == *workload);
        let of_it: Vec<(ViolationKey, u64)> = of_it.map(|(counted, &count)| (counted.clone(), count)).collect();
        if !of_it.is_empty() {
            let counts = Arc::make_mut(&mut self.counts);
            for (counted, _) in &of_it {
                counts.remove(counted);
            }
        }
        of_it
    }

    fn keys_of(&self, workload: &Workload) -> Vec<ViolationIdentity> {
        let keys = self.kept.iter().map(|(key, _)| key);
        keys.filter(|key| key.workload == *workload).cloned().collect()
    }

    /// Must be called after each snapshot. Removes counts of workloads that are gone, and violations that were not seen
    /// for this long.
    pub fn forget(&mut self, is_there: impl Fn(&Workload) -> bool, now: Instant, after: Duration) {
        self.budget.renew();
        if self.counts.keys().any(|counted| !is_there(&counted.workload)) {
            Arc::make_mut(&mut self.counts).retain(|counted, _| is_there(&counted.workload));
        }
        self.kept.retain(|_, kept| now.saturating_duration_since(kept.seen) < after);
    }

    /// Returns the count of each, in order.
    pub fn counts(&self) -> impl Iterator<Item = (&ViolationKey, u64)> {
        self.counts.iter().map(|(counted, &count)| (counted, count))
    }

    /// Returns the kept violations, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.kept.iter().map(|(_, kept)| &*kept.violation)
    }

    /// Returns the number of kept violations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no violation is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the number of evicted violations.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the violations for a view.
    #[must_use]
    pub fn view(&self) -> ViolationsView {
        let kept = self.kept.iter().map(|(_, kept)| Arc::clone(&kept.violation)).collect();
        ViolationsView { counts: Arc::clone(&self.counts), kept, dropped: self.dropped }
    }
}

/// Violations at one moment.
#[derive(Clone, Debug, Default)]
pub struct ViolationsView {
    /// The count of each unexpected call, in order.
    pub counts: Arc<BTreeMap<ViolationKey, u64>>,
    /// The kept violations, in no order.
    pub kept: Vec<Arc<Violation>>,
    /// Number of evicted violations.
    pub dropped: u64,
}

impl ViolationIdentity {
    fn of(violation: &Violation) -> Self {
        let Violation { workload, policy, call, denied, .. } = violation;
        Self { workload: workload.clone(), policy: Arc::clone(policy), call: *call, denied: *denied }
    }
}
