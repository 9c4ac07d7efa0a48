//! All baselines: which learn, when they are complete, and what of it is not on disk yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{Baseline, Kind, Learn, Phase};
use crate::syscalls::{CallId, CallTable};

/// Most baselines; kinds beyond that are not learned.
const MOST: usize = 4096;

/// Every kind's baseline. The sampler feeds it, the store keeps it on disk, people manage it through the API.
#[derive(Debug, Default)]
pub struct Baselines {
    all: BTreeMap<Kind, Entry>,
    /// Those whose files are to go.
    forgotten: BTreeSet<Kind>,
    last_tick: Option<Instant>,
    refused: BTreeSet<Kind>,
    /// How their store fares.
    pub store: StoreStatus,
}

#[derive(Debug)]
struct Entry {
    /// The store takes it as it is, and goes on without the lock.
    baseline: Arc<Baseline>,
    /// How the policy learns; not known before a workload of the kind was seen.
    learn: Option<Learn>,
    /// Whether a workload of the kind was seen since the last tick.
    is_alive: bool,
    is_dirty: bool,
}

/// What is not on disk yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or has changed.
    Write(Arc<Baseline>),
    /// It is to go.
    Remove(Kind),
}

impl Change {
    /// Whose baseline it is about.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        match self {
            Self::Write(baseline) => &baseline.kind,
            Self::Remove(kind) => kind,
        }
    }
}

/// How the store of baselines fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether all is on disk that should be; `None` before the store was used.
    pub is_up: Option<bool>,
    /// Failures to read or write, so far.
    pub errors: u64,
    /// Files that cannot be read, and are left alone.
    pub unreadable: usize,
}

impl Baselines {
    /// A workload of this kind is there, and this policy, which learns, is its own. Begins a baseline where there is none, which is
    /// partial if the workload was there before it was watched. `None` where there are too many.
    pub fn begin_or_get(
        &mut self,
        kind: &Kind,
        (policy, learn): (&Arc<str>, Learn),
        now: SystemTime,
        is_partial: bool,
    ) -> Option<&Baseline> {
        if !self.all.contains_key(kind) {
            if self.all.len() >= MOST {
                self.refuse(kind);
                return None;
            }
            self.forgotten.remove(kind);
            let baseline = Arc::new(Baseline::new(kind.clone(), Arc::clone(policy), now, is_partial));
            self.all.insert(kind.clone(), Entry { baseline, learn: None, is_alive: true, is_dirty: true });
        }
        let entry = self.all.get_mut(kind)?;
        (entry.learn, entry.is_alive) = (Some(learn), true);
        if entry.baseline.policy != *policy {
            entry.change(|baseline| baseline.policy = Arc::clone(policy));
        }
        // A start has been seen.
        if !is_partial && entry.baseline.partial && entry.baseline.state == Phase::Learning {
            entry.change(|baseline| baseline.partial = false);
        }
        Some(&entry.baseline)
    }

    fn refuse(&mut self, kind: &Kind) {
        // Bounded as the others are.
        if self.refused.len() < MOST && self.refused.insert(kind.clone()) && self.refused.len() == 1 {
            tracing::warn!(%kind, "there are {MOST} baselines: no more kinds of workloads are learned; forget some");
        }
    }

    /// A workload of the kind made a call, which may be learned: no policy denies it. Whether that is new.
    pub fn learn(&mut self, kind: &Kind, call: CallId, calls: &CallTable, now: SystemTime, comm: Option<&str>) -> bool {
        let Some(entry) = self.all.get_mut(kind) else { return false };
        // Most calls are known, and most baselines guard: neither copies what the store may hold.
        if entry.baseline.state != Phase::Learning || entry.baseline.calls().contains(&call) {
            return false;
        }
        entry.change(|baseline| baseline.learn(call, calls, now, comm))
    }

