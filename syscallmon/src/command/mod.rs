//! The command line: one file per subcommand, which connects the other modules.

mod check;
mod completions;
mod continuation;
mod daemon;
mod daemon_flags;
mod health;
mod man;
mod output;
mod policy;
mod profile;
mod record;
mod replay;
mod run;
mod stop;
mod top;
mod unpin;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

pub use self::profile::PROFILE as SECCOMP_PROFILE;

/// Count every system call of every container, pod and service on a Linux host, for Prometheus.
///
/// eBPF programs count every system call by cgroup, ABI and syscall. The daemon exports the counts as Prometheus
/// metrics and reports calls that no policy expects.
#[derive(Debug, Parser)]
#[command(
    name = "syscallmon",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Completions(completions::Completions),
    Health(health::Health),
    Man(man::Man),
    Policy(policy::Policy),
    Profile(profile::Profile),
    Record(record::Record),
    Replay(replay::Replay),
    Top(top::Top),
    Unpin(unpin::Unpin),
    #[command(hide = true)]
    SeccompProfile(profile::OwnProfile),
}

/// The configuration file, for every command that reads it.
#[derive(Clone, Debug, clap::Args)]
struct ConfigFile {
    /// Configuration file; flags override it. Reloaded on SIGHUP.
    #[arg(long = "config.file", value_name = "FILE", id = "config_file")]
    config_file: Option<PathBuf>,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// The error of the command. Its message ends with a remedy if there is one.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(run) => run.execute(),
            Command::Check(check) => check.execute(),
            Command::Completions(completions) => completions.execute(),
            Command::Health(health) => health.execute(),
            Command::Man(man) => man.execute(),
            Command::Policy(policy) => policy.execute(),
            Command::Profile(profile) => profile.execute(),
            Command::Record(record) => record.execute(),
            Command::Replay(replay) => replay.execute(),
            Command::Top(top) => top.execute(),
            Command::Unpin(unpin) => unpin.execute(),
            Command::SeccompProfile(profile) => profile.execute(),
        }
    }
}
