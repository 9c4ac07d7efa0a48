//! Baselines on the real kernel: what a workload calls while it is learned is expected afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    harness::{KnownCalls, TestCgroup, number, syscallmon, wait_for},
    policies::{Guard, container, daemon, text},
};

#[test]
fn what_was_learned_guards_and_survives_a_kill() {
    let cgroup = TestCgroup::new("learns");
    let mut guard = Guard::start(&learns(&cgroup, "{quiet_for: 3s, at_least: 3s}"), &["--poll.interval=200ms"]);
    let calls = |nr: i64| KnownCalls::run(&[&"calls", &cgroup.path(), &number(nr), &"5"]);
    calls(libc::SYS_getpriority);
    wait_for("the end of learning", Duration::from_secs(20), || guard.daemon.log_line("baseline complete"));
    assert_eq!(guard.lines(&cgroup.label()).len(), 0);
    let state = guard.directory.path().join("state/baselines");
    wait_for("the baseline on disk", Duration::from_secs(10), || {
        let files = fs::read_dir(&state).ok()?.flatten();
        let is_whole = |path: PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("guarding"));
        // Skips a file that is being written: its name begins with a dot until it is complete.
        let is_named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        files.map(|file| file.path()).filter(is_named).any(is_whole).then_some(())
    });
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    guard.daemon = daemon(syscallmon(), guard.directory.path(), &["--poll.interval=200ms"]);
    calls(libc::SYS_getpriority);
    guard.wait_until_judged();
    assert_eq!(guard.lines(&cgroup.label()).len(), 0, "it was learned");
    calls(libc::SYS_keyctl);
    let lines = guard.wait_for_lines(&cgroup.label(), 1);
    assert_eq!((text(&lines[0], "syscall"), text(&lines[0], "reason")), ("keyctl", "not_learned"));
    // After the first event, counters show the calls.
    wait_for("the count", Duration::from_secs(5), || {
        (guard.counted(&cgroup.label()).into_values().eq([5])).then_some(())
    });
}

/// A learning policy for a cgroup.
fn learns(cgroup: &TestCgroup, learn: &str) -> String {
    format!("  - name: test\n    match: [{{cgroup: {}}}]\n    learn: {learn}\n", cgroup.label())
}

fn native(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{}:{name}", std::env::consts::ARCH)).collect()
}

/// Changes the file of the only baseline, once it is on disk and has this call.
fn edit_baseline(guard: &Guard, call: &str, edit: impl Fn(&mut Value)) {
    let directory = guard.directory.path().join("state/baselines");
    let (path, mut baseline) = wait_for("the baseline on disk", Duration::from_secs(30), || {
        // A file with a leading dot is being written.
        let is_written =
            |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let path = fs::read_dir(&directory).ok()?.flatten().map(|file| file.path()).find(is_written)?;
        let baseline: Value = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        baseline["calls"].get(call).is_some().then_some((path, baseline))
    });
    edit(&mut baseline);
    fs::write(path, baseline.to_string()).unwrap();
    let is_taken = || guard.daemon.log_line("the baseline file was edited");
    wait_for("the edited file to be read", Duration::from_mins(1), is_taken);
}

#[test]
fn what_is_critical_is_reported_while_it_learns() {
    let cgroup = TestCgroup::new("learns-critical");
    let guard = Guard::start(&learns(&cgroup, "{}"), &[]);
    let (unshare, getpriority) = (number(libc::SYS_unshare), number(libc::SYS_getpriority));
    KnownCalls::run(&[&"calls", &cgroup.path(), &unshare, &"3", &getpriority, &"5"]);
    let lines = guard.wait_for_lines(&cgroup.label(), 1);
    let seen = (text(&lines[0], "syscall"), text(&lines[0], "severity"), text(&lines[0], "reason"));
    assert_eq!(seen, ("unshare", "critical", "not_allowed"));
    assert_eq!(guard.counted(&cgroup.label()), native(&["unshare"]).into_iter().map(|call| (call, 3)).collect());
}

