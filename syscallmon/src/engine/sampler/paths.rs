//! Which path each cgroup has that made a call: by events of births, and by walks of the tree where those do not tell.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::Sampler;
use crate::{cgroup::Tree, snapshot::Snapshot, workload::CgroupIdentity};

/// Least time between two walks for cgroups without a name.
const WALK: Duration = Duration::from_secs(1);

/// A walk buries what it and the one before did not see.
const WALKS_AFTER_LOSS: u32 = 2;

impl Sampler {
    /// Makes sure that every cgroup of the snapshot has a path that can have one.
    pub(super) fn find_paths(&mut self, snapshot: &Snapshot) {
        // Whatever made a call was born before, so its birth has been reported by now.
        self.take_events();
        if snapshot.losses.cgroup_events > self.losses_seen {
            self.losses_seen = snapshot.losses.cgroup_events;
            self.walks_due = WALKS_AFTER_LOSS;
        }
        let waiting = self.detector.without_path();
        self.find_paths_of(&snapshot.slots.iter().map(|slot| slot.cgroup_id).chain(waiting).collect());
    }

    /// Walks where the path of one of these cgroups is not known, though not all the time.
    pub(super) fn find_paths_of(&mut self, cgroups: &HashSet<u64>) {
        let unheard = |tree: &Tree| -> Vec<u64> { cgroups.iter().copied().filter(|&id| !tree.knows(id)).collect() };
        if (self.walks_due == 0 && unheard(&self.tree).is_empty()) || self.last_walk.elapsed() < WALK {
            return;
        }
        self.walk();
        for id in unheard(&self.tree) {
            // Looked for once, and not again at every snapshot.
            self.tree.add_unnamed(id);
        }
        self.take_names();
    }

    /// Notes cgroups that have a path now.
    pub(super) fn take_names(&mut self) {
        for id in self.tree.take_named() {
            let Some(path) = self.tree.path(id) else { continue };
            let identity = CgroupIdentity::of(path);
            self.attribution.named(id, &identity, path);
            // So that short-lived containers are looked up in time.
            if self.model.is_whole(id) {
                self.resolver.cache().prepare(&identity);
            }
        }
        self.set_roots();
    }

    pub(super) fn walk(&mut self) {
        self.last_walk = Instant::now();
        if self.tree.walk() {
            self.walks_due = self.walks_due.saturating_sub(1);
        }
    }
}
