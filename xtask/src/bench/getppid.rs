//! The cheapest call, again and again on one CPU: what counting adds to a call.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    cgroup::Cgroup,
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::{Worker, Workload},
};

const SCENARIO: &str = "getppid";
const CALLS: u32 = 400_000;
const VARIANTS: [Variant; 6] =
    [Variant::Nothing, Variant::Empty, Variant::Daemon, Variant::RawTp, Variant::Tracepoint, Variant::Bpftrace];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = Cgroup::new(&host.cgroup2, SCENARIO)?;
    let number = libc::SYS_getppid;
    let texts = [host.cpu.to_string(), number.to_string(), CALLS.to_string()];
    let worker = Worker::start(host, &[&"time", &cgroup.path(), &texts[0], &texts[1], &texts[2]])?;
    let syscall = ("getppid", number);
    let mut workload = Workload { worker, cgroup, scenario: SCENARIO, syscall, calls: CALLS.into() };
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;

    let added = |variant: Variant| {
        Figure::new(format!("getppid: added by {}", variant.name()), measured.added(variant), Unit::Nanoseconds)
    };
    let ratio = |name: &str, of, to| Figure::new(format!("getppid: {name}"), measured.ratio(of, to), Unit::Ratio);
    let mut report = measured.report(SCENARIO);
    report.figures = vec![
        added(Variant::Empty),
        added(Variant::Daemon),
        added(Variant::RawTp),
        added(Variant::Tracepoint),
        added(Variant::Bpftrace),
        ratio("syscallmon by an empty program", Variant::Daemon, Variant::Empty).at_most(1.4),
        ratio("syscallmon with raw_tp by an empty program", Variant::RawTp, Variant::Empty),
        ratio("syscallmon with tracepoint by an empty program", Variant::Tracepoint, Variant::Empty),
        ratio("syscallmon by bpftrace", Variant::Daemon, Variant::Bpftrace).at_most(0.45),
    ];
    Ok(report)
}
