//! The cheapest call, repeated on one CPU: the cost of counting a call.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "getppid";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 10] = [
    Variant::Nothing,
    Variant::Empty,
    Variant::EmptyBoth,
    Variant::Counting,
    Variant::Errors,
    Variant::Daemon,
    Variant::Latency,
    Variant::RawTp,
    Variant::Tracepoint,
    Variant::Bpftrace,
];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup(SCENARIO)?;
    let mut workload = Workload::timed(host, cgroup, SCENARIO, "time", ("getppid", libc::SYS_getppid), CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;

    let added = |variant: Variant| {
        Figure::new(format!("getppid: added by {}", variant.name()), measured.added(variant), Unit::Nanoseconds)
    };
    let ratio = |name: &str, of, to| Figure::new(format!("getppid: {name}"), measured.ratio(of, to), Unit::Ratio);
    let mut report = measured.report(SCENARIO);
    report.figures = VARIANTS[1..].iter().map(|&variant| added(variant)).collect();
    report.figures.extend([
        ratio("calls only, divided by an empty program", Variant::Counting, Variant::Empty).at_most(1.4),
        ratio("calls only, divided by bpftrace", Variant::Counting, Variant::Bpftrace).at_most(0.45),
        ratio("with errors, divided by empty programs on both", Variant::Errors, Variant::EmptyBoth).at_most(1.4),
        ratio("syscallmon, divided by empty programs on both", Variant::Daemon, Variant::EmptyBoth).at_most(1.5),
        ratio("measuring others, divided by empty programs on both", Variant::Latency, Variant::EmptyBoth).at_most(1.6),
    ]);
    Ok(report)
}
