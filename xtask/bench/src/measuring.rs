//! The cheapest call while its duration is measured: the cost of the measurement, by the daemon and by peers.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "measuring";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 6] = [
    Variant::Nothing,
    Variant::EmptyBoth,
    Variant::LatencyListed,
    Variant::Rezolus,
    Variant::BpftraceLatency,
    Variant::Syscount,
];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup(SCENARIO)?;
    let mut workload = Workload::timed(host, cgroup, SCENARIO, "time", ("getppid", libc::SYS_getppid), CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;

    let ratio = |to: Variant| {
        let name = format!("measuring getppid: syscallmon divided by {}", to.name());
        Figure::new(name, measured.ratio(Variant::LatencyListed, to), Unit::Ratio)
    };
    let mut report = measured.report(SCENARIO);
    report.figures = [Variant::EmptyBoth, Variant::Rezolus, Variant::BpftraceLatency, Variant::Syscount]
        .into_iter()
        .map(ratio)
        .collect();
    Ok(report)
}
