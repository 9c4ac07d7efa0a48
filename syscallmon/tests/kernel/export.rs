//! HTTP responses with real counts.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, SystemTime},
};

use flate2::read::GzDecoder;

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, many_calls, number, wait_for},
    latency,
};

/// An answer, byte for byte.
fn raw_get(daemon: &Daemon, path: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{header}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = answer.split_off(split + 4);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}

#[test]
fn metrics_are_plain_text_and_gzip_for_those_who_ask() {
    let daemon = Daemon::start(&["--poll.interval=1h"]);
    // Two requests within a second get the same snapshot. A busy machine may need several tries.
    wait_for("two answers of one snapshot", Duration::from_mins(1), || {
        let (head, plain) = raw_get(&daemon, "/metrics", "");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        let (head, gzip) = raw_get(&daemon, "/metrics", "Accept-Encoding: gzip\r\n");
        assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept, accept-encoding"), "{head}");
        let mut text = String::new();
        GzDecoder::new(gzip.as_slice()).read_to_string(&mut text).unwrap();
        (text.as_bytes() == plain).then_some(())
    });
}

#[test]
fn open_metrics_says_since_when_a_cgroup_has_called() {
    let (daemon, base) = (Daemon::start(&["--metrics.created-timestamps=true"]), TestCgroup::new("born"));
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let late = base.child("later");
    KnownCalls::run(&[&"calls", &late, &number(libc::SYS_getppid), &"3"]);
    daemon.settled_scrape();
    let (head, body) =
        raw_get(&daemon, "/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert!(text.ends_with("\n# EOF\n"));
    let label = format!("{}/later", base.label());
    let series = format!("syscallmon_syscalls_created{{cgroup=\"{label}\",syscall=\"getppid\"");
    let created = text.lines().find(|line| line.starts_with(&series)).expect(&series).rsplit_once(' ').unwrap().1;
    let created: f64 = created.parse().unwrap();
    // This clock may be corrected in the meantime.
    assert!((before - 1.0..before + 60.0).contains(&created), "{created} is not after {before}");
}

#[test]
fn families_are_as_coarse_as_they_are_set_and_the_api_is_not() {
    let flags = ["--metrics.syscalls=set", "--metrics.errors=none"];
    let (daemon, cgroup) = (Daemon::start(&flags), TestCgroup::new("coarse"));
    let [failing, also_failing] = [libc::SYS_getitimer, libc::SYS_timer_delete].map(number);
    KnownCalls::run(&[&"calls", &cgroup.path(), &failing, &"1000", &also_failing, &"234"]);
    let scrape = daemon.settled_scrape();
    let (label, abi) = (cgroup.label(), std::env::consts::ARCH);
    for series in [
        format!(r#"syscallmon_syscalls_total{{cgroup="{label}",set="@timer",abi="{abi}"}} 1234"#),
        format!(r#"syscallmon_syscall_errors_total{{cgroup="{label}",abi="{abi}",errno="EFAULT"}} 1000"#),
        format!(r#"syscallmon_syscall_errors_total{{cgroup="{label}",abi="{abi}",errno="EINVAL"}} 234"#),
    ] {
        assert!(scrape.text.lines().any(|line| line == series), "no {series} in {}", scrape.text);
    }
    let families = ["syscallmon_syscalls_total{", "syscallmon_syscall_errors_total{"];
    let mut lines = scrape.text.lines().filter(|line| families.iter().any(|family| line.starts_with(family)));
    assert_eq!(lines.find(|line| line.contains("syscall=\"")), None);
    let (_, body) = daemon.get(&format!("/api/v1/workloads?prefix={label}"));
    assert!(body.contains("getitimer") && body.contains("timer_delete"), "{body}");
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let (daemon, base) = (Daemon::start(&[]), TestCgroup::new("lint"));
    let hostile = base.child("a\"b\\nc{}=\u{e9}\u{1f980}");
    KnownCalls::run(&[&"calls", &hostile, &number(libc::SYS_getppid), &"3"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metrics");
    std::fs::write(&file, daemon.settled_scrape().text).unwrap();
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .expect("promtool: run `cargo xtask setup --for test`");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn the_api_and_the_explorer_show_the_workload() {
    // Runs alone: other tests would push its first call out of the newest ones.
    let (daemon, cgroup) = (Daemon::start_alone(&latency::FLAGS), TestCgroup::new("<b>page"));
    // More calls than anything else on the host makes, so that it is the busiest workload.
    let count = 3 * many_calls();
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &count.to_string()]);
    KnownCalls::run(&[&"failing", &cgroup.path(), &"5", &"3", &"0"]);
    KnownCalls::run(&[&"refused", &cgroup.path(), &"errno", &"4"]);
    KnownCalls::run(&[&"sleeps", &cgroup.path(), &"2", &"1000000"]);
    daemon.settled_scrape();

    let prefix = cgroup.label().replace('<', "%3C").replace('>', "%3E");
    let (status, body) = daemon.get(&format!("/api/v1/workloads?limit=1&prefix={prefix}"));
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &answer["status"]), (200, &"success".into()));
    let workload = &answer["data"]["workloads"][0];
    assert_eq!(workload["workload"]["cgroup"], cgroup.label());
    let getppid = &workload["syscalls"][0];
    assert_eq!(
        (&getppid["abi"], &getppid["syscall"], &getppid["calls"]),
        (&std::env::consts::ARCH.into(), &"getppid".into(), &count.into())
    );
    let [first, last] = ["first_seen", "last_seen"].map(|field| getppid[field].as_f64().expect("seconds since 1970"));
    assert!(1.7e9 < first && first <= last, "{getppid}");
    let abi = std::env::consts::ARCH;
    let errors = serde_json::json!([
        {"abi": abi, "syscall": "openat", "errno": "ENOENT", "errors": 5},
        {"abi": abi, "syscall": "read", "errno": "EAGAIN", "errors": 3},
    ]);
    assert_eq!(workload["errors"], errors);
    assert_eq!(workload["denied"], serde_json::json!([{"abi": abi, "syscall": "mkdirat", "denied": 4}]));
    let durations = workload["durations"].as_array().unwrap();
    let sleeps = durations.iter().find(|entry| entry["syscall"] == "nanosleep").expect("sleeps");
    assert_eq!((&sleeps["calls"], sleeps["seconds"].as_f64() > Some(0.002)), (&2.into(), true), "{sleeps}");
    assert_eq!(sleeps["buckets"].as_array().unwrap().len(), 4, "as many as the flag names: {sleeps}");
    let first = answer["data"]["first_calls"]
        .as_array()
        .unwrap()
        .iter()
        .find(|call| call["workload"]["cgroup"] == cgroup.label());
    assert_eq!(first.expect("a first call")["comm"], "known_calls");

    let implementation = daemon.scrape().implementation("sys_enter").expect("a probe");
    let id = workload["id"].as_str().unwrap();
    let (status, overview) = daemon.get(&format!("/?q={prefix}"));
    assert_eq!(status, 200);
    assert!(overview.contains(env!("CARGO_PKG_VERSION")) && overview.contains(&implementation), "{overview}");
    assert!(overview.contains("1 workload<") && overview.contains(&format!("/workload/{id}")), "{overview}");
    let (status, page) = daemon.get(&format!("/workload/{id}"));
    assert_eq!(status, 200);
    for part in ["ENOENT 5", "EAGAIN 3", "<code>mkdirat</code>", "<code>nanosleep</code>", "known_calls (pid"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let escaped = cgroup.label().replace('<', "&#60;").replace('>', "&#62;");
    for page in [overview, page] {
        assert!(page.contains(&escaped) && !page.contains("<b>page"), "cgroup names are escaped: {page}");
    }
}

#[test]
fn bad_requests_get_clear_answers() {
    let daemon = Daemon::start(&[]);
    assert_eq!(daemon.get("/nothing").0, 404);
    let (status, body) = daemon.get("/api/v1/workloads?limit=many");
    assert_eq!(status, 400);
    assert!(body.contains("limit"), "{body}");
    assert_eq!(daemon.get("/api/v1/workloads?limt=1").0, 400);
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
}

#[test]
fn a_password_is_asked_for_when_the_web_configuration_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.yml");
    let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap();
    std::fs::write(&file, format!("basic_auth_users:\n  prometheus: {hash}\n")).unwrap();
    let daemon = Daemon::start(&["--web.config.file", file.to_str().unwrap()]);
    assert_eq!(daemon.get("/metrics").0, 401);
    assert_eq!(daemon.get("/").0, 401);
    assert_eq!(daemon.get("/healthz").0, 200);
    // prometheus:secret
    let (head, _) = raw_get(&daemon, "/metrics", "Authorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n");
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn several_addresses_are_listened_on() {
    let daemon = Daemon::start(&["--web.listen-address", "[::1]:0"]);
    let line = daemon.wait_for_log("address=[::1]:");
    let port = line.rsplit_once(':').unwrap().1.to_owned();
    let mut stream = TcpStream::connect(format!("[::1]:{port}")).unwrap();
    write!(stream, "GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}
