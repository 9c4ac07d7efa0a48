//! Unexpected calls are reported at once, with their process. Expected calls are never reported.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Daemon, Docker, KnownCalls, TestCgroup, binary, number, syscallmon, wait_for};

/// A daemon that writes violations to a file, without metadata providers.
struct Guard {
    daemon: Daemon,
    directory: TempDir,
}

impl Guard {
    /// Starts one with these policies and flags.
    fn start(policies: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        fs::write(directory.path().join("policies/test.yaml"), format!("policies:\n{policies}")).unwrap();
        let daemon = daemon(syscallmon(), directory.path(), flags);
        Self { daemon, directory }
    }

    /// Starts one with only the built-in policy, in the pid namespace of a Docker daemon that starts containers.
    fn beside(docker: &Docker) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--pid={}", docker.pid_namespace())).arg(binary());
        let daemon = daemon(command, directory.path(), &["--names.docker", &docker.socket()]);
        Self { daemon, directory }
    }

    /// Returns the lines about workloads with this text in their labels.
    fn lines(&self, part: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join("violations")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.filter(|line| line["workload"].to_string().contains(part)).collect()
    }

    /// Waits for this many lines. There must be no more.
    fn wait_for_lines(&self, part: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} violations"), Duration::from_secs(10), || {
            (self.lines(part).len() >= count).then_some(())
        });
        self.settle();
        let lines = self.lines(part);
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// Waits until all earlier calls are judged and their lines are written.
    fn settle(&self) {
        self.daemon.settled_scrape();
        wait_for("lines to be written", Duration::from_secs(30), || {
            let queued = self.daemon.scrape().value(r#"syscallmon_alerts_queued{sink="log"}"#);
            (queued == Some(0)).then_some(())
        });
    }

    /// Returns the API's violations of workloads with this text in their labels: by call, whether it was denied, and
    /// how often.
    fn violations(&self, part: &str) -> BTreeMap<String, (bool, u64)> {
        let (status, body) = self.daemon.get("/api/v1/violations?limit=1000");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let of_it = answer["data"]["violations"].as_array().unwrap().iter();
        of_it
            .filter(|violation| violation["workload"].to_string().contains(part))
            .map(|violation| {
                let call = format!("{}:{}", text(violation, "abi"), text(violation, "syscall"));
                (call, (violation["denied"].as_bool().unwrap(), violation["count"].as_u64().unwrap()))
            })
            .collect()
    }

    /// Returns the counter, over all calls of workloads with this text in their labels.
    fn counted(&self, part: &str) -> BTreeMap<String, u64> {
        let scrape = self.daemon.settled_scrape();
        let series = scrape
            .text
            .lines()
            .filter(|line| line.starts_with("syscallmon_unexpected_syscalls_total{") && line.contains(part));
        let label = |line: &str, name: &str| -> String {
            let rest = line.split_once(&format!("{name}=\"")).expect("a label").1;
            rest.split_once('"').unwrap().0.to_owned()
        };
        series
            .map(|line| {
                let call = format!("{}:{}", label(line, "abi"), label(line, "syscall"));
                (call, line.rsplit_once(' ').unwrap().1.parse().unwrap())
            })
            .collect()
    }
}

