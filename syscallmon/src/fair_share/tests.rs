use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn tenant(group: &str, member: &str) -> Tenant {
    Tenant::new(group.into(), member.into())
}

fn put(shared: &mut FairShare<u32, u32>, group: &str, key: u32, bytes: usize) -> usize {
    shared.put(tenant(group, "member"), Priority::Normal, key, key, bytes).len()
}

#[test]
fn a_flood_of_one_takes_no_room_from_others() {
    let mut shared = FairShare::new(Capacity::of_entries(10));
    assert_eq!(put(&mut shared, "quiet", 1000, 1), 0);
    let gone: usize = (0..100).map(|key| put(&mut shared, "flood", key, 1)).sum();
    assert_eq!((gone, shared.len()), (91, 10));
    assert_eq!(put(&mut shared, "late", 2000, 1), 1, "there is room for who comes later, too");
    assert!(shared.contains(&1000) && shared.contains(&2000) && shared.contains(&99) && !shared.contains(&91));
}

#[test]
fn bytes_are_limited_as_entries_are() {
    let mut shared = FairShare::new(Capacity { entries: 100, bytes: 1000 });
    put(&mut shared, "small", 1, 100);
    assert_eq!(put(&mut shared, "large", 2, 901), 1);
    assert_eq!((shared.len(), shared.contains(&1)), (1, true));
    assert_eq!(put(&mut shared, "large", 2, 900), 0);
    assert_eq!(put(&mut shared, "huge", 3, 2000), 1, "what never fits makes nobody else go");
    assert_eq!((shared.len(), shared.bytes()), (2, 1000));
}

#[test]
fn members_of_a_group_share_what_the_group_has() {
    let mut shared = FairShare::new(Capacity::of_entries(100));
    for key in 0..50 {
        put(&mut shared, "victim", key, 1);
    }
    for key in 1000..2000 {
        shared.put(tenant("shop", &format!("pod-{}", key % 20)), Priority::High, key, key, 1);
    }
    let of = |members: bool| shared.iter().filter(|(key, _)| (**key >= 1000) == members).count();
    assert_eq!((of(false), of(true)), (50, 50));
    let mut by_member = BTreeMap::<u32, usize>::new();
    shared.iter().filter(|(key, _)| **key >= 1000).for_each(|(key, _)| *by_member.entry(key % 20).or_default() += 1);
    assert!(by_member.len() == 20 && by_member.values().all(|count| (2..=3).contains(count)), "{by_member:?}");
}

#[test]
fn a_critical_entry_outlives_a_flood_of_lesser_ones() {
    let mut shared = FairShare::new(Capacity::of_entries(10));
    shared.put(tenant("flood", "a"), Priority::High, 0, 0, 1);
    for key in 1..1000 {
        shared.put(tenant("flood", "a"), Priority::Normal, key, key, 1);
        shared.put(tenant("flood", "b"), Priority::Low, key + 1000, key, 1);
    }
    assert!(shared.contains(&0) && shared.len() == 10);
    assert!(shared.iter().all(|(&key, _)| key < 1000), "lesser ones go first");
}

#[test]
fn who_pops_gets_them_from_each_group_and_member_in_turn_the_worst_first() {
    let mut shared = FairShare::new(Capacity::of_entries(100));
    for (group, member, priority, key) in [
        ("a", "1", Priority::Normal, 1),
        ("a", "1", Priority::High, 2),
        ("a", "2", Priority::Normal, 3),
        ("b", "1", Priority::Normal, 4),
        ("c", "1", Priority::Low, 5),
    ] {
        shared.put(tenant(group, member), priority, key, (), 1);
    }
    let order: Vec<u32> = std::iter::from_fn(|| shared.pop()).map(|(key, ())| key).collect();
    assert_eq!(order, [2, 4, 5, 3, 1]);
    assert_is_empty(&shared);
}

#[test]
fn what_comes_again_keeps_its_place_and_takes_no_room() {
    let mut shared = FairShare::new(Capacity { entries: 2, bytes: 100 });
    put(&mut shared, "a", 1, 10);
    put(&mut shared, "a", 2, 10);
    *shared.get_mut(&1).unwrap() = 101;
    assert!(shared.resize(&1, 20).is_empty());
    assert_eq!((shared.len(), shared.bytes(), shared.pop()), (2, 30, Some((1, 101))));
    put(&mut shared, "a", 3, 10);
    shared.touch(&2);
    assert_eq!(shared.pop(), Some((3, 3)));
}

