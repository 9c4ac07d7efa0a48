//! The workloads that the explorer shows: many ordinary ones, and some with hostile names.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::{Cgroup, Guarded, HARMLESS_CALLS};

/// Number of ordinary workloads, and of different calls that each makes.
const WORKLOADS: usize = 1000;
/// Series that the daemon has at least.
pub(super) const SERIES: f64 = 100_000.0;

const TIMEOUT: Duration = Duration::from_mins(1);

/// Parts of hostile names. The kernel allows all but `/`, a zero byte and a line break in a name of at most 255 bytes.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)<script>",
    "\"><img src=x onerror=alert(2)>",
    "'><svg onload=alert(3)>",
    "{{7*7}}${7*7}&lt;b&gt;",
    "\u{202e}gpj.exe\u{2066}\u{200b}",
    "\u{1b}[2J\u{7}\u{9b}31m\t\r",
];

/// Makes the workloads, which make each call at least once. The cgroup must live as long as they are looked at.
pub(super) fn populate(known_calls: &Path, cgroup: &Cgroup) -> Result<()> {
    for number in 0..WORKLOADS {
        // Their order by calls is not that of their names.
        let times = 1 + (number * 7919) % WORKLOADS;
        let name = match number {
            0 => "flagged".to_owned(),
            1 => "learning".to_owned(),
            number => format!("service-{number:04}"),
        };
        calls(known_calls, &cgroup.child(&name)?, times)?;
    }
    for (number, part) in HOSTILE.iter().enumerate() {
        let mut path = cgroup.child(&format!("hostile-{number}-flagged-{part}"))?;
        // About 1 KiB.
        for _ in 0..4 {
            path.push(format!("{part}{}", "\u{e9}".repeat(80)));
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        calls(known_calls, &path, 1)?;
    }
    Ok(())
}

fn calls(known_calls: &Path, cgroup: &Path, times: usize) -> Result<()> {
    let mut command = Command::new(known_calls);
    command.arg("calls").arg(cgroup).stdin(Stdio::null());
    for (position, call) in HARMLESS_CALLS.iter().enumerate() {
        let times = if position == 1 { times } else { 1 };
        command.args([call.to_string(), times.to_string()]);
    }
    let status = Guarded::spawn_bound(&mut command)?.wait(TIMEOUT)?;
    ensure!(status.success(), "known_calls failed in {}: {status}", cgroup.display());
    Ok(())
}

/// Starts processes that make calls all the time, so that rates change.
pub(super) fn busy(cgroup: &Cgroup) -> Result<Guarded> {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\"; while :; do ls / > /dev/null; sleep 0.1; done"]);
    Guarded::spawn_bound(command.arg(cgroup.child("busy")?).stdin(Stdio::null()))
}
