//! All baselines: which of them learn, when they are complete, and which changes are not on disk yet.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    capacity::{BaselineCapacity, MAX_BASELINES},
    view::{BaselinesView, ViewedBaseline},
};
use crate::{
    detect::{Baseline, BaselineKey, Learn, Phase},
    syscalls::{CallId, CallTable},
};

/// Default of how long a baseline without a workload is kept: longer than from one monthly Job to the next.
pub const RETENTION: Duration = Duration::from_hours(40 * 24);

/// Maximum part of the time without a workload that is lost if the daemon dies.
const SAVE_UNSEEN: Duration = Duration::from_hours(24);

/// The baselines of all kinds. The sampler feeds it, the store keeps it on disk, and people manage it through the API.
#[derive(Debug)]
pub struct Baselines {
    all: BTreeMap<BaselineKey, TrackedBaseline>,
    room: BaselineCapacity,
    /// Baselines with files to remove.
    forgotten: BTreeSet<BaselineKey>,
    last_tick: Option<Instant>,
    /// Kinds that found no room before the last tick, and since then.
    refused: BTreeSet<BaselineKey>,
    refused_now: BTreeSet<BaselineKey>,
    /// Number of baselines so far, and of those that people have ended.
    editions: u64,
    ended: BTreeSet<u64>,
    /// How long a baseline without a workload is kept.
    pub retention: Duration,
    /// Baselines that were removed automatically.
    pub removed: Removed,
    /// State of their store.
    pub store: StoreStatus,
}

impl Default for Baselines {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            room: BaselineCapacity::default(),
            forgotten: BTreeSet::new(),
            last_tick: None,
            refused: BTreeSet::new(),
            refused_now: BTreeSet::new(),
            editions: 0,
            ended: BTreeSet::new(),
            retention: RETENTION,
            removed: Removed::default(),
            store: StoreStatus::default(),
        }
    }
}

/// Number of baselines that were removed automatically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// They had no workload for too long.
    pub expired: u64,
    /// They were evicted for others.
    pub displaced: u64,
}

#[derive(Debug)]
struct TrackedBaseline {
    /// Shared with the store, which writes it without the lock.
    baseline: Arc<Baseline>,
    /// How the policy learns; unknown before the first workload of the kind.
    learn: Option<Learn>,
    /// Whether a workload of the kind was seen since the last tick, and before it.
    is_alive: bool,
    was_alive: bool,
    /// How long no workload was seen.
    unseen_for: Duration,
    is_dirty: bool,
    edition: u64,
}

/// A change that is not on disk yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaselineChange {
    /// The baseline is new, or has changed.
    Write(Arc<Baseline>),
    /// The baseline was removed.
    Remove(BaselineKey),
}

impl BaselineChange {
    /// Returns the key of the baseline.
    #[must_use]
    pub fn key(&self) -> &BaselineKey {
        match self {
            Self::Write(baseline) => &baseline.kind,
            Self::Remove(key) => key,
        }
    }
}

/// State of the store of baselines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether everything is on disk; `None` before the store was used.
    pub is_up: Option<bool>,
    /// Failures to read or write so far.
    pub errors: u64,
    /// Unreadable files. The store neither changes nor removes them.
    pub unreadable: usize,
}

impl Baselines {
    /// Registers a workload of this kind with its learning policy. Begins a baseline if there is none; it is partial if
    /// the workload existed before the daemon watched it. Returns `None` if there is no room.
    pub fn begin_or_get(
        &mut self,
        key: &BaselineKey,
        (policy, learn): (&Arc<str>, Learn),
        now: SystemTime,
        is_partial: bool,
    ) -> Option<&Baseline> {
        if !self.all.contains_key(key) {
            if !self.make_room(key, policy) {
                return None;
            }
            self.forgotten.remove(key);
            let baseline = Baseline::new(key.clone(), Arc::clone(policy), now, is_partial);
            let entry = TrackedBaseline { is_dirty: true, ..self.entry(baseline) };
            self.all.insert(key.clone(), entry);
        }
        let entry = self.all.get_mut(key)?;
        entry.is_alive = true;
        // If two policies share a kind, the times of the policy that owns the baseline apply.
        if entry.baseline.policy == *policy || entry.learn.is_none() {
            entry.learn = Some(learn);
        }
        // A start was seen.
        if !is_partial && entry.baseline.partial && entry.baseline.state == Phase::Learning {
            entry.change(|baseline| baseline.partial = false);
        }
        Some(&entry.baseline)
    }

    /// Gives a kind's baseline to a policy, unless it belongs to another policy that `learns`: of two policies that
    /// share a kind, the first keeps it.
    pub fn hand_over(&mut self, key: &BaselineKey, policy: &Arc<str>, learns: impl Fn(&str) -> bool) {
        if let Some(entry) = self.all.get_mut(key)
            && entry.baseline.policy != *policy
            && !learns(&entry.baseline.policy)
        {
            entry.change(|baseline| baseline.policy = Arc::clone(policy));
            entry.learn = None;
            self.room.put(&entry.baseline, entry.was_alive);
        }
    }