#[test]
fn an_entry_can_be_given_to_another_and_all_of_one_can_be_taken() {
    let mut shared = FairShare::new(Capacity::of_entries(10));
    for key in 0..4 {
        put(&mut shared, "a", key, 1);
    }
    shared.reassign(&2, &tenant("b", "member"));
    assert_eq!(shared.take_tenant(&tenant("a", "member")), [(0, 0), (1, 1), (3, 3)]);
    shared.retain(|_, value| *value != 2);
    assert_is_empty(&shared);
}

fn assert_is_empty<K: Clone + Eq + Hash, V>(shared: &FairShare<K, V>) {
    assert_eq!((shared.len(), shared.bytes(), shared.positions.len()), (0, 0, 0));
    assert_eq!((shared.groups.len(), shared.members.len()), (0, 0));
}

/// Something that is done with the room.
#[derive(Clone, Debug)]
enum Act {
    Put { group: u8, member: u8, priority: Priority, key: u16, bytes: usize },
    Resize { key: u16, bytes: usize },
    Touch(u16),
    Reassign { key: u16, group: u8, member: u8 },
    Remove(u16),
    Pop,
}

fn act() -> impl Strategy<Value = Act> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    // Few groups, of which the first does most.
    let group = || prop_oneof![3 => Just(0_u8), 2 => 0..4_u8];
    let put = (group(), 0..3_u8, priority, 0..200_u16, 0..40_usize);
    prop_oneof![
        12 => put.prop_map(|(group, member, priority, key, bytes)| Act::Put { group, member, priority, key, bytes }),
        1 => (0..200_u16, 0..40_usize).prop_map(|(key, bytes)| Act::Resize { key, bytes }),
        1 => (0..200_u16).prop_map(Act::Touch),
        1 => (0..200_u16, group(), 0..3_u8).prop_map(|(key, group, member)| Act::Reassign { key, group, member }),
        1 => (0..200_u16).prop_map(Act::Remove),
        1 => Just(Act::Pop),
    ]
}

/// The same queue, without any index: what is there, by key, with its tenant, priority, sequence and bytes.
#[derive(Default)]
struct ReferenceModel {
    entries: BTreeMap<u16, (Tenant, Priority, u64, usize)>,
    sequence: u64,
}

impl ReferenceModel {
    fn uses(&self, capacity: Capacity, of: impl Fn(&Tenant) -> bool) -> f64 {
        let of_it = || self.entries.values().filter(|(tenant, ..)| of(tenant));
        let bytes: usize = of_it().map(|(.., bytes)| bytes).sum();
        (of_it().count() as f64 / capacity.entries as f64).max(bytes as f64 / capacity.bytes as f64)
    }

    fn groups(&self) -> Vec<Arc<str>> {
        let mut groups: Vec<_> = self.entries.values().map(|(tenant, ..)| Arc::clone(tenant.group())).collect();
        groups.sort();
        groups.dedup();
        groups
    }

    fn is_over(&self, capacity: Capacity) -> bool {
        self.entries.len() > capacity.entries
            || self.entries.values().map(|(.., bytes)| bytes).sum::<usize>() > capacity.bytes
    }

    /// Checks that it was right to lose an entry now, and loses it.
    fn lose(&mut self, capacity: Capacity, key: u16) {
        const ROUNDING: f64 = 1e-9;
        assert!(self.is_over(capacity), "room was not short");
        let (tenant, priority, sequence, _) = self.entries[&key].clone();
        let groups = self.groups();
        let fair = 1.0 / groups.len() as f64;
        let uses = |group: &Arc<str>| self.uses(capacity, |tenant| tenant.group() == group);
        assert!(uses(tenant.group()) > fair - ROUNDING, "a group within its fair share lost something");
        for other in groups.iter().filter(|group| uses(group) > fair + ROUNDING) {
            let lesser =
                self.entries.values().any(|(tenant, lesser, ..)| tenant.group() == other && *lesser < priority);
            assert!(!lesser, "{other}, above its share, has something lesser than {key}");
            let same = self.entries.values().any(|(tenant, same, ..)| tenant.group() == other && *same == priority);
            assert!(!same || uses(other) <= uses(tenant.group()) + ROUNDING, "{other} has more");
        }
        for (other, other_priority, other_sequence, _) in
            self.entries.values().filter(|(other, ..)| other.group() == tenant.group())
        {
            assert!(*other_priority >= priority, "its group has something lesser");
            if *other_priority == priority {
                let uses = |of: &Tenant| self.uses(capacity, |tenant| tenant == of);
                assert!(uses(other) <= uses(&tenant) + ROUNDING, "another member has more");
                assert!(*other != tenant || *other_sequence >= sequence, "it has something older");
            }
        }
        self.entries.remove(&key);
    }

