//! The cheapest call of a task with a seccomp filter: the cost of the daemon's task states, beside the cost of the
//! filter.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const SCENARIO: &str = "filtered";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 4] = [Variant::Nothing, Variant::EmptyBoth, Variant::Errors, Variant::Daemon];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let getppid = ("getppid", libc::SYS_getppid);
    let plain = host.cgroup("unfiltered")?;
    let mut plain = Workload::timed(host, plain, "unfiltered", "time", getppid, CALLS)?;
    let filtered = host.cgroup(SCENARIO)?;
    let mut filtered = Workload::timed(host, filtered, SCENARIO, "time-filtered", getppid, CALLS)?;
    let (mut without, mut with) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds.get() {
        without.append(Rounds::measure(host, &mut plain, &[Variant::Nothing], NonZeroUsize::MIN)?);
        with.append(Rounds::measure(host, &mut filtered, &VARIANTS, NonZeroUsize::MIN)?);
    }

    let mut report = with.report(SCENARIO);
    let nanoseconds = |name: &str, value| Figure::new(name, value, Unit::Nanoseconds);
    report.figures = vec![
        nanoseconds(
            "a task with a seccomp filter: cost of the filter",
            with.median(Variant::Nothing) - without.median(Variant::Nothing),
        ),
        nanoseconds(
            "a task with a seccomp filter: added for denied calls",
            with.added(Variant::Daemon) - with.added(Variant::Errors),
        ),
        Figure::new(
            "a task with a seccomp filter: syscallmon divided by empty programs on both",
            with.ratio(Variant::Daemon, Variant::EmptyBoth),
            Unit::Ratio,
        ),
    ];
    Ok(report)
}
