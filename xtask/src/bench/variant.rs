//! What is attached while something is measured.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use aya::{Btf, Ebpf, programs::BtfTracePoint};
use tempfile::NamedTempFile;

use super::{
    child::Guarded,
    daemon::{Daemon, FRESH},
    host::Host,
    interrupt, observers,
    worker::Workload,
};
use crate::shell;

/// What users of bpftrace write to count system calls by cgroup.
const SCRIPT: &str = "tracepoint:raw_syscalls:sys_enter { @[cgroup, args->id] = count(); }";
/// One of these must be there for classic tracepoints.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

const TIMEOUT: Duration = Duration::from_secs(20);
/// For what attaching and detaching leave to do in the kernel.
const SETTLE: Duration = Duration::from_millis(100);

/// What can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variant {
    Nothing,
    /// A program on `sys_enter` that does nothing: what any program costs.
    Empty,
    /// The daemon as it comes.
    Daemon,
    /// The daemon as it is on kernels without BTF.
    RawTp,
    /// The daemon as it is on kernels that preempt raw tracepoint programs.
    Tracepoint,
    Bpftrace,
}

/// What is attached; dropping it detaches.
pub(super) enum Attachment {
    Nothing,
    Empty(#[expect(dead_code, reason = "held, not read")] Box<Ebpf>),
    Daemon(Daemon),
    Bpftrace(Bpftrace),
}

impl Variant {
    /// As the tables name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "empty program",
            Self::Daemon => "syscallmon",
            Self::RawTp => "syscallmon, raw_tp",
            Self::Tracepoint => "syscallmon, tracepoint",
            Self::Bpftrace => "bpftrace",
        }
    }

    /// Attaches it, and waits until it is in force and quiet.
    pub(super) fn attach(self, host: &Host) -> Result<Attachment> {
        let attachment = match self {
            Self::Nothing => Attachment::Nothing,
            Self::Empty => Attachment::Empty(Box::new(attach_empty(&host.empty)?)),
            Self::Daemon => Attachment::Daemon(Daemon::start(host, &[])?),
            Self::RawTp => Attachment::Daemon(Daemon::start(host, &["--probe.sys-enter=raw_tp"])?),
            Self::Tracepoint => {
                ensure_tracefs()?;
                Attachment::Daemon(Daemon::start(host, &["--probe.sys-enter=tracepoint"])?)
            }
            Self::Bpftrace => Attachment::Bpftrace(Bpftrace::start(host)?),
        };
        // The daemon took its first snapshot when it started; the next scrape shall be of a new one.
        interrupt::sleep(if matches!(attachment, Attachment::Daemon(_)) { FRESH } else { SETTLE })?;
        Ok(attachment)
    }
}

impl Attachment {
    /// How many of the workload's calls it has counted; `None` if it does not count. Detaches.
    pub(super) fn counted(self, workload: &Workload) -> Result<Option<u64>> {
        let (name, number) = workload.syscall;
        match self {
            Self::Nothing | Self::Empty(_) => Ok(None),
            Self::Daemon(daemon) => {
                let count = || -> Result<u64> { Ok(daemon.scrape()?.calls(workload.cgroup.label(), name)) };
                let counted = count()?;
                if counted >= workload.calls {
                    return Ok(Some(counted));
                }
                // It takes a snapshot early when many cgroups have died; that may have been just now.
                interrupt::sleep(FRESH)?;
                count().map(Some)
            }
            Self::Bpftrace(bpftrace) => Ok(Some(count(&bpftrace.finish()?, workload.cgroup.id()?, number))),
        }
    }
}

fn attach_empty(object: &Path) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load_file(object).with_context(|| format!("cannot load {}", object.display()))?;
    let program: &mut BtfTracePoint = ebpf.program_mut("empty").context("no program `empty`")?.try_into()?;
    program.load("sys_enter", &Btf::from_sys_fs()?).context("the kernel refused the empty program")?;
    program.attach().context("cannot attach the empty program")?;
    Ok(ebpf)
}

/// bpftrace that counts; killed when dropped.
pub(super) struct Bpftrace {
    child: Guarded,
    output: NamedTempFile,
}

impl Bpftrace {
    fn start(host: &Host) -> Result<Self> {
        ensure_tracefs()?;
        let output = NamedTempFile::new().context("cannot make a temporary file")?;
        let file = || -> Result<File> { output.reopen().context("cannot open a temporary file") };
        let mut command = Command::new(&host.bpftrace);
        let mut child = Guarded::spawn(command.args(["-e", SCRIPT]).stdout(file()?).stderr(file()?))?;
        // Its own message comes before it attaches.
        interrupt::wait_for("bpftrace to attach", TIMEOUT, || {
            child.ensure_running()?;
            Ok(observers::find(host)?.contains(&child.pid()).then_some(()))
        })?;
        Ok(Self { child, output })
    }

    /// Ends it; what it printed.
    fn finish(mut self) -> Result<String> {
        self.child.interrupt();
        self.child.wait(TIMEOUT)?;
        fs::read_to_string(self.output.path()).context("cannot read what bpftrace printed")
    }
}

/// Mounts tracefs if it is nowhere; it stays mounted.
fn ensure_tracefs() -> Result<()> {
    if TRACEFS.iter().any(|dir| Path::new(dir).join("events").is_dir()) {
        return Ok(());
    }
    shell::run(
        Command::new("mount").args(["-t", "tracefs", "tracefs", TRACEFS[0]]),
        "classic tracepoints need tracefs, and root",
    )
}

/// The count of one cgroup and call in what bpftrace printed: `@[cgroup, nr]: count`.
fn count(output: &str, cgroup: u64, number: i64) -> u64 {
    let key = format!("@[{cgroup}, {number}]: ");
    output.lines().find_map(|line| line.strip_prefix(&key)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_found_among_all_that_bpftrace_printed() {
        let output = "Attaching 1 probe...\n\n\n@[1, 110]: 5\n@[42, 11]: 6\n@[42, 110]: 1100001\n";
        assert_eq!(count(output, 42, 110), 1_100_001);
        assert_eq!(count(output, 4, 110), 0);
    }
}
