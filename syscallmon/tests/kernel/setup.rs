//! What somebody else's process calls after it was put into a cgroup and before it becomes the cgroup's program.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Daemon, KnownCalls, TestCgroup};

/// First calls of a cgroup: each with the names of its call, thread and executable.
fn first_calls(daemon: &Daemon, cgroup: &TestCgroup) -> Vec<(String, String, String)> {
    daemon.settled_scrape();
    let (_, body) = daemon.get("/api/v1/workloads?limit=0");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let of_cgroup = answer["data"]["first_calls"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_cgroup
        .filter(|call| call["workload"]["cgroup"] == cgroup.label())
        .map(|call| (text(&call["syscall"]), text(&call["comm"]), text(&call["exe"])))
        .collect()
}

/// A shell that does what it is told on its standard input.
fn shell() -> Child {
    Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell")
}

fn tell(shell: &mut Child, line: &str) {
    writeln!(shell.stdin.as_mut().unwrap(), "{line}").unwrap();
}

fn put(shell: &Child, cgroup: &TestCgroup) {
    fs::write(cgroup.path().join("cgroup.procs"), shell.id().to_string()).unwrap();
}

#[test]
fn what_is_called_before_the_program_begins_is_counted_and_not_the_program_s() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("setup"));
    let mut shell = shell();
    put(&shell, &cgroup);
    // By the shell itself, by a child of it, which opens a file, and by the shell again after it has run itself from a descriptor, as runc does.
    tell(&mut shell, "umask 077; (umask 022; : </dev/null); exec 5<$(command -v bash); exec /proc/self/fd/5");
    tell(&mut shell, "umask 077");
    let program = KnownCalls::binary();
    tell(&mut shell, &format!("exec {} calls - {} 7", program.display(), libc::SYS_getpriority));
    assert!(shell.wait().unwrap().success());

    let first = first_calls(&daemon, &cgroup);
    assert!(first.iter().all(|(_, comm, _)| comm == "known_calls"), "{first:?}");
    let own = first.iter().find(|(call, ..)| call == "getpriority").expect("the program's own");
    assert_eq!(own.1, "known_calls");
    assert!(own.2.ends_with("/known_calls"), "{own:?}");
    assert!(first.iter().any(|(call, ..)| call == "openat"), "a call of both is the program's first, too: {first:?}");
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&cgroup.label(), "umask"), 3, "counted all the same");
    assert_eq!(scrape.calls(&cgroup.label(), "getpriority"), 7);
}

#[test]
fn who_is_in_a_cgroup_cannot_hide_below_it() {
    // A shell in the cgroup puts a child of its own into a cgroup below, and the child execs nothing.
    is_seen("echo 0 >$1/cgroup.procs", "bash");
}

#[test]
fn who_is_in_a_container_cannot_hide_beside_itself() {
    // The same from a cgroup beside that one, in a pid namespace, which containers have.
    is_seen("mkdir $1/beside; echo 0 >$1/beside/cgroup.procs", "unshare --pid --fork bash");
}

/// Moves a child from a cgroup into another; what the child calls must be seen as its own.
fn is_seen(enter: &str, shell: &str) {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("hides"));
    cgroup.child("inner");
    let child = "(read _; umask 077) < <(sleep 1; echo) & echo $! >$1/inner/cgroup.procs; wait";
    let script = format!("{enter}; exec {shell} -c '{child}' bash $1");
    let done = Command::new("bash").args(["-c", &script, "bash"]).arg(cgroup.path()).status().unwrap();
    assert!(done.success());
    daemon.settled_scrape();
    let (_, body) = daemon.get("/api/v1/workloads?limit=0");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let label = format!("{}/inner", cgroup.label());
    let calls = answer["data"]["first_calls"].as_array().unwrap();
    let umask = calls.iter().find(|call| call["workload"]["cgroup"] == label && call["syscall"] == "umask");
    assert_eq!(umask.expect("seen")["comm"], "bash");
}
