//! Questions to the daemon's metrics.

/// An exposition in the text format.
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    pub(super) fn new(text: String) -> Self {
        Self { text }
    }

    /// As it came.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its size, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The value of one series, written exactly as exposed.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
    }

    /// How many series of calls the cgroup and all below it have.
    pub(super) fn series_below(&self, cgroup: &str) -> usize {
        self.calls_below(cgroup).count()
    }

    /// How often the cgroup and all below it made a call.
    pub(super) fn calls(&self, cgroup: &str, syscall: &str) -> u64 {
        let label = format!(r#"syscall="{syscall}""#);
        self.calls_below(cgroup)
            .filter(|line| line.contains(&label))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    fn calls_below(&self, cgroup: &str) -> impl Iterator<Item = &str> {
        let start = format!(r#"syscallmon_syscalls_total{{cgroup="{cgroup}"#);
        self.text.lines().filter(move |line| {
            line.strip_prefix(&start).is_some_and(|rest| rest.starts_with('"') || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE syscallmon_snapshots_total counter
syscallmon_snapshots_total 12
syscallmon_syscalls_total{cgroup="/a",syscall="read",abi="x86_64"} 5
syscallmon_syscalls_total{cgroup="/a/b",syscall="read",abi="x86_64"} 6
syscallmon_syscalls_total{cgroup="/a/b",syscall="readv",abi="x86_64"} 7
syscallmon_syscalls_total{cgroup="/ab",syscall="read",abi="x86_64"} 8
"#;

    #[test]
    fn calls_are_summed_over_a_cgroup_and_all_below_it() {
        let exposition = Exposition::new(TEXT.to_owned());
        assert_eq!(exposition.calls("/a", "read"), 11);
        assert_eq!(exposition.calls("/c", "read"), 0);
        assert_eq!(exposition.series_below("/a"), 3);
    }

    #[test]
    fn value_is_that_of_exactly_this_series() {
        let exposition = Exposition::new(TEXT.to_owned());
        assert_eq!(exposition.value("syscallmon_snapshots_total"), Some(12.0));
        assert_eq!(exposition.value("syscallmon_snapshots"), None);
    }
}
