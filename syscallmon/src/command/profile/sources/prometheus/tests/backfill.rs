//! Writes samples as text and serves them by a real Prometheus. No test waits for a scrape.

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use syscallmon_testkit::{Network, Prometheus, Site, free_address};
use tempfile::TempDir;

/// The end of the range of all tests, in seconds since 1970.
pub(super) const END: u64 = 1_700_006_400;

/// The begin of a range of one day.
pub(super) const BEGIN: u64 = END - 86_400;

/// Seconds between samples.
pub(super) const INTERVAL: u64 = 120;

/// Samples by metric.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<String, Vec<(String, u64, f64)>>);

/// A Prometheus that serves samples, with its files.
pub(super) struct Served {
    pub(super) url: String,
    _prometheus: Prometheus,
    _directory: TempDir,
}

/// Labels of a container of the workload `owner`, as `honor_labels` leaves them.
pub(super) fn container(instance: &str, pod: &str, owner: &str) -> [String; 2] {
    let counts = format!("job=\"s\",instance=\"{instance}:1\",namespace=\"shop\",pod=\"{pod}\",container=\"httpd\"");
    let info = format!("{counts},image=\"{owner}:1\",node=\"{instance}\",owner=\"{owner}\",owner_kind=\"Deployment\"");
    [counts, info]
}

impl Samples {
    /// Adds a sample at each interval from `begin` to before `end`.
    pub(super) fn add(
        &mut self,
        metric: &str,
        labels: &str,
        (begin, end): (u64, u64),
        value: impl Fn(u64) -> f64,
    ) -> &mut Self {
        let series = self.0.entry(metric.to_owned()).or_default();
        let times = (begin..end).filter(|time| time % INTERVAL == 0);
        series.extend(times.map(|time| (labels.to_owned(), time, value(time))));
        self
    }

    /// Adds calls of a workload.
    pub(super) fn calls(
        &mut self,
        labels: &str,
        syscall: &str,
        times: (u64, u64),
        value: impl Fn(u64) -> f64,
    ) -> &mut Self {
        self.add("syscallmon_syscalls_total", &format!("{labels},abi=\"x86_64\",syscall=\"{syscall}\""), times, value)
    }

    /// Adds metadata of a workload, and `read` and `write` that grow by 2 a sample.
    pub(super) fn workload(&mut self, [counts, info]: &[String; 2], times: (u64, u64)) -> &mut Self {
        let value = move |time: u64| (2 + 2 * ((time - times.0) / INTERVAL)) as f64;
        self.add("syscallmon_workload_info", info, times, |_| 1.0);
        self.calls(counts, "read", times, value).calls(counts, "write", times, value)
    }

    /// Adds the metrics of a daemon that started at a time.
    pub(super) fn daemon(&mut self, instance: &str, times: (u64, u64), started: u64) -> &mut Self {
        let labels = format!("job=\"s\",instance=\"{instance}:1\"");
        self.add("up", &labels, times, |_| 1.0);
        self.add("process_start_time_seconds", &labels, times, |_| started as f64);
        self.add("syscallmon_lost_total", &format!("{labels},reason=\"series_full\""), times, |_| 0.0);
        self.add("syscallmon_probe_up", &format!("{labels},probe=\"sys_enter\""), times, |_| 1.0)
    }

    /// Returns the text of `OpenMetrics`.
    fn text(&self) -> String {
        let mut text = String::new();
        for (metric, samples) in &self.0 {
            let family = metric.strip_suffix("_total").unwrap_or(metric);
            let kind = if metric.ends_with("_total") { "counter" } else { "gauge" };
            writeln!(text, "# TYPE {family} {kind}").unwrap();
            for (labels, time, value) in samples {
                writeln!(text, "{metric}{{{labels}}} {value} {time}").unwrap();
            }
        }
        text + "# EOF\n"
    }

    /// Starts a Prometheus with these samples.
    pub(super) fn serve(&self, flags: &[&str]) -> Served {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("samples.txt"), self.text()).unwrap();
        fs::write(at("prometheus.yml"), "global: {}\n").unwrap();
        let (input, data) = (at("samples.txt"), at("data"));
        let mut promtool = Command::new("promtool");
        promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).args([input, data]);
        let output = promtool.output().expect("promtool: run `cargo xtask setup --for test`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut command = Command::new("prometheus");
        command.args(["--storage.tsdb.retention.time=100y"]).args(flags);
        let (network, address) = (Network::Host, free_address());
        let site = Site { network, address: &address, directory: directory.path(), logs: directory.path() };
        let prometheus = Prometheus::start(command, &site).expect("a Prometheus: run `cargo xtask setup --for test`");
        Served { url: format!("http://{address}"), _prometheus: prometheus, _directory: directory }
    }
}
