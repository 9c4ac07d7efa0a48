//! Cgroups inside a container belong to the container, whatever their number and depth. Calls that find the tables full
//! are reported anyway.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Daemon, KnownCalls, Scrape, TestCgroup, binary, number, reported, wait_for};

/// A daemon that writes violations of the built-in policy to a file, without metadata providers.
struct Guard {
    daemon: Daemon,
    directory: TempDir,
}

impl Guard {
    fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, Daemon::start)
    }

    /// Starts one while no other test has a daemon, for small tables.
    fn start_alone(flags: &[&str]) -> Self {
        Self::start_with(flags, Daemon::start_alone)
    }

    fn start_with(flags: &[&str], start: impl FnOnce(&[&str]) -> Daemon) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = own_flags(directory.path());
        let own: Vec<&str> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        Self { daemon: start(&own), directory }
    }

    /// Returns the violations of a call by workloads with this text in their labels.
    fn violations(&self, part: &str, syscall: &str) -> Vec<Value> {
        let reported = reported(&self.directory.path().join("violations"));
        reported
            .into_iter()
            .filter(|line| line["workload"].to_string().contains(part) && line["syscall"] == syscall)
            .collect()
    }

    /// Waits for a violation.
    fn wait_for_violation(&self, part: &str, syscall: &str) -> Value {
        wait_for(&format!("a violation of {part} by {syscall}"), Duration::from_secs(20), || {
            self.violations(part, syscall).pop()
        })
    }

    /// Repeats scrapes until one fits.
    fn wait_for_scrape(&self, what: &str, fits: impl Fn(&Scrape) -> bool) -> Scrape {
        wait_for(what, Duration::from_secs(20), || Some(self.daemon.settled_scrape()).filter(|scrape| fits(scrape)))
    }
}

fn own_flags(directory: &Path) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    fs::create_dir_all(directory.join("policies")).unwrap();
    [("policy.directory", "policies"), ("alert.log", "violations"), ("state.directory", "state")]
        .map(|(flag, name)| format!("--{flag}={}", path(name)))
        .into()
}

/// Makes a cgroup with the name of a container's cgroup.
fn container(parent: &TestCgroup, number: u32) -> PathBuf {
    let path = parent.path().join("docker").join(format!("{:060x}{number:04x}", process::id()));
    fs::create_dir_all(&path).expect("make a cgroup");
    path
}

/// Makes a cgroup with a path longer than the kernel's events.
fn deep_inside(container: &Path) -> PathBuf {
    let deep = (0..7).fold(container.to_owned(), |path, level| path.join(format!("{level}").repeat(200)));
    fs::create_dir_all(&deep).expect("make cgroups");
    deep
}

fn call(cgroup: &Path, nr: i64, times: &str) {
    KnownCalls::run(&[&"calls", &cgroup, &number(nr), &times]);
}

#[test]
fn calls_in_cgroups_too_deep_for_a_path_are_the_container_s() {
    let parent = TestCgroup::new("deep");
    // One cgroup exists before the daemon starts, and one is created later.
    let old = container(&parent, 1);
    let old_inside = deep_inside(&old);
    let guard = Guard::start(&[]);
    let new = container(&parent, 2);
    let new_inside = deep_inside(&new);
    for (container, inside) in [(&old, &old_inside), (&new, &new_inside)] {
        call(inside, libc::SYS_mount, "3");
        let violation = guard.wait_for_violation(&parent.label_of(container), "mount");
        assert_eq!(violation["process"]["comm"], "known_calls", "{violation}");
        let label = parent.label_of(container);
        guard.wait_for_scrape("exact counts", |scrape| scrape.calls(&label, "mount") == 3);
    }
}

#[test]
fn cgroups_too_deep_for_a_path_outside_of_containers_have_the_name_of_one_above() {
    let parent = TestCgroup::new("deep-plain");
    let daemon = Daemon::start(&[]);
    let inside = deep_inside(parent.path());
    call(&inside, libc::SYS_kcmp, "5");
    assert_eq!(daemon.settled_scrape().sum_below(&parent.label(), "kcmp"), 5);
}

