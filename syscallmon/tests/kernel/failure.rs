//! A failure prints one line with a remedy, exits with a status, and leaves nothing behind.

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
    assert!(output.stdout.starts_with("failed") && output.stdout.contains("intervall"), "{}", output.stdout);
    let output = finished(["check", "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let is_fine = |line: &str| line.starts_with("ok ") || line.starts_with("remark ");
    assert!(output.stdout.lines().all(is_fine), "{}", output.stdout);
}

/// Asserts that `check` prints a line with this beginning and this text, and exits with this status.
fn assert_checked(flags: &[&str], code: i32, start: &str, part: &str) {
    let output = finished([&["check", "--web.listen-address=127.0.0.1:0"], flags].concat());
    let line = output.stdout.lines().find(|line| line.starts_with(start));
    assert!(line.is_some_and(|line| line.contains(part)), "{start} {part}: {}", output.stdout);
    assert_eq!(output.code, Some(code), "{}", output.stdout);
}

#[test]
fn check_tries_what_a_configuration_names() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (alertmanager, webhook) =
        (format!("--alert.alertmanager.url=http://{nobody}"), format!("--alert.webhook.url=http://{nobody}/hook"));
    assert_checked(&["--kubernetes.kubeconfig=/nonexistent.yaml"], 1, "failed   kubernetes", "/nonexistent.yaml");
    let kubeconfig = config(&format!(
        "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], users: [], \
         clusters: [{{name: k, cluster: {{server: 'http://{nobody}'}}}}]}}"
    ));
    let kubeconfig = format!("--kubernetes.kubeconfig={}", kubeconfig.path().display());
    assert_checked(&[&kubeconfig], 0, "remark   kubernetes", "Connection refused");
    assert_checked(&["--alert.log=/nonexistent/alert.log"], 1, "failed   alert log", "--alert.log");
    assert_checked(&["--state.directory=/nonexistent/state"], 0, "remark   state", "no policy learns");
    assert_checked(&[&alertmanager], 0, "remark   alertmanager", "Connection refused");
    assert_checked(&[&webhook], 0, "remark   webhook", "Connection refused");
    let token = "--alert.webhook.bearer-token-file=/nonexistent";
    assert_checked(&[&webhook, token], 1, "failed   alert files", "/nonexistent");
    assert_checked(&["--policy.directory=/nonexistent"], 1, "failed   policies", "/nonexistent");
    let file =
        config("policies:\n- {name: a, match: [{pod: a}], learn: {}}\n- {name: b, match: [{pod: b}], alow: []}\n");
    let config_file = format!("--config.file={}", file.path().display());
    assert_checked(
        &[&config_file],
        1,
        "failed   policies",
        ":3:32: policy b: unknown key \"alow\" (did you mean allow?)",
    );
    assert_checked(&[&config_file, "--state.directory=/nonexistent/state"], 1, "failed   state", "--state.directory");
}

#[test]
fn check_knows_a_daemon_that_runs_from_a_stranger() {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join("baselines")).unwrap();
    let flag = format!("--state.directory={}", state.path().display());
    let daemon = Daemon::start(&[&flag]);
    let address = daemon.address().to_string();
    let output = finished(["check", "--web.listen-address", &address, &flag]);
    for start in
        [format!("remark   listen          {address}: in use by a running syscallmon"), "remark   state ".to_owned()]
    {
        assert!(output.stdout.lines().any(|line| line.starts_with(&start)), "{start}: {}", output.stdout);
    }
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let output = finished(["check", "--web.listen-address", &address]);
    assert!(output.stdout.contains(&format!("failed   listen          {address}: ")), "{}", output.stdout);
    assert_eq!(output.code, Some(1));
}

#[test]
fn check_is_for_scripts_too() {
    let output = finished(["check", "--output=json", "--alert.log=/nonexistent/alert.log"]);
    let findings: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let of = |name: &str| findings.as_array().unwrap().iter().find(|finding| finding["name"] == name).unwrap();
    assert_eq!((&of("config")["state"], &of("alert log")["state"]), (&"ok".into(), &"failed".into()));
    assert_eq!(output.code, Some(1));
    assert_eq!(finished(["check", "--no-such-flag"]).code, Some(2));
}

#[test]
fn capabilities_in_a_user_namespace_are_not_enough() {
    let binary = crate::privileges::binary_for_everybody();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(binary.path()).arg("check");
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().find(|line| line.starts_with("failed   capabilities"));
    assert!(line.is_some_and(|line| line.contains("user namespace")), "{stdout} {output:?}");
    assert_eq!(output.status.code(), Some(1));
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
    assert_fails(&output, &["cannot read kernel BTF", sysfs, "CONFIG_DEBUG_INFO_BTF"]);

    // Names of short-lived cgroups then come from classic tracepoints.
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
    daemon.wait_for_log("cannot read kernel BTF");
    let line = daemon.wait_for_log("32-bit calls are counted as");
    assert!(line.contains("level=warn"), "{line}");

    let output = finished(["check", "--path.sysfs", sysfs, "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(output.code, Some(0), "it can run: {}", output.stdout);
    for line in [
        "remark   btf             cannot read kernel BTF",
        "remark   probe sys_enter raw_tp:",
        "remark   probe cgroup    tracepoint:",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
}

#[test]
fn a_cgroup_that_cannot_be_looked_into_is_not_taken_for_dead() {
    let nothing = tempfile::tempdir().unwrap();
    // Without cgroup events, the daemon walks the tree at each poll, and has no capability left.
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
