//! Attribution: cgroups nested in a container share the container's slot, however many there are.
//!
//! This module chooses the attribution roots. The kernel side looks for a root among a cgroup's ancestors before it
//! allocates a slot. A nested cgroup that got a slot before its root was known gives it back once. Units are not roots,
//! because they may have containers; a unit with too many nested cgroups becomes the root of all its cgroups outside
//! containers. The sampler owns this state. No I/O.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    cgroup::Tree,
    kernel::Root,
    workload::{CgroupIdentity, outermost_unit},
};

/// Share of all slots, and of all series, for the nested cgroups of one unit.
const UNIT_PART: usize = 8;
const UNIT_SERIES_PART: usize = 4;
/// Minimum of these shares.
const LEAST_OF_UNIT: usize = 16;

/// Number of locations from which on those that are not needed any more are dropped.
const LEAST_LOCATIONS: usize = 256;

/// Usage of a unit's cgroups outside containers.
#[derive(Debug, Default)]
struct OfUnit {
    cgroups: Vec<u64>,
    series: usize,
}

/// Where a cgroup is, by its path.
#[derive(Debug)]
struct Location {
    identity: CgroupIdentity,
    /// The outermost unit, if the cgroup is in one and in no container.
    unit: Option<Arc<str>>,
}

impl Location {
    fn of(path: &Arc<str>) -> Self {
        let identity = CgroupIdentity::of(path);
        let unit = if identity.is_container() { None } else { outermost_unit(path) };
        let shared = |unit: &str| if *unit == **path { Arc::clone(path) } else { unit.into() };
        Self { unit: unit.map(shared), identity }
    }
}

/// The attribution roots, and what is known about the cgroups below them.
#[derive(Debug)]
pub(super) struct Attribution {
    roots: HashMap<u64, (Root, Arc<str>)>,
    /// Ids of roots by path. If a removed container had the same path as another one, the newer.
    by_path: HashMap<Arc<str>, u64>,
    /// Maximum roots of the kernel side.
    max_roots: usize,
    /// Maximum slots, and maximum series, of one unit's nested cgroups.
    most_of_unit: usize,
    most_series_of_unit: usize,
    changes: Vec<(u64, Option<Root>)>,
    /// Locations of examined cgroups, kept for the next snapshot.
    locations: HashMap<u64, Location>,
    /// Cgroups that must give their slots back.
    misplaced: HashSet<u64>,
    /// Nested cgroups that gave their slots back. They keep the next slot if the kernel side does not find their root.
    moved: HashSet<u64>,
}

impl Attribution {
    /// Returns a state with room for this many roots, slots and series.
    #[must_use]
    pub(super) fn new(max_roots: usize, slots: usize, series: usize) -> Self {
        Self {
            roots: HashMap::new(),
            by_path: HashMap::new(),
            max_roots,
            most_of_unit: (slots / UNIT_PART).max(LEAST_OF_UNIT),
            most_series_of_unit: series / UNIT_SERIES_PART,
            changes: Vec::new(),
            locations: HashMap::new(),
            misplaced: HashSet::new(),
            moved: HashSet::new(),
        }
    }

    /// Adds a cgroup with its full path.
    pub(super) fn add_cgroup(&mut self, id: u64, identity: &CgroupIdentity, path: &Arc<str>) {
        if identity.path() != path || !identity.owns_all_below() || !self.has_room_for(identity) {
            return;
        }
        if !self.add(id, path, Root::OfAll) {
            return;
        }
        // Caches may have it in the slot of the unit around it.
        let unit = outermost_unit(path).and_then(|unit| self.by_path.get(unit));
        self.misplaced.extend(unit.filter(|&&unit| unit != id));
    }

    /// Whether there is room for one more root. Cgroups of users with names of containers leave room for real
    /// containers.
    fn has_room_for(&self, identity: &CgroupIdentity) -> bool {
        identity.is_container() || self.roots.len() < self.max_roots / 2
    }

    /// Makes a cgroup a root. Returns whether it was none.
    fn add(&mut self, id: u64, path: &Arc<str>, root: Root) -> bool {
        if self.roots.contains_key(&id) || self.roots.len() >= self.max_roots {
            return false;
        }
        self.roots.insert(id, (root, Arc::clone(path)));
        self.by_path.insert(Arc::clone(path), id);
        self.changes.push((id, Some(root)));
        true
    }

