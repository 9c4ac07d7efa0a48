//! The calls that nobody expected, of all workloads: how often each was made, and the newest with what is
//! known of them.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    detect::{Severity, Violation},
    fair_share::{Capacity, FairBudget, FairShare, Priority},
    syscalls::{Call, CallId},
    workload::Workload,
};

/// Violations that are kept, of all workloads together.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 16 << 20 };

/// An entry that was seen again is made the newest of its tenant once in so long.
const FRESH: Duration = Duration::from_mins(1);

/// New violations that are kept between two ticks, of all tenants together, where only the counters tell of them. What
/// is critical, and what an event reported, always is.
const NEW_BY_COUNTERS: u64 = 2048;

/// What is counted, as the labels of `syscallmon_unexpected_syscalls_total` name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViolationKey {
    /// Who.
    pub workload: Workload,
    /// What.
    pub call: CallId,
    /// Which policy did not expect it.
    pub policy: Arc<str>,
    /// How bad that is.
    pub severity: Severity,
}

/// What makes two calls one violation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    workload: Workload,
    policy: Arc<str>,
    call: Call,
    denied: bool,
}

#[derive(Debug)]
struct Kept {
    violation: Arc<Violation>,
    /// How many of its calls the counters have reported.
    counted: u64,
    /// When the last one was reported.
    seen: Instant,
    /// When it became the newest of its tenant.
    touched: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Violations {
    counts: Arc<BTreeMap<ViolationKey, u64>>,
    kept: FairShare<Key, Kept>,
    /// Who makes calls faster than they can be kept takes no time from others.
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

/// What there is to tell of a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// As it is now.
    pub violation: Violation,
    /// Whether it was not there before.
    pub is_new: bool,
}

impl Violations {
    /// Records a call that a kernel event reported. `None` if it is one of a violation that is known, unless another
    /// container of the workload has made it. A call without room is reported all the same.
    pub fn first(&mut self, violation: Violation, now: Instant) -> Option<Recorded> {
        let key = Key::of(&violation);
        let Some(kept) = self.kept.get_mut(&key) else {
            self.keep(Kept { violation: Arc::new(violation.clone()), counted: 0, seen: now, touched: now });
            return Some(Recorded { violation, is_new: true });
        };
        let known = Arc::make_mut(&mut kept.violation);
        known.last_seen = known.last_seen.max(violation.last_seen);
        let is_another = known.metadata != violation.metadata;
        if known.process.is_none() || is_another {
            (known.process, known.number, known.metadata) = (violation.process, violation.number, violation.metadata);
        }
        let told = is_another.then(|| Recorded { violation: known.clone(), is_new: false });
        let bytes = known.bytes();
        self.dropped += self.kept.resize(&key, bytes).len() as u64;
        self.touch(&key, now);
        told
    }

    /// Takes up calls that the counters tell of; as many as its `count` says. `None` if nobody needs to know
    /// more than before.
    pub fn counted(&mut self, call: CallId, violation: &Violation, now: Instant) -> Option<Recorded> {
        let Violation { workload, policy, severity, count: new, .. } = violation;
        let count = ViolationKey { workload: workload.clone(), call, policy: Arc::clone(policy), severity: *severity };
        *Arc::make_mut(&mut self.counts).entry(count).or_default() += new;
        let key = Key::of(violation);
        let Some(kept) = self.kept.get_mut(&key) else {
            self.begin_counted(violation, now);
            return Some(Recorded { violation: violation.clone(), is_new: true });
        };
        let known = Arc::make_mut(&mut kept.violation);
        kept.counted += new;
        // The clock may have been set back.
        known.last_seen = violation.last_seen.max(known.time);
        // The event has reported the first one.
        let is_more = kept.counted > known.count;
        known.count = kept.counted.max(1);
        let told = is_more.then(|| Recorded { violation: known.clone(), is_new: false });
        self.touch(&key, now);
        told
    }

