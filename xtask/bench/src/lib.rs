//! `cargo xtask bench`: measures what the daemon costs, against the limits that the design sets.
//!
//! Every scenario measures the real release build on this kernel. Figures that depend on the machine are ratios of two
//! measurements in the same run.

mod arguments;
mod clients;
mod daemon;
mod failing;
mod filtered;
mod getppid;
mod host;
mod idle;
mod measuring;
mod observers;
mod pingpong;
mod pinned;
mod policies;
mod report;
mod rounds;
mod scale;
mod stats;
pub mod summary;
mod variant;
mod worker;

use std::{num::NonZeroUsize, path::Path, process::Command};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use syscallmon_testkit::interrupt;
use xtask_support::{
    marked,
    setup::{self, Purpose},
    shell, workspace,
};

use self::{host::Host, report::Report};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// How often each variant is measured, in turn with the others
    #[arg(long, value_name = "N", default_value = "31")]
    rounds: NonZeroUsize,
    /// Only this scenario; repeatable
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Put the result in docs/performance.md, and a summary of it in README.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// One call again and again, with nothing, an empty program, the daemon and bpftrace attached
    Getppid,
    /// The same while it is measured how long the call takes
    Measuring,
    /// The same in a task with a seccomp filter
    Filtered,
    /// A call that fails
    Failing,
    /// Calls with classes of arguments, and one without
    Arguments,
    /// One call again and again, in pinned mode and without
    Pinned,
    /// One call again and again, with many policies and with none
    Policies,
    /// Tasks of many cgroups that take turns on one CPU
    Pingpong,
    /// Many series: the cost of a snapshot, of a scrape, of memory
    Scale,
    /// Clients that scrape many series without a pause, beside first calls
    Clients,
    /// The daemon alone: CPU, time to start, size
    Idle,
}

/// Rounds of scenarios without limits on their figures.
const FEWER_ROUNDS: NonZeroUsize = NonZeroUsize::new(11).expect("not 0");

/// Runs the verb.
///
/// # Errors
///
/// If a measurement fails, or a figure is over its limit.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    setup::ensure(root, Purpose::Bench)?;
    build(root)?;
    interrupt::watch()?;
    let host = Host::find(root)?;
    let mut report = Report::default();
    let scenarios = if args.only.is_empty() { Scenario::value_variants() } else { &args.only };
    for scenario in scenarios {
        let measured = scenario.measure(&host, args.rounds).inspect_err(|_| {
            // Prints the results so far, because they took minutes. A failed scenario must not discard them.
            println!("{}", report.render());
        })?;
        report.append(measured);
    }
    let text = format!("{}\n\n{}", host.describe(args.rounds)?, report.render());
    println!("{text}");
    if args.write {
        marked::write(root, summary::DOCUMENT, summary::MARK, &text)?;
        summary::write(root)?;
    }
    let missed = report.missed();
    ensure!(missed.is_empty(), "over the limit: {}", missed.join(", "));
    Ok(())
}

impl Scenario {
    fn measure(self, host: &Host, rounds: NonZeroUsize) -> Result<Report> {
        // Figures without limits require less precision.
        let fewer = rounds.min(FEWER_ROUNDS);
        match self {
            Self::Getppid => getppid::measure(host, rounds),
            Self::Measuring => measuring::measure(host, fewer),
            Self::Filtered => filtered::measure(host, fewer),
            Self::Failing => failing::measure(host, fewer),
            Self::Arguments => arguments::measure(host, fewer),
            Self::Pinned => pinned::measure(host, rounds),
            Self::Policies => policies::measure(host, rounds),
            Self::Pingpong => pingpong::measure(host, rounds),
            Self::Scale => scale::measure(host),
            Self::Clients => clients::measure(host),
            Self::Idle => idle::measure(host),
        }
    }
}

/// Builds the measured programs, and the program that makes the calls.
fn build(root: &Path) -> Result<()> {
    for what in [["--bin", "syscallmon"], ["--example", "known_calls"], ["--example", "gather_again"]] {
        shell::run(
            Command::new(workspace::cargo())
                .current_dir(root)
                .args(["build", "--release", "--package", "syscallmon"])
                .args(what),
            "the errors above say what to change",
        )?;
    }
    Ok(())
}
