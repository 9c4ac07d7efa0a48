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

use crate::harness::{Daemon, Docker, KnownCalls, TestCgroup, binary, lines, number, reported, syscallmon, wait_for};

/// A daemon that writes violations to a file, without metadata providers.
pub(crate) struct Guard {
    pub(crate) daemon: Daemon,
    pub(crate) directory: TempDir,
}

impl Guard {
    /// Starts one with these policies and flags.
    pub(crate) fn start(policies: &str, flags: &[&str]) -> Self {
        Self::start_by(Daemon::start_command, policies, flags)
    }

    /// Starts one while no other test has a daemon.
    pub(crate) fn start_alone(policies: &str, flags: &[&str]) -> Self {
        Self::start_by(Daemon::start_command_alone, policies, flags)
    }

    fn start_by(start: fn(&mut Command) -> Daemon, policies: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        fs::write(directory.path().join("policies/test.yaml"), format!("policies:\n{policies}")).unwrap();
        let daemon = start(&mut command(syscallmon(), directory.path(), flags));
        Self { daemon, directory }
    }

    /// Ends it by a signal, and starts it again with these flags.
    pub(crate) fn restart(&mut self, signal: i32, flags: &[&str]) {
        self.daemon.signal(signal);
        self.daemon.wait();
        self.start_again(flags);
    }

    /// Starts it again with these flags, after it has ended.
    pub(crate) fn start_again(&mut self, flags: &[&str]) {
        self.daemon = daemon(syscallmon(), self.directory.path(), flags);
    }

    /// Starts it again with these flags in a cgroup, after it has ended.
    pub(crate) fn start_again_in(&mut self, cgroup: &Path, flags: &[&str]) {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$0/cgroup.procs" && exec "$@""#]).arg(cgroup);
        self.start_again_by(command, flags);
    }

    /// Starts it again with these flags by a command that executes its arguments, after it has ended.
    pub(crate) fn start_again_by(&mut self, mut command: Command, flags: &[&str]) {
        command.arg(binary());
        self.daemon = daemon(command, self.directory.path(), flags);
    }

    /// Starts one with only the built-in policy, in the namespaces of a Docker daemon that starts containers.
    pub(crate) fn beside(docker: &Docker, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        let mut command = Command::new("nsenter");
        command.args(docker.namespaces()).arg(binary());
        let daemon = daemon(command, directory.path(), &[&["--names.docker", &docker.socket()], flags].concat());
        Self { daemon, directory }
    }

    /// Returns the reported calls of workloads with this text in their labels, each once.
    pub(crate) fn lines(&self, part: &str) -> Vec<Value> {
        let reported = reported(&self.directory.path().join("violations"));
        reported.into_iter().filter(|line| line["workload"].to_string().contains(part)).collect()
    }

    /// Returns the lines about incidents of workloads with this text in their labels.
    pub(crate) fn incident_lines(&self, part: &str) -> Vec<Value> {
        let lines = lines(&self.directory.path().join("violations")).into_iter();
        lines.filter(|line| line["workload"].to_string().contains(part) && line["kind"] == "incident").collect()
    }

