//! The programs that are attached during a measurement.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use aya::{
    Btf, Ebpf,
    maps::{Array, RingBuf},
    programs::BtfTracePoint,
};
use syscallmon_testkit::{Guarded, interrupt, try_wait_for};
use tempfile::{NamedTempFile, TempDir};
use xtask_support::shell;

use super::{
    daemon::{Daemon, FRESH},
    host::Host,
    observers,
    worker::Workload,
};

/// A typical bpftrace program to count system calls by cgroup.
const COUNTS: &str = "tracepoint:raw_syscalls:sys_enter { @[cgroup, args->id] = count(); }";
/// The same by the first argument, too.
const COUNTS_OF_ARGUMENTS: &str = "tracepoint:raw_syscalls:sys_enter { @[cgroup, args->id, args->args[0]] = count(); }";
/// A typical bpftrace program to measure system calls. The counts show whether calls are missing.
const HISTOGRAMS: &str = "tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; } \
    tracepoint:raw_syscalls:sys_exit /@start[tid]/ { \
        @took[cgroup, args->id] = hist(nsecs - @start[tid]); delete(@start[tid]); @[cgroup, args->id] = count(); }";
/// Directories of tracefs. Classic tracepoints require one of them.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Numbers of the calls that [`Variant::Event`] reports.
const EVENTS: [i64; 2] = [libc::SYS_socket, libc::SYS_clone];

/// Number of policies in the variant with many.
const POLICIES: u32 = 50;

const TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// Time for the kernel to finish attaching and detaching.
const SETTLE: Duration = Duration::from_millis(100);

/// A set of attached programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variant {
    Nothing,
    /// An empty program on `sys_enter`: the cost of any program.
    Empty,
    /// Empty programs on `sys_enter` and `sys_exit`.
    EmptyBoth,
    /// The daemon, which only counts calls.
    Counting,
    /// The daemon, which also counts errors.
    Errors,
    /// The daemon with its defaults: also counts errors and denied calls.
    Daemon,
    /// The daemon with its defaults, which also measures calls that the workload does not make.
    Latency,
    /// The daemon with its defaults, which also measures the workload's calls.
    LatencyListed,
    /// The daemon with its defaults, as on kernels without BTF.
    RawTp,
    /// The daemon with its defaults, as on kernels that preempt raw tracepoint programs.
    Tracepoint,
    /// The daemon without a policy.
    NoPolicies,
    /// The daemon with many policies. The last one matches the workload.
    Policies,
    /// The daemon with its defaults, without classes of arguments.
    NoArguments,
    /// The daemon in pinned mode: dispatchers run its programs.
    Pinned,
    /// An event for each call of [`EVENTS`], which a thread on another CPU receives.
    Event,
    /// The published design of Rezolus' latency sampler.
    Rezolus,
    /// bpftrace with counts.
    Bpftrace,
    /// bpftrace with counts by the first argument.
    BpftraceArguments,
    /// bpftrace with histograms.
    BpftraceLatency,
    /// syscount of libbpf-tools, which measures.
    Syscount,
}

