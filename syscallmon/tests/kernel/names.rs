//! Containers get their names. Metadata providers that are wrong, slow or silent do not stop the counting.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use syscallmon_testkit::usage::Memory;

use crate::harness::{Daemon, Docker, KnownCalls, Scrape, TestCgroup, number, wait_for};

/// A call that no runtime makes.
const CALL: (&str, i64) = ("getpriority", libc::SYS_getpriority);

/// Arguments for `known_calls`: makes this many calls in its current cgroup.
fn calls(count: u64) -> Vec<String> {
    ["calls".to_owned(), "-".to_owned(), number(CALL.1), count.to_string()].into()
}

/// Returns how often a workload made the call, by the labels that name it.
fn called(scrape: &Scrape, labels: &str) -> Option<u64> {
    let abi = std::env::consts::ARCH;
    scrape.value(&format!(r#"syscallmon_syscalls_total{{{labels},syscall="{}",abi="{abi}"}}"#, CALL.0))
}

/// Waits until a workload has this many calls.
fn wait_for_calls(daemon: &Daemon, labels: &str, count: u64) -> Scrape {
    let mut last = None;
    wait_for(&format!("{count} calls of {labels}"), Duration::from_secs(30), || {
        let scrape = daemon.scrape();
        let now = called(&scrape, labels);
        assert!(last <= now, "{last:?} fell to {now:?}");
        last = now;
        (now == Some(count)).then_some(scrape)
    })
}

#[test]
fn a_container_s_name_stays_its_series_when_it_is_made_again() {
    let docker = Docker::start();
    let daemon = Daemon::start(&["--names.docker", &docker.socket()]);
    let first = docker.run(&["--name=web"], &calls(1000));
    let scrape = wait_for_calls(&daemon, r#"container="web""#, 1000);
    let info = scrape.text.lines().find(|line| line.starts_with(r#"syscallmon_workload_info{container="web""#));
    let info = info.expect("info on the container");
    assert!(
        info.contains(&format!(r#"container_id="docker://{first}""#)) && info.contains(r#"image="nothing""#),
        "{info}"
    );
    assert_eq!(scrape.value(r#"syscallmon_names_source_up{source="docker"}"#), Some(1));

    docker.remove(&first);
    let second = docker.run(&["--name=web"], &calls(234));
    let scrape = wait_for_calls(&daemon, r#"container="web""#, 1234);
    let raw: Vec<&str> = scrape
        .text
        .lines()
        .filter(|line| line.starts_with("syscallmon_syscalls_total") && line.contains(&second))
        .collect();
    assert_eq!(raw, [""; 0], "nothing is left under its id");
}

#[test]
fn rules_choose_the_labels_and_what_is_exported() {
    let docker = Docker::start();
    let rules = [
        "--names.docker",
        &docker.socket(),
        "--workload.labels=image,cgroup",
        r#"--workload.drop=container="quiet""#,
        r#"--workload.drop=cgroup=~"/syscallmon-test.*dropped""#,
    ];
    let daemon = Daemon::start(&rules);
    let dropped = TestCgroup::new("dropped");
    for name in ["one", "two", "quiet"] {
        docker.run(&[&format!("--name={name}")], &calls(100));
    }
    KnownCalls::run(&[&"calls", &dropped.path(), &number(CALL.1), &"11"]);
    wait_for_calls(&daemon, r#"image="nothing""#, 200);
    // The dropped calls are counted together.
    wait_for_calls(&daemon, r#"cgroup="(dropped)""#, 111);
}

/// Makes cgroups named like Docker's containers, with a call in each, until it is dropped.
struct UnknownContainers(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl UnknownContainers {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let cgroup = TestCgroup::new("unknown");
        let make = {
            let ends = Arc::clone(&ends);
            move || {
                for index in 0_u64.. {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    let directory = cgroup.path().join(format!("docker/{index:064x}"));
                    fs::create_dir_all(&directory).unwrap();
                    KnownCalls::run(&[&"calls", &directory, &number(libc::SYS_getppid), &"1"]);
                    // The daemon asks again for containers that still exist.
                    if index >= 64 {
                        let _ = fs::remove_dir(cgroup.path().join(format!("docker/{:064x}", index - 64)));
                    }
                }
            }
        };
        Self(ends, Some(thread::spawn(make)))
    }
}

impl Drop for UnknownContainers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

/// Returns how often a container with this name slept.
fn slept(scrape: &Scrape, name: &str) -> Option<u64> {
    let abi = std::env::consts::ARCH;
    scrape.value(&format!(r#"syscallmon_syscalls_total{{container="{name}",syscall="nanosleep",abi="{abi}"}}"#))
}

#[test]
fn a_container_that_is_renamed_goes_on_under_its_new_name_and_is_judged_anew() {
    let docker = Docker::start();
    let policies = tempfile::tempdir().unwrap();
    let policy = "policies: [{name: strict, match: [{container: renamed}], allow: ['*:*'], deny: [nanosleep]}]";
    fs::write(policies.path().join("p.yaml"), policy).unwrap();
    let directory = policies.path().display().to_string();
    // Runs alone: the unknown containers use up the room for first calls of other daemons.
    let daemon = Daemon::start_alone(&["--names.docker", &docker.socket(), "--policy.directory", &directory]);
    let asleep = ["sleeps", "-", "3000", "50000000"].map(str::to_owned);
    let id = docker.start_container(&["--name=original"], &asleep);
    wait_for("the container's calls", Duration::from_secs(30), || slept(&daemon.scrape(), "original"));
    docker.rename(&id, "renamed");
    // Containers that Docker does not know do not delay the names of others.
    let _unknown = UnknownContainers::start();
    let limit = Duration::from_secs(90);
    let first = wait_for("its calls under the new name", limit, || {
        let scrape = daemon.scrape();
        slept(&scrape, "renamed").map(|_| scrape)
    });
    let later = wait_for("more of them", limit, || {
        let scrape = daemon.scrape();
        (slept(&scrape, "renamed") > slept(&first, "renamed")).then_some(scrape)
    });
    let [before, after] = [&first, &later].map(|scrape| slept(scrape, "original"));
    // The unknown containers that ended have more series than are kept.
    assert!(before.is_some() && before == after, "it keeps what it did under its old name: {before:?}, {after:?}");
    wait_for("a violation of the policy for the new name", limit, || {
        let scrape = daemon.scrape();
        let unexpected = |name: &str| {
            let line = format!(r#"syscallmon_unexpected_syscalls_total{{container="{name}",syscall="nanosleep""#);
            scrape.text.lines().any(|shown| shown.starts_with(&line))
        };
        assert!(!unexpected("original"));
        unexpected("renamed").then_some(())
    });
    docker.remove(&id);
}

#[test]
fn a_container_without_a_name_is_dropped_by_its_cgroup_and_not_judged() {
    let cgroup = TestCgroup::new("unnamed");
    let [dropped, kept] = ["0123456789abcdef", "fedcba9876543210"].map(|part| cgroup.child(&part.repeat(4)));
    let rule = format!(r#"--workload.drop=cgroup="{}""#, cgroup.label_of(&dropped));
    let daemon = Daemon::start(&["--names.cri=off", "--names.docker=off", "--names.podman=off", &rule]);
    for (container, calls) in [(&dropped, "30"), (&kept, "12")] {
        KnownCalls::run(&[&"calls", container, &number(CALL.1), &calls, &number(libc::SYS_mount), &"7"]);
    }
    let scrape = wait_for_calls(&daemon, &format!(r#"cgroup="{}""#, cgroup.label_of(&kept)), 12);
    assert!(called(&scrape, r#"cgroup="(dropped)""#) >= Some(30), "counted, but together");
    let unexpected = |container: &Path| {
        let line =
            format!(r#"syscallmon_unexpected_syscalls_total{{cgroup="{}",syscall="mount""#, cgroup.label_of(container));
        daemon.settled_scrape().text.lines().any(|shown| shown.starts_with(&line))
    };
    assert!(unexpected(&kept), "an ordinary one is judged");
    assert!(!unexpected(&dropped) && !daemon.settled_scrape().text.contains(&cgroup.label_of(&dropped)));
}

/// Serves a socket with one of the ways in which a runtime fails to answer.
fn serve(socket: &Path, answer: fn(UnixStream)) {
    let listener = UnixListener::bind(socket).expect("a socket");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || answer(stream)))));
}

/// Reads the request, and answers with as much data as is read, up to 1 GB.
fn endless(mut stream: UnixStream) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n[");
    let block = vec![b' '; 65536];
    for _ in 0..1_000_000_000 / block.len() {
        if stream.write_all(&block).is_err() {
            return;
        }
    }
}

fn garbage(mut stream: UnixStream) {
    let _ = stream.write_all(&vec![0x5a; 100_000]);
}

fn silence(mut stream: UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn sources_that_lie_hang_or_never_stop_do_not_disturb_the_counting() {
    let directory = tempfile::tempdir().unwrap();
    let [cri, docker, podman] = ["cri", "docker", "podman"].map(|name| directory.path().join(name));
    serve(&cri, garbage);
    serve(&docker, endless);
    serve(&podman, silence);
    let flags = [("cri", &cri), ("docker", &docker), ("podman", &podman)]
        .map(|(name, socket)| format!("--names.{name}={}", socket.display()));
    let daemon = Daemon::start(&flags.each_ref().map(String::as_str));

    let cgroup = TestCgroup::new("sources");
    let (id, podmans) = ("0123456789abcdef".repeat(4), format!("libpod-{}", "f".repeat(64)));
    let containers = [id, podmans].map(|name| cgroup.child(&name));
    for container in &containers {
        KnownCalls::run(&[&"calls", container, &number(CALL.1), &"5000"]);
    }
    // Providers have time to answer; then the containers are named by their paths.
    for container in &containers {
        wait_for_calls(&daemon, &format!(r#"cgroup="{}""#, cgroup.label_of(container)), 5000);
    }
    for source in ["cri", "docker", "podman"] {
        let log = daemon.log_line_with(&["level=warn", "cannot read container names", &format!("source={source}")]);
        assert!(log.is_some(), "nothing is said about {source}");
        let up = daemon.scrape().value(&format!(r#"syscallmon_names_source_up{{source="{source}"}}"#));
        assert_eq!(up, Some(0), "{source}");
    }
    let peak = Memory::of(daemon.pid()).unwrap().peak;
    assert!(peak < 100 << 20, "{peak} bytes");
}

#[test]
fn what_a_container_makes_in_its_cgroup_is_its_own() {
    let cgroup = TestCgroup::new("nested");
    let container = cgroup.child(&"0123456789abcdef".repeat(4));
    let daemon = Daemon::start(&["--names.cri=off", "--names.docker=off", "--names.podman=off"]);
    // One of them looks like another container.
    let others = container.join(format!("kubepods/pod00000000-0000-0000-0000-000000000000/{}", "9".repeat(64)));
    fs::create_dir_all(&others).expect("make cgroups");
    let nested = (0..5000).map(|number| container.join(format!("n{number}")));
    nested.for_each(|path| fs::create_dir(path).expect("make a cgroup"));
    for inside in [container.join("n1"), container.join("n4999"), others, container.clone()] {
        KnownCalls::run(&[&"calls", &inside, &number(CALL.1), &"250"]);
    }
    let labels = format!(r#"cgroup="{}""#, cgroup.label_of(&container));
    let scrape = wait_for_calls(&daemon, &labels, 1000);
    assert_eq!(scrape.sum_below(&cgroup.label(), CALL.0), 1000, "in one series");
}
