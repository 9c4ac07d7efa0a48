//! From rules to what a seccomp filter compares: comparisons that hold for some classes of a call's arguments only.
//!
//! A filter allows a call if all comparisons of one list hold: `argument & mask == value`, at most one for each
//! argument, because container runtimes split rules that compare an argument twice. So each list describes a part of
//! all possible arguments, as a set of bits with known values. Rules are taken in their order: a rule of an allowed
//! class keeps its part, a rule of another class takes its part away. What is left of a part is split by the highest
//! bit first, so two lists compare an argument equally or exclude each other, and their order does not matter.

use std::collections::BTreeSet;

use super::{Condition, OTHER, rule::Rule};

/// Maximum lists for one call. KEP-6061 of Kubernetes refuses profiles with more than 128 rules for one call. The
/// filter of all calls has at most 4096 instructions, of which a list takes about five for three ABIs.
const MAX_LISTS: usize = 64;

/// Number of arguments that rules compare.
const ARGUMENTS: usize = 4;

/// A part of all possible arguments: the bits of the masks have these values.
#[derive(Clone, Copy, Default)]
struct Part {
    masks: [u64; ARGUMENTS],
    values: [u64; ARGUMENTS],
}

/// Finds the parts of allowed classes.
struct Search<'a> {
    allowed: &'a BTreeSet<&'static str>,
    found: Vec<Part>,
}

/// Returns the lists of comparisons for the rules of a call. `None` if there are too many, or if every call is allowed.
/// Filters of 32-bit ABIs ignore upper halves, so `None` as well if one of them has to have a bit.
pub(super) fn of_rules(rules: &[Rule], allowed: &BTreeSet<&'static str>) -> Option<Vec<Vec<Condition>>> {
    let mut search = Search { allowed, found: Vec::new() };
    search.search(rules, Part::default(), false);
    let lists: Vec<Vec<Condition>> = search.found.iter().map(Part::conditions).collect();
    let is_wide = |condition: &Condition| condition.value > u64::from(u32::MAX);
    let is_exact = !lists.iter().any(|list| list.is_empty() || list.iter().any(is_wide));
    (lists.len() <= MAX_LISTS && is_exact).then_some(lists)
}

impl Search<'_> {
    /// Adds what is allowed of a part. `has_class` tells whether a rule before these matched it.
    fn search(&mut self, rules: &[Rule], part: Part, has_class: bool) {
        if self.found.len() > MAX_LISTS {
            return;
        }
        let Some((rule, later)) = rules.split_first() else { return self.found.push(part) };
        if !has_class && !rules.iter().any(|rule| self.allows(rule)) {
            return;
        }
        if rule.is_rest && has_class {
            return self.found.push(part);
        }
        let Some(matching) = part.matching(rule) else { return self.search(later, part, has_class) };
        let is_refused_later = |rule: &Rule| !self.allows(rule) && matching.matching(rule).is_some();
        let decides = !rule.continues && later.iter().any(is_refused_later);
        if self.allows(rule) && !decides && (has_class || self.allowed.contains(OTHER)) {
            // The whole part has the same fate, whether the rule matches or not.
            return self.search(later, part, has_class);
        }
        if self.allows(rule) {
            if rule.continues { self.search(later, matching, true) } else { self.found.push(matching) }
        }
        for part in part.without(rule) {
            self.search(later, part, has_class);
        }
    }

    fn allows(&self, rule: &Rule) -> bool {
        self.allowed.contains(rule.class)
    }
}

impl Part {
    /// Returns the part that a rule matches.
    fn matching(self, rule: &Rule) -> Option<Self> {
        let compared = |part: Self, condition: &Condition| {
            let (mut part, index) = (part, usize::from(condition.argument));
            if (part.values[index] ^ condition.value) & part.masks[index] & condition.mask != 0 {
                return None;
            }
            part.masks[index] |= condition.mask;
            part.values[index] |= condition.value;
            Some(part)
        };
        [rule.first, rule.second].iter().filter(|_| !rule.is_unreadable).try_fold(self, compared)
    }

    /// Returns the parts that a rule does not match, if it matches any: each has one bit with another value.
    fn without(self, rule: &Rule) -> Vec<Self> {
        let (mut equal, mut parts) = (self, Vec::new());
        for condition in [rule.first, rule.second] {
            let index = usize::from(condition.argument);
            for bit in (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|bit| condition.mask & bit != 0) {
                if equal.masks[index] & bit != 0 {
                    continue;
                }
                equal.masks[index] |= bit;
                let mut other = equal;
                equal.values[index] |= condition.value & bit;
                other.values[index] |= !condition.value & bit;
                parts.push(other);
            }
        }
        parts
    }

    fn conditions(&self) -> Vec<Condition> {
        let all = (0..).zip(self.masks.into_iter().zip(self.values));
        let conditions = all.map(|(argument, (mask, value))| Condition { argument, mask, value });
        conditions.filter(|condition| condition.mask != 0).collect()
    }
}
