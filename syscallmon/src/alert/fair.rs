//! What waits or is remembered for each workload, in limited room that no workload can take from the others.

use std::collections::{BTreeMap, VecDeque};

use crate::workload::Workload;

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// Entries by workload. When there is no room, the workload that takes most of it loses its newest entry; who takes entries out gets
/// them from each workload in turn.
#[derive(Debug)]
pub(super) struct Fair<K, V> {
    room: Room,
    lines: BTreeMap<Workload, VecDeque<Entry<K, V>>>,
    turns: VecDeque<Workload>,
    entries: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    bytes: usize,
}

impl<K: PartialEq, V> Fair<K, V> {
    pub(super) fn new(room: Room) -> Self {
        Self { room, lines: BTreeMap::new(), turns: VecDeque::new(), entries: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn get_mut(&mut self, workload: &Workload, key: &K) -> Option<&mut V> {
        self.lines.get_mut(workload)?.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.lines.values_mut().flatten().map(|entry| &mut entry.value)
    }

    /// Puts an entry at the end of its workload's line; one that is there already keeps its place, and `merge` makes one value of
    /// the old and the new. What had to go for it: how many.
    pub(super) fn put(
        &mut self,
        workload: &Workload,
        key: K,
        value: V,
        bytes: usize,
        merge: impl FnOnce(&mut V, V),
    ) -> usize {
        let line = self.lines.entry(workload.clone()).or_insert_with(|| {
            self.turns.push_back(workload.clone());
            VecDeque::new()
        });
        self.bytes += bytes;
        if let Some(entry) = line.iter_mut().find(|entry| entry.key == key) {
            merge(&mut entry.value, value);
            self.bytes -= std::mem::replace(&mut entry.bytes, bytes);
        } else {
            line.push_back(Entry { key, value, bytes });
            self.entries += 1;
        }
        self.make_room()
    }

    /// Takes the oldest entry of the workload whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(K, V)> {
        let workload = self.turns.front()?.clone();
        self.turns.rotate_left(1);
        let entry = self.take(&workload, VecDeque::pop_front)?;
        Some((entry.key, entry.value))
    }

    /// Keeps what `keep` says.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        for line in self.lines.values_mut() {
            line.retain_mut(|entry| keep(&mut entry.value));
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|workload| self.lines.contains_key(workload));
        self.entries = self.lines.values().map(VecDeque::len).sum();
        self.bytes = self.lines.values().flatten().map(|entry| entry.bytes).sum();
    }

    fn make_room(&mut self) -> usize {
        let mut gone = 0;
        while self.entries > self.room.entries || self.bytes > self.room.bytes {
            let weight = |line: &VecDeque<Entry<K, V>>| line.iter().map(|entry| entry.bytes).sum::<usize>();
            let heaviest = self.lines.iter().max_by_key(|(_, line)| weight(line)).map(|(workload, _)| workload.clone());
            let Some(workload) = heaviest else { break };
            self.take(&workload, VecDeque::pop_back);
            gone += 1;
        }
        gone
    }

    fn take(
        &mut self,
        workload: &Workload,
        end: impl FnOnce(&mut VecDeque<Entry<K, V>>) -> Option<Entry<K, V>>,
    ) -> Option<Entry<K, V>> {
        let line = self.lines.get_mut(workload)?;
        let entry = end(line)?;
        if line.is_empty() {
            self.lines.remove(workload);
            self.turns.retain(|turn| turn != workload);
        }
        self.entries -= 1;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str) -> Workload {
        Workload::cgroup(name.into())
    }

    fn put(fair: &mut Fair<u32, u32>, name: &str, key: u32, bytes: usize) -> usize {
        fair.put(&workload(name), key, key, bytes, |old, new| *old = new)
    }

    #[test]
    fn a_flood_of_one_workload_takes_no_room_from_others() {
        let mut fair = Fair::new(Room { entries: 10, bytes: usize::MAX });
        assert_eq!(put(&mut fair, "/quiet", 1, 1), 0);
        let gone: usize = (0..100).map(|key| put(&mut fair, "/flood", key, 1)).sum();
        assert_eq!((gone, fair.len()), (91, 10));
        assert_eq!(put(&mut fair, "/late", 1, 1), 1, "there is room for who comes later, too");
        assert!(fair.get_mut(&workload("/quiet"), &1).is_some());
        assert!(fair.get_mut(&workload("/late"), &1).is_some());
        assert!(fair.get_mut(&workload("/flood"), &0).is_some(), "the oldest stays");
    }

    #[test]
    fn bytes_are_limited_as_entries_are() {
        let mut fair = Fair::new(Room { entries: 100, bytes: 1000 });
        put(&mut fair, "/small", 1, 100);
        assert_eq!(put(&mut fair, "/large", 1, 901), 1);
        assert_eq!(fair.len(), 1);
        assert_eq!(put(&mut fair, "/large", 1, 900), 0);
    }

    #[test]
    fn workloads_take_turns() {
        let mut fair = Fair::new(Room { entries: 100, bytes: 100 });
        for (name, key) in [("/a", 1), ("/a", 2), ("/a", 3), ("/b", 4), ("/c", 5)] {
            put(&mut fair, name, key, 1);
        }
        let order: Vec<u32> = std::iter::from_fn(|| fair.pop()).map(|(key, _)| key).collect();
        assert_eq!(order, [1, 4, 5, 2, 3]);
        assert_eq!((fair.len(), fair.bytes, fair.turns.len(), fair.lines.len()), (0, 0, 0, 0));
    }

    #[test]
    fn what_comes_again_keeps_its_place_and_takes_no_room() {
        let mut fair = Fair::new(Room { entries: 2, bytes: 100 });
        put(&mut fair, "/a", 1, 10);
        put(&mut fair, "/a", 2, 10);
        assert_eq!(fair.put(&workload("/a"), 1, 100, 20, |old, new| *old += new), 0);
        assert_eq!((fair.len(), fair.bytes), (2, 30));
        assert_eq!(fair.pop(), Some((1, 101)));
    }

    #[test]
    fn what_is_not_kept_leaves_room() {
        let mut fair = Fair::new(Room { entries: 3, bytes: 100 });
        for key in 0..3 {
            put(&mut fair, "/a", key, 10);
        }
        fair.retain(|value| *value == 1);
        assert_eq!((fair.len(), fair.bytes), (1, 10));
        assert_eq!(fair.pop(), Some((1, 1)));
        fair.retain(|_| false);
        assert_eq!(fair.turns.len(), 0);
    }
}
