//! Counts system calls of processes with a seccomp filter, by the host name of their UTS namespace.
//!
//! A runtime makes its last calls of a start with the filter and with the host name of the container. This needs no
//! ptrace, which would change the timing of a runtime's threads. The kernel reports only calls that the filter allows.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use syscallmon::syscalls::{CallTable, UNKNOWN};
use syscallmon_common::Abi;
use syscallmon_testkit::Guarded;

/// bpftrace attaches the last probe last, so the first line means that calls are counted. 2 is `SECCOMP_MODE_FILTER`.
const SCRIPT: &str = r#"
tracepoint:raw_syscalls:sys_enter {
    $task = (struct task_struct *)curtask;
    if ($task->seccomp.mode == 2) { @calls[$task->nsproxy->uts_ns->name.nodename, args->id] = count(); }
}
interval:ms:50 { if (@ready == 0) { printf("ready\n"); @ready = 1; } }
"#;
/// Runs bpftrace with tracefs, in a mount namespace of its own.
const WITH_TRACEFS: &str = r#"mount -t tracefs none /sys/kernel/tracing && exec bpftrace -e "$1""#;
const NEEDS: &str = "this needs bpftrace and a kernel with BTF";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Names of calls by host name.
pub(super) type Calls = BTreeMap<String, BTreeSet<&'static str>>;

/// A running tracer.
pub(super) struct Tracer {
    child: Guarded,
    output: BufReader<ChildStdout>,
}

impl Tracer {
    /// Starts a tracer, and waits until it counts.
    pub(super) fn start() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", WITH_TRACEFS, "sh", SCRIPT]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Guarded::spawn(&mut command).context(NEEDS)?;
        let mut output = BufReader::new(child.take_stdout().context("stdout is not piped")?);
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            let length = output.read_line(&mut line).context("cannot read from bpftrace")?;
            ensure!(length > 0, "bpftrace does not count calls: {NEEDS}");
        }
        Ok(Self { child, output })
    }

    /// Ends the tracer. Returns the counted calls.
    pub(super) fn finish(mut self) -> Result<Calls> {
        self.child.signal(libc::SIGINT)?;
        let mut text = String::new();
        self.output.read_to_string(&mut text).context("cannot read from bpftrace")?;
        self.child.wait(TIMEOUT)?;
        parse(&text)
    }
}

/// Parses lines like `@calls[start-true, 257]: 30`.
fn parse(text: &str) -> Result<Calls> {
    let table = CallTable::x86_64();
    let mut calls = Calls::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("@calls[")) {
        let fields = line.split_once(", ").and_then(|(host, rest)| Some((host, rest.split_once(']')?.0)));
        let (host, number) = fields.with_context(|| format!("bpftrace wrote {line:?}"))?;
        let number = number.parse().with_context(|| format!("bpftrace wrote {line:?}"))?;
        let name = table.resolve(Abi::Native, number).syscall;
        ensure!(name != UNKNOWN, "call {number} has no name: run `cargo xtask syscalls`");
        calls.entry(host.to_owned()).or_default().insert(name);
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_names_and_host_names() {
        let calls = parse("\n\n@calls[a-true, 257]: 3\n@calls[a-true, 3]: 12\n@calls[b, 59]: 1\n@ready: 1\n").unwrap();
        assert_eq!(calls["a-true"], ["close", "openat"].into());
        assert_eq!(calls["b"], ["execve"].into());
        assert!(parse("@calls[a, 1023]: 3\n").is_err());
    }
}
