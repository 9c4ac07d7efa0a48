//! Real Alertmanagers get incidents: once, grown, resolved, and also when they were away.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use syscallmon::{
    alert::{AlertConfig, Alertmanagers, Alerts, HttpClientConfig, LastingDelivery, LogTarget, RateLimit},
    detect::{IncidentTimes, Incidents, Reason, Severity, Violation},
    process::{Process, ProcessKey, ProcessTree},
    syscalls::Call,
    workload::{Label, Labels, Workload},
};
use syscallmon_testkit::{Alertmanager, HttpReceiver, Network, Site, free_address};
use tokio::{runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// After which quiet time alerts are resolved here.
const QUIET: Duration = Duration::from_secs(3);

/// Starts an Alertmanager that hands on to a webhook at once.
fn start(address: &str, directory: &Path, receiver: &HttpReceiver) -> Alertmanager {
    let yaml = format!(
        "route: {{receiver: hook, group_by: ['...'], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}}\n\
         receivers:\n- name: hook\n  webhook_configs: [{{url: '{}/', send_resolved: true}}]\n",
        receiver.url()
    );
    fs::write(directory.join("alertmanager.yml"), yaml).unwrap();
    let site = Site { network: Network::Host, address, directory, logs: directory };
    let alertmanager = Alertmanager::start(Command::new("unshare"), &site);
    alertmanager.expect("an Alertmanager: run `cargo xtask setup --for test`")
}

/// Returns what an Alertmanager notified of, by the first call: `firing critical mount`, `resolved critical mount`.
fn notified(receiver: &HttpReceiver) -> Vec<String> {
    let of = |alert: &Value| {
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        let calls = summary.split_once("unexpected call").unwrap().1.split_once(": ").unwrap().1;
        let first = calls.split([',', ' ']).next().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        format!("{} {severity} {first}", alert["status"].as_str().unwrap())
    };
    let bodies = receiver.bodies();
    bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap()).map(of).collect()
}

fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    syscallmon_testkit::wait_for(what, Duration::from_mins(1), look)
}

/// What delivers, in a runtime of its own.
struct Delivery {
    alerts: Alerts,
    incidents: Mutex<Incidents>,
    /// The time for incidents.
    now: Mutex<Instant>,
    _runtime: Runtime,
}

impl Delivery {
    fn start(urls: &[&str]) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = AlertConfig {
            command_line: syscallmon::process::CommandLines::Redacted,
            log: LogTarget::Off,
            repeat_interval: Duration::from_hours(1),
            incidents: IncidentTimes::default(),
            rate_limit: RateLimit::default(),
            alertmanager: Alertmanagers {
                urls: urls.iter().map(|address| format!("http://{address}").parse().unwrap()).collect(),
                client_config: HttpClientConfig::default(),
                labels: vec!["cluster=test".parse().unwrap()],
                resolve_after: QUIET,
            },
            webhook: None,
            kubernetes_events: false,
            kubeconfig: None,
        };
        let alerts = runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let alerts =
                Alerts::start(&config, "node-1", LastingDelivery::default(), &CancellationToken::new(), &mut tasks);
            tasks.detach_all();
            alerts
        });
        Self { alerts, incidents: Mutex::default(), now: Mutex::new(Instant::now()), _runtime: runtime }
    }

    /// A process of a workload, of its own process tree, makes a critical call for the `count`th time.
    fn notify(&self, syscall: &'static str, count: u64) {
        let pid = syscall.bytes().map(u32::from).sum();
        self.notify_of(syscall, count, Severity::Critical, pid);
    }

    /// A process in the process tree with this root makes a call for the `count`th time.
    fn notify_of(&self, syscall: &'static str, count: u64, severity: Severity, root: u32) {
        let labels = [(Label::Namespace, "shop"), (Label::Pod, "web-1"), (Label::Container, "web \"1\" \u{e9}")];
        let labels = Labels::new(labels.map(|(label, value)| (label, value.into())));
        let tree = ProcessTree {
            started: Some(1),
            ancestors: vec![ProcessKey { pid: root, started: Some(1) }],
            knows_parent: true,
            root: None,
        };
        let (comm, parents) = ("sh".to_owned(), Vec::new());
        let process = Process { pid: root + 1, tid: 1, uid: 0, comm, exe: None, command_line: None, parents, tree };
        let violation = Violation {
            time: SystemTime::now(),
            last_seen: SystemTime::now(),
            count,
            workload: Workload::Resolved(labels.clone()),
            metadata: labels,
            call: Call { abi: "x86_64", syscall },
            number: None,
            denied: false,
            process: Some(process),
            policy: "runtime-default".into(),
            severity,
            reason: Reason::NotAllowed,
            runtime_default_allows: false,
        };
        let (mut incidents, mut now) = (self.incidents.lock().unwrap(), self.now.lock().unwrap());
        incidents.join(violation, count == 1, *now);
        // Without waiting for more calls.
        *now += Duration::from_secs(1);
        for notice in incidents.take_notices(*now) {
            self.alerts.notify(notice);
        }
    }
}

