//! A real Prometheus scrapes the daemon and answers `PromQL`.

use std::{fs, path::Path, process::Command, time::Duration};

use syscallmon_testkit::{Network, Prometheus, Site, free_address};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number, wait_for};

/// Starts a program with these flags, with its files in this directory, that scrapes the target at this interval.
fn start(directory: &Path, program: &str, flags: &[&str], target: (&str, &str)) -> Prometheus {
    start_at(&free_address(), directory, program, flags, target)
}

/// Does the same at an address of this host.
pub(crate) fn start_at(
    address: &str,
    directory: &Path,
    program: &str,
    flags: &[&str],
    (target, interval): (&str, &str),
) -> Prometheus {
    let yaml = format!(
        "global: {{scrape_interval: {interval}}}\nscrape_configs:\n- job_name: syscallmon\n  \
         static_configs: [{{targets: ['{target}']}}]\n"
    );
    fs::write(directory.join("prometheus.yml"), yaml).unwrap();
    let mut command = Command::new(program);
    command.args(flags);
    let site = Site { network: Network::Host, address, directory, logs: directory };
    Prometheus::start(command, &site).expect("a Prometheus: run `cargo xtask setup --for test`")
}

/// Returns the values of an instant query.
pub(crate) fn query(prometheus: &Prometheus, promql: &str) -> Vec<String> {
    let samples = prometheus.query(promql).expect("an answer");
    samples.iter().map(|sample| sample.value.to_string()).collect()
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

    let directory = tempfile::tempdir().unwrap();
    let prometheus = start(directory.path(), "prometheus", &[], (daemon.address(), "1s"));
    wait_for("a scrape", Duration::from_secs(30), || (query(&prometheus, "up") == ["1"]).then_some(()));
    let label = base.label_of(&cgroup).replace('\\', "\\\\").replace('"', "\\\"");
    let promql = format!(r#"syscallmon_syscalls_total{{cgroup="{label}", syscall="getppid"}}"#);
    let calls = wait_for("the counter", Duration::from_secs(10), || query(&prometheus, &promql).pop());
    assert_eq!(calls, "12345");
    assert_eq!(query(&prometheus, "syscallmon_probe_up"), ["1"; 6]);
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
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = |index: usize, flags: &[&str]| {
        start(directories[index].path(), "prometheus-3", flags, (daemon.address(), "5s"))
    };
    let (ingesting, other) = (start(0, &["--enable-feature=created-timestamp-zero-ingestion"]), start(1, &[]));
    let last_scrape = || query(&ingesting, "timestamp(up)").pop();
    let first = wait_for("a scrape", Duration::from_secs(30), last_scrape);
    wait_for("the next", Duration::from_secs(30), || last_scrape().filter(|scrape| *scrape != first));

    let cgroup = base.child("job");
    KnownCalls::run(&[&"calls", &cgroup, &number(libc::SYS_getppid), &CALLS]);
    KnownCalls::run(&[&"sleeps", &cgroup, &"1", &"2000000000"]);
    wait_for("the cgroup to be empty", Duration::from_secs(10), || fs::remove_dir(&cgroup).ok());

    let series = format!(r#"syscallmon_syscalls_total{{cgroup="{}", syscall="getppid"}}"#, base.label_of(&cgroup));
    let [samples, least] = ["count_over_time", "min_over_time"].map(|function| format!("{function}({series}[5m])"));
    let number_of_samples = |prometheus: &Prometheus| query(prometheus, &samples).pop()?.parse::<u32>().ok();
    for (prometheus, expected, begins_with, samples) in [(&ingesting, CALLS, "0", 3), (&other, "0", CALLS, 2)] {
        let have_come = || number_of_samples(prometheus).filter(|&number| number >= samples);
        wait_for("two scrapes of the series", Duration::from_secs(30), have_come);
        assert_eq!(query(prometheus, &least), [begins_with]);
        let time = query(prometheus, &format!("timestamp({series})")).pop().expect("the series has a sample");
        assert_eq!(query(prometheus, &format!("increase({series}[5m] @ {time})")), [expected]);
    }
    let created = r#"count({__name__=~"syscallmon_.+_created"}) > 100"#;
    assert_eq!(
        [&ingesting, &other].map(|prometheus| query(prometheus, created).len()),
        [0, 1],
        "each is a series elsewhere"
    );
}
