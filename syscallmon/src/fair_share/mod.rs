//! Bounded capacity that tenants share fairly, for every table and queue that workloads can fill.
//!
//! A [`Tenant`] is a group (a namespace; without one, the container or unit itself) and a member of the group (the
//! workload). Each group may use the capacity that others do not need. When room is short:
//!
//! - A group within its fair share (the capacity, by the number of groups) loses nothing, whatever other groups do.
//! - Of the groups above their fair share, one with an entry of the lowest priority loses such an entry; of several,
//!   the largest group. So a critical entry is lost for a lesser one only where its group has more than its fair share
//!   and no other group above its own share has a lesser entry.
//! - Within the group, the largest member with such an entry loses the oldest one.
//!
//! Every operation takes O(log n). No clock, no I/O.

mod budget;
mod tenant;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::usage::{FULL, Usage};
pub use self::{budget::FairBudget, tenant::Tenant};

/// A capacity.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Maximum entries.
    pub entries: usize,
    /// Maximum bytes of all entries.
    pub bytes: usize,
}

impl Capacity {
    /// Returns a capacity of this many entries of any size.
    #[must_use]
    pub const fn of_entries(entries: usize) -> Self {
        Self { entries, bytes: usize::MAX }
    }
}

/// Order of loss when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Lost first.
    Low,
    /// Lost next.
    Normal,
    /// Lost last.
    High,
}

impl Priority {
    const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];
}

/// Entries by key, each of one tenant. When room is short, a tenant above its fair share loses entries.
#[derive(Debug)]
pub struct FairShare<K, V> {
    capacity: Capacity,
    entries: BTreeMap<Position, QueuedValue<K, V>>,
    positions: HashMap<K, Position>,
    groups: Usage,
    /// The members of each group.
    members: HashMap<Arc<str>, Usage>,
    sequence: u64,
}

/// Position of an entry: by tenant and priority, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    tenant: Tenant,
    priority: Priority,
    sequence: u64,
}

#[derive(Debug)]
struct QueuedValue<K, V> {
    key: K,
    value: V,
    bytes: usize,
}

