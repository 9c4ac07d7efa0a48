//! The cost of policies for a call. Policies should cost nothing: user space judges each call of a cgroup once, and
//! then the cgroup's counters.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "policies";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 3] = [Variant::Nothing, Variant::NoPolicies, Variant::Policies];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup(SCENARIO)?;
    let mut workload = Workload::timed(host, cgroup, SCENARIO, "time", ("getppid", libc::SYS_getppid), CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;
    let mut report = measured.report(SCENARIO);
    let ratio = measured.ratio(Variant::Policies, Variant::NoPolicies);
    report.figures = vec![Figure::new("50 policies, divided by none", ratio, Unit::Ratio).at_most(1.05)];
    Ok(report)
}