#[test]
fn a_container_with_more_cgroups_than_slots_takes_no_others_away() {
    let parent = TestCgroup::new("many-nested");
    let guard = Guard::start_alone(&["--capacity.cgroups=150"]);
    let greedy = container(&parent, 1);
    let label = parent.label_of(&greedy);
    call(&greedy, libc::SYS_getppid, "1");
    guard.wait_for_scrape("the container to be known", |scrape| scrape.calls(&label, "getppid") == 1);
    KnownCalls::run(&[&"populate", &greedy, &"400", &number(libc::SYS_kcmp)]);
    guard.wait_for_scrape("exact counts", |scrape| scrape.calls(&label, "kcmp") == 400);
    let victim = container(&parent, 2);
    call(&victim, libc::SYS_mount, "1");
    guard.wait_for_violation(&parent.label_of(&victim), "mount");
    guard.wait_for_scrape("exact counts", |scrape| scrape.calls(&parent.label_of(&victim), "mount") == 1);
}

#[test]
fn a_unit_with_too_many_cgroups_is_counted_as_one_and_takes_no_others_slots() {
    let parent = TestCgroup::new("crowded");
    let guard = Guard::start_alone(&["--capacity.cgroups=150"]);
    let (unit, kcmp) = (parent.child("greedy.service"), number(libc::SYS_kcmp));
    let label = parent.label_of(&unit);
    KnownCalls::run(&[&"populate", &unit, &"40", &kcmp]);
    guard.wait_for_scrape("a warning", |_| guard.daemon.log_line("the unit has too many cgroups").is_some());
    let more = unit.join("more");
    fs::create_dir(&more).unwrap();
    KnownCalls::run(&[&"populate", &more, &"400", &kcmp]);
    guard.wait_for_scrape("exact counts", |scrape| scrape.calls(&label, "kcmp") == 440);
}

#[test]
fn nested_cgroups_that_were_there_first_share_their_container_s_slot_in_the_end() {
    let parent = TestCgroup::new("nested-first");
    let path = container(&parent, 1);
    let label = parent.label_of(&path);
    let inside: Vec<PathBuf> = (0..3).map(|index| path.join(format!("n{index}"))).collect();
    for path in &inside {
        fs::create_dir(path).unwrap();
    }
    // They make calls while the daemon starts, before it can know the container.
    let programs: Vec<KnownCalls> =
        inside.iter().map(|inside| KnownCalls::start(&[&"mixed", inside, &"6", &"1"])).collect();
    let guard = Guard::start(&[]);
    for program in programs {
        program.finish();
    }
    let before = guard.daemon.settled_scrape().calls(&label, "kcmp");
    for path in &inside {
        call(path, libc::SYS_kcmp, "7");
    }
    guard.wait_for_scrape("exact counts", |scrape| scrape.calls(&label, "kcmp") == before + 21);
}

#[test]
fn a_container_that_finds_no_slot_is_judged_all_the_same() {
    let parent = TestCgroup::new("no-slot");
    let guard = Guard::start_alone(&["--capacity.cgroups=20"]);
    KnownCalls::run(&[&"populate", &parent.path(), &"60", &number(libc::SYS_kcmp)]);
    guard.wait_for_scrape("full tables", |scrape| scrape.lost("cgroups_full") > 0);
    let victim = container(&parent, 1);
    call(&victim, libc::SYS_mount, "2");
    let violation = guard.wait_for_violation(&parent.label_of(&victim), "mount");
    assert_eq!(violation["process"]["comm"], "known_calls", "{violation}");
}

#[test]
fn a_call_that_finds_no_series_is_judged_all_the_same() {
    let parent = TestCgroup::new("no-series");
    let guard = Guard::start_alone(&["--capacity.series=40"]);
    let (filler, victim) = (parent.child("filler"), container(&parent, 1));
    KnownCalls::run(&[&"range", &filler, &"600", &"700"]);
    for nr in [libc::SYS_kcmp, libc::SYS_getppid, libc::SYS_getuid, libc::SYS_getgid] {
        call(&filler, nr, "1");
    }
    guard.wait_for_scrape("full tables", |scrape| scrape.lost("series_full") > 0);
    call(&victim, libc::SYS_unshare, "2");
    guard.wait_for_violation(&parent.label_of(&victim), "unshare");
}

