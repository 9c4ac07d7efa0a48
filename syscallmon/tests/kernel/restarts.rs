//! Alerts over restarts of the daemon: none is sent twice, none is lost, and their ends follow.

use std::{fs, time::Duration};

use serde_json::Value;
use syscallmon_testkit::{Alert, HttpReceiver, free_address};

use crate::{
    harness::{KnownCalls, TestCgroup, number, wait_for},
    incidents::{CALLS, alertmanager, posts},
    policies::{Guard, container, text},
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Returns the parts of delivery that the daemon has saved about workloads with this text in their labels.
fn saved(guard: &Guard, part: &str) -> Vec<Value> {
    let file = guard.directory.path().join("state/alerts/state.jsonl");
    let lines = fs::read_to_string(file).unwrap_or_default();
    let of_test = lines.lines().filter(|line| line.contains(part));
    let lines = of_test.map(|line| serde_json::from_str(line).expect("JSON"));
    lines.filter_map(|line: Value| line.get("delivery").cloned()).collect()
}

fn number_of(parts: &[Value], part: &str) -> usize {
    parts.iter().filter(|saved| text(saved, "part") == part).count()
}

#[test]
fn each_call_is_reported_once_whatever_ends_the_daemon() {
    let (parent, webhook) = (TestCgroup::new("restarts"), HttpReceiver::start());
    let path = container(&parent);
    let flag = format!("--alert.webhook.url={}", webhook.url());
    let mut guard = Guard::start("  []", &[&flag]);
    let label = parent.label();
    let reported = |call: &str| {
        let has_it = |post: &&Value| post["calls"].as_array().unwrap().iter().any(|of| text(of, "syscall") == call);
        posts(&webhook, &label).iter().filter(has_it).map(|post| text(post, "state").to_owned()).collect::<Vec<_>>()
    };
    for round in 0..CALLS.len() {
        // The earlier calls again, and a new one.
        for (_, nr) in &CALLS[..=round] {
            KnownCalls::run(&[&"calls", &path, &number(*nr), &"1"]);
        }
        wait_for("the post", TIMEOUT, || (!reported(CALLS[round].0).is_empty()).then_some(()));
        wait_for("the state", TIMEOUT, || {
            let saved = saved(&guard, &label);
            (number_of(&saved, "sent") == round + 1 && number_of(&saved, "waiting") == 0).then_some(())
        });
        guard.restart([libc::SIGTERM, libc::SIGKILL][round % 2], &[&flag]);
        guard.daemon.wait_for_log("took over violations, incidents and alerts");
    }
    for (_, nr) in &CALLS {
        KnownCalls::run(&[&"calls", &path, &number(*nr), &"1"]);
    }
    guard.wait_until_judged();
    for (call, _) in &CALLS {
        assert_eq!(reported(call), ["new"], "{call}");
    }
    assert_eq!(guard.counted(&label).len(), CALLS.len(), "each was judged again");
}

#[test]
fn an_alert_that_waits_for_an_alertmanager_outlasts_the_daemon_and_so_does_its_end() {
    let (parent, directory, address) = (TestCgroup::new("outage"), tempfile::tempdir().unwrap(), free_address());
    let path = container(&parent);
    let flags = [&format!("--alert.alertmanager.url=http://{address}"), "--alert.resolve-after=20s"];
    let mut guard = Guard::start("  []", &flags);
    KnownCalls::run(&[&"calls", &path, &number(CALLS[0].1), &"1"]);
    wait_for("the state", TIMEOUT, || (number_of(&saved(&guard, &parent.label()), "active") == 1).then_some(()));
    guard.restart(libc::SIGKILL, &flags);

    let alertmanager = alertmanager(&address, directory.path());
    let alerts = || -> Vec<Alert> {
        let alerts = alertmanager.alerts().expect("an answer");
        let is_of_test = |alert: &Alert| alert.labels.get("cgroup").is_some_and(|of| of.starts_with(&parent.label()));
        alerts.into_iter().filter(is_of_test).collect()
    };
    wait_for("the alert", TIMEOUT, || (alerts().len() == 1).then_some(()));
    wait_for("its delivery in the state", TIMEOUT, || {
        saved(&guard, &parent.label()).iter().any(|saved| text(saved, "state") == "delivered").then_some(())
    });
    guard.restart(libc::SIGTERM, &flags);
    assert_eq!(alerts().len(), 1, "the same");
    // Alertmanager itself would keep it for 5 minutes.
    wait_for("its end", TIMEOUT, || alerts().is_empty().then_some(()));
}

#[test]
fn a_state_that_cannot_be_used_is_said_and_everything_is_reported_anew() {
    let parent = TestCgroup::new("bad-state");
    let path = container(&parent);
    let mut guard = Guard::start("  []", &[]);
    let mount = CALLS[0];
    KnownCalls::run(&[&"calls", &path, &number(mount.1), &"1"]);
    guard.wait_for_lines(&parent.label(), 1);
    let file = guard.directory.path().join("state/alerts/state.jsonl");
    for (text, message) in [("no JSON\n", "it does not begin with a header"), ("", "it is incomplete")] {
        wait_for("the state", TIMEOUT, || (number_of(&saved(&guard, &parent.label()), "sent") == 1).then_some(()));
        guard.daemon.signal(libc::SIGKILL);
        guard.daemon.wait();
        fs::write(&file, text).unwrap();
        let before = guard.incident_lines(&parent.label()).len();
        guard.start_again(&[]);
        let line = guard.daemon.wait_for_log("cannot use this file: earlier violations and alerts are forgotten");
        assert!(line.contains(message), "{line}");
        KnownCalls::run(&[&"calls", &path, &number(mount.1), &"1"]);
        wait_for("another alert", TIMEOUT, || (guard.incident_lines(&parent.label()).len() > before).then_some(()));
    }
}

#[test]
fn what_a_new_policy_allows_ends_after_a_restart() {
    let parent = TestCgroup::new("allowed");
    let path = container(&parent);
    let mut guard = Guard::start("  []", &[]);
    let [allowed, other] = [CALLS[0], CALLS[1]];
    let args = [number(allowed.1), "1".into(), number(other.1), "1".into()];
    KnownCalls::run(&[&"calls", &path, &args[0], &args[1], &args[2], &args[3]]);
    guard.wait_for_lines(&parent.label(), 2);
    let policy = format!(
        "policies:\n- {{name: runtime-default, match: ['cgroup=~\"{}.*\"'], allow: ['*:*'], deny: [{}]}}\n",
        parent.label(),
        other.0
    );
    guard.daemon.signal(libc::SIGTERM);
    guard.daemon.wait();
    fs::write(guard.directory.path().join("policies/test.yaml"), policy).unwrap();
    guard.start_again(&[]);
    KnownCalls::run(&[&"calls", &path, &args[0], &args[1], &args[2], &args[3]]);
    let violations = || {
        let (status, body) = guard.daemon.get("/api/v1/violations?limit=1000");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let all = answer["data"]["violations"].as_array().unwrap().clone().into_iter();
        let of_test = all.filter(|violation| violation["workload"].to_string().contains(&parent.label()));
        of_test.map(|violation| text(&violation, "syscall").to_owned()).collect::<Vec<_>>()
    };
    wait_for("the end of what is allowed", TIMEOUT, || (violations() == [other.0]).then_some(()));
    guard.wait_until_judged();
    assert_eq!(guard.lines(&parent.label()).len(), 2, "nothing is reported again");
}