#[test]
fn new_calls_now_and_then_do_not_keep_a_baseline_from_guarding() {
    let cgroup = TestCgroup::new("learns-long");
    let policy = learns(&cgroup, "{quiet_for: 6s, at_least: 1s, at_most: 6s}");
    let guard = Guard::start(&policy, &["--poll.interval=200ms"]);
    let new_ones = [libc::SYS_getpriority, libc::SYS_times, libc::SYS_sysinfo, libc::SYS_getcwd, libc::SYS_umask];
    let more = [libc::SYS_getitimer, libc::SYS_capget, libc::SYS_ioprio_get, libc::SYS_getcpu, libc::SYS_getrusage];
    let even_more = [libc::SYS_mincore, libc::SYS_msync, libc::SYS_sched_getparam, libc::SYS_epoll_create1];
    for nr in new_ones.into_iter().chain(more).chain(even_more) {
        if guard.daemon.log_line("baseline complete").is_some() {
            break;
        }
        KnownCalls::run(&[&"calls", &cgroup.path(), &number(nr), &"1"]);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(guard.daemon.log_line("baseline complete").is_some(), "each call was new, and came before it was quiet");
}

#[test]
fn a_learned_workload_is_silent_when_it_ends() {
    let cgroup = TestCgroup::new("learned-end");
    let guard = Guard::start(&learns(&cgroup, "{}"), &["--poll.interval=200ms"]);
    let calls = |nr: i64| KnownCalls::run(&[&"calls", &cgroup.path(), &number(nr), &"5"]);
    calls(libc::SYS_getpriority);
    let essential = ["exit_group", "munmap", "mmap", "futex", "rt_sigreturn", "brk", "mprotect"];
    let native = std::env::consts::ARCH;
    edit_baseline(&guard, &format!("{native}/getpriority"), |baseline| {
        baseline["state"] = "guarding".into();
        let learned = baseline["calls"].as_object_mut().unwrap();
        for name in essential {
            learned.remove(&format!("{native}/{name}"));
        }
        assert!(!learned.contains_key(&format!("{native}/exit_group")));
    });
    calls(libc::SYS_getpriority);
    guard.wait_until_judged();
    assert_eq!(guard.lines(&cgroup.label()), [] as [Value; 0], "it has ended twice, as every program does");
    calls(libc::SYS_chroot);
    let lines = guard.wait_for_lines(&cgroup.label(), 1);
    assert_eq!((text(&lines[0], "syscall"), text(&lines[0], "reason")), ("chroot", "not_learned"));
}

#[test]
fn a_baseline_that_arrives_late_judges_what_was_called_before() {
    let cgroup = TestCgroup::new("learned-late");
    let guard = Guard::start(&learns(&cgroup, "{}"), &["--poll.interval=200ms"]);
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_chroot), &"5"]);
    guard.wait_until_judged();
    assert_eq!(guard.lines(&cgroup.label()), [] as [Value; 0], "it is learned");
    let chroot = format!("{}/chroot", std::env::consts::ARCH);
    edit_baseline(&guard, &chroot, |baseline| {
        baseline["state"] = "guarding".into();
        baseline["calls"].as_object_mut().unwrap().remove(&chroot);
    });
    let lines = guard.wait_for_lines(&cgroup.label(), 1);
    assert_eq!((text(&lines[0], "syscall"), text(&lines[0], "reason")), ("chroot", "not_learned"));
    assert_eq!(guard.counted(&cgroup.label()).into_values().collect::<Vec<_>>(), [5], "although none is made any more");
}

#[test]
fn a_container_without_a_name_is_judged_although_its_policy_learns() {
    let parent = TestCgroup::new("nameless");
    let path = container(&parent);
    let guard = Guard::start("  - {name: test, match: ['container_id!=\"\"'], learn: {}}\n", &[]);
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_mount), &"3", &number(libc::SYS_getpriority), &"5"]);
    let lines = guard.wait_for_lines(&parent.label(), 1);
    let seen = (text(&lines[0], "syscall"), text(&lines[0], "severity"), text(&lines[0], "policy"));
    assert_eq!(seen, ("mount", "critical", "runtime-default"));
}

/// More units, in batches of 200, than the daemon keeps baselines.
const BATCHES: usize = 21;

/// Makes 200 cgroups in `$1`, whose shells call `umask`, end, and are removed.
const SHORT_UNITS: &str = r#"mkdir "$1" && for index in $(seq 200); do
    unit="$1/$index.service"
    mkdir "$unit" && (echo 0 >"$unit/cgroup.procs" && umask 077) && rmdir "$unit" || exit 1
    done"#;

fn short_units(base: &Path) {
    // With CAP_SYS_ADMIN, a child that enters a cgroup would look like a container runtime's.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-all", "bash", "-c", SHORT_UNITS, "bash"]).arg(base);
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn thousands_of_units_that_learn_take_nobody_s_baseline_and_hide_no_call() {
    let parent = TestCgroup::new("short-units");
    let policy = format!(
        "  - name: test\n    match: [{{cgroup: \"{}/*\"}}]\n    learn: {{quiet_for: 2s, at_least: 2s}}\n",
        parent.label()
    );
    let guard = Guard::start_alone(&policy, &["--poll.interval=200ms"]);
    let [established, flood, later] = ["shop.service", "flood", "late.service"].map(|name| parent.child(name));
    KnownCalls::run(&[&"calls", &established, &number(libc::SYS_getpriority), &"1"]);
    wait_for("the end of learning", Duration::from_secs(20), || guard.daemon.log_line("baseline complete"));
    for batch in 0..BATCHES {
        short_units(&flood.join(batch.to_string()));
        // Slots of the removed units become free.
        guard.daemon.settled_scrape();
    }
    let scrape = guard.daemon.settled_scrape();
    let removed = scrape.value(r#"syscallmon_policy_baselines_removed_total{reason="displaced"}"#);
    assert!(removed > Some(0) || scrape.value("syscallmon_policy_baselines_refused") > Some(0), "all are in use");

    let calls = [libc::SYS_mount, libc::SYS_unshare].map(number);
    for (service, reason) in [(&established, "not_learned"), (&later, "not_allowed")] {
        KnownCalls::run(&[&"calls", service, &calls[0], &"1", &calls[1], &"1"]);
        let lines = guard.wait_for_lines(&parent.label_of(service), 2);
        let mut seen: Vec<_> = lines.iter().map(|line| (text(line, "syscall"), text(line, "reason"))).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("mount", reason), ("unshare", reason)], "{lines:#?}");
    }
}