    /// Examines the cgroups with slots, each with its number of series. Finds those nested in a root, and units with
    /// too many.
    pub(super) fn look_at(&mut self, slots: impl Iterator<Item = (u64, usize)>, tree: &Tree) {
        let mut of_units: HashMap<Arc<str>, OfUnit> = HashMap::new();
        let mut examined = 0;
        for (id, series) in slots {
            examined += 1;
            if self.roots.contains_key(&id) {
                continue;
            }
            let Some(path) = tree.path(id) else { continue };
            let Location { identity, unit } = self.locations.entry(id).or_insert_with(|| Location::of(path));
            if self.by_path.contains_key(identity.path()) {
                self.move_once(id);
            } else if identity.is_container() {
                let identity = identity.clone();
                self.add_late(&identity, tree);
            } else if let Some(unit) = unit {
                if self.by_path.contains_key(unit) {
                    self.move_once(id);
                } else {
                    let of_unit = of_units.entry(Arc::clone(unit)).or_default();
                    of_unit.cgroups.push(id);
                    of_unit.series += series;
                }
            }
        }
        // Those of cgroups that gave their slots back remain until there are as many of them.
        if self.locations.len() > LEAST_LOCATIONS.max(2 * examined) {
            self.locations = HashMap::new();
        }
        of_units.retain(|_, of_unit| {
            let has_many = of_unit.cgroups.len() > 1 && of_unit.series > self.most_series_of_unit;
            has_many || of_unit.cgroups.len() > self.most_of_unit
        });
        for (unit, OfUnit { cgroups, series }) in of_units {
            self.join(&unit, &cgroups, series, tree);
        }
    }

    /// Makes a container a root for which there was no room before.
    fn add_late(&mut self, identity: &CgroupIdentity, tree: &Tree) {
        if self.roots.len() >= self.max_roots {
            return;
        }
        if let Some(id) = tree.id_of(identity.path()) {
            self.add(id, identity.path(), Root::OfAll);
        }
    }

    /// Makes a unit the root of all its cgroups outside containers.
    fn join(&mut self, unit: &Arc<str>, cgroups: &[u64], series: usize, tree: &Tree) {
        let Some(unit_id) = tree.id_of(unit) else { return };
        let count = cgroups.len();
        tracing::warn!(%unit, cgroups = count, series, "the unit has too many cgroups; they are counted as one from now on");
        if self.add(unit_id, unit, Root::OfRest) {
            cgroups.iter().filter(|&&id| id != unit_id).for_each(|&id| self.move_once(id));
        }
    }

    fn move_once(&mut self, id: u64) {
        if !self.moved.contains(&id) {
            self.misplaced.insert(id);
        }
    }

    /// Takes the changes for the kernel side.
    pub(super) fn take_changes(&mut self) -> Vec<(u64, Option<Root>)> {
        std::mem::take(&mut self.changes)
    }

    /// Returns the cgroups that must give their slots back.
    #[must_use]
    pub(super) fn misplaced(&self) -> &HashSet<u64> {
        &self.misplaced
    }

    /// Notes that slots were reclaimed.
    pub(super) fn retired(&mut self, cgroups: &[u64]) {
        for id in cgroups.iter().filter(|id| self.misplaced.remove(id)) {
            if !self.roots.contains_key(id) {
                self.moved.insert(*id);
            }
        }
    }

