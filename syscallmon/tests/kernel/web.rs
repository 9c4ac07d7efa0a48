//! Network clients must not exhaust memory or time, or block health probes.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use exporter_web::listen_everywhere;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::harness::{Daemon, KnownCalls, TestCgroup, syscallmon, wait_for};

/// The limit in chart, manifests and unit.
const MEMORY_LIMIT: u64 = 256 << 20;

/// Generous, because other work shares the machine.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(3);

fn request(daemon: &Daemon, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asserts that health answers quickly and that memory stays below the limit, several times.
fn assert_well(daemon: &Daemon) {
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(daemon.get("/healthz").0, 200);
        assert!(start.elapsed() < MAX_RESPONSE_TIME, "/healthz took {:?}", start.elapsed());
        assert!(daemon.resident_memory() < MEMORY_LIMIT, "{} bytes", daemon.resident_memory());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn regular_expressions_of_a_request_cost_little() {
    let daemon = Daemon::start(&[]);
    let large = vec![r#"pod=~"\w{100}""#; 60].join(",");
    let larger = vec![r#"pod=~"(\w{30}|\pL{40}){9}""#; 160].join(",");
    let encoded = |text: &str| text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
    for path in ["/api/v1/workloads", "/api/v1/violations"] {
        let streams =
            [&large, &larger, &larger].map(|text| request(&daemon, &format!("{path}?match={}", encoded(text))));
        assert_well(&daemon);
        for stream in streams {
            let answer = answer(stream);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(r#""error":"match: "#), "{answer}");
        }
    }
    let answer = answer(request(&daemon, r#"/api/v1/workloads?match=namespace="shop",pod=~"web-.*""#));
    assert!(answer.starts_with("HTTP/1.1 200"), "as the README has it: {answer}");
    println!("resident: {} KiB", daemon.resident_memory() / 1024);
}

#[test]
fn readers_that_do_not_read_keep_nobody_from_anything() {
    let daemon = Daemon::start(&["--poll.interval=100ms"]);
    let mut readers: Vec<TcpStream> = (0..20).map(|_| request(&daemon, "/api/v1/violations?limit=100000")).collect();
    for _ in 0..300 {
        readers.push(request(&daemon, "/metrics"));
        thread::sleep(Duration::from_millis(5));
    }
    assert_well(&daemon);
    assert!(daemon.scrape().text.contains("syscallmon_build_info"));
    println!("resident: {} KiB", daemon.resident_memory() / 1024);
}

/// Unexpected but harmless calls: a kernel without x32 rejects them.
#[cfg(target_arch = "x86_64")]
const X32: u64 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
#[test]
fn readers_of_all_violations_share_a_bounded_memory() {
    let (daemon, parent) = (Daemon::start(&["--alert.log=off"]), TestCgroup::new("readers"));
    let base = parent.child("docker");
    for index in 0..16 {
        let path = base.join(format!("{:060x}{index:04x}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        KnownCalls::run(&[&"range", &path, &X32.to_string(), &(X32 + 547).to_string()]);
    }
    let full = || (daemon.settled_scrape().value("syscallmon_violations")? >= 1000).then_some(());
    wait_for("many violations", Duration::from_secs(30), full);
    let path = "/api/v1/violations?limit=100000";
    let readers: Vec<TcpStream> = (0..40).map(|_| request(&daemon, path)).collect();
    assert_well(&daemon);
    thread::sleep(Duration::from_secs(3));
    assert_well(&daemon);
    let (status, body) = daemon.get(path);
    assert_eq!(status, 200, "those that do not read make room: {body}");
    println!("one answer: {} KiB, resident: {} KiB", body.len() / 1024, daemon.resident_memory() / 1024);
    drop(readers);
}

#[test]
fn idle_connections_do_not_shut_out_probe_and_scrape() {
    let daemon = Daemon::start(&[]);
    let idle: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    assert_well(&daemon);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/metrics").0, 200);
    drop(idle);
}

#[test]
fn times_and_errors_are_as_people_write_them() {
    let daemon = Daemon::start(&[]);
    for since in
        ["10m", "1764315000", "2025-11-28T07:30:00Z", "2025-11-28T07:30:00%2B02:00", "2025-11-28T07:30:00+02:00"]
    {
        assert_eq!(daemon.get(&format!("/api/v1/violations?since={since}")).0, 200, "{since}");
    }
    let (status, body) = daemon.get("/api/v1/violations?since=soon");
    assert!(status == 400 && body.contains("expected a duration such as 10m"), "{body}");
    let (status, body) = daemon.get("/nothing");
    assert!(status == 404 && body.contains("There is no such page"), "{body}");
    let (status, body) = daemon.get("/api/v1/nothing");
    assert!(status == 404 && body.contains(r#""error":"#), "{body}");
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    let head = "DELETE /api/v1/baselines/docker:web HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let answer = answer(stream).to_lowercase();
    let allow = answer.lines().find(|line| line.starts_with("allow:")).unwrap_or_default();
    assert!(answer.starts_with("http/1.1 405") && allow == "allow: get,head", "{answer}");
    assert!(answer.contains(r#""error":"method not allowed"#), "{answer}");
}

#[test]
fn changes_are_for_local_clients_only() {
    let daemon = Daemon::start(&[]);
    let post = |headers: &str| {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        let path = "/api/v1/baselines/docker:nobody/forget";
        write!(stream, "POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}\r\n")
            .unwrap();
        answer(stream).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(post("Host: 127.0.0.1:9778\r\n"), "404", "there is none, but it may be asked for");
    assert_eq!(post("Host: localhost\r\nContent-Length: 3\r\n"), "404");
    for headers in [
        "Host: node.example\r\n",
        "Host: localhost\r\nVia: 1.1 proxy\r\n",
        "Host: localhost\r\nX-Real-IP: 192.0.2.1\r\n",
        "Host: localhost\r\nX-Forwarded-Proto: https\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
    ] {
        assert_eq!(post(headers), "403", "{headers}");
    }
}

#[test]
fn commands_that_print_end_quietly_when_nobody_reads() {
    for arguments in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["man", "run"],
        &["seccomp-profile"],
        &["--help"],
        &["check"],
    ] {
        let mut command = syscallmon();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert!(
            arguments[0] == "check" || (output.status.success() && said.is_empty()),
            "{arguments:?}: {} {said}",
            output.status
        );
    }
}

/// Runs code in its own network namespace, with the loopback interface up.
fn in_network_namespace(test: impl FnOnce() + Send + 'static) {
    let run = move || {
        // SAFETY: a network namespace of this thread only; no memory or file descriptors are unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("iproute2");
        assert!(up.success());
        test();
    };
    thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn connects(address: impl std::net::ToSocketAddrs) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_port_alone_is_of_both_families_where_sockets_are_of_ipv6_alone() {
    in_network_namespace(|| {
        std::fs::write("/proc/sys/net/ipv6/bindv6only", "1").unwrap();
        let listener = listen_everywhere(9778).unwrap();
        assert!(connects((Ipv4Addr::LOCALHOST, 9778)), "{listener:?}");
        assert!(connects((Ipv6Addr::LOCALHOST, 9778)), "{listener:?}");
    });
}

#[test]
fn a_port_alone_is_of_ipv4_where_ipv6_has_no_addresses() {
    in_network_namespace(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let _listener = listen_everywhere(9778).unwrap();
        assert!(connects((Ipv4Addr::LOCALHOST, 9778)));
    });
}

#[test]
fn a_port_alone_is_of_ipv4_where_there_is_no_ipv6() {
    let refuse = || {
        refuse_ipv6();
        assert!(std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err());
        let listener = listen_everywhere(0).unwrap();
        assert!(connects((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port())));
    };
    thread::spawn(refuse).join().unwrap();
}

/// Acts like a kernel with `ipv6.disable=1`: `socket(AF_INET6, ...)` of this thread fails with EAFNOSUPPORT.
fn refuse_ipv6() {
    let load = |offset: u32| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let unless = |value: u32, skip: u8| libc::sock_filter { code: 0x15, jt: 0, jf: skip, k: value };
    let give = |value: u32| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: value };
    // Fields of seccomp_data: the number, and the low half of the first argument.
    let (number, family) = (u32::try_from(libc::SYS_socket).unwrap(), u32::try_from(libc::AF_INET6).unwrap());
    let errno = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EAFNOSUPPORT).unwrap();
    let mut filter =
        [load(0), unless(number, 3), load(16), unless(family, 1), give(errno), give(libc::SECCOMP_RET_ALLOW)];
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    // SAFETY: the arguments are integers, and a program that lives until the call returns. Both calls affect only this
    // thread.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}
