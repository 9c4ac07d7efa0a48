//! The time from a call to its log line.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Running, Scene, TIMEOUT};
use crate::software::{PROGRAMS, WEB_SERVER};

/// Number of pods for the latency measurement.
const PODS: u64 = 25;
/// Critical calls in each pod. Each is made by a process of its own, so it begins an incident.
const CALLS: [&str; 4] = ["mount", "bpf", "ptrace", "setns"];
/// Maximum p99.
const SLOWEST: Duration = Duration::from_millis(100);

impl Scene<'_> {
    /// Measures the time from just before a call until its line is in the log.
    pub(super) fn latency(&self) -> Result<()> {
        let mut took = Vec::new();
        for number in 0..PODS {
            let name = format!("latency-{number}");
            let running = self.start("shop", &name, PROGRAMS, &[WEB_SERVER, &(7310 + number).to_string()])?;
            // The daemon has the container's metadata shortly after its start.
            thread::sleep(Duration::from_secs(1));
            took.extend(self.measure(&running)?);
            self.cri.remove_pod(&running.sandbox)?;
        }
        took.sort_unstable();
        let percentile = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
        let [median, slow, slowest] = [50, 99, 100].map(percentile);
        println!(
            "  from a call to its line: {median:.1?}, p99 {slow:.1?}, at most {slowest:.1?}, of {} calls",
            took.len()
        );
        ensure!(slow <= SLOWEST, "p99 is {slow:?}, more than {SLOWEST:?}");
        Ok(())
    }

    fn measure(&self, running: &Running) -> Result<Vec<Duration>> {
        let mut log = File::open(self.exporter.log()).context("cannot open the log")?;
        log.seek(SeekFrom::End(0)).context("cannot go to the end of the log")?;
        let (called, arrivals) = thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(log, &running.name));
            let mut called = Vec::new();
            for call in CALLS {
                let printed = self.run(running, &[call])?;
                let time = printed.trim().parse().with_context(|| format!("the program printed {printed:?}"))?;
                called.push((call, time));
            }
            let arrivals = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<(Vec<(&str, u64)>, _), anyhow::Error>((called, arrivals))
        })?;
        let took = |(call, called): (&str, u64)| {
            let arrived = arrivals.get(call).with_context(|| format!("{call} has no line"))?;
            Ok(Duration::from_nanos(arrived.saturating_sub(called)))
        };
        called.into_iter().map(took).collect()
    }
}

/// Returns the arrival times of the first line about each of [`CALLS`] in a pod, in nanoseconds since 1970.
fn watch(mut log: File, pod: &str) -> Result<BTreeMap<String, u64>> {
    let begin = Instant::now();
    let (mut arrivals, mut text) = (BTreeMap::new(), String::new());
    while arrivals.len() < CALLS.len() {
        ensure!(begin.elapsed() < TIMEOUT, "of the calls, {:?} have a line", arrivals.keys());
        log.read_to_string(&mut text).context("cannot read the log")?;
        let now = now();
        let Some(end) = text.rfind('\n') else {
            thread::sleep(Duration::from_micros(500));
            continue;
        };
        for line in text.drain(..=end).collect::<String>().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let calls = line["calls"].as_array().filter(|_| line["workload"]["pod"] == pod);
            for call in calls.into_iter().flatten().filter_map(|call| call["syscall"].as_str()) {
                if CALLS.contains(&call) {
                    arrivals.entry(call.to_owned()).or_insert(now);
                }
            }
        }
    }
    Ok(arrivals)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time since this moment.
pub(super) fn since(nanoseconds: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(nanoseconds))
}
