//! The cost of pinned mode: each call goes through a dispatcher.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "pinned getppid";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 3] = [Variant::Nothing, Variant::Daemon, Variant::Pinned];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup("pinned")?;
    let mut workload = Workload::timed(host, cgroup, SCENARIO, "time", ("getppid", libc::SYS_getppid), CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;
    let mut report = measured.report(SCENARIO);
    let ratio = measured.ratio(Variant::Pinned, Variant::Daemon);
    report.figures = vec![Figure::new("getppid: in pinned mode, divided by without", ratio, Unit::Ratio).at_most(1.03)];
    Ok(report)
}