    fn entry(&mut self, baseline: Baseline) -> TrackedBaseline {
        self.editions += 1;
        TrackedBaseline {
            learn: None,
            is_alive: false,
            was_alive: false,
            unseen_for: baseline.unseen_for,
            is_dirty: false,
            edition: self.editions,
            baseline: Arc::new(baseline),
        }
    }

    /// Whether there is room for one more, with at most one eviction.
    fn make_room(&mut self, key: &BaselineKey, policy: &str) -> bool {
        let Some(gone) = self.room.add(key, policy) else { return true };
        let Some((baseline, is_protected)) = self.all.get(&gone).map(TrackedBaseline::standing) else {
            self.refuse(key);
            return false;
        };
        if is_protected {
            self.room.remove(key);
            self.room.put(&baseline, true);
            self.refuse(key);
            return false;
        }
        if baseline.state == Phase::Guarding {
            tracing::warn!(kind = %gone, "removed an unused baseline to make room for others");
        }
        self.removed.displaced += 1;
        self.all.remove(&gone);
        self.forgotten.insert(gone);
        true
    }

    fn refuse(&mut self, key: &BaselineKey) {
        // Bounded like the others.
        if self.refused_now.len() < MAX_BASELINES && self.refused_now.insert(key.clone()) && self.refused() == 1 {
            tracing::warn!(
                kind = %key,
                "the limit of {MAX_BASELINES} baselines is reached; the policy runtime-default applies to further workloads. Forget some baselines"
            );
        }
    }

    /// Registers that a container of the kind has ended.
    pub fn saw_stop(&mut self, key: &BaselineKey) {
        if let Some(entry) = self.all.get_mut(key)
            && entry.baseline.state == Phase::Learning
            && !entry.baseline.stop_seen
        {
            entry.change(|baseline| baseline.stop_seen = true);
        }
    }

    /// Registers a call of a workload of the kind that no policy denies. Returns whether it is new.
    pub fn learn(
        &mut self,
        key: &BaselineKey,
        call: CallId,
        calls: &CallTable,
        now: SystemTime,
        comm: Option<&str>,
    ) -> bool {
        let Some(entry) = self.all.get_mut(key) else { return false };
        // Most calls are known, and most baselines guard. Neither case copies a baseline that the store may hold.
        if entry.baseline.state != Phase::Learning || entry.baseline.calls().contains(&call) {
            return false;
        }
        entry.change(|baseline| baseline.learn(call, calls, now, comm))
    }

    /// Advances time. Freezes complete baselines and returns them, and removes baselines without a workload for too
    /// long.
    pub fn tick(&mut self, at: Instant, now: SystemTime) -> Vec<Arc<Baseline>> {
        let passed = self.last_tick.replace(at).map(|last| at.saturating_duration_since(last)).unwrap_or_default();
        self.refused = std::mem::take(&mut self.refused_now);
        self.ended.clear();
        let mut frozen = Vec::new();
        for entry in self.all.values_mut() {
            entry.was_alive = std::mem::take(&mut entry.is_alive);
            entry.pass_unseen(passed);
            frozen.extend(entry.pass_learning(passed, now));
            self.room.update(&entry.baseline, entry.was_alive);
        }
        self.expire();
        frozen
    }

    fn expire(&mut self) {
        let is_due = |entry: &TrackedBaseline| entry.unseen_for >= self.retention && !entry.baseline.approved;
        let due = self.all.iter().filter(|(_, entry)| is_due(entry)).map(|(key, _)| key.clone());
        for key in due.collect::<Vec<_>>() {
            tracing::info!(kind = %key, "removed a baseline that no workload has used for --state.baseline-retention");
            self.removed.expired += 1;
            self.remove(&key);
            self.forgotten.insert(key);
        }
    }

    /// Freezes a baseline now, whatever it has learned. Returns `false` if there is none.
    pub fn approve(&mut self, key: &BaselineKey, now: SystemTime) -> bool {
        self.change(key, |baseline| baseline.approve(now))
    }

    /// Lets a baseline learn again. It keeps its calls, because calls that are made only at a start would be missing
    /// otherwise.
    pub fn relearn(&mut self, key: &BaselineKey, now: SystemTime) -> bool {
        self.change(key, |baseline| baseline.relearn(now))
    }

    /// Removes a baseline and its file. If a policy still learns the kind, an empty one begins.
    pub fn forget(&mut self, key: &BaselineKey) -> bool {
        self.ended.extend(self.edition(key));
        let is_there = self.drop(key);
        if is_there {
            self.forgotten.insert(key.clone());
        }
        is_there
    }

    fn change(&mut self, key: &BaselineKey, change: impl FnOnce(&mut Baseline)) -> bool {
        let entry = self.all.get_mut(key);
        entry.map(|entry| entry.change(change)).is_some()
    }

    /// Returns the baseline with this key.
    #[must_use]
    pub fn get(&self, key: &BaselineKey) -> Option<&Arc<Baseline>> {
        self.all.get(key).map(|entry| &entry.baseline)
    }