    fn put(&mut self, tenant: Tenant, priority: Priority, key: u16, bytes: usize) {
        self.sequence += 1;
        self.entries.insert(key, (tenant, priority, self.sequence, bytes));
    }
}

proptest! {
    #[test]
    fn whatever_is_done_room_is_shared_as_the_module_says(
        acts in prop::collection::vec(act(), 1..300), entries in 1..30_usize, bytes in 40..400_usize,
    ) {
        let capacity = Capacity { entries, bytes };
        let (mut shared, mut plain) = (FairShare::new(capacity), ReferenceModel::default());
        let named = |group: u8, member: u8| tenant(&group.to_string(), &member.to_string());
        for act in acts {
            let gone = match act {
                Act::Put { group, member, priority, key, bytes } => {
                    plain.put(named(group, member), priority, key, bytes);
                    shared.put(named(group, member), priority, key, (), bytes)
                }
                Act::Resize { key, bytes } => {
                    if let Some(entry) = plain.entries.get_mut(&key) {
                        entry.3 = bytes;
                    }
                    shared.resize(&key, bytes)
                }
                Act::Touch(key) => {
                    plain.sequence += 1;
                    if let Some(entry) = plain.entries.get_mut(&key) {
                        entry.2 = plain.sequence;
                    }
                    shared.touch(&key);
                    Vec::new()
                }
                Act::Reassign { key, group, member } => {
                    if let Some(entry) = plain.entries.get_mut(&key) {
                        entry.0 = named(group, member);
                    }
                    shared.reassign(&key, &named(group, member));
                    Vec::new()
                }
                Act::Remove(key) => {
                    prop_assert_eq!(shared.remove(&key).is_some(), plain.entries.remove(&key).is_some());
                    Vec::new()
                }
                Act::Pop => {
                    let popped = shared.pop();
                    prop_assert_eq!(popped.is_none(), plain.entries.is_empty());
                    popped.map(|(key, ())| plain.entries.remove(&key));
                    Vec::new()
                }
            };
            for (key, ()) in gone {
                plain.lose(capacity, key);
            }
            prop_assert!(!plain.is_over(capacity) && shared.len() <= entries && shared.bytes() <= bytes);
            prop_assert_eq!(shared.len(), plain.entries.len());
            prop_assert_eq!(shared.bytes(), plain.entries.values().map(|(.., bytes)| bytes).sum::<usize>());
            prop_assert!(plain.entries.keys().all(|key| shared.contains(key)));
        }
        while shared.pop().is_some() {}
        assert_is_empty(&shared);
    }

    #[test]
    fn who_stays_within_a_fair_share_loses_nothing(
        keys in prop::collection::vec((0..5_u32, 0..4_u32, any::<bool>()), 1..500),
    ) {
        // Five tenants that do what they like, and one that has a sixth.
        let mut shared = FairShare::new(Capacity::of_entries(60));
        for key in 0..10 {
            shared.put(tenant("within", "a"), Priority::Low, key, (), 1);
        }
        for (key, (group, member, is_critical)) in (100_u32..).zip(keys) {
            let priority = if is_critical { Priority::High } else { Priority::Normal };
            shared.put(tenant(&group.to_string(), &member.to_string()), priority, key, (), 1);
        }
        prop_assert!((0..10).all(|key| shared.contains(&key)));
    }

    #[test]
    fn who_waits_is_served_once_before_anybody_is_served_twice(
        waiting in prop::collection::vec((0..5_u8, 0..3_u8), 1..60),
    ) {
        let mut shared = FairShare::new(Capacity::of_entries(60));
        let mut left: BTreeMap<u8, usize> = BTreeMap::new();
        for (key, (group, member)) in (0_u32..).zip(waiting) {
            shared.put(tenant(&group.to_string(), &member.to_string()), Priority::Normal, key, group, 1);
            *left.entry(group).or_default() += 1;
        }
        let mut served_since: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        while let Some((_, group)) = shared.pop() {
            if let Some(others) = served_since.insert(group, Vec::new()) {
                let mut waiting = left.iter().filter(|(other, left)| **other != group && **left > 0);
                prop_assert!(waiting.all(|(other, _)| others.contains(other)), "{group} twice, after {others:?}");
            }
            for others in served_since.values_mut() {
                others.push(group);
            }
            *left.get_mut(&group).unwrap() -= 1;
        }
        prop_assert!(left.values().all(|&left| left == 0));
    }
}
