//! Creators of cgroups that may not administer the host: a user with a delegated unit, or root in a container. They
//! cannot take a container's name or the names of other tenants, nor much memory.

use std::{fs, path::Path, process, process::Command, time::Duration};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number, wait_for};

/// Without metadata providers, containers are named by their paths at once.
const NAMELESS: [&str; 2] = ["--names.docker=off", "--names.podman=off"];

/// A user without privileges, and root without the capabilities of container runtimes.
const USER: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const ROOT_IN_A_CONTAINER: [&str; 3] = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"];

/// The id of a container.
fn id(index: u32) -> String {
    format!("{:060x}{index:04x}", process::id())
}

/// Makes `$3` cgroups with names of containers in `$1`, numbered from `$2`, and calls `umask` in each.
const CALLS_IN_CONTAINERS: &str = r#"for index in $(seq "$2" $(($2 + $3 - 1))); do
    cgroup="$1/$(printf '%060x%04x' "$4" "$index")"
    mkdir "$cgroup" && (echo 0 >"$cgroup/cgroup.procs" && umask 077) || exit 1
    done"#;

/// Runs a script inside a cgroup as another user.
fn run_as(who: &[&str], cgroup: &Path, script: &str, args: &[&str]) {
    let enter = r#"echo 0 >"$1/cgroup.procs"; shift; exec "$@""#;
    let mut command = Command::new("bash");
    command.args(["-c", enter, "bash"]).arg(cgroup).args(who);
    let status = command.args(["bash", "-c", script, "bash"]).arg(cgroup).args(args).status().unwrap();
    assert!(status.success(), "{script} as {who:?}: {status}");
}

/// Makes a unit that belongs to the user, like systemd's with `User=` and `Delegate=`.
fn delegated(parent: &TestCgroup) -> std::path::PathBuf {
    let unit = parent.child("web.service");
    for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        std::os::unix::fs::chown(unit.join(file), Some(65534), Some(65534)).unwrap();
    }
    unit
}

#[test]
fn a_user_s_cgroup_with_the_name_of_a_container_is_the_unit_s() {
    let parent = TestCgroup::new("named");
    let (unit, pid) = (delegated(&parent), process::id().to_string());
    // One cgroup exists before the daemon starts, and one is created later.
    run_as(&USER, &unit, CALLS_IN_CONTAINERS, &["1", "1", &pid]);
    let daemon = Daemon::start(&NAMELESS);
    let again = format!(r#"echo 0 >"$1/{}/cgroup.procs"; umask 077"#, id(1));
    run_as(&USER, &unit, &again, &[]);
    run_as(&USER, &unit, CALLS_IN_CONTAINERS, &["2", "1", &pid]);
    let nested = format!(r#"mkdir "$1/{0}/x"; echo 0 >"$1/{0}/x/cgroup.procs"; umask 077"#, id(2));
    run_as(&USER, &unit, &nested, &[]);
    // A cgroup that root creates there is a container.
    run_as(&["env"], &unit, CALLS_IN_CONTAINERS, &["3", "1", &pid]);
    let scrape = daemon.settled_scrape();
    let calls = |index| scrape.calls(&parent.label_of(&unit.join(id(index))), "umask");
    assert_eq!((calls(1), calls(2), calls(3)), (0, 0, 1));
    assert_eq!(scrape.calls(&parent.label_of(&unit), "umask"), 3);
}

#[test]
fn a_user_who_makes_many_containers_takes_no_others_slots() {
    let parent = TestCgroup::new("many");
    let (unit, pid) = (delegated(&parent), process::id().to_string());
    let flags: Vec<&str> = NAMELESS.into_iter().chain(["--capacity.cgroups=150"]).collect();
    let daemon = Daemon::start_alone(&flags);
    run_as(&USER, &unit, CALLS_IN_CONTAINERS, &["1", "40", &pid]);
    wait_for("a warning", Duration::from_secs(20), || {
        daemon.settled_scrape();
        daemon.log_line("the unit has too many cgroups")
    });
    run_as(&USER, &unit, CALLS_IN_CONTAINERS, &["100", "300", &pid]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&parent.label_of(&unit), "umask"), 340);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_unit_whose_cgroups_make_every_call_is_counted_as_one_and_takes_no_others_series() {
    // x32 numbers, which are harmless because the kernel lacks the ABI.
    const X32: i64 = 0x4000_0000;
    // SAFETY: getpid has no arguments and no effect.
    if unsafe { libc::syscall(X32 + libc::SYS_getpid) } >= 0 {
        return;
    }
    let parent = TestCgroup::new("series");
    let unit = parent.child("web.service");
    let daemon = Daemon::start_alone(&["--capacity.series=16384"]);
    let every_call = |index: u32| {
        let path = unit.join(format!("c{index}"));
        fs::create_dir(&path).unwrap();
        KnownCalls::run(&[&"range", &path, &number(X32), &number(X32 + 500)]);
    };
    (0..10).for_each(every_call);
    wait_for("a warning", Duration::from_secs(20), || {
        daemon.settled_scrape();
        daemon.log_line("the unit has too many cgroups")
    });
    (10..40).for_each(every_call);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&parent.label_of(&unit), "getppid"), 0);
    let victim = parent.child(&id(1));
    KnownCalls::run(&[&"calls", &victim, &number(libc::SYS_getppid), &"3"]);
    assert_eq!(daemon.settled_scrape().calls(&parent.label_of(&victim), "getppid"), 3);
}

