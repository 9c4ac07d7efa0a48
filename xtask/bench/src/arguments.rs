//! The cost of classes of arguments: for calls that have none, and for two that have them.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::Workload,
};

const CALLS: u32 = 400_000;
/// For calls that have no classes.
const VARIANTS: [Variant; 3] = [Variant::Nothing, Variant::NoArguments, Variant::Daemon];
/// For calls that have them.
const CLASSED: [Variant; 6] = [
    Variant::Nothing,
    Variant::NoArguments,
    Variant::Daemon,
    Variant::Bpftrace,
    Variant::BpftraceArguments,
    Variant::Event,
];

/// Scenarios of calls with classes: the call, and a first argument with which it fails soon. This is `AF_UNIX` without
/// a type, and `CLONE_THREAD` without what it needs.
const OF_CALLS: [(&str, &str, i64, &str); 2] = [
    ("arguments of socket", "socket", libc::SYS_socket, "1"),
    ("arguments of clone", "clone", libc::SYS_clone, "65536"),
];
/// The scenario of a call without classes.
const OF_OTHERS: &str = "arguments of getppid";

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup("unclassed")?;
    let getppid = ("getppid", libc::SYS_getppid);
    let mut workload = Workload::timed(host, cgroup, OF_OTHERS, "time", getppid, CALLS)?;
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds)?;
    let mut report = measured.report(OF_OTHERS);
    let ratio = measured.ratio(Variant::Daemon, Variant::NoArguments);
    report.figures =
        vec![Figure::new("getppid: with classes of arguments, divided by without", ratio, Unit::Ratio).at_most(1.05)];
    for (scenario, name, number, first) in OF_CALLS {
        let cgroup = host.cgroup(name)?;
        let mode = ("time-with", &[first][..]);
        let mut workload = Workload::with_arguments(host, cgroup, scenario, mode, (name, number), CALLS / 4)?;
        let measured = Rounds::measure(host, &mut workload, &CLASSED, rounds)?;
        let added = |what: &str, of, to| {
            let nanoseconds = measured.added(of) - measured.added(to);
            Figure::new(format!("{name}: added by {what}"), nanoseconds, Unit::Nanoseconds)
        };
        let mut of_call = measured.report(scenario);
        of_call.figures = vec![
            added("classes of arguments", Variant::Daemon, Variant::NoArguments),
            added("the first argument in bpftrace", Variant::BpftraceArguments, Variant::Bpftrace),
            added("an event for each call", Variant::Event, Variant::Nothing),
        ];
        report.append(of_call);
    }
    Ok(report)
}
