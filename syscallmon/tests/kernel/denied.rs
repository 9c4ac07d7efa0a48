//! Calls that seccomp denies are counted, for each way of denying. Other calls are not counted as denied.

use std::time::Duration;

use crate::harness::{Daemon, KnownCalls, ONLY_TESTS, Scrape, TestCgroup, is_short, mount_tracefs, wait_for};

/// The call that the program's filter denies.
const DENIED: &str = "mkdirat";

/// Runs the program with one way of denying. Asserts the number of denied calls, and that no call was counted.
pub(crate) fn assert_counted(daemon: &Daemon, action: &str, tries: u64, denied: u64) -> Scrape {
    let cgroup = TestCgroup::new(action);
    KnownCalls::run(&[&"refused", &cgroup.path(), &action, &tries.to_string()]);
    let scrape = daemon.settled_scrape();
    let expected = if denied == 0 { vec![] } else { vec![(DENIED.to_owned(), denied)] };
    assert_eq!(scrape.denied(&cgroup.label()), expected, "{action}");
    let ran = if action == "notify-continue" { tries } else { 0 };
    assert_eq!(scrape.calls(&cgroup.label(), DENIED), ran, "{action}: what is refused is no call");
    let of_refused = |(syscall, ..): &(String, String, u64)| syscall == DENIED;
    assert_eq!(scrape.errors(&cgroup.label()).iter().any(of_refused), ran > 0, "{action}: and no error");
    scrape
}

#[test]
fn refused_calls_are_counted_in_every_way_of_refusing() {
    let daemon = Daemon::start(&[]);
    for action in ["errno", "trap"] {
        assert_counted(&daemon, action, 777, 777);
    }
    for action in ["kill-process", "kill-inherited", "kill-thread"] {
        assert_counted(&daemon, action, 50, 50);
    }
}

#[test]
fn a_supervisor_s_answer_is_no_refusal_unless_it_is_an_error() {
    let daemon = Daemon::start(&[]);
    assert_counted(&daemon, "notify-refuse", 50, 50);
    assert_counted(&daemon, "notify-answer", 50, 0);
    assert_counted(&daemon, "notify-continue", 50, 0);
}

#[test]
fn every_implementation_counts_the_same_refusals() {
    mount_tracefs();
    for implementation in ["raw_tp", "tracepoint"] {
        let daemon = Daemon::start(&[&format!("--probe.sys-enter={implementation}")]);
        assert_counted(&daemon, "errno", 777, 777);
        assert_counted(&daemon, "kill-inherited", 20, 20);
        let scrape = assert_counted(&daemon, "kill-thread", 20, 20);
        assert_eq!(scrape.implementation("sys_exit").as_deref(), Some(implementation));
    }
}

#[test]
fn tasks_that_are_made_and_end_are_no_refusals() {
    assert_lives_are_none(&Daemon::start(&[]), if is_short() { 50 } else { 1000 });
}

/// Creates and ends tasks in all ways, and asserts that no call was counted as denied.
pub(crate) fn assert_lives_are_none(daemon: &Daemon, times: u64) {
    let cgroup = TestCgroup::new("lives");
    KnownCalls::run(&[&"lives", &cgroup.path(), &times.to_string()]);
    let (scrape, label) = (daemon.settled_scrape(), cgroup.label());
    assert!(scrape.calls(&label, "clone3") >= times && scrape.calls(&label, "execve") >= times, "they were made");
    assert_eq!(scrape.denied(&label), []);
}

#[test]
fn a_filter_that_comes_upon_calls_under_way_refused_none_of_them() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("tsync"));
    for _ in 0..10 {
        KnownCalls::run(&[&"synchronized", &cgroup.path(), &"16"]);
    }
    let scrape = daemon.settled_scrape();
    assert!(scrape.calls(&cgroup.label(), "seccomp") >= 10);
    assert_eq!(scrape.denied(&cgroup.label()), []);
}

#[test]
fn calls_under_way_when_the_probes_attach_were_not_refused() {
    let cgroup = TestCgroup::new("inflight");
    // The program's threads are in `read`, under a filter, before the daemon starts.
    let program = KnownCalls::start(&[&"filtered-wait", &cgroup.path(), &"16"]);
    wait_for("every thread to be in its read", Duration::from_secs(20), || (program.reading() == 16).then_some(()));
    let daemon = Daemon::start(&[]);
    program.finish();
    let scrape = daemon.settled_scrape();
    assert!(scrape.calls(&cgroup.label(), "exit_group") > 0, "it ended while it was watched");
    assert_eq!(scrape.denied(&cgroup.label()), []);
}

#[test]
fn threads_that_begin_while_the_probes_attach_were_not_refused() {
    let cgroup = TestCgroup::new("attaching");
    let program = KnownCalls::start(&[&"filtered-forks", &cgroup.path()]);
    for _ in 0..if is_short() { 1 } else { 5 } {
        let daemon = Daemon::start(&[]);
        let scrape = wait_for("threads enough to prove anything", Duration::from_mins(1), || {
            let scrape = daemon.settled_scrape();
            (scrape.calls(&cgroup.label(), "clock_nanosleep") > 100).then_some(scrape)
        });
        assert_eq!(scrape.denied(&cgroup.label()), []);
    }
    program.finish();
}

#[test]
fn the_first_refusal_of_a_call_is_an_event() {
    let (daemon, cgroup) = (Daemon::start(&[ONLY_TESTS]), TestCgroup::new("firstdenied"));
    KnownCalls::run(&[&"refused", &cgroup.path(), &"errno", &"3"]);
    daemon.settled_scrape();
    let answer: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/workloads").1).unwrap();
    let first: Vec<_> = answer["data"]["first_calls"].as_array().unwrap().iter().collect();
    let of_ours =
        |call: &&&serde_json::Value| call["workload"]["cgroup"] == cgroup.label() && call["syscall"] == DENIED;
    let ours: Vec<_> = first.iter().filter(of_ours).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert_eq!((&ours[0]["denied"], &ours[0]["comm"]), (&true.into(), &"known_calls".into()));
    let workloads = answer["data"]["workloads"].as_array().unwrap();
    let entry = workloads.iter().find(|entry| entry["workload"]["cgroup"] == cgroup.label()).unwrap();
    assert_eq!(entry["denied"][0]["denied"], 3, "{entry}");
}
