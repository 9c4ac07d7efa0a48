//! A call that fails at once: the cost of counting its error.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "failing";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 4] = [Variant::Nothing, Variant::EmptyBoth, Variant::Counting, Variant::Daemon];

/// A number that no ABI has. A call with it fails fastest.
const NUMBER: i64 = 1000;

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup(SCENARIO)?;
    let mut workload = Workload::timed(host, cgroup, SCENARIO, "time", ("unknown", NUMBER), CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;

    let mut report = measured.report(SCENARIO);
    let added = measured.added(Variant::Daemon) - measured.added(Variant::Counting);
    report.figures = vec![
        Figure::new("a call that fails: added by counting its error", added, Unit::Nanoseconds),
        Figure::new(
            "a call that fails: syscallmon divided by empty programs on both",
            measured.ratio(Variant::Daemon, Variant::EmptyBoth),
            Unit::Ratio,
        ),
    ];
    Ok(report)
}