    /// Waits for this many reported calls. There must be no more.
    pub(crate) fn wait_for_lines(&self, part: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} violations"), Duration::from_secs(10), || {
            (self.lines(part).len() >= count).then_some(())
        });
        self.wait_until_judged();
        let lines = self.lines(part);
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// Waits until all earlier calls are judged and their lines are written.
    pub(crate) fn wait_until_judged(&self) {
        self.daemon.settled_scrape();
        // Calls that are not critical wait for a second.
        self.daemon.settled_scrape();
        wait_for("lines to be written", Duration::from_secs(30), || {
            let queued = self.daemon.scrape().value(r#"syscallmon_alerts_queued{sink="log"}"#);
            (queued == Some(0)).then_some(())
        });
    }

    /// Returns the API's violations of workloads with this text in their labels: by call, whether it was denied, and
    /// how often.
    pub(crate) fn violations(&self, part: &str) -> BTreeMap<String, (bool, u64)> {
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

    /// Returns the counter by call, over all policies and workloads with this text in their labels.
    pub(crate) fn counted(&self, part: &str) -> BTreeMap<String, u64> {
        let scrape = self.daemon.settled_scrape();
        let series = scrape
            .text
            .lines()
            .filter(|line| line.starts_with("syscallmon_unexpected_syscalls_total{") && line.contains(part));
        let label = |line: &str, name: &str| -> String {
            let rest = line.split_once(&format!("{name}=\"")).expect("a label").1;
            rest.split_once('"').unwrap().0.to_owned()
        };
        let mut counts = BTreeMap::new();
        for line in series {
            let call = format!("{}:{}", label(line, "abi"), label(line, "syscall"));
            let count: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            *counts.entry(call).or_default() += count;
        }
        counts
    }
}

pub(crate) fn daemon(program: Command, directory: &Path, flags: &[&str]) -> Daemon {
    Daemon::start_command(&mut command(program, directory, flags))
}

fn command(mut command: Command, directory: &Path, flags: &[&str]) -> Command {
    let path = |name: &str| directory.join(name).display().to_string();
    command.args(["run", "--web.listen-address=127.0.0.1:0"]);
    command.args(["--policy.directory", &path("policies"), "--alert.log", &path("violations")]);
    command.args(["--state.directory", &path("state")]).args(flags);
    command
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Makes a cgroup with the name of a container's cgroup, without metadata.
pub(crate) fn container(parent: &TestCgroup) -> PathBuf {
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
    assert!(guard.incident_lines(&part).iter().all(|line| line["id"] == lines[0]["id"]), "it is one incident");
    let line = lines.iter().find(|line| text(line, "syscall") == "mount").expect("a report of the mounts");
    assert_eq!((text(line, "severity"), text(line, "policy")), ("critical", "runtime-default"), "{line}");
    assert_eq!((text(line, "kind"), text(line, "reason")), ("incident", "not_allowed"), "{line}");
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
    assert!(
        page.contains("Unexpected calls") && page.contains("mount, unshare") && page.contains("critical"),
        "{page}"
    );
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
    let guard = Guard::beside(&docker, &[]);
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
    for line in ["config.yaml:4:13: ", "config.yaml:7:13: ", "a.yaml:4:13: ", "a.yaml:2:5: ", "b.yaml:1:"] {
        guard.daemon.wait_for_log(line);
    }
    let scrape = guard.daemon.scrape();
    assert_eq!(scrape.value("syscallmon_policy_problems"), Some(5), "a name is there twice, too");
    assert_eq!(scrape.value("syscallmon_policy_last_reload_successful"), Some(0));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_reboot), &"7", &number(libc::SYS_getpid), &"5"]);
    let reboots = BTreeMap::from([(format!("{}:reboot", std::env::consts::ARCH), 7)]);
    assert_eq!(guard.counted(&cgroup.label()), reboots, "the good policy judges");

    let directory = guard.directory.path().join("policies").display().to_string();
    let strict = ["run", "--once", "--policy.strict=true", "--policy.directory", &directory];
    let output = syscallmon().args(strict).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("a.yaml:4:13: ") && error.contains("b.yaml:1:"), "{error}");
}

