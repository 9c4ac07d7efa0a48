//! The kernel tests that run in a VM.

/// The tests that run by default: requirements for every kernel, with few starts of the daemon. Emulated machines are
/// slow.
const ESSENTIAL: [&str; 3] = ["kernels::", "hierarchy::on_hybrid_", "privileges::root_"];

/// With `--suite`, all tests run except those with these prefixes (module and name). Each has the missing requirement.
const IMPOSSIBLE: &[(&str, &str)] = &[
    ("command_recording::caller::a_signal_of_the_terminal_", "script"),
    ("container::", "Docker"),
    ("export::promtool_", "promtool"),
    ("prometheus::", "Prometheus"),
    ("failure::no_privileges_", "setpriv"),
    ("privileges::an_ordinary_user_", "setpriv"),
];

/// The extent of the tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    /// The essential tests.
    #[default]
    Essential,
    /// All tests that can run.
    Suite,
}

impl Extent {
    /// Returns arguments for libtest, one per line.
    pub(super) fn arguments(self) -> String {
        let words: Vec<&str> = match self {
            Self::Essential => ESSENTIAL.to_vec(),
            Self::Suite => IMPOSSIBLE.iter().flat_map(|(prefix, _)| ["--skip", prefix]).collect(),
        };
        words.iter().flat_map(|word| [word, "\n"]).collect()
    }

    /// Whether a test runs.
    pub(super) fn has(self, test: &str) -> bool {
        match self {
            Self::Essential => ESSENTIAL.iter().any(|prefix| test.starts_with(prefix)),
            Self::Suite => !IMPOSSIBLE.iter().any(|(prefix, _)| test.starts_with(prefix)),
        }
    }
}

/// Returns prefixes that match none of these tests, because a test was renamed.
pub(super) fn stale(tests: &[String]) -> impl Iterator<Item = &'static str> + use<'_> {
    let is_there = |prefix: &str| tests.iter().any(|test| test.starts_with(prefix));
    ESSENTIAL.into_iter().chain(IMPOSSIBLE.iter().map(|&(prefix, _)| prefix)).filter(move |prefix| !is_there(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_has_what_is_not_impossible() {
        assert!(!Extent::Suite.has("prometheus::a_hostile_cgroup_name_reaches_promql_unharmed"));
        assert!(Extent::Suite.has("exact::two_threads_with_a_million_calls_each_are_counted_exactly"));
        assert!(!Extent::Essential.has("exact::two_threads_with_a_million_calls_each_are_counted_exactly"));
        assert!(Extent::Essential.has("kernels::by_default_everything_counts_exactly"));
        assert!(Extent::Suite.arguments().contains("--skip\ncontainer::\n"));
    }

    #[test]
    fn line_without_a_test_is_stale() {
        let tests: Vec<String> = ["kernels::x", "hierarchy::on_hybrid_x", "privileges::root_x", "prometheus::x"]
            .into_iter()
            .chain(["command_recording::caller::a_signal_of_the_terminal_x", "container::x"])
            .chain(["export::promtool_x", "privileges::an_ordinary_user_x"])
            .map(str::to_owned)
            .collect();
        assert_eq!(stale(&tests).collect::<Vec<_>>(), ["failure::no_privileges_"]);
    }
}