#[test]
fn denied_calls_beyond_a_cgroup_s_share_are_counted_together_and_judged() {
    let parent = TestCgroup::new("many-refused");
    let guard = Guard::start(&["--capacity.denied=20"]);
    let (greedy, victim) = (container(&parent, 1), container(&parent, 2));
    let label = parent.label_of(&greedy);
    // Calls that are always expected, then one that never is.
    KnownCalls::run(&[&"refused-from", &greedy, &"102", &"130"]);
    KnownCalls::run(&[&"refused-from", &greedy, &number(libc::SYS_mount), &number(libc::SYS_mount)]);
    let scrape =
        guard.wait_for_scrape("counts", |scrape| scrape.denied(&label).iter().map(|(_, n)| n).sum::<u64>() == 30);
    let denied = scrape.denied(&label);
    assert_eq!(denied.len(), 21, "{denied:?}");
    assert!(denied.contains(&("(remainder)".to_owned(), 10)), "{denied:?}");
    let violation = guard.wait_for_violation(&label, "mount");
    assert_eq!(violation["denied"], true, "{violation}");
    // Calls of another workload do not go into the remainder.
    KnownCalls::run(&[&"refused-from", &victim, &number(libc::SYS_mount), &number(libc::SYS_mount)]);
    guard
        .wait_for_scrape("the other's", |scrape| scrape.denied(&parent.label_of(&victim)) == [("mount".to_owned(), 1)]);
}

#[test]
fn a_call_that_a_filter_answers_with_enosys_is_no_attack() {
    let parent = TestCgroup::new("enosys");
    let guard = Guard::start(&[]);
    let (path, other) = (container(&parent, 1), container(&parent, 2));
    let label = parent.label_of(&path);
    KnownCalls::run(&[&"refused", &path, &"enosys", &"300"]);
    KnownCalls::run(&[&"refused-from", &other, &number(libc::SYS_mount), &number(libc::SYS_mount)]);
    guard.wait_for_violation(&parent.label_of(&other), "mount");
    let scrape = guard.wait_for_scrape("counts", |scrape| !scrape.denied(&label).is_empty());
    let series = format!(
        r#"syscallmon_syscalls_denied_total{{cgroup="{label}",syscall="mkdirat",abi="{}","#,
        std::env::consts::ARCH
    );
    assert_eq!(scrape.value(&format!(r#"{series}errno="ENOSYS"}}"#)), Some(300));
    assert_eq!(guard.violations(&label, "mkdirat"), [] as [Value; 0]);
}

/// Starts a daemon in its own cgroup namespace. Its mount has the namespace's root, as in a node of kind.
fn in_namespace(node: &Path, mount: &Path, flags: &[String]) -> Daemon {
    let script = r#"echo $$ > "$1/cgroup.procs"; shift; exec unshare --cgroup --mount sh -c '
        mount -t cgroup2 none "$1" && shift && exec "$@"' sh "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(node).arg(mount).arg(binary()).arg("run");
    command.args(["--web.listen-address=127.0.0.1:0", "--cgroup.hierarchy=cgroup2"]);
    command.arg(format!("--path.cgroupfs={}", mount.display())).args(flags);
    Daemon::start_command(&mut command)
}

#[test]
fn in_a_cgroup_namespace_old_and_new_pods_have_one_root() {
    let parent = TestCgroup::new("node");
    // Seen from outside, the node is a container itself.
    let node = container(&parent, 9);
    fs::create_dir(node.join("init")).unwrap();
    let pod = |index: u32| {
        let id = format!("{:060x}{index:04x}", process::id());
        let uid = format!("2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b{index:04x}");
        let path = node.join("kubepods").join(format!("pod{uid}")).join(id);
        fs::create_dir_all(&path).unwrap();
        let label = format!("/{}", path.strip_prefix(&node).unwrap().display());
        (path, label)
    };
    let (directory, mount) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The namespace's root is the node.
    let start = || Guard {
        daemon: in_namespace(&node, mount.path(), &own_flags(directory.path())),
        directory: tempfile::tempdir().unwrap(),
    };
    let written = |label: &str, syscall: &str| {
        wait_for(&format!("a violation of {label}"), Duration::from_secs(20), || {
            let text = fs::read_to_string(directory.path().join("violations")).unwrap_or_default();
            let is_it = |line: &&str| line.contains(label) && line.contains(&format!(r#""syscall":"{syscall}""#));
            text.lines().find(is_it).map(str::to_owned)
        })
    };
    let old = pod(1);
    let guard = start();
    let new = pod(2);
    for (path, label) in [&old, &new] {
        call(path, libc::SYS_mount, "2");
        written(label, "mount");
        guard.wait_for_scrape("exact counts", |scrape| scrape.calls(label, "mount") == 2);
    }
    drop(guard);
    let guard = start();
    for (path, label) in [&old, &new] {
        call(path, libc::SYS_unshare, "2");
        written(label, "unshare");
        guard.wait_for_scrape("exact counts", |scrape| scrape.calls(label, "unshare") == 2);
    }
}
