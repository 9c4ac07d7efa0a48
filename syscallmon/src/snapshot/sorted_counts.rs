//! Running totals by key, sorted. Snapshots and the model consist of them.

use serde::{Deserialize, Deserializer, Serialize};

/// An amount that is counted by key: a number, or several numbers that belong together.
pub trait Amount: Clone + PartialEq {
    /// Adds another amount.
    fn add(&mut self, other: &Self);
    /// Returns the increase since an earlier amount. An amount that fell started again from 0, so all of it is new.
    #[must_use]
    fn since(&self, before: &Self) -> Self;
    /// Whether the amount is zero.
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

/// Amounts sorted by key. Each key occurs once, and no amount is zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "K: Ord + Copy + Deserialize<'de>, V: Amount + Deserialize<'de>"))]
pub struct SortedCounts<K, V = u64>(#[serde(deserialize_with = "sorted")] Vec<(K, V)>);

/// Reads amounts in any order, and adds up amounts with the same key.
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
    /// Returns the increase since earlier counts of the same things.
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

    /// Adds other counts, in a time that grows with the number of keys and not with its square.
    pub fn add(&mut self, other: &Self) {
        let (mut from, mut missing) = (0, Vec::new());
        for (key, amount) in &other.0 {
            match self.0[from..].binary_search_by_key(key, |(own, _)| *own) {
                Ok(index) => {
                    self.0[from + index].1.add(amount);
                    from += index + 1;
                }
                Err(index) => {
                    missing.push((*key, amount.clone()));
                    from += index;
                }
            }
        }
        if !missing.is_empty() {
            self.0.append(&mut missing);
            // Two sorted runs: the stable sort merges them.
            self.0.sort_by_key(|(key, _)| *key);
        }
    }

    /// Splits the counts by a condition on the key: those for which it holds, and the others.
    #[must_use]
    pub fn split(&self, holds: impl Fn(K) -> bool) -> (Self, Self) {
        let (first, other) = self.0.iter().cloned().partition(|&(key, _)| holds(key));
        (Self(first), Self(other))
    }

    /// Returns the same with other keys.
    #[must_use]
    pub fn rekeyed(&self, key: impl Fn(K) -> K) -> Self {
        self.0.iter().map(|(old, amount)| (key(*old), amount.clone())).collect()
    }

    /// Returns the amount of a key.
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        let index = self.0.binary_search_by_key(&key, |(own, _)| *own).ok()?;
        Some(&self.0[index].1)
    }

    /// Returns all amounts in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, amount)| (*key, amount))
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no amounts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Copy> SortedCounts<K> {
    /// Returns the sum of all amounts.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(_, amount)| amount).sum()
    }
}

/// Builds counts from amounts in any order, and adds up amounts with the same key.
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

    fn counts(amounts: &[(u8, u64)]) -> SortedCounts<u8> {
        amounts.iter().copied().collect()
    }

    #[test]
    fn amounts_of_one_key_add_up_and_nothing_is_no_amount() {
        assert_eq!(counts(&[(2, 5), (1, 3), (2, 6), (7, 0)]), SortedCounts(vec![(1, 3), (2, 11)]));
    }

    #[test]
    fn the_difference_has_what_is_new_only() {
        let (old, new) = (counts(&[(1, 3), (2, 5), (9, 1)]), counts(&[(0, 1), (1, 3), (2, 7), (9, 2)]));
        assert_eq!(new.since(&old), counts(&[(0, 1), (2, 2), (9, 1)]));
        assert_eq!(new.since(&SortedCounts::default()), new);
        assert!(new.since(&new).is_empty());
    }

    #[test]
    fn an_amount_that_fell_started_anew() {
        assert_eq!(counts(&[(1, 3)]).since(&counts(&[(1, 500)])), counts(&[(1, 3)]));
    }

    #[test]
    fn adding_keeps_the_order() {
        let mut sum = counts(&[(2, 5)]);
        sum.add(&counts(&[(1, 1), (2, 2), (3, 3)]));
        assert_eq!((sum.clone(), sum.get(2), sum.get(4)), (counts(&[(1, 1), (2, 7), (3, 3)]), Some(&7), None));
        assert_eq!((sum.sum(), sum.len()), (11, 3));
    }
}
