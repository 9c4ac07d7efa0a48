//! Running totals by key, kept sorted: what snapshots and the model are made of.

use serde::{Deserialize, Deserializer, Serialize};

/// What a tally counts: a number, or several that belong together.
pub trait Amount: Clone + PartialEq {
    /// Adds another to it.
    fn add(&mut self, other: &Self);
    /// What it has over an earlier one. Amounts do not fall: one that did started anew, and is new as a whole.
    #[must_use]
    fn since(&self, before: &Self) -> Self;
    /// Whether there is nothing in it.
    fn is_zero(&self) -> bool;
}

impl Amount for u64 {
    fn add(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }

    fn since(&self, before: &Self) -> Self {
        self.checked_sub(*before).unwrap_or(*self)
    }

    fn is_zero(&self) -> bool {
        *self == 0
    }
}

/// Amounts by key, sorted by it, each key once and no amount zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "K: Ord + Copy + Deserialize<'de>, V: Amount + Deserialize<'de>"))]
pub struct SortedCounts<K, V = u64>(#[serde(deserialize_with = "sorted")] Vec<(K, V)>);

/// Reads amounts in any order: those of one key add up.
fn sorted<'de, K, V, D>(deserializer: D) -> Result<Vec<(K, V)>, D::Error>
where
    K: Ord + Copy + Deserialize<'de>,
    V: Amount + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Vec::deserialize(deserializer)?.into_iter().collect::<SortedCounts<K, V>>().0)
}

impl<K, V> Default for SortedCounts<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord + Copy, V: Amount> SortedCounts<K, V> {
    /// What `self` has over an earlier tally of the same things.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut before = before.0.iter().peekable();
        let new = self.0.iter().filter_map(|(key, amount)| {
            while before.next_if(|(earlier, _)| earlier < key).is_some() {}
            let new = match before.next_if(|(earlier, _)| earlier == key) {
                Some((_, before)) => amount.since(before),
                None => amount.clone(),
            };
            (!new.is_zero()).then_some((*key, new))
        });
        Self(new.collect())
    }

    /// Adds all of another tally.
    pub fn add(&mut self, other: &Self) {
        for (key, amount) in &other.0 {
            match self.0.binary_search_by_key(key, |(own, _)| *own) {
                Ok(index) => self.0[index].1.add(amount),
                Err(index) => self.0.insert(index, (*key, amount.clone())),
            }
        }
    }

    /// The amounts of keys of which this holds, and the others.
    #[must_use]
    pub fn split(&self, holds: impl Fn(K) -> bool) -> (Self, Self) {
        let (first, other) = self.0.iter().cloned().partition(|&(key, _)| holds(key));
        (Self(first), Self(other))
    }

    /// The amount of one key.
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        let index = self.0.binary_search_by_key(&key, |(own, _)| *own).ok()?;
        Some(&self.0[index].1)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, amount)| (*key, amount))
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Copy> SortedCounts<K> {
    /// All amounts together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(_, amount)| amount).sum()
    }
}

/// In any order; amounts of the same key add up.
impl<K: Ord + Copy, V: Amount> FromIterator<(K, V)> for SortedCounts<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(amounts: I) -> Self {
        let mut amounts: Vec<(K, V)> = amounts.into_iter().filter(|(_, amount)| !amount.is_zero()).collect();
        amounts.sort_by_key(|(key, _)| *key);
        amounts.dedup_by(|(next, more), (kept, amount)| {
            let same = next == kept;
            if same {
                amount.add(more);
            }
            same
        });
        Self(amounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(amounts: &[(u8, u64)]) -> SortedCounts<u8> {
        amounts.iter().copied().collect()
    }

    #[test]
    fn amounts_of_one_key_add_up_and_nothing_is_no_amount() {
        assert_eq!(tally(&[(2, 5), (1, 3), (2, 6), (7, 0)]), SortedCounts(vec![(1, 3), (2, 11)]));
    }

    #[test]
    fn the_difference_has_what_is_new_only() {
        let (old, new) = (tally(&[(1, 3), (2, 5), (9, 1)]), tally(&[(0, 1), (1, 3), (2, 7), (9, 2)]));
        assert_eq!(new.since(&old), tally(&[(0, 1), (2, 2), (9, 1)]));
        assert_eq!(new.since(&SortedCounts::default()), new);
        assert!(new.since(&new).is_empty());
    }

    #[test]
    fn an_amount_that_fell_started_anew() {
        assert_eq!(tally(&[(1, 3)]).since(&tally(&[(1, 500)])), tally(&[(1, 3)]));
    }

    #[test]
    fn adding_keeps_the_order() {
        let mut sum = tally(&[(2, 5)]);
        sum.add(&tally(&[(1, 1), (2, 2), (3, 3)]));
        assert_eq!((sum.clone(), sum.get(2), sum.get(4)), (tally(&[(1, 1), (2, 7), (3, 3)]), Some(&7), None));
        assert_eq!((sum.sum(), sum.len()), (11, 3));
    }
}