#[test]
fn a_policy_that_extends_the_built_in_one_keeps_its_protection() {
    let [cgroup, plain] = ["extends", "stands-alone"].map(TestCgroup::new);
    let policy = format!(
        "  - name: child\n    match: [{{cgroup: {}}}]\n    extends: base\n    allow: [\"@debug\", reboot]\n\
         \x20 - name: base\n    match: [{{cgroup: /none}}]\n    extends: runtime-default\n    severity: info\n\
         \x20 - name: plain\n    match: [{{cgroup: {}}}]\n    allow: [\"@runtime-default\"]\n",
        cgroup.label(),
        plain.label()
    );
    let guard = Guard::start(&policy, &[]);
    let [ptrace, mount, kcmp, reboot] =
        [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_kcmp, libc::SYS_reboot].map(number);
    KnownCalls::run(&[&"calls", &cgroup.path(), &ptrace, &"2", &mount, &"3", &kcmp, &"4", &reboot, &"5"]);
    KnownCalls::run(&[&"calls", &plain.path(), &mount, &"3"]);
    let severities = |lines: Vec<Value>| -> BTreeMap<String, String> {
        lines.iter().map(|line| (text(line, "syscall").to_owned(), text(line, "severity").to_owned())).collect()
    };
    let expected = [("ptrace", "critical"), ("mount", "critical"), ("kcmp", "info")];
    let expected = expected.map(|(call, severity)| (call.to_owned(), severity.to_owned()));
    assert_eq!(severities(guard.wait_for_lines(&cgroup.label(), 3)), BTreeMap::from(expected));
    let critical = BTreeMap::from([("mount".to_owned(), "critical".to_owned())]);
    assert_eq!(severities(guard.wait_for_lines(&plain.label(), 1)), critical);
}

/// Runs 300 threads that try `clone3`, which the container's filter answers with this errno.
fn threads_without_clone3(container: &Path, errno: i32) {
    KnownCalls::run(&[&"without-clone3", &container, &"300", &errno.to_string()]);
}

#[test]
fn threads_without_clone3_are_no_attack() {
    let parent = TestCgroup::new("clone3");
    let policy = format!(
        "  - name: test\n    match: [{{cgroup: \"{}/*\"}}]\n    allow: [\"*:*\"]\n    deny: [clone3]\n",
        parent.label()
    );
    let guard = Guard::start(&policy, &[]);
    let [harmless, hostile] = ["harmless", "hostile"].map(|name| parent.child(name));
    threads_without_clone3(&harmless, libc::ENOSYS);
    // Another errno is no way to say that the kernel lacks the call: this is reported, and after the first workload.
    threads_without_clone3(&hostile, libc::EPERM);
    let [harmless, hostile] = [harmless, hostile].map(|path| parent.label_of(&path));
    let lines = guard.wait_for_lines(&hostile, 1);
    assert_eq!((text(&lines[0], "syscall"), &lines[0]["denied"]), ("clone3", &true.into()), "{lines:#?}");
    let scrape = guard.daemon.settled_scrape();
    assert_eq!(scrape.denied(&harmless), [("clone3".to_owned(), 600)], "by the C library and by each thread");
    assert_eq!(scrape.denied(&hostile), [("clone3".to_owned(), 300), ("clone3".to_owned(), 300)]);
    assert_eq!(guard.lines(&harmless), [] as [Value; 0]);
    assert_eq!(guard.counted(&harmless), BTreeMap::new());
}

#[test]
fn calls_that_a_policy_allows_and_nobody_makes_are_counted() {
    let cgroup = TestCgroup::new("unused");
    let policy = format!(
        "- {{name: web, match: [{{cgroup: '{}'}}], allow: ['@runtime-default', getsid, personality]}}",
        cgroup.label()
    );
    let guard = Guard::start(&policy, &[]);
    let value = |name: &str| {
        let series = format!(r#"syscallmon_policy_{name}_calls{{abi="{}",policy="web"}}"#, std::env::consts::ARCH);
        guard.daemon.settled_scrape().value(&series).expect("a row for the policy")
    };
    let before = value("unused");
    assert_eq!(value("allowed"), before, "nobody was there");
    let calls = [libc::SYS_getsid, libc::SYS_personality, libc::SYS_getpriority].map(number);
    KnownCalls::run(&[&"calls", &cgroup.path(), &calls[0], &"2", &calls[1], &"2", &calls[2], &"2"]);
    let after = value("unused");
    assert!(after + 3 <= before, "{before} {after}");
}