#[test]
fn two_alertmanagers_get_each_alert_once_and_its_end() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let receivers = [(); 2].map(|()| HttpReceiver::start());
    let addresses = [(); 2].map(|()| free_address());
    let alertmanagers = [0, 1].map(|index| start(&addresses[index], directories[index].path(), &receivers[index]));
    let delivery = Delivery::start(&addresses.each_ref().map(String::as_str));
    let begin = Instant::now();
    delivery.notify("mount", 1);
    for (alertmanager, receiver) in alertmanagers.iter().zip(&receivers) {
        let firing = wait_for("an alert", || {
            delivery.notify("mount", 2);
            alertmanager.alerts().ok().filter(|alerts| !alerts.is_empty())
        });
        assert_eq!(firing.len(), 1);
        let (labels, annotations) = (&firing[0].labels, &firing[0].annotations);
        assert_eq!(labels["container"], "web \"1\" \u{e9}");
        assert_eq!((labels["node"].as_str(), labels["cluster"].as_str()), ("node-1", "test"));
        assert!(annotations["summary"].contains(": sh made an unexpected call: mount (critical)"), "{annotations:?}");
        wait_for("a notification", || {
            delivery.notify("mount", 2);
            (notified(receiver) == ["firing critical mount"]).then_some(())
        });
    }
    // Repeats keep it, and are no new alerts.
    for count in 3..=20 {
        thread::sleep(QUIET / 10);
        delivery.notify("mount", count);
    }
    let quiet = Instant::now();
    for receiver in &receivers {
        assert_eq!(notified(receiver), ["firing critical mount"], "after {:?}", begin.elapsed());
    }
    for receiver in &receivers {
        let both = ["firing critical mount", "resolved critical mount"];
        wait_for("the end", || (notified(receiver) == both).then_some(()));
        assert!(quiet.elapsed() + Duration::from_millis(500) >= QUIET, "{:?}", quiet.elapsed());
    }
    assert!(alertmanagers.iter().all(|alertmanager| alertmanager.alerts().unwrap().is_empty()));
    let sent: Vec<u64> = delivery.alerts.status().sinks.iter().map(|sink| sink.sent).collect();
    assert_eq!(sent, [2, 2], "a beginning and an end each");
}

#[test]
fn an_alertmanager_that_was_away_gets_each_alert_once_when_it_is_back() {
    let (directory, receiver, address) = (tempfile::tempdir().unwrap(), HttpReceiver::start(), free_address());
    let delivery = Delivery::start(&[&address]);
    delivery.notify("mount", 1);
    delivery.notify("bpf", 1);
    let status = || delivery.alerts.status().sinks.remove(0);
    wait_for("a failure", || (status().failed >= 2).then_some(()));
    for count in 2..=1000 {
        delivery.notify("mount", count);
    }
    // By then both alerts have ended, and none was sent.
    thread::sleep(QUIET + Duration::from_secs(1));
    assert_eq!((status().sent, status().queued), (0, 2));
    let alertmanager = start(&address, directory.path(), &receiver);
    wait_for("both", || (notified(&receiver).len() >= 2).then_some(()));
    wait_for("their ends", || (notified(&receiver).len() >= 4).then_some(()));
    thread::sleep(Duration::from_secs(1));
    let mut all = notified(&receiver);
    all.sort();
    let expected = ["firing critical bpf", "firing critical mount", "resolved critical bpf", "resolved critical mount"];
    assert_eq!(all, expected);
    assert!(alertmanager.alerts().unwrap().is_empty());
    assert_eq!((status().sent, status().queued), (4, 0));
}

#[test]
fn an_incident_that_grows_is_one_alert_and_a_higher_severity_takes_the_place_of_the_lower_one() {
    let (directory, receiver, address) = (tempfile::tempdir().unwrap(), HttpReceiver::start(), free_address());
    let alertmanager = start(&address, directory.path(), &receiver);
    let delivery = Delivery::start(&[&address]);
    let active = |severity: &str, calls: usize| {
        let alerts = alertmanager.alerts().ok()?;
        let [alert] = &alerts[..] else { return None };
        let described = alert.annotations["description"].matches(&format!(", {severity}")).count();
        (alert.labels["severity"] == severity && described == calls).then(|| alert.clone())
    };
    for (number, syscall) in ["chmod", "fchmod", "chown"].into_iter().enumerate() {
        delivery.notify_of(syscall, 1, Severity::Warning, 40);
        wait_for("the grown alert", || active("warning", number + 1));
    }
    wait_for("a notification", || (notified(&receiver) == ["firing warning chmod"]).then_some(()));
    for (number, syscall) in ["mount", "unshare", "ptrace"].into_iter().enumerate() {
        delivery.notify_of(syscall, 1, Severity::Critical, 40);
        let alert = wait_for("one critical alert", || active("critical", number + 1));
        assert!(alert.annotations["description"].contains("chmod, warning"), "{alert:?}");
        assert!(alert.annotations["runbook_url"].ends_with("docs/alerts.md#unexpectedsyscall"), "{alert:?}");
    }
    let story = ["firing critical mount", "firing warning chmod", "resolved warning chmod"];
    let all = wait_for("all notifications", || {
        let mut all = notified(&receiver);
        all.sort();
        all.dedup();
        (all.len() >= story.len()).then_some(all)
    });
    assert_eq!(all, story);
}
