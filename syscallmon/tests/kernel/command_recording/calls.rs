//! Every call of a command and of its processes is recorded, and nothing else.

use std::{fs, os::unix::fs::PermissionsExt};

use syscallmon::profile::CommandEnd;

use super::{GETPPID, KCMP, MBIND, Recordings, cgroups_of_recorders};
use crate::harness::{Daemon, KnownCalls, cgroup2, number};

#[test]
fn a_thousand_processes_of_a_millisecond_are_recorded_exactly() {
    let Some(recordings) = Recordings::new() else { return };
    let known = KnownCalls::binary();
    let done = recordings.run(&[], &[&known, &"forks", &"-", &"1000", &number(GETPPID), &"7", &number(KCMP), &"1"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!((done.serving("getppid"), done.serving("kcmp")), (7000, 1000));
    // Each process ends by one exit_group, and was started by one clone.
    assert_eq!((done.serving("exit_group"), done.serving("execve")), (1001, 1));
    assert_eq!(done.serving("wait4"), 1000);
    assert_eq!(done.call("kcmp").errors.values().sum::<u64>(), 1000);
    // The recorder's own calls are not there.
    assert_eq!(done.serving("tee"), 0);
}

#[test]
fn every_call_of_a_small_program_is_there_and_the_first_is_execve() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"calls", &"-", &number(GETPPID), &"3"]);
    let recording = done.recording();
    let first = |name: &String| recording.calls[name].first_seconds.expect("each first call is reported");
    let names: Vec<&String> = recording.calls.keys().collect();
    assert!(names.iter().all(|name| first(name) <= recording.seconds), "{recording:?}");
    let earliest = names.iter().min_by(|a, b| first(a).total_cmp(&first(b))).unwrap();
    assert!(earliest.ends_with("/execve"), "{earliest}");
    assert_eq!(done.call("getppid").thread.as_deref(), Some("known_calls"));
    assert_eq!((recording.end, recording.windows, recording.startup_seconds), (CommandEnd::Status(0), 1, None));
    assert!(recording.calls.values().all(|call| call.windows == 1 && call.startup == 0), "{recording:?}");
    assert_eq!(recording.command[1..], ["calls", "-", &number(GETPPID), "3"]);
    let calls = names.iter().filter(|name| !name.contains('(')).count();
    let line = format!("recorded {calls} system calls of known_calls in ");
    assert!(done.stderr.contains(&line) && done.stderr.lines().count() == 1, "{}", done.stderr);
    assert_eq!((done.stdout.as_str(), recordings.names().len()), ("", 1));
    assert_eq!(fs::metadata(recordings.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_daemon_is_recorded_after_the_command_has_ended() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"daemonize", &"-", &number(KCMP), &"4321"]);
    assert_eq!((done.code, done.serving("kcmp")), (Some(0), 4321), "{}", done.stderr);
}

#[test]
fn calls_in_nested_cgroups_of_the_command_are_its_own() {
    let Some(recordings) = Recordings::new() else { return };
    let script = format!(
        r#"mkdir -p $cgroup/a/b && echo $$ > $cgroup/a/b/cgroup.procs && "$0" calls - {MBIND} 1234 || exit 9
        for each in 1 2 3 4 5 6 7 8 9; do mkdir $cgroup/n$each; done
        for each in 1 2 3 4 5 6 7 8 9; do "$0" calls $cgroup/n$each {KCMP} 11 || exit 9; rmdir $cgroup/n$each; done"#
    );
    let done = recordings.run_script(&[], &script);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!((done.serving("mbind"), done.serving("kcmp")), (1234, 99));
}

#[test]
fn a_command_that_leaves_its_cgroup_is_reported_and_its_recording_is_not_complete() {
    let Some(recordings) = Recordings::new() else { return };
    let known = KnownCalls::binary();
    let done = recordings.run(&[], &[&known, &"calls", &cgroup2(), &number(KCMP), &"5"]);
    assert_eq!((done.code, done.recording().lost), (Some(0), 1), "{}", done.stderr);
    assert!(done.stderr.contains("1 processes left the cgroup of the command (known_calls)"), "{}", done.stderr);
    assert_eq!(done.call("kcmp").serving, 0);
}

#[test]
fn a_command_that_is_killed_leaves_its_recording_and_the_status_of_a_shell() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run_script(&[], &format!(r#""$0" calls - {KCMP} 77; kill -KILL $$"#));
    assert_eq!((done.code, done.serving("kcmp")), (Some(137), 77), "{}", done.stderr);
    assert_eq!(done.recording().end, CommandEnd::Signal(9));
}

#[test]
fn denied_calls_and_errors_are_recorded_by_call() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"refused", &"-", &"errno", &"37"]);
    let call = done.call("mkdirat");
    assert_eq!((call.denied, call.serving, call.startup), (37, 0, 0), "{}", done.stderr);
    assert!(call.first_seconds.is_some());
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"failing", &"-", &"3", &"4", &"5"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let errors: u64 = done.recording().calls.values().flat_map(|call| call.errors.values()).sum();
    assert!(errors >= 12, "{:?}", done.recording());
}

#[test]
fn beside_a_daemon_both_count_the_same() {
    let daemon = Daemon::start(&[]);
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"forks", &"-", &"50", &number(KCMP), &"100"]);
    assert_eq!((done.code, done.serving("kcmp")), (Some(0), 5000), "{}", done.stderr);
    assert!(daemon.settled_scrape().sum_below("/syscallmon-record-", "kcmp") >= 5000);
}

#[test]
fn full_tables_are_an_error_or_a_loss_and_never_silent() {
    let Some(recordings) = Recordings::new() else { return };
    let flags = ["--capacity.series=40"];
    let done = recordings.run(&flags, &[&KnownCalls::binary(), &"calls", &"-", &number(KCMP), &"9"]);
    match &done.recording {
        Some(recording) => assert!(recording.lost > 0 && done.code == Some(0), "{}", done.stderr),
        None => assert!(done.code == Some(1) && done.stderr.contains("--capacity.series"), "{}", done.stderr),
    }
    assert!(cgroups_of_recorders(recordings.directory.path()).is_empty());
}
