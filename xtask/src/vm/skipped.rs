//! Tests that cannot run in a VM. Whatever is not here runs there, new tests too.

/// Tests whose names begin with this (module and name), and what they need that is not there.
const SKIPPED: &[(&str, &str)] = &[
    ("export::promtool_", "promtool"),
    ("prometheus::", "Prometheus"),
    ("failure::no_privileges_", "setpriv"),
    ("privileges::an_ordinary_user_", "setpriv"),
];

/// One a line, for the script that starts the tests.
pub(super) fn list() -> String {
    SKIPPED.iter().flat_map(|(prefix, _)| [prefix, "\n"]).collect()
}

/// Whether a test is one of them.
pub(super) fn is_skipped(test: &str) -> bool {
    SKIPPED.iter().any(|(prefix, _)| test.starts_with(prefix))
}

/// Lines that fit none of these tests: somebody renamed one, and it would be missed without a word.
pub(super) fn stale(tests: &[String]) -> impl Iterator<Item = &'static str> + use<'_> {
    let is_there = |prefix: &str| tests.iter().any(|test| test.starts_with(prefix));
    SKIPPED.iter().map(|&(prefix, _)| prefix).filter(move |prefix| !is_there(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_runs() {
        assert!(is_skipped("prometheus::a_hostile_cgroup_name_reaches_promql_unharmed"));
        assert!(!is_skipped("exact::two_threads_with_a_million_calls_each_are_counted_exactly"));
    }

    #[test]
    fn line_without_a_test_is_stale() {
        let tests = ["export::promtool_x", "prometheus::x", "privileges::an_ordinary_user_x"].map(str::to_owned);
        assert_eq!(stale(&tests).collect::<Vec<_>>(), ["failure::no_privileges_"]);
    }
}
