//! Finds the path of each cgroup that made a call: by events of births, and by walks of the tree.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::Sampler;
use crate::{snapshot::Snapshot, workload::CgroupIdentity};

/// Minimum time between walks for cgroups without a path.
const WALK: Duration = Duration::from_secs(1);

/// A walk removes cgroups that it and the previous walk did not see.
const WALKS_AFTER_LOSS: u32 = 2;

impl Sampler {
    /// Finds the paths of all cgroups in the snapshot that have one.
    pub(super) fn find_paths(&mut self, snapshot: &Snapshot) {
        // A cgroup that made a call was born before, so its birth has been reported by now.
        self.take_events();
        if snapshot.losses.cgroup_events > self.losses_seen {
            self.losses_seen = snapshot.losses.cgroup_events;
            self.walks_due = WALKS_AFTER_LOSS;
        }
        let with_slots = snapshot.slots.iter().map(|slot| slot.cgroup_id);
        self.find_paths_of(self.unknown(with_slots.chain(self.detector.without_path())));
    }

    /// Returns those of these cgroups that the tree does not know.
    pub(super) fn unknown(&self, cgroups: impl Iterator<Item = u64>) -> HashSet<u64> {
        cgroups.filter(|&id| !self.tree.knows(id)).collect()
    }

    /// Walks if there are unknown cgroups, at most once per interval.
    pub(super) fn find_paths_of(&mut self, unknown: HashSet<u64>) {
        if (self.walks_due == 0 && unknown.is_empty()) || self.last_walk.elapsed() < WALK {
            return;
        }
        self.walk();
        for id in self.unknown(unknown.into_iter()) {
            // Searched once, and not again at every snapshot.
            self.tree.add_unnamed(id);
        }
        self.take_names();
    }

    /// Handles cgroups that have a path now.
    pub(super) fn take_names(&mut self) {
        for id in self.tree.take_named() {
            let Some(path) = self.tree.path(id) else { continue };
            let identity = CgroupIdentity::of(path);
            self.attribution.add_cgroup(id, &identity, path);
            // So short-lived containers are looked up in time.
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
