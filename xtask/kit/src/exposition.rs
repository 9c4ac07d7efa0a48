//! Queries of a daemon's metrics.

/// An exposition in the text format: the body of a scrape.
pub struct Exposition {
    /// The text as received.
    pub text: String,
}

impl Exposition {
    /// Wraps this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// Returns the value of one series, written exactly as exposed.
    ///
    /// # Panics
    ///
    /// If the value is not a whole number.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<u64> {
        let value = self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().unwrap_or_else(|_| panic!("{series} is {value}, not a whole number")))
    }

    /// Returns how often a cgroup made a call of the native ABI, or 0 without a series.
    #[must_use]
    pub fn calls(&self, cgroup: &str, syscall: &str) -> u64 {
        self.calls_of(cgroup, syscall, std::env::consts::ARCH)
    }

    /// Returns the same for any ABI.
    #[must_use]
    pub fn calls_of(&self, cgroup: &str, syscall: &str, abi: &str) -> u64 {
        let series = format!(r#"syscallmon_syscalls_total{{cgroup="{cgroup}",syscall="{syscall}",abi="{abi}"}}"#);
        self.value(&series).unwrap_or(0)
    }

    /// Returns the series of `syscallmon_syscalls_total` with a cgroup that begins with this: (cgroup, syscall, abi,
    /// value).
    #[must_use]
    pub fn below(&self, prefix: &str) -> Vec<(&str, &str, &str, u64)> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(r#"syscallmon_syscalls_total{cgroup=""#));
        let series = lines.filter_map(|line| {
            let (cgroup, rest) = line.split_once(r#"",syscall=""#)?;
            let (syscall, rest) = rest.split_once(r#"",abi=""#)?;
            let (abi, value) = rest.split_once(r#""} "#)?;
            Some((cgroup, syscall, abi, value.parse().ok()?))
        });
        series.filter(|(cgroup, ..)| cgroup.starts_with(prefix)).collect()
    }

    /// Returns the sum of one call over all cgroups that begin with this.
    #[must_use]
    pub fn sum_below(&self, prefix: &str, syscall: &str) -> u64 {
        self.below(prefix).iter().filter(|series| series.1 == syscall).map(|series| series.3).sum()
    }

    /// Returns the value of a series, which may be fractional.
    #[must_use]
    pub fn float(&self, series: &str) -> Option<f64> {
        let line =
            self.text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Returns a cgroup's errors, in any order: (syscall, errno, count), over all ABIs.
    #[must_use]
    pub fn errors(&self, cgroup: &str) -> Vec<(String, String, u64)> {
        let start = format!(r#"syscallmon_syscall_errors_total{{cgroup="{cgroup}",syscall=""#);
        let series = self.text.lines().filter_map(|line| {
            let (syscall, rest) = line.strip_prefix(&start)?.split_once('"')?;
            let (errno, value) = rest.split_once(r#"errno=""#)?.1.split_once(r#""} "#)?;
            Some((syscall.to_owned(), errno.to_owned(), value.parse().ok()?))
        });
        series.collect()
    }

    /// Returns a cgroup's denied calls: (syscall, count), over all ABIs.
    #[must_use]
    pub fn denied(&self, cgroup: &str) -> Vec<(String, u64)> {
        let start = format!(r#"syscallmon_syscalls_denied_total{{cgroup="{cgroup}",syscall=""#);
        let series = self.text.lines().filter_map(|line| {
            let (syscall, rest) = line.strip_prefix(&start)?.split_once('"')?;
            Some((syscall.to_owned(), rest.rsplit_once(' ')?.1.parse().ok()?))
        });
        series.collect()
    }

    /// Returns how often a cgroup made calls with each class of arguments, sorted: (`abi/call(argument)`, count).
    #[must_use]
    pub fn arguments(&self, cgroup: &str) -> Vec<(String, u64)> {
        self.arguments_in("syscallmon_syscall_arguments_total", cgroup)
    }

    /// Returns the same for denied calls.
    #[must_use]
    pub fn arguments_denied(&self, cgroup: &str) -> Vec<(String, u64)> {
        self.arguments_in("syscallmon_syscall_arguments_denied_total", cgroup)
    }

    fn arguments_in(&self, family: &str, cgroup: &str) -> Vec<(String, u64)> {
        let start = format!(r#"{family}{{cgroup="{cgroup}",syscall=""#);
        let series = self.text.lines().filter_map(|line| {
            let (syscall, rest) = line.strip_prefix(&start)?.split_once(r#"",abi=""#)?;
            let (abi, rest) = rest.split_once(r#"",argument=""#)?;
            let (argument, value) = rest.split_once(r#""} "#)?;
            Some((format!("{abi}/{syscall}({argument})"), value.parse().ok()?))
        });
        let mut series: Vec<(String, u64)> = series.collect();
        series.sort();
        series
    }

    /// Returns how often a call was denied in cgroups with this in their label.
    #[must_use]
    pub fn denied_in(&self, part: &str, syscall: &str) -> u64 {
        self.sum_in("syscallmon_syscalls_denied_total", part, syscall)
    }

    /// Returns how often cgroups with this in their label made a call.
    #[must_use]
    pub fn calls_in(&self, part: &str, syscall: &str) -> u64 {
        self.sum_in("syscallmon_syscalls_total", part, syscall)
    }

    fn sum_in(&self, family: &str, part: &str, syscall: &str) -> u64 {
        let name = format!(r#"",syscall="{syscall}","#);
        let series = self.text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix(r#"{cgroup=""#));
        let ours = series.filter_map(|rest| rest.split_once(&name)).filter(|(cgroup, _)| cgroup.contains(part));
        ours.filter_map(|(_, rest)| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// Returns how often an operation was submitted to io_uring, or 0 without a series.
    #[must_use]
    pub fn requests(&self, cgroup: &str, op: &str) -> u64 {
        let series = format!(r#"syscallmon_io_uring_requests_total{{cgroup="{cgroup}",op="{op}"}}"#);
        self.value(&series).unwrap_or(0)
    }

    /// Returns the calls for which the kernel skipped the program, or 0 if it does not report them (before Linux 5.12).
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.value(r#"syscallmon_lost_total{reason="recursion"}"#).unwrap_or(0)
    }

    /// Returns the running implementation of a probe.
    #[must_use]
    pub fn implementation(&self, probe: &str) -> Option<String> {
        let start = format!(r#"syscallmon_probe_info{{probe="{probe}",implementation=""#);
        let rest = self.text.lines().find_map(|line| line.strip_prefix(&start))?;
        rest.split('"').next().map(str::to_owned)
    }

    /// Returns the number of losses for one reason.
    ///
    /// # Panics
    ///
    /// If the reason has no series.
    #[must_use]
    pub fn lost(&self, reason: &str) -> u64 {
        self.value(&format!(r#"syscallmon_lost_total{{reason="{reason}"}}"#)).expect("every reason has a series")
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
    fn calls_are_summed_over_cgroups_with_a_prefix() {
        let exposition = Exposition::new(TEXT.to_owned());
        assert_eq!(exposition.sum_below("/a", "read"), 19);
        assert_eq!(exposition.sum_below("/c", "read"), 0);
        assert_eq!(exposition.below("/a/").len(), 2);
    }

    #[test]
    fn value_is_that_of_exactly_this_series() {
        let exposition = Exposition::new(TEXT.to_owned());
        assert_eq!(exposition.float("syscallmon_snapshots_total"), Some(12.0));
        assert_eq!(exposition.float("syscallmon_snapshots"), None);
    }
}
