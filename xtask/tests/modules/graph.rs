//! Cycles among modules.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write,
};

use super::source::Use;

/// Places of one step of a cycle that are reported.
const MAX_PLACES: usize = 5;

/// The shortest cycle, if there is one: each step with the places that make it.
pub(crate) fn cycle(uses: &[Use]) -> Option<String> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Use { from, to, .. } in uses {
        edges.entry(from).or_default().insert(to);
    }
    let cycles = edges.keys().filter_map(|module| way_back(&edges, module));
    let modules = cycles.min_by_key(Vec::len)?;
    let mut report = String::new();
    for (from, to) in modules.iter().zip(modules.iter().cycle().skip(1)) {
        let places = uses.iter().filter(|step| step.from == **from && step.to == **to).map(|step| step.place.as_str());
        let places: Vec<&str> = places.take(MAX_PLACES).collect();
        writeln!(report, "  {from} uses {to}: {}", places.join(", ")).expect("writing to a string");
    }
    Some(report)
}

/// The shortest way from a module to itself: the modules on it, this one first.
fn way_back<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for &next in edges.get(module).into_iter().flatten() {
            if next == start {
                let mut way = vec![module];
                while let Some(&before) = way.last().and_then(|module| came_from.get(module)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, module);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(pairs: &[(&str, &str)]) -> Vec<Use> {
        let named = pairs.iter().enumerate();
        named
            .map(|(line, &(from, to))| Use { from: from.into(), to: to.into(), place: format!("{from}.rs:{line}") })
            .collect()
    }

    #[test]
    fn modules_that_use_each_other_one_way_are_no_cycle() {
        assert_eq!(cycle(&uses(&[("a", "b"), ("b", "c"), ("a", "c"), ("d", "a")])), None);
    }

    #[test]
    fn the_shortest_cycle_is_reported_with_its_places() {
        let all = uses(&[("d", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "e"), ("e", "c"), ("e", "c")]);
        assert_eq!(cycle(&all).as_deref(), Some("  c uses e: c.rs:4\n  e uses c: e.rs:5, e.rs:6\n"));
        let ring = uses(&[("a", "b"), ("b", "c"), ("c", "a")]);
        assert_eq!(cycle(&ring).as_deref(), Some("  a uses b: a.rs:0\n  b uses c: b.rs:1\n  c uses a: c.rs:2\n"));
    }
}
