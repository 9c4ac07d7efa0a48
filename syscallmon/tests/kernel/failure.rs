//! What cannot work says so in one line, with a remedy, ends with a status, and leaves nothing behind.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::harness::{Daemon, KnownCalls, Output, TestCgroup, finished, mount_tracefs, number, syscallmon};

/// Asserts that a command failed with one line that has all these words.
fn assert_fails(output: &Output, words: &[&str]) {
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let lines: Vec<&str> = output.stderr.lines().filter(|line| !line.starts_with("ts=")).collect();
    assert_eq!(lines.len(), 1, "one line: {}", output.stderr);
    for word in words {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

fn run_with_config(text: &str) -> Output {
    let file = config(text);
    finished(["run", "--once", "--config.file", file.path().to_str().unwrap()])
}

#[test]
fn a_bad_configuration_is_named_with_its_line() {
    assert_fails(&run_with_config("poll: [\n"), &["line"]);
    assert_fails(&run_with_config("poll:\n  intervall: 5s\n"), &["intervall", "line 2"]);
    assert_fails(&run_with_config("capacity:\n  cgroups: many\n"), &["u32", "line 2"]);
    assert_fails(&run_with_config("capacity:\n  cgroups: 0\n"), &["capacity.cgroups", "1 to 65536"]);
    assert_fails(&finished(["run", "--config.file=/nonexistent.yaml"]), &["/nonexistent.yaml", "No such file"]);
}

#[test]
fn check_finds_the_same_mistakes() {
    let file = config("poll:\n  intervall: 5s\n");
    let output = finished(["check", "--config.file", file.path().to_str().unwrap()]);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.starts_with("missing") && output.stdout.contains("intervall"), "{}", output.stdout);
    let output = finished(["check", "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let is_fine = |line: &str| line.starts_with("ok ") || line.starts_with("fallback ");
    assert!(output.stdout.lines().all(is_fine), "{}", output.stdout);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_fails(&finished(["run", "--web.listen-address", &address]), &[&address, "in use", "--web.listen-address"]);
}

#[test]
fn a_bad_web_configuration_is_named() {
    let file = config("tls_server_confg: {}\n");
    let output = finished(["run", "--once", "--web.config.file", file.path().to_str().unwrap()]);
    assert_fails(&output, &["tls_server_confg"]);
}

#[test]
fn no_privileges_is_said_with_the_capabilities_that_are_needed() {
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .arg(crate::privileges::binary_for_everybody().path())
        .args(["run", "--once"])
        .output()
        .unwrap();
    let output =
        Output { code: output.status.code(), stdout: String::new(), stderr: String::from_utf8(output.stderr).unwrap() };
    assert_fails(&output, &["CAP_BPF", "CAP_PERFMON"]);
}

#[test]
fn without_btf_the_best_probe_is_refused_and_the_other_counts() {
    let nothing = tempfile::tempdir().unwrap();
    let sysfs = nothing.path().to_str().unwrap();
    let output = finished(["run", "--once", "--path.sysfs", sysfs, "--probe.sys-enter=tp_btf"]);
    assert_fails(&output, &["no kernel BTF", sysfs, "CONFIG_DEBUG_INFO_BTF"]);

    // Names of short-lived cgroups then come from the classic tracepoints.
    mount_tracefs();
    let daemon = Daemon::start(&["--path.sysfs", sysfs, "--cgroup.hierarchy=cgroup2"]);
    let cgroup = TestCgroup::new("nobtf");
    KnownCalls::run(&[&"threads", &cgroup.path(), &"2", &number(libc::SYS_getppid), &"50000"]);
    KnownCalls::run(&[&"short-lived", &cgroup.path(), &"s", &"100", &number(libc::SYS_getuid), &"100"]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&cgroup.label(), "getppid") + scrape.skipped(), 100_000);
    for index in 0..100 {
        let label = format!("{}/s{index}", cgroup.label());
        assert_eq!(scrape.calls(&label, "getuid"), 100, "{label}");
    }
    assert_eq!(scrape.implementation("sys_enter").as_deref(), Some("raw_tp"));
    assert_eq!(scrape.implementation("cgroup").as_deref(), Some("tracepoint"));
    assert!(daemon.log_line("no kernel BTF").is_some(), "the log says why");
    let line = daemon.log_line("32-bit calls cannot be told from").expect("the log says what is lost");
    assert!(line.contains("level=warn"), "{line}");

    let output = finished(["check", "--path.sysfs", sysfs, "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(output.code, Some(0), "it can run: {}", output.stdout);
    for line in [
        "missing  btf             (optional)",
        "fallback probe sys_enter raw_tp:",
        "fallback probe cgroup    tracepoint:",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
}

#[test]
fn a_cgroup_that_cannot_be_looked_into_is_not_taken_for_dead() {
    let nothing = tempfile::tempdir().unwrap();
    // Without cgroup events, the tree is walked at every poll, by a daemon that has no capability left.
    let daemon = Daemon::start(&["--path.sysfs", nothing.path().to_str().unwrap(), "--poll.interval=200ms"]);
    let base = TestCgroup::new("hidden");
    let cgroup = base.child("private");
    fs::create_dir(cgroup.join("below")).unwrap();
    let call = || KnownCalls::run(&[&"calls", &cgroup.join("below"), &number(libc::SYS_getppid), &"1000"]);
    call();
    daemon.settled_scrape();
    fs::set_permissions(&cgroup, fs::Permissions::from_mode(0o000)).unwrap();
    daemon.settled_scrape();
    call();
    let label = base.label_of(&cgroup.join("below"));
    assert_eq!(daemon.settled_scrape().calls(&label, "getppid"), 2000);
}

#[test]
fn no_cgroup_mount_is_said_with_the_remedy() {
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().to_str().unwrap();
    assert_fails(
        &finished(["run", "--once", "--path.cgroupfs", path]),
        &["no cgroup2 or v1 hierarchy", path, "--path.cgroupfs"],
    );
    assert!(Path::new(path).exists());
}

#[test]
fn mistyped_flags_are_explained() {
    let output = syscallmon().args(["run", "--web.listen-adress=x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--web.listen-address"), "{said}");
}
