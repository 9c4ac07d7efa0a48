//! Files, pipes and resolvers that never answer do not stop counting, health checks or shutdown.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::UdpSocket,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::io::FdFlags;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Daemon, KnownCalls, TestCgroup, binary, number, wait_for};

/// The documented 3 s, and a margin for a busy host.
const MAX_SHUTDOWN_TIME: Duration = Duration::from_secs(8);

/// Makes a cgroup that is named like a container. No other test uses the name.
fn container(parent: &TestCgroup) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("{:032x}{:032x}", process::id(), NEXT.fetch_add(1, Relaxed));
    let path = parent.path().join("docker").join(id);
    fs::create_dir_all(&path).expect("make a cgroup");
    path
}

/// Calls `mount` there, which no container is expected to do.
fn violate(path: &Path) {
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_mount), &"1"]);
}

fn flags(directory: &TempDir) -> Vec<String> {
    vec![format!("--state.directory={}", directory.path().join("state").display())]
}

/// Whether the API has a violation of this container.
fn has_violation(daemon: &Daemon, path: &Path) -> bool {
    let id = path.file_name().expect("a name").to_str().expect("text");
    daemon.get("/api/v1/violations?limit=1000").1.contains(id)
}

/// Asserts that the daemon answers, judges calls and stops in time.
fn assert_goes_on(mut daemon: Daemon, path: &Path) {
    let begin = Instant::now();
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.scrape();
    violate(path);
    wait_for("a violation in the API", Duration::from_secs(10), || has_violation(&daemon, path).then_some(()));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let begin = Instant::now();
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
    println!("ended after {:?}", begin.elapsed());
    assert!(begin.elapsed() < MAX_SHUTDOWN_TIME, "{:?}", begin.elapsed());
}

/// Returns the calls of this container's violations, and the command lines.
fn command_lines(daemon: &Daemon, path: &Path) -> Vec<(String, Value)> {
    let id = path.file_name().expect("a name").to_str().expect("text");
    let answer: Value = serde_json::from_str(&daemon.get("/api/v1/violations?limit=1000").1).expect("JSON");
    let violations = answer["data"]["violations"].as_array().expect("a list").iter();
    let of_it = violations.filter(|violation| violation.to_string().contains(id));
    let call = |violation: &Value| format!("{} by {}", violation["syscall"], violation["process"]["comm"]);
    of_it.map(|violation| (call(violation), violation["process"]["command_line"].clone())).collect()
}

#[test]
fn a_process_that_keeps_its_memory_map_locked_hides_only_itself() {
    let (parent, directory) = (TestCgroup::new("locked"), tempfile::tempdir().unwrap());
    let mut flags = flags(&directory);
    flags.extend(["--alert.log=off".to_owned()]);
    let daemon = Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let calls = [libc::SYS_mount, libc::SYS_bpf, libc::SYS_ptrace, libc::SYS_swapon, libc::SYS_init_module].map(number);
    let run = |path: &Path, threads: &str, seconds: &str| {
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"locked", &path, &threads, &seconds];
        args.extend(calls.iter().map(|call| call as &dyn AsRef<OsStr>));
        KnownCalls::start(&args)
    };
    // Four tenants block reads. Two of them alone would use all readers that one tenant may have.
    let locked: Vec<KnownCalls> = (0..4).map(|_| run(&container(&parent), "4", "3")).collect();
    let timed_out = r#"syscallmon_process_lookups_total{result="timed_out"}"#;
    wait_for("a look-up that times out", Duration::from_secs(20), || {
        daemon.scrape().value(timed_out).filter(|&count| count > 0)
    });
    let others: Vec<PathBuf> = (0..4).map(|_| container(&parent)).collect();
    let running: Vec<KnownCalls> = others.iter().map(|path| run(path, "0", "1")).collect();
    for run in running {
        run.finish();
    }
    daemon.settled_scrape();
    for path in &others {
        let command_lines = command_lines(&daemon, path);
        assert_eq!(command_lines.len(), calls.len(), "{command_lines:?}");
        assert!(command_lines.iter().all(|(_, line)| line.is_array()), "{command_lines:?}");
    }
    for run in locked {
        run.finish();
    }
}

#[test]
fn of_command_lines_is_kept_what_the_setting_says() {
    let (parent, directory) = (TestCgroup::new("command-lines"), tempfile::tempdir().unwrap());
    for (how, is_kept) in [("none", 0..=0), ("program", 1..=1), ("full", 6..=6)] {
        let mut flags = flags(&directory);
        flags.extend(["--alert.log=off".to_owned(), format!("--alert.command-line={how}")]);
        let daemon = Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        let path = container(&parent);
        // The process waits for a second after its call, so that /proc can be read.
        let running = KnownCalls::start(&[&"locked", &path, &"0", &"1", &number(libc::SYS_mount)]);
        let lines = wait_for("a violation", Duration::from_secs(20), || {
            let lines = command_lines(&daemon, &path);
            (!lines.is_empty()).then_some(lines)
        });
        running.finish();
        let arguments = lines[0].1.as_array().map_or(0, Vec::len);
        assert!(is_kept.contains(&arguments), "{how}: {lines:?}");
    }
}

