//! A budget per interval that tenants share: of time, of look-ups, of bytes.

use std::{collections::HashMap, sync::Arc};

use super::Tenant;

/// An amount that may be spent until the next [`Self::renew`]. A group may spend while it has spent less than the rest
/// of the budget: a single group leaves half of it, two leave a quarter each, and so on. A group that has spent nothing
/// may always spend once.
///
/// The total is at most the budget, plus one expense of each group and one more.
#[derive(Debug)]
pub struct FairBudget {
    budget: u64,
    left: u64,
    spent: HashMap<Arc<str>, u64>,
}

impl FairBudget {
    /// The budget until the next renewal, in any unit.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self { budget, left: budget, spent: HashMap::new() }
    }

    /// Whether a tenant may spend now. The amount need not be known before.
    #[must_use]
    pub fn may_spend(&self, tenant: &Tenant) -> bool {
        self.spent.get(tenant.group()).is_none_or(|&spent| spent < self.left)
    }

    /// Adds an expense of a tenant.
    pub fn spend(&mut self, tenant: &Tenant, amount: u64) {
        self.left = self.left.saturating_sub(amount);
        *self.spent.entry(Arc::clone(tenant.group())).or_default() += amount;
    }

    /// Renews the whole budget.
    pub fn renew(&mut self) {
        self.left = self.budget;
        self.spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(group: &str) -> Tenant {
        Tenant::new(group.into(), "member".into())
    }

    /// Returns the spending of a group that takes all it can, in parts.
    fn take_all(budget: &mut FairBudget, group: &str, part: u64) -> u64 {
        let mut spent = 0;
        while budget.may_spend(&tenant(group)) {
            budget.spend(&tenant(group), part);
            spent += part;
        }
        spent
    }

    #[test]
    fn a_group_that_takes_all_it_can_leaves_others_theirs() {
        let mut budget = FairBudget::new(200);
        assert_eq!(take_all(&mut budget, "flood", 1), 100);
        assert_eq!(take_all(&mut budget, "quiet", 1), 50);
        budget.renew();
        assert_eq!(take_all(&mut budget, "flood", 1), 100);
    }

    #[test]
    fn after_any_number_of_groups_there_is_one_for_the_next() {
        let mut budget = FairBudget::new(200);
        let spent: u64 = (0..100).map(|group| take_all(&mut budget, &group.to_string(), 1)).sum();
        assert!(spent <= 200 + 100, "{spent}");
        assert!(budget.may_spend(&tenant("late")));
    }

    #[test]
    fn one_expense_may_be_more_than_all() {
        let mut budget = FairBudget::new(200);
        assert_eq!(take_all(&mut budget, "slow", 1000), 1000);
        assert!(!budget.may_spend(&tenant("slow")) && budget.may_spend(&tenant("quiet")));
    }

    proptest! {
        #[test]
        fn all_together_spend_the_budget_and_one_expense_each(
            expenses in proptest::collection::vec((0..5_u8, 1..40_u64), 0..200), total in 1..200_u64,
        ) {
            let mut budget = FairBudget::new(total);
            let mut spent: HashMap<u8, u64> = HashMap::new();
            for (group, amount) in expenses {
                let tenant = tenant(&group.to_string());
                prop_assert!(budget.may_spend(&tenant) || spent.contains_key(&group), "the first expense is free");
                if budget.may_spend(&tenant) {
                    budget.spend(&tenant, amount);
                    *spent.entry(group).or_default() += amount;
                }
            }
            prop_assert!(spent.values().sum::<u64>() <= total + 39 * (spent.len() as u64 + 1));
            prop_assert!(spent.values().all(|&spent| spent <= total.div_ceil(2) + 39), "nobody has all of it");
        }
    }
}