/// The attached programs. Dropping them detaches them.
pub(super) enum Attachment {
    Nothing,
    BenchBaseline(#[expect(dead_code, reason = "held, not read")] Box<Ebpf>),
    Receiver(#[expect(dead_code, reason = "held, not read")] Receiver),
    Daemon(Daemon),
    /// Dropped in this order.
    Pinned(Daemon, #[expect(dead_code, reason = "held, not read")] BpfFileSystem),
    Peer(Peer),
}

impl Variant {
    /// Returns the name in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "empty program",
            Self::EmptyBoth => "empty programs on both",
            Self::Counting => "syscallmon, calls only",
            Self::Errors => "syscallmon, with errors",
            Self::Daemon => "syscallmon",
            Self::Latency => "syscallmon, measuring others",
            Self::LatencyListed => "syscallmon, measuring",
            Self::RawTp => "syscallmon, raw_tp",
            Self::Tracepoint => "syscallmon, tracepoint",
            Self::NoPolicies => "syscallmon, no policy",
            Self::Policies => "syscallmon, 50 policies",
            Self::NoArguments => "syscallmon, no arguments",
            Self::Pinned => "syscallmon, pinned",
            Self::Event => "an event for each call",
            Self::Rezolus => "Rezolus' design, measuring",
            Self::Bpftrace => "bpftrace",
            Self::BpftraceArguments => "bpftrace, first argument",
            Self::BpftraceLatency => "bpftrace, measuring",
            Self::Syscount => "syscount -L",
        }
    }

    /// Attaches the programs, and waits until they are in effect and the system is quiet.
    pub(super) fn attach(self, host: &Host) -> Result<Attachment> {
        let daemon = |flags: &[&str]| Ok::<_, anyhow::Error>(Attachment::Daemon(Daemon::start(host, flags)?));
        let attachment = match self {
            Self::Nothing => Attachment::Nothing,
            Self::Empty => bench_baseline(host, &[("empty", "sys_enter")])?,
            Self::EmptyBoth => bench_baseline(host, &[("empty", "sys_enter"), ("empty_exit", "sys_exit")])?,
            Self::Rezolus => bench_baseline(host, &[("rezolus", "sys_enter"), ("rezolus_exit", "sys_exit")])?,
            Self::Event => Attachment::Receiver(Receiver::start(host)?),
            Self::NoArguments => daemon(&["--probe.arguments=none"])?,
            Self::Pinned => {
                let pins = BpfFileSystem::mount()?;
                let directory = format!("--pin.directory={}", pins.0.path().join("syscallmon").display());
                Attachment::Pinned(Daemon::start(host, &[&directory])?, pins)
            }
            Self::Counting => daemon(&["--probe.errors=false", "--probe.denied=false"])?,
            Self::Errors => daemon(&["--probe.denied=false"])?,
            Self::Daemon => daemon(&[])?,
            Self::Latency => daemon(&["--probe.latency=true"])?,
            Self::LatencyListed => daemon(&["--probe.latency=true", "--latency.syscalls=getppid"])?,
            Self::RawTp => daemon(&["--probe.sys-enter=raw_tp"])?,
            Self::NoPolicies => daemon(&["--policy.runtime-default=false"])?,
            Self::Policies => {
                let directory = policies(host)?;
                daemon(&["--policy.directory", &directory.display().to_string()])?
            }
            Self::Tracepoint => {
                ensure_tracefs()?;
                daemon(&["--probe.sys-enter=tracepoint"])?
            }
            Self::Bpftrace => Attachment::Peer(Peer::start(host, &host.bpftrace, &["-e", COUNTS])?),
            Self::BpftraceArguments => {
                Attachment::Peer(Peer::start(host, &host.bpftrace, &["-e", COUNTS_OF_ARGUMENTS])?)
            }
            Self::BpftraceLatency => Attachment::Peer(Peer::start(host, &host.bpftrace, &["-e", HISTOGRAMS])?),
            Self::Syscount => Attachment::Peer(Peer::start(host, &host.syscount, &["-L", "-T", "500"])?),
        };
        // The daemon took its first snapshot at its start. The next scrape must take a new one.
        let has_daemon = matches!(attachment, Attachment::Daemon(_) | Attachment::Pinned(..));
        interrupt::sleep(if has_daemon { FRESH } else { SETTLE })?;
        Ok(attachment)
    }
}

impl Attachment {
    /// Returns the number of the workload's calls that were counted, or `None` if the programs do not count. Detaches
    /// them.
    pub(super) fn counted(self, workload: &Workload) -> Result<Option<u64>> {
        let (name, number) = workload.syscall;
        match self {
            Self::Nothing | Self::BenchBaseline(_) | Self::Receiver(_) => Ok(None),
            Self::Daemon(ref daemon) | Self::Pinned(ref daemon, _) => {
                let count = || -> Result<u64> { Ok(daemon.scrape()?.sum_below(&workload.cgroup.label(), name)) };
                let counted = count()?;
                if counted >= workload.calls {
                    return Ok(Some(counted));
                }
                // The daemon takes a snapshot early when many cgroups have been removed. This may have just happened.
                interrupt::sleep(FRESH)?;
                count().map(Some)
            }
            Self::Peer(peer) => {
                let printed = peer.finish()?;
                let counts = [count(&printed, workload.cgroup.id()?, number), row(&printed, name)];
                Ok(Some(counts.into_iter().sum()))
            }
        }
    }
}

/// A bpf file system of its own. When it is dropped, the kernel removes what is pinned there.
pub(super) struct BpfFileSystem(TempDir);

impl BpfFileSystem {
    fn mount() -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut mount = Command::new("mount");
        shell::run(mount.args(["-t", "bpf", "bpf"]).arg(directory.path()), "mounting needs root")?;
        Ok(Self(directory))
    }
}

impl Drop for BpfFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Writes policies. The last one matches every cgroup of the measurements, and allows the measured calls. Returns their
/// directory.
fn policies(host: &Host) -> Result<PathBuf> {
    let policy = |number: u32| {
        let selector = if number == POLICIES {
            "cgroup=~\"/syscallmon-bench-.*\""
        } else {
            "namespace=~\"shop-.*\",pod!~\"web-.*\""
        };
        format!(
            "- name: bench-{number}\n  match: ['{selector}']\n  allow: ['@system-service', getppid]\n  deny: [ptrace]\n"
        )
    };
    let directory = host.scratch.join("policies");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let text: String = (1..=POLICIES).map(policy).collect();
    fs::write(directory.join("bench.yaml"), format!("policies:\n{text}")).context("cannot write policies")?;
    Ok(directory)
}

