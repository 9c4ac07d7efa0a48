//! An intrusion is one alert, with all calls: in a real Alertmanager, for a webhook, in the log and in the API.

use std::{env::consts::ARCH, fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use syscallmon_testkit::{Alert, Alertmanager, HttpReceiver, Network, Site, free_address};

use crate::{
    harness::{Docker, KnownCalls, TestCgroup, number, wait_for},
    policies::{Guard, container, text},
    policy_command::{allow, wait_for_reloads},
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Calls that the default profile of container runtimes does not allow, and that have no effect without arguments.
pub(crate) const CALLS: [(&str, i64); 8] = [
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("bpf", libc::SYS_bpf),
    ("keyctl", libc::SYS_keyctl),
    ("swapon", libc::SYS_swapon),
    ("init_module", libc::SYS_init_module),
];

/// Returns the posts about workloads with this text in their labels.
pub(crate) fn posts(webhook: &HttpReceiver, part: &str) -> Vec<Value> {
    webhook.bodies().into_iter().filter(|post| post["workload"].to_string().contains(part)).collect()
}

pub(crate) fn alertmanager(address: &str, directory: &Path) -> Alertmanager {
    fs::write(directory.join("alertmanager.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let site = Site { network: Network::Host, address, directory, logs: directory };
    Alertmanager::start(Command::new("unshare"), &site).expect("an Alertmanager: run `cargo xtask setup --for test`")
}

fn incidents(guard: &Guard, part: &str) -> Vec<Value> {
    let (status, body) = guard.daemon.get("/api/v1/incidents?limit=1000");
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let of_it = answer["data"]["incidents"].as_array().unwrap().iter();
    of_it.filter(|incident| incident["workload"].to_string().contains(part)).cloned().collect()
}

fn names(incident: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = incident["calls"].as_array().unwrap().iter().map(|call| text(call, "syscall")).collect();
    names.sort_unstable();
    names
}

/// A script that makes each of these calls by a program of its own.
fn script(program: &str, cgroup: &str, calls: &[(&str, i64)]) -> String {
    let line = |(_, nr): &(&str, i64)| format!("{program} calls {cgroup} {} 1;", number(*nr));
    // The shell lives on for a moment, so that it is found. It does not replace itself by the last program.
    format!("{} {program} sleeps {cgroup} 60 50000000; :", calls.iter().map(line).collect::<String>())
}

#[test]
fn an_intrusion_by_a_shell_in_a_container_is_one_critical_alert_with_all_calls() {
    let docker = Docker::start();
    let (directory, address, webhook) = (tempfile::tempdir().unwrap(), free_address(), HttpReceiver::start());
    let alertmanager = alertmanager(&address, directory.path());
    let flags =
        [format!("--alert.alertmanager.url=http://{address}"), format!("--alert.webhook.url={}", webhook.url())];
    let guard = Guard::beside(&docker, &flags.each_ref().map(String::as_str));
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let shell = format!("--mount=type=bind,source={},target=/sh,readonly", shell.display());
    let id = docker.start_container(
        &["--name=shop", "--security-opt=seccomp=unconfined", &shell],
        &["sleeps", "-", "6000", "50000000"].map(str::to_owned),
    );
    let name = r#""shop""#;
    let alerts = || -> Vec<Alert> {
        let alerts = alertmanager.alerts().expect("an answer");
        alerts.into_iter().filter(|alert| alert.labels.get("container").is_some_and(|of| of == "shop")).collect()
    };
    docker.exec(&id, &["/sh", "-c", &script("/known_calls", "-", &CALLS)]);

    let mut expected: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    let found = wait_for("the incident", TIMEOUT, || {
        incidents(&guard, name).into_iter().next().filter(|incident| names(incident) == expected)
    });
    assert_eq!((text(&found, "severity"), text(&found["process"], "comm")), ("critical", "sh"), "{found:#}");
    let message = text(&found, "message");
    assert!(message.starts_with("shop: known_calls (started by sh) made 8 unexpected calls: "), "{message}");
    assert_eq!(incidents(&guard, name).len(), 1);

    let alert = wait_for("the alert", TIMEOUT, || {
        let alerts = alerts();
        let has_all = |alert: &Alert| expected.iter().all(|call| alert.annotations["description"].contains(call));
        (alerts.len() == 1 && has_all(&alerts[0])).then(|| alerts[0].clone())
    });
    let labels = ["alertname", "severity", "incident"].map(|label| alert.labels[label].as_str());
    assert_eq!(labels, ["UnexpectedSyscall", "critical", text(&found, "id")]);
    assert_eq!(alert.annotations["summary"], message);

    let posts = wait_for("the posts", TIMEOUT, || {
        let posts = posts(&webhook, name);
        posts.last().is_some_and(|last| names(last) == expected).then_some(posts)
    });
    assert!(posts.len() < CALLS.len() / 2, "{} posts for one burst: {posts:#?}", posts.len());
    assert!(posts.iter().all(|post| post["id"] == found["id"] && post["kind"] == "incident"), "{posts:#?}");
    let states: Vec<&str> = posts.iter().map(|post| text(post, "state")).collect();
    assert!(states[0] == "new" && states[1..].iter().all(|state| *state == "grown"), "{states:?}");
    assert_eq!(guard.incident_lines(name).len(), posts.len(), "a line each");

    // Another shell is another incident. The calls that are known are repeats.
    docker.exec(&id, &["/sh", "-c", &script("/known_calls", "-", &[CALLS[0], ("swapoff", libc::SYS_swapoff)])]);
    wait_for("another alert", TIMEOUT, || (alerts().len() == 2).then_some(()));
    let all = incidents(&guard, name);
    let mut calls: Vec<Vec<&str>> = all.iter().map(names).collect();
    calls.sort();
    assert_eq!(calls, [expected, vec!["swapoff"]], "{all:#?}");
    one_snippet_allows(&guard, &docker, &id, &found);
}

/// Allows what the first shell did by one snippet. Everything else still alarms.
fn one_snippet_allows(guard: &Guard, docker: &Docker, id: &str, found: &Value) {
    let name = r#""shop""#;
    let ids: Vec<String> =
        found["calls"].as_array().unwrap().iter().map(|call| text(call, "violation").to_owned()).collect();
    fs::write(guard.directory.path().join("policies/allow.yaml"), allow(guard, &ids)).unwrap();
    wait_for_reloads(guard, 1);
    let before = guard.counted(name);
    let more = [&CALLS[..], &[("swapoff", libc::SYS_swapoff), ("pivot_root", libc::SYS_pivot_root)]].concat();
    docker.exec(id, &["/sh", "-c", &script("/known_calls", "-", &more)]);
    guard.wait_until_judged();
    let [swapoff, pivot_root] = ["swapoff", "pivot_root"].map(|call| format!("{ARCH}:{call}"));
    let after = guard.counted(name);
    assert!(after.contains_key(&pivot_root), "{after:?}");
    for (call, count) in after {
        let expected = before.get(&call).copied().unwrap_or(0) + u64::from(call == swapoff || call == pivot_root);
        assert_eq!(count, expected, "{call}");
    }
}

#[test]
fn what_a_server_s_child_starts_is_one_incident_and_another_child_s_is_another() {
    let parent = TestCgroup::new("incidents");
    let path = container(&parent);
    let guard = Guard::start("  []", &[]);
    let program = KnownCalls::binary();
    // Two children of this test in the cgroup. Their programs have ended when the next one calls.
    for calls in [&CALLS[..4], &CALLS[4..]] {
        let inside = format!("echo 0 > {}/cgroup.procs; ", path.display());
        KnownCalls::run_through(&(inside + &script(&program.display().to_string(), "-", calls)), &[]);
    }
    let found = wait_for("two incidents", TIMEOUT, || {
        let found = incidents(&guard, &parent.label());
        (found.len() == 2 && found.iter().all(|incident| names(incident).len() == 4)).then_some(found)
    });
    for incident in &found {
        assert_eq!(text(&incident["process"], "comm"), "sh", "{incident:#}");
        let parents = incident["process"]["parents"].as_array().unwrap();
        assert_eq!(parents[0]["pid"], std::process::id(), "the root's parent is outside");
    }
}
