//! What waits or is remembered for each workload, in limited room that no workload can take from the others.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

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
    lines: BTreeMap<Workload, Line<K, V>>,
    /// Workloads by the room that they take.
    by_bytes: BTreeSet<(usize, Workload)>,
    /// Whose turn it was last.
    last: Option<Workload>,
    entries: usize,
    bytes: usize,
}

/// The entries of one workload, the oldest first; never empty.
#[derive(Debug)]
struct Line<K, V> {
    entries: VecDeque<Entry<K, V>>,
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
        Self { room, lines: BTreeMap::new(), by_bytes: BTreeSet::new(), last: None, entries: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn get_mut(&mut self, workload: &Workload, key: &K) -> Option<&mut V> {
        let entries = &mut self.lines.get_mut(workload)?.entries;
        entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.lines.values_mut().flat_map(|line| &mut line.entries).map(|entry| &mut entry.value)
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
        let mut line = self.take_line(workload).unwrap_or(Line { entries: VecDeque::new(), bytes: 0 });
        line.bytes += bytes;
        if let Some(entry) = line.entries.iter_mut().find(|entry| entry.key == key) {
            merge(&mut entry.value, value);
            line.bytes -= std::mem::replace(&mut entry.bytes, bytes);
        } else {
            line.entries.push_back(Entry { key, value, bytes });
        }
        self.put_line(workload.clone(), line);
        self.make_room()
    }

    /// Takes the oldest entry of the workload whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(K, V)> {
        let after = self.last.take().map_or(Unbounded, Excluded);
        let next = self.lines.range((after, Unbounded)).next().or_else(|| self.lines.first_key_value());
        let workload = next.map(|(workload, _)| workload.clone())?;
        let entry = self.take(&workload, VecDeque::pop_front)?;
        self.last = Some(workload);
        Some((entry.key, entry.value))
    }

    /// Keeps what `keep` says.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        let lines = std::mem::take(&mut self.lines);
        (self.by_bytes, self.entries, self.bytes) = (BTreeSet::new(), 0, 0);
        for (workload, mut line) in lines {
            line.entries.retain_mut(|entry| keep(&mut entry.value));
            line.bytes = line.entries.iter().map(|entry| entry.bytes).sum();
            self.put_line(workload, line);
        }
    }

    fn make_room(&mut self) -> usize {
        let mut gone = 0;
        while self.entries > self.room.entries || self.bytes > self.room.bytes {
            let Some((_, workload)) = self.by_bytes.last().cloned() else { break };
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
        let mut line = self.take_line(workload)?;
        let entry = end(&mut line.entries);
        line.bytes -= entry.as_ref().map_or(0, |entry| entry.bytes);
        self.put_line(workload.clone(), line);
        entry
    }

    /// Takes a line out, to be changed and put back.
    fn take_line(&mut self, workload: &Workload) -> Option<Line<K, V>> {
        let (workload, line) = self.lines.remove_entry(workload)?;
        self.by_bytes.remove(&(line.bytes, workload));
        self.entries -= line.entries.len();
        self.bytes -= line.bytes;
        Some(line)
    }

    fn put_line(&mut self, workload: Workload, line: Line<K, V>) {
        if !line.entries.is_empty() {
            self.entries += line.entries.len();
            self.bytes += line.bytes;
            self.by_bytes.insert((line.bytes, workload.clone()));
            self.lines.insert(workload, line);
        }
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
        assert_eq!((fair.len(), fair.bytes, fair.by_bytes.len(), fair.lines.len()), (0, 0, 0, 0));
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
        assert_eq!((fair.lines.len(), fair.by_bytes.len()), (0, 0));
    }
}
