//! The daemon without clients: CPU time, time to attach, size of the binary.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use syscallmon_testkit::interrupt;

use super::{
    daemon::Daemon,
    host::Host,
    report::{Figure, Report, Unit},
    stats::median,
};

const STARTS: usize = 7;
/// Time from the start until the daemon is idle.
const SETTLE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(30);

/// Runs the scenario.
pub(super) fn measure(host: &Host) -> Result<Report> {
    eprintln!("idle: {STARTS} starts");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(Daemon::start(host, &[])?.attached_after()?.as_secs_f64() * 1e3);
    }
    let start = median(starts).context("no starts")?;
    let size = fs::metadata(&host.syscallmon).context("cannot look at the daemon's binary")?.len();
    #[expect(clippy::cast_precision_loss, reason = "no binary is that big")]
    let size = size as f64;
    let figures = vec![
        Figure::new("idle: CPU", cpu_share(host)? * 100.0, Unit::Percent).at_most(0.3),
        Figure::new("start to attached", start, Unit::Milliseconds).at_most(300.0),
        Figure::new("size of the binary", size, Unit::Bytes).at_most(18e6),
    ];
    Ok(Report { figures, ..Report::default() })
}

/// Returns the share of one CPU that the daemon uses when it only polls.
fn cpu_share(host: &Host) -> Result<f64> {
    eprintln!("idle: {} s without scrapes", IDLE.as_secs());
    let daemon = Daemon::start(host, &[])?;
    interrupt::sleep(SETTLE)?;
    let before = daemon.cpu_time()?;
    interrupt::sleep(IDLE)?;
    Ok(daemon.cpu_time()?.saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64())
}
