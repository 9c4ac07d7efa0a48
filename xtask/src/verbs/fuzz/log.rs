//! libFuzzer's output: <https://llvm.org/docs/LibFuzzer.html#output>.

/// The summary of a target's run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Edges of the program that seeds and corpus reach.
    first_cov: Option<u64>,
    /// Edges that all inputs reach at the end.
    last_cov: Option<u64>,
    runs: Option<u64>,
    runs_per_second: Option<u64>,
    peak_rss_mb: Option<u64>,
    slowest_seconds: Option<u64>,
}

impl Summary {
    /// The heading of the [`Summary::row`]s.
    pub(super) const HEAD: &str =
        "target           runs        runs/s  coverage at start, at end   peak MiB  slowest s";

    /// Reads a line, if it has a figure of the summary.
    pub(super) fn read(&mut self, line: &str) {
        if let Some((name, value)) = line.strip_prefix("stat::").and_then(|line| line.split_once(':')) {
            let value = value.trim().parse().ok();
            match name {
                "number_of_executed_units" => self.runs = value,
                "average_exec_per_sec" => self.runs_per_second = value,
                "peak_rss_mb" => self.peak_rss_mb = value,
                "slowest_unit_time_sec" => self.slowest_seconds = value,
                _ => {}
            }
            return;
        }
        let is_status = line.starts_with('#');
        let cov = line.split_once(" cov: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        if let (true, Some(cov)) = (is_status, cov) {
            self.last_cov = Some(cov);
            if line.contains("INITED") {
                self.first_cov = Some(cov);
            }
        }
    }

    /// Returns one line of a table.
    pub(super) fn row(&self, target: &str) -> String {
        let text = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
        let Self { first_cov, last_cov, runs, runs_per_second, peak_rss_mb, slowest_seconds } = self;
        format!(
            "{target:<16} {:<11} {:<7} {:<18} {:<8} {:<9} {}",
            text(*runs),
            text(*runs_per_second),
            text(*first_cov),
            text(*last_cov),
            text(*peak_rss_mb),
            text(*slowest_seconds)
        )
    }
}

/// Returns the duration of a single input's run.
pub(super) fn milliseconds(printed: &str) -> Option<u64> {
    let line = printed.lines().find(|line| line.starts_with("Executed "))?;
    line.strip_suffix(" ms")?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of a libFuzzer run in LLVM 21.
    const LOG: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
INFO: Loaded 1 modules   (290215 inline 8-bit counters): 290215 [0x1, 0x2),
#10\tINITED cov: 1503 ft: 1882 corp: 9/1.1Kb exec/s: 0 rss: 60Mb
#11\tNEW    cov: 1510 ft: 1893 corp: 10/1.3Kb lim: 4096 exec/s: 0 rss: 60Mb L: 105/339 MS: 1 CopyPart-
#5021\tDONE   cov: 1511 ft: 2893 corp: 30/3Kb lim: 4096 exec/s: 1004 rss: 61Mb
Done 5021 runs in 6 second(s)
stat::number_of_executed_units: 5021
stat::average_exec_per_sec:     836
stat::new_units_added:          21
stat::slowest_unit_time_sec:    0
stat::peak_rss_mb:              62";

    #[test]
    fn the_time_of_one_input_is_read() {
        assert_eq!(milliseconds("Running: a\nExecuted a in 12 ms\n***\n"), Some(12));
        assert_eq!(milliseconds("Running: a\n"), None, "it failed");
    }

    #[test]
    fn a_run_is_summed_up() {
        let mut summary = Summary::default();
        LOG.lines().for_each(|line| summary.read(line));
        let expected = Summary {
            first_cov: Some(1503),
            last_cov: Some(1511),
            runs: Some(5021),
            runs_per_second: Some(836),
            peak_rss_mb: Some(62),
            slowest_seconds: Some(0),
        };
        assert_eq!(summary, expected);
        assert!(Summary::default().row("names").starts_with("names "), "a run that ended early has no statistics");
    }
}
