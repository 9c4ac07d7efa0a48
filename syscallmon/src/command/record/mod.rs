//! `syscallmon record`: the host, for `syscallmon replay`; or one command, for a seccomp profile.

mod caller;
mod cgroup;
mod child;
mod command;
mod copy;
mod counter;
mod file;
mod host;
mod left;
mod session;
mod signals;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, Args};
use regex::bytes::Regex;

use super::ConfigFile;
use crate::settings::Settings;

/// Record the system calls of one command, or of every workload of this host.
///
/// With a COMMAND, runs it in a cgroup of its own and writes every call that it and its children make, to the last one,
/// as JSON. Waits until all of them have ended. The command has the privileges, environment and files of the caller.
/// Signals are passed on to it, and its exit status is that of this command. Requires root and cgroup2.
///
/// With --host, counts like `syscallmon run` with the same flags and capabilities. Writes snapshots of counts, workload
/// names and first calls for `syscallmon replay`. Ends after --duration, at --max-size, or on SIGINT or SIGTERM, with
/// status 0.
///
/// A daemon may run at the same time.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true)),
    override_usage = "syscallmon record [OPTIONS] -- COMMAND...\n       \
                      syscallmon record [OPTIONS] --host --output FILE"
)]
pub(super) struct Record {
    /// Command to record, with its arguments.
    #[arg(last = true, value_name = "COMMAND", group = "what")]
    command: Vec<OsString>,

    /// Record the whole host.
    #[arg(long, group = "what")]
    host: bool,

    /// File to create; it must not exist. Only its owner can read it. By default, PROGRAM.recording.json in the
    /// working directory; --host requires a file.
    #[arg(long, short, value_name = "FILE", required_unless_present = "command")]
    output: Option<PathBuf>,

    /// Duration of the recording; by default until a signal, or the end of the command. All processes of the command
    /// then get SIGTERM, and SIGKILL after 10 s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Count calls of the command's first seconds or minutes separately, as its start-up phase.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        conflicts_with_all = ["host", "startup_until"]
    )]
    startup: Option<Duration>,

    /// Count calls separately until the command prints a line that matches, to stdout or stderr. Both are pipes then.
    #[arg(long, value_name = "REGEX", conflicts_with = "host")]
    startup_until: Option<Regex>,

    /// Maximum size of the file in MiB. The last sample can exceed it.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 64,
        value_parser = clap::value_parser!(u64).range(1..=1_048_576),
        conflicts_with = "command"
    )]
    max_size: u64,

    /// Replace names by pseudonyms: cgroups, pods, namespaces, containers, images, owners, nodes, executables, threads
    /// and arguments. Keeps numbers and names of calls.
    #[arg(long, conflicts_with = "command")]
    mask: bool,

    #[command(flatten)]
    config: ConfigFile,

    #[command(flatten)]
    settings: Settings,
}

impl Record {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        match self.output.as_deref() {
            Some(output) if self.host => self.record_host(output),
            _ => self.record_command(),
        }
    }
}