/// Makes a container with a nested cgroup. The nested cgroup's path is nearly as long as allowed.
fn long_inside(parent: &TestCgroup) -> std::path::PathBuf {
    let container = parent.child(&id(1));
    let inside = container.join("a".repeat(250)).join("b".repeat(250)).join("c".repeat(250));
    fs::create_dir_all(&inside).unwrap();
    inside
}

#[test]
fn a_container_that_makes_and_removes_cgroups_takes_no_others_names() {
    let parent = TestCgroup::new("storm");
    let inside = long_inside(&parent);
    // Runs alone: cgroups of other tests have privileged creators, and would use the room of the victims.
    let daemon = Daemon::start_alone(&NAMELESS);
    // The stopped daemon acts like a busy one.
    daemon.signal(libc::SIGSTOP);
    run_as(&ROOT_IN_A_CONTAINER, &inside, r#"for _ in $(seq 1500); do mkdir "$1/x" && rmdir "$1/x"; done"#, &[]);
    let victims: Vec<_> = (10..20).map(|index| parent.child(&id(index))).collect();
    for victim in &victims {
        KnownCalls::run(&[&"calls", victim, &number(libc::SYS_getppid), &"2"]);
        wait_for("an empty cgroup", Duration::from_secs(5), || fs::remove_dir(victim).ok());
    }
    daemon.signal(libc::SIGCONT);
    let scrape = daemon.settled_scrape();
    let counts: Vec<u64> = victims.iter().map(|path| scrape.calls(&parent.label_of(path), "getppid")).collect();
    assert_eq!(counts, [2; 10]);
    assert!(scrape.lost("cgroup_events") > 0, "the storm was too small");
}

#[test]
fn cgroups_in_a_container_take_little_memory_and_no_name_of_their_own() {
    const COUNT: u64 = 20_000;
    let parent = TestCgroup::new("memory");
    let inside = long_inside(&parent);
    let daemon = Daemon::start(&NAMELESS);
    daemon.settled_scrape();
    let before = daemon.resident_memory();
    let script = r#"cd "$1" && seq --format=long-name-of-a-cgroup-%.0f $2 | xargs mkdir"#;
    run_as(&ROOT_IN_A_CONTAINER, &inside, script, &[&COUNT.to_string()]);
    daemon.settled_scrape();
    let after = daemon.settled_scrape();
    let taken = daemon.resident_memory().saturating_sub(before);
    run_as(&["env"], parent.path(), r#"find "$1" -depth -mindepth 1 -name 'long-*' -exec rmdir {} +"#, &[]);
    assert!(taken < COUNT * 500, "{taken} bytes for {COUNT} cgroups");
    assert!(after.value("syscallmon_cgroups").is_some());
}
