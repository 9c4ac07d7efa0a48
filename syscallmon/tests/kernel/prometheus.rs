//! A real Prometheus scrapes the daemon and answers `PromQL`.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number, wait_for};

struct Prometheus {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the target every second.
    fn start(target: &str) -> Self {
        Self::start_program("prometheus", &[], (target, "1s"))
    }

    /// Starts a program with these flags that scrapes the target at this interval.
    fn start_program(program: &str, flags: &[&str], (target, interval): (&str, &str)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let yaml = format!(
            "global: {{scrape_interval: {interval}}}\nscrape_configs:\n- job_name: syscallmon\n  \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, yaml).unwrap();
        let address = free_address();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup --for test`"));
        Self { child, address, _directory: directory }
    }

    /// Returns the values of an instant query.
    fn query(&self, promql: &str) -> Vec<String> {
        self.query_with(&[("query", promql)])
    }

    /// Returns the values of an instant query at the time of the newest sample of a series.
    fn query_at_last_sample(&self, series: &str, promql: &str) -> Vec<String> {
        let moment = self.query(&format!("timestamp({series})")).pop().expect("the series has a sample");
        self.query_with(&[("query", promql), ("time", &moment)])
    }

    fn query_with(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let request =
            ureq::get(format!("http://{}/api/v1/query", self.address)).query_pairs(parameters.iter().copied());
        let Ok(mut response) = request.call() else { return Vec::new() };
        let body = response.body_mut().read_to_string().unwrap();
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        series.iter().filter_map(|series| Some(series["value"][1].as_str()?.to_owned())).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_hostile_cgroup_name_reaches_promql_unharmed() {
    let (daemon, base) = (Daemon::start(&[]), TestCgroup::new("promql"));
    assert_eq!(
        fs::create_dir(base.path().join("a\nb")).unwrap_err().raw_os_error(),
        Some(libc::EINVAL),
        "the kernel refuses line breaks in cgroup names; a rendering of one is a unit test"
    );
    let cgroup = base.child("a\"b\\ \\n");
    KnownCalls::run(&[&"calls", &cgroup, &number(libc::SYS_getppid), &"12345"]);

    let prometheus = Prometheus::start(daemon.address());
    wait_for("a scrape", Duration::from_secs(30), || (prometheus.query("up") == ["1"]).then_some(()));
    let label = base.label_of(&cgroup).replace('\\', "\\\\").replace('"', "\\\"");
    let promql = format!(r#"syscallmon_syscalls_total{{cgroup="{label}", syscall="getppid"}}"#);
    let values = wait_for("the counter", Duration::from_secs(10), || {
        let values = prometheus.query(&promql);
        (!values.is_empty()).then_some(values)
    });
    assert_eq!(values, ["12345"]);
    assert_eq!(prometheus.query("syscallmon_probe_up"), ["1"; 6]);
}

/// A cgroup lives for two seconds, between two scrapes, so that every sample of its series has the same value.
///
/// `increase()` is the last sample less the first, extrapolated to both ends of the range. It does not extrapolate a
/// series before a sample of 0, nor after one at the end of the range. So the query at the time of the last sample is
/// exact.
#[test]
fn prometheus_sees_what_a_cgroup_called_that_lived_between_two_scrapes() {
    const CALLS: &str = "1234";
    // Includes room for the cgroups of other tests.
    let flags = ["--metrics.created-timestamps=true", "--capacity.cgroups=8192", "--capacity.series=262144"];
    let (daemon, base) = (Daemon::start(&flags), TestCgroup::new("two-seconds"));
    let start = |flags: &[&str]| Prometheus::start_program("prometheus-3", flags, (daemon.address(), "5s"));
    let (ingesting, other) = (start(&["--enable-feature=created-timestamp-zero-ingestion"]), start(&[]));
    let last_scrape = || ingesting.query("timestamp(up)").pop();
    let first = wait_for("a scrape", Duration::from_secs(30), last_scrape);
    wait_for("the next", Duration::from_secs(30), || last_scrape().filter(|scrape| *scrape != first));

    let cgroup = base.child("job");
    KnownCalls::run(&[&"calls", &cgroup, &number(libc::SYS_getppid), &CALLS]);
    KnownCalls::run(&[&"sleeps", &cgroup, &"1", &"2000000000"]);
    wait_for("the cgroup to be empty", Duration::from_secs(10), || fs::remove_dir(&cgroup).ok());

    let series = format!(r#"syscallmon_syscalls_total{{cgroup="{}", syscall="getppid"}}"#, base.label_of(&cgroup));
    let [samples, least, increase] =
        ["count_over_time", "min_over_time", "increase"].map(|function| format!("{function}({series}[5m])"));
    let number_of_samples = |prometheus: &Prometheus| prometheus.query(&samples).pop()?.parse::<u32>().ok();
    for (prometheus, expected, begins_with, samples) in [(&ingesting, CALLS, "0", 3), (&other, "0", CALLS, 2)] {
        let have_come = || number_of_samples(prometheus).filter(|&number| number >= samples);
        wait_for("two scrapes of the series", Duration::from_secs(30), have_come);
        assert_eq!(prometheus.query(&least), [begins_with]);
        assert_eq!(prometheus.query_at_last_sample(&series, &increase), [expected]);
    }
    let created = r#"count({__name__=~"syscallmon_.+_created"}) > 100"#;
    assert_eq!((ingesting.query(created).len(), other.query(created).len()), (0, 1), "each is a series elsewhere");
}