    /// Lets time pass for those whose workloads were seen since the last tick, and freezes those that are complete: these.
    pub fn tick(&mut self, at: Instant, now: SystemTime) -> Vec<Arc<Baseline>> {
        let passed = self.last_tick.replace(at).map(|last| at.saturating_duration_since(last)).unwrap_or_default();
        let mut frozen = Vec::new();
        for entry in self.all.values_mut() {
            let is_alive = std::mem::take(&mut entry.is_alive);
            let Some(learn) = entry.learn.filter(|_| is_alive && entry.baseline.state == Phase::Learning) else {
                continue;
            };
            let baseline = Arc::make_mut(&mut entry.baseline);
            entry.is_dirty |= baseline.pass(passed);
            if baseline.is_complete(learn) {
                baseline.freeze(now);
                entry.is_dirty = true;
                frozen.push(Arc::clone(&entry.baseline));
            }
        }
        frozen
    }

    /// Freezes it now, whatever it has learned; `false` if there is none.
    pub fn approve(&mut self, kind: &Kind, now: SystemTime) -> bool {
        self.change(kind, |baseline| baseline.approve(now))
    }

    /// Lets it learn anew. It keeps its calls: those that are made at the start only would be missed otherwise.
    pub fn relearn(&mut self, kind: &Kind, now: SystemTime) -> bool {
        self.change(kind, |baseline| baseline.relearn(now))
    }

    /// Forgets it, and its file. Where a policy still learns, another one begins with nothing.
    pub fn forget(&mut self, kind: &Kind) -> bool {
        let is_there = self.drop(kind);
        if is_there {
            self.forgotten.insert(kind.clone());
        }
        is_there
    }

    fn change(&mut self, kind: &Kind, change: impl FnOnce(&mut Baseline)) -> bool {
        let entry = self.all.get_mut(kind);
        entry.map(|entry| entry.change(change)).is_some()
    }

    /// The baseline of a kind.
    #[must_use]
    pub fn get(&self, kind: &Kind) -> Option<&Arc<Baseline>> {
        self.all.get(kind).map(|entry| &entry.baseline)
    }

    /// What a kind has learned; `None` where it has no baseline.
    #[must_use]
    pub fn calls(&self, kind: &Kind) -> Option<&BTreeSet<CallId>> {
        self.get(kind).map(|baseline| baseline.calls())
    }

    /// Whether what a kind has not learned is unexpected.
    #[must_use]
    pub fn is_guarding(&self, kind: &Kind) -> bool {
        self.get(kind).is_some_and(|baseline| baseline.state == Phase::Guarding)
    }

    /// Every baseline, by its kind.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Baseline>> {
        self.all.values().map(|entry| &entry.baseline)
    }

    /// How many kinds are not learned, since there are too many.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Takes over a baseline from disk, whatever was here. `false` where there are too many.
    pub fn adopt(&mut self, baseline: Baseline) -> bool {
        let kind = baseline.kind.clone();
        let old = self.all.get(&kind);
        if old.is_none() && self.all.len() >= MOST {
            self.refuse(&kind);
            return false;
        }
        let (learn, is_alive) = old.map_or((None, false), |old| (old.learn, old.is_alive));
        self.forgotten.remove(&kind);
        self.all.insert(kind, Entry { baseline: Arc::new(baseline), learn, is_alive, is_dirty: false });
        true
    }

    /// Drops a baseline whose file is gone; whether there was one.
    pub fn drop(&mut self, kind: &Kind) -> bool {
        self.refused.clear();
        self.all.remove(kind).is_some()
    }

    /// Nothing is on disk any more.
    pub fn mark_all(&mut self) {
        self.all.values_mut().for_each(|entry| entry.is_dirty = true);
    }

    /// What is not on disk yet; from here on, it counts as if it were.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let removed = std::mem::take(&mut self.forgotten).into_iter().map(Change::Remove);
        let written = self.all.values_mut().filter_map(|entry| {
            std::mem::take(&mut entry.is_dirty).then(|| Change::Write(Arc::clone(&entry.baseline)))
        });
        removed.chain(written).collect()
    }
}

