//! An exposition, and queries on it.

/// The response to a scrape.
pub(crate) struct Scrape {
    pub(crate) text: String,
}

impl Scrape {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// Returns the value of a series, written exactly as exposed.
    pub(crate) fn value(&self, series: &str) -> Option<u64> {
        let value = self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().unwrap_or_else(|_| panic!("{series} is {value}, not a whole number")))
    }

    /// Returns how often a cgroup made a call of the native ABI; 0 without a series.
    pub(crate) fn calls(&self, cgroup: &str, syscall: &str) -> u64 {
        self.calls_of(cgroup, syscall, std::env::consts::ARCH)
    }

    /// Does the same for any ABI.
    pub(crate) fn calls_of(&self, cgroup: &str, syscall: &str, abi: &str) -> u64 {
        let series = format!(r#"syscallmon_syscalls_total{{cgroup="{cgroup}",syscall="{syscall}",abi="{abi}"}}"#);
        self.value(&series).unwrap_or(0)
    }

    /// Returns the series of `syscallmon_syscalls_total` whose cgroup has this prefix: (cgroup, syscall, abi, value).
    pub(crate) fn below(&self, prefix: &str) -> Vec<(&str, &str, &str, u64)> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(r#"syscallmon_syscalls_total{cgroup=""#));
        let series = lines.filter_map(|line| {
            let (cgroup, rest) = line.split_once(r#"",syscall=""#)?;
            let (syscall, rest) = rest.split_once(r#"",abi=""#)?;
            let (abi, value) = rest.split_once(r#""} "#)?;
            Some((cgroup, syscall, abi, value.parse().ok()?))
        });
        series.filter(|(cgroup, ..)| cgroup.starts_with(prefix)).collect()
    }

    /// Returns the sum of a call over all cgroups with this prefix.
    pub(crate) fn sum_below(&self, prefix: &str, syscall: &str) -> u64 {
        self.below(prefix).iter().filter(|series| series.1 == syscall).map(|series| series.3).sum()
    }

    /// Returns the value of a series that need not be a whole number.
    pub(crate) fn float(&self, series: &str) -> Option<f64> {
        let line =
            self.text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Returns a cgroup's errors, in any order: (syscall, errno, count), over all ABIs.
    pub(crate) fn errors(&self, cgroup: &str) -> Vec<(String, String, u64)> {
        let start = format!(r#"syscallmon_syscall_errors_total{{cgroup="{cgroup}",syscall=""#);
        let series = self.text.lines().filter_map(|line| {
            let (syscall, rest) = line.strip_prefix(&start)?.split_once('"')?;
            let (errno, value) = rest.split_once(r#"errno=""#)?.1.split_once(r#""} "#)?;
            Some((syscall.to_owned(), errno.to_owned(), value.parse().ok()?))
        });
        series.collect()
    }

    /// Returns a cgroup's denied calls: (syscall, count), over all ABIs.
    pub(crate) fn denied(&self, cgroup: &str) -> Vec<(String, u64)> {
        let start = format!(r#"syscallmon_syscalls_denied_total{{cgroup="{cgroup}",syscall=""#);
        let series = self.text.lines().filter_map(|line| {
            let (syscall, rest) = line.strip_prefix(&start)?.split_once('"')?;
            Some((syscall.to_owned(), rest.rsplit_once(' ')?.1.parse().ok()?))
        });
        series.collect()
    }

    /// Returns how often a call was denied in cgroups with this text in their label.
    pub(crate) fn denied_in(&self, part: &str, syscall: &str) -> u64 {
        self.sum_in("syscallmon_syscalls_denied_total", part, syscall)
    }

    /// Returns how often cgroups with this text in their label made a call.
    pub(crate) fn calls_in(&self, part: &str, syscall: &str) -> u64 {
        self.sum_in("syscallmon_syscalls_total", part, syscall)
    }

    fn sum_in(&self, family: &str, part: &str, syscall: &str) -> u64 {
        let name = format!(r#"",syscall="{syscall}","#);
        let series = self.text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix(r#"{cgroup=""#));
        let ours = series.filter_map(|rest| rest.split_once(&name)).filter(|(cgroup, _)| cgroup.contains(part));
        ours.filter_map(|(_, rest)| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// Returns how often an io_uring operation was submitted; 0 without a series.
    pub(crate) fn requests(&self, cgroup: &str, op: &str) -> u64 {
        let series = format!(r#"syscallmon_io_uring_requests_total{{cgroup="{cgroup}",op="{op}"}}"#);
        self.value(&series).unwrap_or(0)
    }

    /// Returns the calls that the kernel skipped the program for; 0 before Linux 5.12, which does not report it.
    pub(crate) fn skipped(&self) -> u64 {
        self.value(r#"syscallmon_lost_total{reason="recursion"}"#).unwrap_or(0)
    }

    /// Returns the active implementation of a probe.
    pub(crate) fn implementation(&self, probe: &str) -> Option<String> {
        let start = format!(r#"syscallmon_probe_info{{probe="{probe}",implementation=""#);
        let rest = self.text.lines().find_map(|line| line.strip_prefix(&start))?;
        rest.split('"').next().map(str::to_owned)
    }

    /// Returns the losses for a reason.
    pub(crate) fn lost(&self, reason: &str) -> u64 {
        self.value(&format!(r#"syscallmon_lost_total{{reason="{reason}"}}"#)).expect("every reason has a series")
    }
}