    /// Returns the learned calls of a kind; `None` without a baseline.
    #[must_use]
    pub fn calls(&self, key: &BaselineKey) -> Option<&BTreeSet<CallId>> {
        self.get(key).map(|baseline| baseline.calls())
    }

    /// Whether calls that a kind has not learned are unexpected.
    #[must_use]
    pub fn is_guarding(&self, key: &BaselineKey) -> bool {
        self.get(key).is_some_and(|baseline| baseline.state == Phase::Guarding)
    }

    /// Returns the baselines for a view.
    #[must_use]
    pub fn view(&self) -> BaselinesView {
        let all = self.all.iter().map(|(key, entry)| (key.clone(), entry.view())).collect();
        BaselinesView { all, refused: self.refused(), removed: self.removed, store: self.store }
    }

    /// Returns every baseline, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Baseline>> {
        self.all.values().map(|entry| &entry.baseline)
    }

    /// Returns the number of recent kinds that are not learned because there is no room.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.len().max(self.refused_now.len())
    }

    /// Distinguishes a baseline of a kind from the next one, and from its file.
    #[must_use]
    pub fn edition(&self, key: &BaselineKey) -> Option<u64> {
        self.all.get(key).map(|entry| entry.edition)
    }

    /// Whether a person has ended this baseline since the last tick. Then the next one begins empty.
    #[must_use]
    pub fn is_ended(&self, edition: u64) -> bool {
        self.ended.contains(&edition)
    }

    /// Adds a baseline from disk, in place of an existing one. Returns `false` if there are too many.
    pub fn adopt(&mut self, baseline: Baseline) -> bool {
        let key = baseline.kind.clone();
        if !self.all.contains_key(&key) && self.room.is_full() {
            self.refuse(&key);
            return false;
        }
        self.forgotten.remove(&key);
        let entry = self.entry(baseline);
        let old = self.all.get(&key);
        let (learn, is_alive, was_alive) =
            old.map_or((None, false, false), |old| (old.learn, old.is_alive, old.was_alive));
        self.room.put(&entry.baseline, is_alive || was_alive);
        self.all.insert(key, TrackedBaseline { learn, is_alive, was_alive, ..entry });
        true
    }

    /// Removes a baseline after its file was removed. Returns whether there was one.
    pub fn drop(&mut self, key: &BaselineKey) -> bool {
        self.refused.clear();
        self.refused_now.clear();
        self.remove(key)
    }

    fn remove(&mut self, key: &BaselineKey) -> bool {
        self.room.remove(key);
        self.all.remove(key).is_some()
    }

    /// Marks everything as missing on disk.
    pub fn mark_all(&mut self) {
        self.all.values_mut().for_each(|entry| entry.is_dirty = true);
    }

    /// Takes the changes that are not on disk yet. From then on, they count as written.
    pub fn take_changes(&mut self) -> Vec<BaselineChange> {
        let removed = std::mem::take(&mut self.forgotten).into_iter().map(BaselineChange::Remove);
        let written = self.all.values_mut().filter_map(|entry| {
            std::mem::take(&mut entry.is_dirty).then(|| BaselineChange::Write(Arc::clone(&entry.baseline)))
        });
        removed.chain(written).collect()
    }
}

impl TrackedBaseline {
    fn view(&self) -> ViewedBaseline {
        let is_alive = self.is_alive || self.was_alive;
        ViewedBaseline { baseline: Arc::clone(&self.baseline), learn: self.learn, is_alive }
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Baseline) -> T) -> T {
        self.is_dirty = true;
        change(Arc::make_mut(&mut self.baseline))
    }

    /// Returns the baseline, and whether it may be evicted: not if it guards a current workload or a person wants it.
    fn standing(&self) -> (Arc<Baseline>, bool) {
        let is_alive = self.is_alive || self.was_alive;
        let is_protected = self.baseline.approved || (is_alive && self.baseline.state == Phase::Guarding);
        (Arc::clone(&self.baseline), is_protected)
    }

    /// Advances time without a workload, if there is none.
    fn pass_unseen(&mut self, passed: Duration) {
        self.unseen_for = if self.was_alive { Duration::ZERO } else { self.unseen_for.saturating_add(passed) };
        let saved = self.baseline.unseen_for;
        if self.unseen_for >= saved.saturating_add(SAVE_UNSEEN) || self.unseen_for < saved {
            let unseen_for = self.unseen_for;
            self.change(|baseline| baseline.unseen_for = unseen_for);
        }
    }

    /// Advances time with a workload, if there is one. Returns the baseline if it is complete now.
    fn pass_learning(&mut self, passed: Duration, now: SystemTime) -> Option<Arc<Baseline>> {
        let learn = self.learn.filter(|_| self.was_alive && self.baseline.state == Phase::Learning)?;
        let baseline = Arc::make_mut(&mut self.baseline);
        self.is_dirty |= baseline.pass(passed);
        if !baseline.is_complete(learn) {
            return None;
        }
        self.change(|baseline| baseline.freeze(now));
        Some(Arc::clone(&self.baseline))
    }
}