impl Entry {
    fn change<T>(&mut self, change: impl FnOnce(&mut Baseline) -> T) -> T {
        self.is_dirty = true;
        change(Arc::make_mut(&mut self.baseline))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::essential;

    /// A clock, and a policy that learns for at least 10 min and until 1 h is quiet.
    struct Learning {
        baselines: Baselines,
        table: CallTable,
        start: Instant,
        seconds: u64,
    }

    fn kind(name: &str) -> Kind {
        format!("docker:{name}").parse().unwrap()
    }

    impl Learning {
        fn new() -> Self {
            let mut learning =
                Self { baselines: Baselines::default(), table: CallTable::x86_64(), start: Instant::now(), seconds: 0 };
            learning.baselines.tick(learning.start, learning.now());
            learning
        }

        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.seconds)
        }

        fn see(&mut self, name: &str, is_partial: bool) -> bool {
            let now = self.now();
            self.baselines.begin_or_get(&kind(name), (&"p".into(), Learn::default()), now, is_partial).is_some()
        }

        fn call(&mut self, name: &str, syscall: &str) -> bool {
            let call = self.table.id("x86_64", syscall).unwrap();
            let now = self.now();
            self.baselines.learn(&kind(name), call, &self.table, now, Some("sh"))
        }

        /// Passes so many minutes, in which a workload of each of these kinds is there; how many are frozen meanwhile.
        fn minutes(&mut self, minutes: u64, alive: &[&str]) -> usize {
            let tick = |learning: &mut Self| {
                for name in alive {
                    assert!(learning.see(name, false));
                }
                learning.seconds += 60;
                let at = learning.start + Duration::from_secs(learning.seconds);
                learning.baselines.tick(at, learning.now()).len()
            };
            (0..minutes).map(|_| tick(self)).sum()
        }