    fn begin_counted(&mut self, violation: &Violation, now: Instant) {
        let (tenant, priority) = (violation.tenant(), Priority::from(violation.severity));
        if priority < Priority::High && !self.budget.may_spend(&tenant) {
            self.dropped += 1;
            return;
        }
        self.budget.spend(&tenant, 1);
        let kept = Arc::new(violation.clone());
        self.keep(Kept { violation: kept, counted: violation.count, seen: now, touched: now });
    }

    /// Notes that it was seen now.
    fn touch(&mut self, key: &Key, now: Instant) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        kept.seen = now;
        if now.saturating_duration_since(kept.touched) >= FRESH {
            kept.touched = now;
            self.kept.touch(key);
        }
    }

    /// Keeps it as the newest of its workload, as far as there is room.
    fn keep(&mut self, kept: Kept) {
        let violation = &kept.violation;
        let (tenant, priority, bytes) = (violation.tenant(), violation.severity.into(), violation.bytes());
        let gone = self.kept.put(tenant, priority, Key::of(violation), kept, bytes);
        self.dropped += gone.len() as u64;
    }

    /// Gives a workload its name.
    pub fn rename(&mut self, from: &Workload, to: &Workload) {
        for (mut counted, count) in self.take_counts(from) {
            counted.workload = to.clone();
            *Arc::make_mut(&mut self.counts).entry(counted).or_default() += count;
        }
        for key in self.keys_of(from) {
            let Some(mut kept) = self.kept.remove(&key) else { continue };
            Arc::make_mut(&mut kept.violation).workload = to.clone();
            if !self.kept.contains(&Key::of(&kept.violation)) {
                self.keep(kept);
            }
        }
    }

    /// Takes all out that is kept of a workload, and forgets how often its calls were made: they are judged anew.
    pub fn take_all_of(&mut self, workload: &Workload) -> Vec<Violation> {
        self.take_counts(workload);
        let keys = self.keys_of(workload);
        keys.iter().filter_map(|key| self.kept.remove(key)).map(|kept| Arc::unwrap_or_clone(kept.violation)).collect()
    }

    /// Forgets all of a workload: another policy is to judge it.
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

    fn keys_of(&self, workload: &Workload) -> Vec<Key> {
        let keys = self.kept.iter().map(|(key, _)| key);
        keys.filter(|key| key.workload == *workload).cloned().collect()
    }

    /// To be called after each snapshot. Forgets the counts of workloads that are not there any more, and violations
    /// that were not seen for so long.
    pub fn forget(&mut self, is_there: impl Fn(&Workload) -> bool, now: Instant, after: Duration) {
        self.budget.renew();
        if self.counts.keys().any(|counted| !is_there(&counted.workload)) {
            Arc::make_mut(&mut self.counts).retain(|counted, _| is_there(&counted.workload));
        }
        self.kept.retain(|_, kept| now.saturating_duration_since(kept.seen) < after);
    }

    /// How often each was made, in order.
    pub fn counts(&self) -> impl Iterator<Item = (&ViolationKey, u64)> {
        self.counts.iter().map(|(counted, &count)| (counted, count))
    }

    /// Those that are kept, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.kept.iter().map(|(_, kept)| &*kept.violation)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many had to go for others.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What is exported of them now.
    #[must_use]
    pub fn view(&self) -> ViolationsView {
        let kept = self.kept.iter().map(|(_, kept)| Arc::clone(&kept.violation)).collect();
        ViolationsView { counts: Arc::clone(&self.counts), kept, dropped: self.dropped }
    }
}

/// Violations at one moment.
#[derive(Clone, Debug, Default)]
pub struct ViolationsView {
    /// How often each was made, in order.
    pub counts: Arc<BTreeMap<ViolationKey, u64>>,
    /// Those that are kept, in no order.
    pub kept: Vec<Arc<Violation>>,
    /// How many had to go for others.
    pub dropped: u64,
}

impl Key {
    fn of(violation: &Violation) -> Self {
        let Violation { workload, policy, call, denied, .. } = violation;
        Self { workload: workload.clone(), policy: Arc::clone(policy), call: *call, denied: *denied }
    }
}
