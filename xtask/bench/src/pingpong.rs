//! Tasks of many cgroups in turn on one CPU: the cost of counting when the cgroup changes at each turn.

use std::num::NonZeroUsize;

use anyhow::Result;

use super::{
    host::Host,
    report::{Figure, Report, Unit},
    rounds::Rounds,
    variant::Variant,
    worker::{Worker, Workload},
};

const SCENARIO: &str = "pingpong";
const CGROUPS: u32 = 64;
const LAPS: u32 = 1_000;
/// Factor for the rounds. A hop takes microseconds, and the programs take only a few per cent of it, so more rounds are
/// necessary.
const ROUNDS: NonZeroUsize = NonZeroUsize::new(3).expect("not 0");
const VARIANTS: [Variant; 3] = [Variant::Nothing, Variant::Empty, Variant::Counting];

/// Runs the scenario.
pub(super) fn measure(host: &Host, rounds: NonZeroUsize) -> Result<Report> {
    let cgroup = host.cgroup(SCENARIO)?;
    let texts = [CGROUPS, LAPS, host.cpu].map(|number| number.to_string());
    let worker = Worker::start(host, &[&"ring", &cgroup.path(), &texts[0], &texts[1], &texts[2]])?;
    let calls = u64::from(CGROUPS) * u64::from(LAPS);
    let mut workload = Workload { worker, cgroup, scenario: SCENARIO, syscall: ("write", libc::SYS_write), calls };
    let measured = Rounds::measure(host, &mut workload, &VARIANTS, rounds.saturating_mul(ROUNDS))?;

    let mut report = measured.report(SCENARIO);
    let figure = |name: &str, value, unit| Figure::new(format!("{CGROUPS} cgroups in turn: {name}"), value, unit);
    report.figures = vec![
        figure("calls only, added to a hop (2 calls)", measured.added(Variant::Counting), Unit::Nanoseconds),
        figure(
            "calls only, divided by an empty program",
            measured.ratio(Variant::Counting, Variant::Empty),
            Unit::Ratio,
        )
        .at_most(2.0),
    ];
    Ok(report)
}