/// Attaches programs of the object `bench_baseline` to their tracepoints.
fn bench_baseline(host: &Host, programs: &[(&str, &str)]) -> Result<Attachment> {
    Ok(Attachment::BenchBaseline(Box::new(attached(host, programs)?)))
}

fn attached(host: &Host, programs: &[(&str, &str)]) -> Result<Ebpf> {
    let object = &host.bench_baseline;
    let mut ebpf = Ebpf::load_file(object).with_context(|| format!("cannot load {}", object.display()))?;
    let btf = Btf::from_sys_fs()?;
    for &(name, tracepoint) in programs {
        let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut BtfTracePoint = program.try_into()?;
        program.load(tracepoint, &btf).with_context(|| format!("the kernel refused {name}"))?;
        program.attach().with_context(|| format!("cannot attach {name}"))?;
    }
    Ok(ebpf)
}

/// A thread that receives events of calls, until it is dropped.
pub(super) struct Receiver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start(host: &Host) -> Result<Self> {
        let mut ebpf = attached(host, &[("event", "sys_enter")])?;
        let mut class = Array::<_, u32>::try_from(ebpf.map_mut("CLASS").context("no map CLASS")?)?;
        for number in EVENTS {
            class.set(u32::try_from(number)?, 1, 0).context("cannot choose calls")?;
        }
        let mut events = RingBuf::try_from(ebpf.take_map("EVENTS").context("no map EVENTS")?)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let receive = move || {
            let _attached = ebpf;
            while !stopped.load(Ordering::Relaxed) {
                while events.next().is_some() {}
                thread::yield_now();
            }
        };
        Ok(Self { stop, thread: Some(thread::spawn(receive)) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A tool of another project. It prints its results when it is interrupted. Dropping it kills it.
pub(super) struct Peer {
    child: Guarded,
    output: NamedTempFile,
}

impl Peer {
    fn start(host: &Host, program: &Path, args: &[&str]) -> Result<Self> {
        ensure_tracefs()?;
        let output = NamedTempFile::new().context("cannot make a temporary file")?;
        let file = || -> Result<File> { output.reopen().context("cannot open a temporary file") };
        let mut command = Command::new(program);
        let mut child = Guarded::spawn_bound(command.args(args).stdout(file()?).stderr(file()?))?;
        // Its own message comes before it attaches.
        try_wait_for("a peer to attach", TIMEOUT, PAUSE, || {
            child.ensure_running()?;
            Ok(observers::find(host)?.contains(&child.pid()).then_some(()))
        })?;
        Ok(Self { child, output })
    }

    /// Ends the tool. Returns its output.
    fn finish(mut self) -> Result<String> {
        self.child.signal(libc::SIGINT)?;
        self.child.wait(TIMEOUT)?;
        fs::read_to_string(self.output.path()).context("cannot read what a peer printed")
    }
}

/// Mounts tracefs unless it is mounted. It stays mounted.
fn ensure_tracefs() -> Result<()> {
    if TRACEFS.iter().any(|dir| Path::new(dir).join("events").is_dir()) {
        return Ok(());
    }
    shell::run(
        Command::new("mount").args(["-t", "tracefs", "tracefs", TRACEFS[0]]),
        "classic tracepoints need tracefs, and root",
    )
}

/// Returns the count of one cgroup and call in bpftrace's output: `@[cgroup, nr]: count`, or `@[cgroup, nr, first]:
/// count` for each first argument.
fn count(output: &str, cgroup: u64, number: i64) -> u64 {
    let key = format!("@[{cgroup}, {number}");
    let counts = output.lines().filter_map(|line| {
        let (more, count) = line.strip_prefix(&key)?.split_once("]: ")?;
        let is_whole = more.is_empty() || more.starts_with(", ");
        count.trim().parse::<u64>().ok().filter(|_| is_whole)
    });
    counts.sum()
}

/// Returns the count of one call in syscount's output: name, count, duration.
fn row(output: &str, name: &str) -> u64 {
    output.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_found_among_all_that_bpftrace_printed() {
        let output = "Attaching 1 probe...\n\n\n@[1, 110]: 5\n@[42, 11]: 6\n@[42, 110]: 1100001\n";
        assert_eq!(count(output, 42, 110), 1_100_001);
        assert_eq!((count(output, 4, 110), count(output, 42, 11)), (0, 6));
        let output = "@[42, 41, 1]: 5\n@[42, 41, 2]: 6\n@[42, 410, 2]: 7\n";
        assert_eq!(count(output, 42, 41), 11);
    }

    #[test]
    fn row_is_found_in_the_table_of_syscount() {
        let output = "Tracing syscalls, printing top 10... Ctrl+C to quit.\n[05:00:00]\n\
            SYSCALL                   COUNT        TIME (us)\ngetppid                  400000        31.5\n";
        assert_eq!((row(output, "getppid"), row(output, "getpid")), (400_000, 0));
    }
}