        fn is_guarding(&self, name: &str) -> bool {
            self.baselines.is_guarding(&kind(name))
        }
    }

    #[test]
    fn a_baseline_is_frozen_when_nothing_new_came_for_long_enough() {
        let mut learning = Learning::new();
        learning.see("a", false);
        assert!(learning.call("a", "read") && !learning.call("a", "read"));
        assert_eq!(learning.minutes(59, &["a"]), 0);
        assert!(learning.call("a", "write"), "it begins anew");
        assert_eq!(learning.minutes(59, &["a"]), 0);
        assert_eq!(learning.minutes(1, &["a"]), 1);
        assert!(learning.is_guarding("a") && !learning.call("a", "open"));
        assert_eq!(learning.baselines.calls(&kind("a")).unwrap().len(), 2);
    }

    #[test]
    fn time_passes_only_while_a_workload_of_the_kind_is_there() {
        let mut learning = Learning::new();
        for name in ["a", "b"] {
            learning.see(name, false);
            learning.call(name, "read");
        }
        assert_eq!(learning.minutes(59, &["a", "b"]), 0);
        assert_eq!(learning.minutes(600, &["b"]), 1);
        assert!(!learning.is_guarding("a"));
        assert_eq!(learning.minutes(1, &["a"]), 1, "what has passed before counts");
    }

    #[test]
    fn what_made_no_call_is_not_frozen() {
        let mut learning = Learning::new();
        assert_eq!(learning.minutes(600, &["a"]), 0);
    }

    #[test]
    fn a_short_silence_is_not_enough_before_the_least_time() {
        let mut learning = Learning::new();
        let learn = Learn { quiet_for: Duration::from_mins(1), ..Learn::default() };
        let mut frozen = 0;
        for minute in 0..10 {
            assert_eq!(frozen, 0, "{minute}");
            let now = learning.now();
            learning.baselines.begin_or_get(&kind("a"), (&"p".into(), learn), now, false);
            learning.call("a", "read");
            frozen = learning.minutes(0, &[]);
            learning.seconds += 60;
            let at = learning.start + Duration::from_secs(learning.seconds);
            frozen += learning.baselines.tick(at, learning.now()).len();
        }
        assert_eq!(frozen, 1);
    }

    #[test]
    fn a_new_call_now_and_then_does_not_keep_a_baseline_from_guarding() {
        let mut learning = Learning::new();
        learning.see("a", false);
        let table = learning.table.clone();
        let mut calls = table.iter().filter(|(_, call)| call.abi == "x86_64" && !essential::is_essential(*call));
        let days = 7 * 24 * 60;
        let new_ones = (0..days / 59).map(|_| {
            assert!(!learning.is_guarding("a"));
            learning.call("a", calls.next().expect("there are enough").1.syscall);
            learning.minutes(59, &["a"])
        });
        assert_eq!(new_ones.sum::<usize>(), 0, "there is always a new one");
        learning.minutes(days % 59, &["a"]);
        assert!(learning.is_guarding("a"), "it has learned for as long as it may");
    }

    #[test]
    fn what_every_program_calls_is_no_news() {
        let mut learning = Learning::new();
        learning.see("a", false);
        learning.call("a", "read");
        assert_eq!(learning.minutes(59, &["a"]), 0);
        assert!(learning.call("a", "exit_group") && learning.call("a", "rt_sigreturn"));
        assert_eq!(learning.minutes(1, &["a"]), 1);
    }

    #[test]
    fn a_baseline_is_partial_until_a_start_was_seen() {
        let mut learning = Learning::new();
        let is_partial = |learning: &Learning| learning.baselines.get(&kind("a")).unwrap().partial;
        learning.see("a", true);
        assert!(is_partial(&learning));
        learning.see("a", false);
        assert!(!is_partial(&learning));
        learning.see("a", true);
        assert!(!is_partial(&learning), "it has seen one");
    }

    #[test]
    fn approved_is_frozen_at_once_and_relearned_keeps_its_calls() {
        let mut learning = Learning::new();
        learning.see("a", false);
        learning.call("a", "read");
        let now = learning.now();
        assert!(learning.baselines.approve(&kind("a"), now) && learning.is_guarding("a"));
        assert!(learning.baselines.relearn(&kind("a"), now) && !learning.is_guarding("a"));
        assert!(learning.call("a", "write"));
        assert_eq!(learning.baselines.calls(&kind("a")).unwrap().len(), 2);
        assert!(!learning.baselines.approve(&kind("b"), now) && !learning.baselines.relearn(&kind("b"), now));
    }

    #[test]
    fn each_change_is_given_to_the_store_once() {
        let mut learning = Learning::new();
        learning.see("a", false);
        let changes = |learning: &mut Learning| learning.baselines.take_changes();
        assert!(matches!(&changes(&mut learning)[..], [Change::Write(baseline)] if baseline.size() == 0));
        learning.minutes(1, &["a"]);
        assert_eq!(changes(&mut learning), []);
        learning.call("a", "read");
        assert!(matches!(&changes(&mut learning)[..], [Change::Write(baseline)] if baseline.size() == 1));
        assert!(learning.baselines.forget(&kind("a")) && !learning.baselines.forget(&kind("a")));
        assert_eq!(changes(&mut learning), [Change::Remove(kind("a"))]);
    }

    #[test]
    fn what_was_forgotten_and_comes_again_is_written_and_not_removed() {
        let mut learning = Learning::new();
        learning.see("a", false);
        learning.baselines.forget(&kind("a"));
        learning.see("a", true);
        assert!(matches!(&learning.baselines.take_changes()[..], [Change::Write(baseline)] if baseline.partial));
    }

    #[test]
    fn an_edit_replaces_what_was_learned_and_is_not_written_again() {
        let mut learning = Learning::new();
        learning.see("a", false);
        learning.call("a", "read");
        let mut edited = Baseline::clone(learning.baselines.get(&kind("a")).unwrap());
        edited.approve(learning.now());
        learning.call("a", "write");
        assert!(learning.baselines.adopt(edited));
        assert_eq!(learning.baselines.calls(&kind("a")).unwrap().len(), 1);
        assert!(learning.is_guarding("a") && learning.baselines.take_changes().is_empty());
    }

    #[test]
    fn nobody_can_make_it_large() {
        let mut learning = Learning::new();
        let began = (0..MOST + 5).filter(|number| learning.see(&number.to_string(), false)).count();
        assert_eq!((began, learning.baselines.refused()), (MOST, 5));
        assert!(learning.see("7", false), "those that are there go on");
        learning.baselines.forget(&kind("7"));
        assert!(learning.see("new", false));
    }
}