fn daemon(mut command: Command, directory: &Path, flags: &[&str]) -> Daemon {
    let path = |name: &str| directory.join(name).display().to_string();
    command.args(["run", "--web.listen-address=127.0.0.1:0"]);
    command.args(["--policy.directory", &path("policies"), "--alert.log", &path("violations")]);
    command.args(["--state.directory", &path("state")]).args(flags);
    Daemon::start_command(&mut command)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Makes a cgroup with the name of a container's cgroup, without metadata.
fn container(parent: &TestCgroup) -> PathBuf {
    let docker = parent.child("docker");
    let id = format!("{:064x}", process::id());
    fs::create_dir(docker.join(&id)).expect("make a cgroup");
    docker.join(id)
}

#[test]
fn unexpected_calls_of_a_container_are_reported_without_any_configuration() {
    let parent = TestCgroup::new("unexpected");
    let path = container(&parent);
    let guard = Guard::start("  []", &[]);
    let part = parent.label();
    let (mount, getppid) = (number(libc::SYS_mount), number(libc::SYS_getppid));
    KnownCalls::run(&[&"calls", &path, &getppid, &"5", &mount, &"3", &number(libc::SYS_unshare), &"1", &"9999", &"2"]);

    let lines = guard.wait_for_lines(&part, 3);
    let line = lines.iter().find(|line| text(line, "syscall") == "mount").expect("a report of the mounts");
    assert_eq!((text(line, "severity"), text(line, "policy")), ("critical", "runtime-default"), "{line}");
    assert_eq!((text(line, "kind"), text(line, "reason")), ("violation", "not_allowed"), "{line}");
    assert_eq!((&line["denied"], &line["runtime_default_allows"]), (&false.into(), &false.into()), "{line}");
    let process = &line["process"];
    assert_eq!(text(process, "comm"), "known_calls");
    assert!(text(process, "exe").ends_with("/known_calls"), "{process}");
    let parents: Vec<u64> = process["parents"].as_array().unwrap().iter().map(|p| p["pid"].as_u64().unwrap()).collect();
    assert!(parents.contains(&process::id().into()), "this test is among the parents: {process}");
    let unknown = lines.iter().find(|line| text(line, "syscall") == "unknown").expect("a report of the unknown number");
    assert_eq!((text(unknown, "reason"), &unknown["number"]), ("unknown_number", &9999.into()));

    let native = std::env::consts::ARCH;
    let expected =
        [("mount", 3), ("unshare", 1), ("unknown", 2)].map(|(call, count)| (format!("{native}:{call}"), count));
    assert_eq!(guard.counted(&part), BTreeMap::from(expected.clone()));
    assert_eq!(guard.violations(&part), expected.map(|(call, count)| (call, (false, count))).into());
    let (_, page) = guard.daemon.get("/");
    assert!(page.contains("Unexpected calls") && page.contains("mount (") && page.contains("critical"), "{page}");
}

#[test]
fn repeats_are_counted_and_not_reported_one_by_one() {
    let parent = TestCgroup::new("repeats");
    let path = container(&parent);
    let guard = Guard::start("  []", &[]);
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_keyctl), &"100000"]);
    guard.wait_for_lines(&parent.label(), 1);
    assert_eq!(guard.counted(&parent.label()).into_values().collect::<Vec<_>>(), [100_000]);
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_keyctl), &"100000"]);
    assert_eq!(guard.counted(&parent.label()).into_values().collect::<Vec<_>>(), [200_000]);
    guard.wait_for_lines(&parent.label(), 1);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_by_another_way_in_are_unexpected() {
    let parent = TestCgroup::new("other-ways");
    let path = container(&parent);
    let guard = Guard::start("  []", &[]);
    // The number of ia32's write is that of stat in the 64-bit table.
    KnownCalls::run(&[&"int80", &path, &"20", &"7"]);
    KnownCalls::run(&[&"io-uring", &path, &"10"]);
    wait_for("violations", Duration::from_secs(10), || {
        let counted = guard.counted(&parent.label());
        let of = |call: &str| counted.get(call).copied();
        (of("ia32:getpid") == Some(7) && of("io_uring:openat") == Some(10) && of("x86_64:io_uring_setup") == Some(1))
            .then_some(())
    });
    let abi = guard.lines(&parent.label()).into_iter().find(|line| text(line, "abi") == "ia32").expect("a report");
    assert_eq!((text(&abi, "reason"), text(&abi, "syscall")), ("abi", "getpid"));
}

#[test]
fn a_container_that_lives_for_a_moment_is_reported_with_its_executable() {
    let parent = TestCgroup::new("moment");
    let guard = Guard::start("  []", &[]);
    let base = parent.child("docker");
    for container in 0..20 {
        let path = base.join(format!("{:060x}{container:04x}", process::id()));
        fs::create_dir(&path).unwrap();
        KnownCalls::run(&[&"calls", &path, &number(libc::SYS_mount), &"1"]);
        fs::remove_dir(&path).unwrap();
    }
    let lines = wait_for("violations", Duration::from_secs(10), || {
        let lines = guard.lines(&parent.label());
        let mounts = lines.iter().filter(|line| text(line, "syscall") == "mount");
        (mounts.count() == 20).then_some(lines)
    });
    for line in lines {
        assert!(text(&line["process"], "exe").ends_with("/known_calls"), "{line}");
    }
}