    /// Removes cgroups that are gone.
    pub(super) fn forget(&mut self, dead: &[u64]) {
        for id in dead {
            self.moved.remove(id);
            self.misplaced.remove(id);
            let Some((_, path)) = self.roots.remove(id) else { continue };
            if self.by_path.get(&path) == Some(id) {
                self.by_path.remove(&path);
            }
            self.changes.push((*id, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::TreeChange;

    /// Returns a tree with these cgroups, which the sampler has reported.
    fn known(attribution: &mut Attribution, cgroups: &[(u64, &str)]) -> Tree {
        let mut tree = Tree::of_nothing();
        for &(id, path) in cgroups {
            tree.apply(TreeChange::Born { id, parent: None, unprivileged: false, path: path.as_bytes() });
        }
        for id in tree.take_named() {
            let path = tree.path(id).unwrap();
            attribution.add_cgroup(id, &CgroupIdentity::of(path), path);
        }
        tree
    }

    fn container() -> String {
        format!("/docker/{}", "a".repeat(64))
    }

    #[test]
    fn a_container_is_a_root_until_it_is_gone_and_what_is_nested_in_it_none() {
        let mut attribution = Attribution::new(10, 1024, 65536);
        let nested = format!("{}/nested", container());
        let tree = known(&mut attribution, &[(1, &container()), (2, &nested), (3, "/system.slice/a.service")]);
        assert_eq!(attribution.take_changes(), [(1, Some(Root::OfAll))]);
        attribution.look_at([(1, 9), (2, 9), (3, 9)].into_iter(), &tree);
        assert_eq!(*attribution.misplaced(), [2].into());
        attribution.retired(&[2]);
        attribution.look_at([(1, 9), (2, 9), (3, 9)].into_iter(), &tree);
        assert!(attribution.misplaced().is_empty(), "once");
        attribution.forget(&[1, 2]);
        assert_eq!(attribution.take_changes(), [(1, None)]);
    }

    #[test]
    fn a_unit_with_too_many_cgroups_becomes_a_root_of_what_is_in_no_container() {
        let mut attribution = Attribution::new(10, 1024, 65536);
        let mut cgroups: Vec<(u64, String)> =
            (10..10 + 129).map(|id| (id, format!("/user.slice/user@1.service/x{id}.scope"))).collect();
        cgroups.push((1, "/user.slice/user@1.service".to_owned()));
        let written: Vec<(u64, &str)> = cgroups.iter().map(|(id, path)| (*id, path.as_str())).collect();
        let tree = known(&mut attribution, &written);
        attribution.look_at((10..10 + 128).map(|id| (id, 9)), &tree);
        assert_eq!(attribution.take_changes(), []);
        attribution.look_at((10..10 + 129).map(|id| (id, 9)), &tree);
        assert_eq!(attribution.take_changes(), [(1, Some(Root::OfRest))]);
        assert_eq!(attribution.misplaced().len(), 129);
    }

    #[test]
    fn the_containers_of_a_unit_are_not_its_nested_cgroups() {
        let mut attribution = Attribution::new(1000, 1024, 65536);
        let cgroups: Vec<(u64, String)> =
            (10..310).map(|id| (id, format!("/system.slice/containerd.service/{id:064}"))).collect();
        let written: Vec<(u64, &str)> = cgroups.iter().map(|(id, path)| (*id, path.as_str())).collect();
        let tree = known(&mut attribution, &written);
        attribution.look_at((10..310).map(|id| (id, 900)), &tree);
        assert!(attribution.misplaced().is_empty());
        assert!(attribution.take_changes().iter().all(|(_, root)| *root == Some(Root::OfAll)));
    }

    #[test]
    fn roots_have_a_bound() {
        let mut attribution = Attribution::new(1, 1024, 65536);
        known(&mut attribution, &[(1, &container()), (2, &format!("/docker/{}", "b".repeat(64)))]);
        assert_eq!(attribution.take_changes().len(), 1);
    }

    #[test]
    fn a_unit_with_too_many_series_in_its_cgroups_becomes_a_root() {
        let mut attribution = Attribution::new(10, 1024, 65536);
        let unit = "/user.slice/user@1.service";
        let cgroups: Vec<(u64, String)> = (11..31).map(|id| (id, format!("{unit}/x{id}.scope"))).collect();
        let written: Vec<(u64, &str)> =
            cgroups.iter().map(|(id, path)| (*id, path.as_str())).chain([(1, unit)]).collect();
        let tree = known(&mut attribution, &written);
        attribution.look_at((11..31).map(|id| (id, 800)), &tree);
        assert_eq!(attribution.take_changes(), []);
        attribution.look_at((11..31).map(|id| (id, 900)), &tree);
        assert_eq!(attribution.take_changes(), [(1, Some(Root::OfRest))]);
    }

    #[test]
    fn a_container_that_came_when_there_was_no_room_becomes_a_root_later() {
        let mut attribution = Attribution::new(1, 1024, 65536);
        let other = format!("/docker/{}", "b".repeat(64));
        let nested = format!("{}/nested", container());
        let tree = known(&mut attribution, &[(1, &other), (2, &container()), (3, &nested)]);
        assert_eq!(attribution.take_changes(), [(1, Some(Root::OfAll))]);
        attribution.forget(&[1]);
        attribution.look_at([(3, 9)].into_iter(), &tree);
        assert_eq!(attribution.take_changes(), [(1, None), (2, Some(Root::OfAll))]);
    }

    #[test]
    fn cgroups_of_users_that_are_called_as_containers_leave_room_for_containers() {
        let mut attribution = Attribution::new(4, 1024, 65536);
        let podman = |id: u64| (id, format!("/user.slice/user@1.service/libpod-{id:064}.scope"));
        let cgroups: Vec<(u64, String)> = (11..20).map(podman).collect();
        let written: Vec<(u64, &str)> = cgroups.iter().map(|(id, path)| (*id, path.as_str())).collect();
        known(&mut attribution, &written);
        assert_eq!(attribution.take_changes().len(), 2);
        known(&mut attribution, &[(1, &container())]);
        assert_eq!(attribution.take_changes(), [(1, Some(Root::OfAll))]);
    }
}