impl<K: Clone + Eq + Hash, V> FairShare<K, V> {
    /// Returns an empty queue with this capacity.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            entries: BTreeMap::new(),
            positions: HashMap::new(),
            groups: Usage::new(capacity),
            members: HashMap::new(),
            sequence: 0,
        }
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the bytes of all entries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.groups.bytes()
    }

    /// Whether there is an entry with this key.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.positions.contains_key(key)
    }

    /// Returns the value of this key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(self.positions.get(key)?).map(|entry| &entry.value)
    }

    /// Returns the value of this key for changes.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(self.positions.get(key)?).map(|entry| &mut entry.value)
    }

    /// Returns all entries, by tenant and priority, the oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.values().map(|entry| (&entry.key, &entry.value))
    }

    /// Returns all entries with their tenants and priorities, in the same order.
    pub fn entries(&self) -> impl Iterator<Item = (&Tenant, Priority, &K, &V)> {
        self.entries.iter().map(|(at, entry)| (&at.tenant, at.priority, &entry.key, &entry.value))
    }

    /// Returns all values for changes.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }

    /// Adds an entry as the newest of its tenant and priority, or replaces the entry with the same key. Returns the
    /// evicted entries, which may include the new one.
    pub fn put(&mut self, tenant: Tenant, priority: Priority, key: K, value: V, bytes: usize) -> Vec<(K, V)> {
        self.remove(&key);
        if bytes > self.capacity.bytes {
            return vec![(key, value)];
        }
        self.sequence += 1;
        self.insert(Position { tenant, priority, sequence: self.sequence }, QueuedValue { key, value, bytes });
        self.make_room()
    }

    /// Updates the size of a value, which keeps its position. Returns the evicted entries.
    pub fn resize(&mut self, key: &K, bytes: usize) -> Vec<(K, V)> {
        if let Some((position, entry)) = self.take(key) {
            self.insert(position, QueuedValue { bytes, ..entry });
        }
        self.make_room()
    }

    /// Makes an entry the newest of its tenant and priority.
    pub fn touch(&mut self, key: &K) {
        if let Some((position, entry)) = self.take(key) {
            self.sequence += 1;
            self.insert(Position { sequence: self.sequence, ..position }, entry);
        }
    }

    /// Gives an entry to another tenant. Its age stays the same.
    pub fn reassign(&mut self, key: &K, tenant: &Tenant) {
        if self.positions.get(key).is_some_and(|position| position.tenant != *tenant)
            && let Some((position, entry)) = self.take(key)
        {
            self.insert(Position { tenant: tenant.clone(), ..position }, entry);
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.take(key).map(|(_, entry)| entry.value)
    }

    /// Removes all entries of a member of a group, those of the highest priority first, the oldest of these first.
    pub fn take_tenant(&mut self, tenant: &Tenant) -> Vec<(K, V)> {
        let next = |shared: &mut Self| {
            let position = shared.highest(tenant)?;
            shared.take_at(&position).map(|entry| (entry.key, entry.value))
        };
        std::iter::from_fn(|| next(self)).collect()
    }

    /// Removes the next entry: groups take turns, and so do the members of a group. Of a member, the oldest entry of
    /// the highest priority is next.
    pub fn pop(&mut self) -> Option<(K, V)> {
        let group = self.groups.take_turn()?;
        let member = self.members.get_mut(&group)?.take_turn()?;
        let position = self.highest(&Tenant::new(group, member))?;
        self.take_at(&position).map(|entry| (entry.key, entry.value))
    }

    /// Keeps the entries that `keep` chooses.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let entries = self.entries.iter_mut();
        let gone = entries.filter_map(|(position, entry)| {
            let keeps = keep(&entry.key, &mut entry.value);
            (!keeps).then(|| position.clone())
        });
        for position in gone.collect::<Vec<_>>() {
            self.take_at(&position);
        }
    }

    fn make_room(&mut self) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        while self.len() > self.capacity.entries || self.bytes() > self.capacity.bytes {
            let Some(entry) = self.victim().and_then(|position| self.take_at(&position)) else { break };
            gone.push((entry.key, entry.value));
        }
        gone
    }

    /// Returns the entry that is lost next.
    fn victim(&self) -> Option<Position> {
        let groups = self.groups.len() as u128;
        let largest = |priority| Some((priority, self.groups.largest(priority)?));
        let mut candidates = Priority::ALL.into_iter().filter_map(largest);
        let (priority, (_, group)) = candidates.find(|(_, (used, _))| used.saturating_mul(groups) > FULL)?;
        let (_, member) = self.members.get(&group)?.largest(priority)?;
        self.oldest(&Tenant::new(group, member), priority)
    }

    fn oldest(&self, tenant: &Tenant, priority: Priority) -> Option<Position> {
        let at = |sequence| Position { tenant: tenant.clone(), priority, sequence };
        self.entries.range(at(0)..=at(u64::MAX)).next().map(|(position, _)| position.clone())
    }

    fn highest(&self, tenant: &Tenant) -> Option<Position> {
        Priority::ALL.into_iter().rev().find_map(|priority| self.oldest(tenant, priority))
    }

    fn take(&mut self, key: &K) -> Option<(Position, QueuedValue<K, V>)> {
        let position = self.positions.get(key)?.clone();
        let entry = self.take_at(&position)?;
        Some((position, entry))
    }

    fn take_at(&mut self, position: &Position) -> Option<QueuedValue<K, V>> {
        let entry = self.entries.remove(position)?;
        self.positions.remove(&entry.key);
        let Position { tenant, priority, .. } = position;
        self.groups.remove(tenant.group(), *priority, entry.bytes);
        if let Some(members) = self.members.get_mut(tenant.group()) {
            members.remove(tenant.member(), *priority, entry.bytes);
            if members.len() == 0 {
                self.members.remove(tenant.group());
            }
        }
        Some(entry)
    }

    fn insert(&mut self, position: Position, entry: QueuedValue<K, V>) {
        let Position { tenant, priority, .. } = &position;
        self.groups.add(tenant.group(), *priority, entry.bytes);
        let members = self.members.entry(Arc::clone(tenant.group())).or_insert_with(|| Usage::new(self.capacity));
        members.add(tenant.member(), *priority, entry.bytes);
        self.positions.insert(entry.key.clone(), position.clone());
        self.entries.insert(position, entry);
    }
}
