//! Usage of a capacity by parties: by groups of all, or by members of one group.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use super::{Capacity, Priority};

/// Stands for a whole capacity.
pub(super) const FULL: u128 = 1 << 64;

/// Usage of each party. It is the larger one of two fractions: entries of the maximum entries, and bytes of the maximum
/// bytes.
#[derive(Debug)]
pub(super) struct Usage {
    capacity: Capacity,
    parties: BTreeMap<Arc<str>, Used>,
    /// Parties with entries, by priority and then by usage.
    by_use: [BTreeSet<(u128, Arc<str>)>; Priority::ALL.len()],
    bytes: usize,
    /// The party that had the last turn.
    last: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    bytes: usize,
    entries: [usize; Priority::ALL.len()],
}

impl Usage {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self { capacity, parties: BTreeMap::new(), by_use: Default::default(), bytes: 0, last: None }
    }

    /// Returns the number of parties with any usage.
    pub(super) fn len(&self) -> usize {
        self.parties.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, party: &Arc<str>, priority: Priority, bytes: usize) {
        self.bytes += bytes;
        self.change(party, |used| {
            used.bytes += bytes;
            used.entries[priority as usize] += 1;
        });
    }

    pub(super) fn remove(&mut self, party: &Arc<str>, priority: Priority, bytes: usize) {
        self.bytes -= bytes;
        self.change(party, |used| {
            used.bytes -= bytes;
            used.entries[priority as usize] -= 1;
        });
    }

    /// Returns the party with the largest usage among those with an entry of this priority, and its usage.
    pub(super) fn largest(&self, priority: Priority) -> Option<(u128, Arc<str>)> {
        self.by_use[priority as usize].last().cloned()
    }

    /// Returns the party whose turn it is.
    pub(super) fn take_turn(&mut self) -> Option<Arc<str>> {
        let after = self.last.take().map_or(Unbounded, Excluded);
        let next = self.parties.range::<Arc<str>, _>((after, Unbounded)).next();
        let party = next.or_else(|| self.parties.first_key_value()).map(|(party, _)| Arc::clone(party))?;
        self.last = Some(Arc::clone(&party));
        Some(party)
    }

    fn change(&mut self, party: &Arc<str>, change: impl FnOnce(&mut Used)) {
        let (party, mut used) =
            self.parties.remove_entry(party).unwrap_or_else(|| (Arc::clone(party), Used::default()));
        let old = (used.part_of(self.capacity), Arc::clone(&party));
        for parties in &mut self.by_use {
            parties.remove(&old);
        }
        change(&mut used);
        let part = used.part_of(self.capacity);
        for (parties, _) in self.by_use.iter_mut().zip(used.entries).filter(|(_, entries)| *entries > 0) {
            parties.insert((part, Arc::clone(&party)));
        }
        if used.entries.iter().any(|&entries| entries > 0) {
            self.parties.insert(party, used);
        }
    }
}

impl Used {
    /// Returns the larger one of the fractions of entries and of bytes, with [`FULL`] as the whole.
    fn part_of(&self, capacity: Capacity) -> u128 {
        let part = |used: usize, all: usize| used as u128 * FULL / all.max(1) as u128;
        part(self.entries.iter().sum(), capacity.entries).max(part(self.bytes, capacity.bytes))
    }
}
