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
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let yaml = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: syscallmon\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, yaml).unwrap();
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus: run `cargo xtask setup --for test`");
        Self { child, address, _directory: directory }
    }

    /// The values of an instant query.
    fn query(&self, promql: &str) -> Vec<String> {
        let request = ureq::get(format!("http://{}/api/v1/query", self.address)).query("query", promql);
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
