//! Several daemons with one directory.

use std::fs;

use super::{Pins, Started, TIMEOUT, counted, counts, wait_for_totals};
use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, is_long, is_short, number, syscallmon, wait_for},
    policies::Guard,
};

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("second"));
    let guard = Guard::start("  []", &pins.flags());
    let second = syscallmon()
        .args(["run", "--web.listen-address=127.0.0.1:0", "--state.directory=/nonexistent/syscallmon"])
        .arg(&pins.flag)
        .output()
        .expect("run syscallmon");
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && message.contains("another syscallmon uses"), "{message}");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
}

#[test]
fn of_two_daemons_that_start_at_once_one_counts_and_the_other_says_why_it_ends() {
    let (pins, parent, state) = (Pins::new(), TestCgroup::new("at-once"), tempfile::tempdir().unwrap());
    let flags = pins.flags();
    let rounds = if is_long() {
        50
    } else if is_short() {
        4
    } else {
        12
    };
    for round in 0..rounds {
        if round > 0 {
            KnownCalls::run(&[
                &"short-lived",
                &parent.path(),
                &format!("r{round}-"),
                &"5",
                &number(libc::SYS_geteuid),
                &"7",
            ]);
        }
        let logs = [0, 1].map(|number| state.path().join(format!("log-{round}-{number}")));
        let said = |number: usize, text: &str| fs::read_to_string(&logs[number]).unwrap_or_default().contains(text);
        let mut both = [0, 1].map(|number| Started::new(state.path(), &logs[number], &flags));
        let loser = wait_for("the end of one", TIMEOUT, || (0..2).find(|&number| !both[number].is_running()));
        assert!(said(loser, "another syscallmon uses"), "{}", fs::read_to_string(&logs[loser]).unwrap());
        wait_for("the start of the other", TIMEOUT, || {
            said(1 - loser, "took the counts of pinned programs over").then_some(())
        });
        assert!(!said(1 - loser, "cannot use"), "{}", fs::read_to_string(&logs[1 - loser]).unwrap());
        if round % 4 == 3 {
            // After too many daemons that did not save totals, one begins anew.
            wait_for_totals(&state.path().join("state"));
        }
        let [first, second] = both;
        assert_eq!([first.kill(), second.kill()], [loser == 1, loser == 0]);
    }
    let directory = format!("--state.directory={}", state.path().join("state").display());
    let daemon = Daemon::start(&[&flags[..], &[&directory]].concat());
    assert_eq!(counts(&daemon, &parent.label(), ["geteuid"]), [(rounds - 1) * 5 * 7]);
}
