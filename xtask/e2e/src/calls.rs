//! Calls of processes in cgroups, by name, as bpftrace counts them. The checks compare the daemon's counts with these.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syscallmon::syscalls::CallTable;
use syscallmon_common::Abi;
use syscallmon_testkit::Guarded;

/// cgroup2's root has the id 1. All processes outside of containers are in it here.
const SCRIPT: &str = "
    tracepoint:raw_syscalls:sys_enter /cgroup != 1/ { @calls[cgroup, comm, args->id] = count(); }
    interval:ms:100 /@is_ready == 0/ { printf(\"ready\"); @is_ready = 1; }
";
/// The text that the script prints once everything is attached.
const READY: &str = "ready";
/// bpftrace keeps 4096 of them by default.
const MAX_KEYS: &str = "65536";
/// Maximum time until it ends after its last output.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running bpftrace that counts calls.
pub(crate) struct Tracer {
    bpftrace: Guarded,
    output: BufReader<ChildStdout>,
}

/// Numbers of calls, by cgroup, the caller's name and the call's name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls(BTreeMap<(u64, String, String), u64>);

impl Tracer {
    /// Starts one. It counts when this function returns.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new("bpftrace");
        command.args(["-f", "json", "-e", SCRIPT]).env("BPFTRACE_MAP_KEYS_MAX", MAX_KEYS);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bpftrace = Guarded::spawn(&mut command).context("run `cargo xtask setup --for e2e`")?;
        let output = BufReader::new(bpftrace.take_stdout().expect("it is piped"));
        let mut tracer = Self { bpftrace, output };
        let mut line = String::new();
        while !line.contains(READY) {
            line.clear();
            let read = tracer.output.read_line(&mut line).context("cannot hear from bpftrace")?;
            ensure!(read > 0, "bpftrace did not attach: run its script by hand:{SCRIPT}");
        }
        Ok(tracer)
    }

    /// Ends it. Returns its counts.
    pub(crate) fn finish(mut self) -> Result<Calls> {
        self.bpftrace.signal(libc::SIGINT)?;
        let mut output = String::new();
        self.output.read_to_string(&mut output).context("cannot read what bpftrace has counted")?;
        self.bpftrace.wait(TIMEOUT)?;
        parse(&output, &CallTable::native())
    }
}

impl Calls {
    /// Returns the calls in a cgroup: the caller's name, the call's name, and the count.
    pub(crate) fn of(&self, cgroup: u64) -> impl Iterator<Item = (&str, &str, u64)> {
        let here = self.0.iter().filter(move |((id, ..), _)| *id == cgroup);
        here.map(|((_, comm, call), count)| (comm.as_str(), call.as_str(), *count))
    }
}

/// Parses the output. Each line is an object, and the keys of the map are `CGROUP,COMM,NUMBER`.
fn parse(output: &str, table: &CallTable) -> Result<Calls> {
    let mut calls = Calls::default();
    for line in output.lines().filter(|line| line.contains("\"@calls\"")) {
        let line: Value = serde_json::from_str(line).context("cannot understand bpftrace")?;
        let counts = line["data"]["@calls"].as_object().context("bpftrace has no counts")?;
        for (key, count) in counts {
            let (cgroup, rest) = key.split_once(',').with_context(|| format!("bpftrace has a key {key:?}"))?;
            let (comm, number) = rest.rsplit_once(',').with_context(|| format!("bpftrace has a key {key:?}"))?;
            let number: i64 = number.parse().with_context(|| format!("bpftrace has a key {key:?}"))?;
            let name = table.resolve(Abi::Native, number.cast_unsigned()).syscall.to_owned();
            let cgroup = cgroup.parse().with_context(|| format!("bpftrace has a key {key:?}"))?;
            *calls.0.entry((cgroup, comm.to_owned(), name)).or_default() += count.as_u64().unwrap_or_default();
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_by_cgroup_caller_and_call() {
        let output = "{\"type\": \"x\"}\n{\"type\": \"map\", \"data\": {\"@calls\": {\"7,a,b,0\": 2, \"7,sh,1\": 3, \"8,sh,1\": 1}}}\n";
        let calls = parse(output, &CallTable::x86_64()).unwrap();
        assert_eq!(calls.of(7).collect::<Vec<_>>(), [("a,b", "read", 2), ("sh", "write", 3)]);
        assert_eq!(parse("", &CallTable::x86_64()).unwrap(), Calls::default());
    }
}
