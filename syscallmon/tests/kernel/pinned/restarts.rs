//! Restarts and upgrades under load: totals are exact to the last call.

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Pins, TIMEOUT, container, counts};
use crate::{
    harness::{KnownCalls, TestCgroup, binary, is_long, is_short, number, wait_for},
    incidents::CALLS,
    policies::{self, Guard, text},
};

/// Calls of both CPUs in one cgroup, all the time.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<[u64; 4]>>,
}

/// The calls of [`Load`].
pub(super) const LOAD: [&str; 4] = ["getppid", "getuid", "sched_yield", "ppoll"];

impl Load {
    pub(super) fn start(cgroup: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut made = [0; 4];
            while !is_over.load(Relaxed) {
                let output = KnownCalls::run(&[&"mixed", &cgroup, &"2", &"2"]);
                let numbers = output.split_whitespace().skip(1).step_by(2);
                let numbers = numbers.map(|number| number.parse::<u64>().expect("a number"));
                made.iter_mut().zip(numbers).for_each(|(made, more)| *made += more);
            }
            made
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, and returns the number of each call.
    pub(super) fn finish(mut self) -> [u64; 4] {
        self.stop.store(true, Relaxed);
        self.thread.take().expect("it runs").join().expect("no panic")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A cgroup of the v1 controller of memory. Its limit kills a daemon.
struct Memory(TestCgroup);

impl Memory {
    const MOUNT: &str = "/sys/fs/cgroup/memory";

    /// `None` on a host without this controller.
    fn new() -> Option<Self> {
        let mount = Path::new(Self::MOUNT);
        mount.join("memory.limit_in_bytes").exists().then(|| Self(TestCgroup::new_at(mount, "pinned-memory")))
    }

    fn set(&self, name: &str, value: &str) {
        fs::write(self.0.path().join(name), value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    fn kills(&self) -> String {
        let control = fs::read_to_string(self.0.path().join("memory.oom_control")).expect("a controller of memory");
        control.lines().find(|line| line.starts_with("oom_kill ")).expect("a counter of kills").to_owned()
    }

    /// Lets the kernel kill a daemon that needs more memory.
    fn kill(&self, guard: &mut Guard) {
        self.set("memory.limit_in_bytes", "-1");
        self.set("cgroup.procs", &guard.daemon.pid().to_string());
        self.set("memory.limit_in_bytes", "65536");
        let before = self.kills();
        wait_for("the end for lack of memory", TIMEOUT, || {
            // Every answer needs memory. A daemon that is being killed does not answer.
            if let Ok(mut stream) = TcpStream::connect(guard.daemon.address()) {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let _ = stream.read_to_end(&mut Vec::new());
            }
            (self.kills() != before).then_some(())
        });
        assert_eq!(guard.daemon.wait().signal(), Some(libc::SIGKILL));
    }
}

/// Ends a daemon: asked to, killed, by a mistake, for lack of memory.
fn end(guard: &mut Guard, round: usize, memory: Option<&Memory>) {
    match (round % 4, memory) {
        (3, Some(memory)) => memory.kill(guard),
        (kind, _) => {
            let (signal, mut is_sent) = ([libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGKILL][kind], false);
            let stat = format!("/proc/{}/stat", guard.daemon.pid());
            wait_for("the end", TIMEOUT, || {
                // Rust handles the first SIGSEGV, and waits for the instruction to fail again.
                if signal == libc::SIGSEGV || !is_sent {
                    guard.daemon.signal(signal);
                    is_sent = true;
                }
                fs::read_to_string(&stat).unwrap().contains(") Z ").then_some(())
            });
            let status = guard.daemon.wait();
            assert_eq!(status.signal(), (signal != libc::SIGTERM).then_some(signal), "{status}");
        }
    }
}

#[test]
fn no_call_is_lost_or_doubled_and_each_unexpected_one_is_reported_over_restarts() {
    let (pins, parent, memory) = (Pins::new(), TestCgroup::new("pinned"), Memory::new());
    let (label, begin) = (parent.label(), Instant::now());
    // Daemons with other tables and other programs take over from each other.
    let usual = pins.flags();
    let other = ["--capacity.series=260000", "--capacity.cgroups=6000", "--probe.latency=true"];
    let other = [&[usual[0], usual[3]][..], &other].concat();
    let mut guard = Guard::start("  []", &usual);
    let load = Load::start(parent.child("busy"));
    let rounds = if is_long() {
        200
    } else if is_short() {
        3
    } else {
        12
    };
    for round in 0..rounds {
        end(&mut guard, round, memory.as_ref());
        // Cgroups come and go, and containers make unexpected calls, while no daemon is there.
        let prefix = format!("r{round}-");
        KnownCalls::run(&[&"short-lived", &parent.path(), &prefix, &"20", &number(libc::SYS_geteuid), &"7"]);
        let (path, (_, nr)) = (container(&parent, round), CALLS[round % CALLS.len()]);
        KnownCalls::run(&[&"calls", &path, &number(nr), &"3", &number(libc::SYS_getgid), &"5"]);
        if round % 2 == 0 {
            fs::remove_dir(&path).expect("remove the container");
        }
        guard.start_again(if round % 2 == 0 { &other } else { &usual });
        guard.daemon.wait_for_log("took the counts of pinned programs over");
        let ran = (round + 1) as u64;
        assert_eq!(counts(&guard.daemon, &label, ["geteuid", "getgid"]), [ran * 20 * 7, ran * 5], "round {round}");
    }
    let made = load.finish();
    assert_eq!(counts(&guard.daemon, &label, LOAD), made);
    guard.wait_until_judged();
    let lines = guard.lines(&label);
    assert_eq!(lines.len(), rounds, "{lines:#?}");
    for line in &lines {
        assert_eq!(text(&line["process"], "comm"), "known_calls", "{line}");
        assert!(text(&line["process"], "exe").ends_with("/known_calls"), "{line}");
    }
    let violations = guard.violations(&label);
    assert!(violations.values().all(|of_call| *of_call == (false, 3)), "counted once each: {violations:?}");
    wait_for("the removal of earlier tables", TIMEOUT, || (pins.tables() == 1).then_some(()));
    println!("{rounds} restarts, calls {made:?}, in {:?}", begin.elapsed());
}

#[test]
fn upgrades_between_two_daemons_are_exact() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("upgrades"));
    let (label, begin) = (parent.label(), Instant::now());
    // A daemon of another build, whose eBPF object may differ.
    let other_binary = env::var_os("SYSCALLMON_TEST_OTHER_BINARY").map_or_else(binary, PathBuf::from);
    let usual = pins.flags();
    let other =
        ["--capacity.series=260000", "--capacity.cgroups=6000", "--probe.latency=true", "--probe.arguments=none"];
    let other = [&[usual[0], usual[3]][..], &other].concat();
    let mut guard = Guard::start("  []", &usual);
    let load = Load::start(parent.child("busy"));
    let rounds = if is_long() { 50 } else { 4 };
    for round in 0..rounds {
        guard.daemon.signal(libc::SIGTERM);
        assert!(guard.daemon.wait().success());
        let prefix = format!("r{round}-");
        KnownCalls::run(&[&"short-lived", &parent.path(), &prefix, &"20", &number(libc::SYS_geteuid), &"7"]);
        let (program, flags) = if round % 2 == 0 { (&other_binary, &other[..]) } else { (&binary(), &usual[..]) };
        guard.daemon = policies::daemon(Command::new(program), guard.directory.path(), flags);
        guard.daemon.wait_for_log("took the counts of pinned programs over");
        assert_eq!(counts(&guard.daemon, &label, ["geteuid"]), [(round + 1) * 20 * 7], "round {round}");
    }
    let made = load.finish();
    assert_eq!(counts(&guard.daemon, &label, LOAD), made);
    println!("{rounds} upgrades, calls {made:?}, in {:?}", begin.elapsed());
}