#[test]
fn a_log_pipe_that_nobody_reads_stops_nothing() {
    let (parent, directory) = (TestCgroup::new("unread"), tempfile::tempdir().unwrap());
    let mut flags = flags(&directory);
    flags.push("--alert.log=stderr".to_owned());
    let daemon = Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.stop_reading_log();
    // Alerts fill the pipe, and log lines follow them.
    for _ in 0..20 {
        violate(&container(&parent));
    }
    let waits = r#"syscallmon_alerts_queued{sink="log"}"#;
    wait_for("alerts that wait", Duration::from_secs(20), || daemon.scrape().value(waits).filter(|&queued| queued > 0));
    for _ in 0..100 {
        daemon.signal(libc::SIGHUP);
        assert_eq!(daemon.get("/healthz").0, 200);
    }
    assert_goes_on(daemon, &container(&parent));
}

#[test]
fn a_secret_file_that_hangs_stops_nothing() {
    let (parent, directory) = (TestCgroup::new("hanging"), tempfile::tempdir().unwrap());
    let pipe = directory.path().join("token");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut flags = flags(&directory);
    // Nothing listens at these addresses. The daemon reads the secret file before it connects.
    flags.extend(["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|url| format!("--alert.alertmanager.url={url}")));
    flags.push(format!("--alert.alertmanager.bearer-token-file={}", pipe.display()));
    flags.push("--alert.log=off".to_owned());
    let daemon = Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    violate(&container(&parent));
    let timeouts = r#"syscallmon_blocking_timeouts_total{work="secret"}"#;
    let stuck = r#"syscallmon_blocking_stuck_threads{work="secret"}"#;
    wait_for("both to give up", Duration::from_secs(20), || {
        daemon.scrape().value(timeouts).filter(|&count| count >= 2)
    });
    assert_eq!(daemon.scrape().value(stuck), Some(1), "one thread for one file");
    assert_goes_on(daemon, &container(&parent));
}

/// Runs a command in a mount namespace in which `directory` is on a file system that never answers, like a dead
/// server's.
fn with_hanging_directory(directory: &Path, fuse: &File) -> Command {
    rustix::io::fcntl_setfd(fuse, FdFlags::empty()).expect("a descriptor that mount inherits");
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
    let script = format!("mount -i -t fuse -o {options} hanging {} && exec \"$@\"", directory.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(binary());
    command
}

#[test]
fn files_of_a_dead_server_end_a_check_and_a_start_in_time() {
    let (parent, directory) = (TestCgroup::new("dead-server"), tempfile::tempdir().unwrap());
    let hanging = directory.path().join("hanging");
    fs::create_dir(&hanging).unwrap();
    let file = hanging.join("file");
    let fuse = || File::options().read(true).write(true).open("/dev/fuse").expect("FUSE");
    let begin = Instant::now();
    let checks = [
        ("web.config.file", "web config"),
        ("policy.directory", "policies"),
        ("state.directory", "state"),
        ("alert.log", "alert log"),
        ("config.file", "config"),
    ];
    let check = |flag: &str, line: &str| {
        let fuse = fuse();
        let mut check = with_hanging_directory(&hanging, &fuse);
        check.args(["check", "--web.listen-address=127.0.0.1:0", &format!("--{flag}={}", file.display())]);
        let output = check.output().expect("run a check");
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = text.lines().find(|found| found.starts_with(&format!("failed   {line} ")));
        assert!(failed.is_some_and(|found| found.contains("no answer within")), "{flag}: {text}");
    };
    let start = |flag: &str| {
        let fuse = fuse();
        let mut run = with_hanging_directory(&hanging, &fuse);
        run.args(["run", "--web.listen-address=127.0.0.1:0", &format!("--{flag}={}", file.display())]);
        let output = run.output().expect("start the daemon");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("no answer within 10000 ms"), "{flag}: {text}");
    };
    thread::scope(|scope| {
        for (flag, line) in checks {
            scope.spawn(move || check(flag, line));
        }
        for flag in ["web.config.file", "config.file"] {
            scope.spawn(move || start(flag));
        }
    });
    println!("seven looks at files that hang: {:?}", begin.elapsed());

    let fuse = fuse();
    let mut run = with_hanging_directory(&hanging, &fuse);
    run.args(["run", "--web.listen-address=127.0.0.1:0", "--alert.log=off"]).args(flags(&directory));
    run.arg(format!("--policy.directory={}", file.display()));
    let daemon = Daemon::start_command(&mut run);
    assert_eq!(daemon.scrape().value("syscallmon_policy_problems"), Some(1));
    assert_goes_on(daemon, &container(&parent));
}

#[test]
fn a_silent_resolver_does_not_delay_the_end() {
    let (parent, directory) = (TestCgroup::new("silent"), tempfile::tempdir().unwrap());
    let nameserver = UdpSocket::bind("127.97.11.53:53").expect("an address for a nameserver that says nothing");
    nameserver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let resolv_conf = directory.path().join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.97.11.53\noptions timeout:20 attempts:3\n").unwrap();
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolv_conf.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(binary());
    command.args(["run", "--web.listen-address=127.0.0.1:0", "--alert.log=off"]).args(flags(&directory));
    command.arg("--alert.webhook.url=http://webhook.test/");
    let daemon = Daemon::start_command(&mut command);
    violate(&container(&parent));
    nameserver.recv_from(&mut [0; 512]).expect("a question");
    assert_goes_on(daemon, &container(&parent));
}