#[test]
fn a_container_that_is_set_up_by_its_runtime_does_nothing_unexpected() {
    let docker = Docker::start();
    let guard = Guard::beside(&docker);
    let calls = |pairs: &[(i64, u64)]| -> Vec<String> {
        let pairs = pairs.iter().flat_map(|(nr, count)| [number(*nr), count.to_string()]);
        ["calls".to_owned(), "-".to_owned()].into_iter().chain(pairs).collect()
    };
    docker.run(&["--name=ordinary"], &calls(&[(libc::SYS_getppid, 1000)]));
    docker.run(&["--name=refused"], &calls(&[(libc::SYS_mount, 4)]));
    docker.run(
        &["--name=bad", "--security-opt=seccomp=unconfined"],
        &calls(&[(libc::SYS_mount, 3), (libc::SYS_setns, 2)]),
    );
    let native = std::env::consts::ARCH;
    let bad = BTreeMap::from([(format!("{native}:mount"), (false, 3)), (format!("{native}:setns"), (false, 2))]);
    wait_for("the names", Duration::from_secs(15), || (guard.violations(r#""bad""#) == bad).then_some(()));
    let lines = guard.wait_for_lines(r#""bad""#, 2);
    assert!(lines.iter().all(|line| text(&line["process"], "comm") == "known_calls"), "{lines:#?}");
    assert_eq!(guard.violations(r#""refused""#), BTreeMap::from([(format!("{native}:mount"), (true, 4))]));
    assert_eq!(guard.violations("ordinary"), BTreeMap::new());
    assert!(guard.counted("container=").into_keys().eq(bad.into_keys()), "nothing else");
}

#[test]
fn policies_are_read_again_when_their_files_change() {
    let cgroup = TestCgroup::new("reload");
    let policy =
        |allow: &str| format!("  - name: test\n    match: [{{cgroup: {}}}]\n    allow: [{allow}]\n", cgroup.label());
    let guard = Guard::start(&policy("\"*\""), &[]);
    let file = guard.directory.path().join("policies/test.yaml");
    let priority = (libc::SYS_getpriority, "getpriority");
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(priority.0), &"5"]);
    assert_eq!(guard.counted(&cgroup.label()), BTreeMap::new());

    fs::write(&file, "policies: [nonsense]").unwrap();
    wait_for("an error", Duration::from_secs(15), || guard.daemon.log_line("invalid policy"));
    assert_eq!(guard.daemon.scrape().value("syscallmon_policy_last_reload_successful"), Some(0));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(priority.0), &"5"]);
    assert_eq!(guard.counted(&cgroup.label()), BTreeMap::new(), "the old one is in force");
    assert_eq!(guard.daemon.scrape().value("syscallmon_policy_problems"), Some(1));

    fs::write(&file, format!("policies:\n{}", policy("\"@system-service\""))).unwrap();
    wait_for("the new policy", Duration::from_secs(15), || guard.daemon.log_line("policies reloaded"));
    assert_eq!(guard.daemon.scrape().value("syscallmon_policy_last_reload_successful"), Some(1));
    guard.daemon.settled_scrape();
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_reboot), &"7", &number(priority.0), &"5"]);
    let counted = guard.counted(&cgroup.label());
    assert_eq!(counted, BTreeMap::from([(format!("{}:reboot", std::env::consts::ARCH), 7)]));
}

#[test]
fn a_bad_policy_at_the_start_stops_neither_counting_nor_the_other_policies() {
    let cgroup = TestCgroup::new("bad-policy");
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    let policy = |name: &str, allow: &str| {
        format!("  - name: {name}\n    match: [{{cgroup: {}}}]\n    allow: [{allow}]\n", cgroup.label())
    };
    let bad = policy("bad", "opennat");
    write("policies/a.yaml", &format!("policies:\n{bad}{}", policy("good", "\"@system-service\"")));
    write("policies/b.yaml", "policies: [}");
    write("config.yaml", &format!("policies:\n{}{bad}", bad.replace("name: bad", "name: also-bad")));
    let config = directory.path().join("config.yaml").display().to_string();
    let guard = Guard { daemon: daemon(syscallmon(), directory.path(), &["--config.file", &config]), directory };
    for line in ["config.yaml: ", "a.yaml: ", "b.yaml: "] {
        assert!(guard.daemon.log_line(line).is_some_and(|line| line.contains("line ")), "{line}");
    }
    let scrape = guard.daemon.scrape();
    assert_eq!(scrape.value("syscallmon_policy_problems"), Some(4));
    assert_eq!(scrape.value("syscallmon_policy_last_reload_successful"), Some(0));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_reboot), &"7", &number(libc::SYS_getpid), &"5"]);
    let reboots = BTreeMap::from([(format!("{}:reboot", std::env::consts::ARCH), 7)]);
    assert_eq!(guard.counted(&cgroup.label()), reboots, "the good policy judges");

    let directory = guard.directory.path().join("policies").display().to_string();
    let strict = ["run", "--once", "--policy.strict=true", "--policy.directory", &directory];
    let output = syscallmon().args(strict).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("a.yaml: ") && error.contains("b.yaml: "), "{error}");
}

#[test]
fn what_was_learned_guards_and_survives_a_kill() {
    let cgroup = TestCgroup::new("learns");
    let policy = format!(
        "  - name: test\n    match: [{{cgroup: {}}}]\n    learn: {{quiet_for: 3s, at_least: 3s}}\n",
        cgroup.label()
    );
    let mut guard = Guard::start(&policy, &["--poll.interval=200ms"]);
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
    guard.settle();
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
    guard.settle();
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
    guard.settle();
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
