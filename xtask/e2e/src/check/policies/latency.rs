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

/// Number of pods for the latency measurement, and of calls in each: the maximum that is reported for one workload.
const LATENCY: [u64; 2] = [5, 20];
/// Maximum p99.
const SLOWEST: Duration = Duration::from_millis(100);

impl Scene<'_> {
    /// Measures the time from just before a call until its line is in the log.
    pub(super) fn latency(&self) -> Result<()> {
        let [pods, calls] = LATENCY;
        let mut took = Vec::new();
        for number in 0..pods {
            let name = format!("latency-{number}");
            let running = self.start("shop", &name, PROGRAMS, &[WEB_SERVER, &(7310 + number).to_string()])?;
            // The daemon has the container's metadata shortly after its start.
            thread::sleep(Duration::from_secs(1));
            took.extend(self.measure(&running, calls)?);
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

    fn measure(&self, running: &Running, calls: u64) -> Result<Vec<Duration>> {
        let mut log = File::open(self.exporter.log()).context("cannot open the log")?;
        log.seek(SeekFrom::End(0)).context("cannot go to the end of the log")?;
        let arrivals = thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(log, &running.name, calls));
            let printed = self.run(running, &["x32", &calls.to_string()])?;
            let arrivals = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, anyhow::Error>((printed, arrivals))
        });
        let (printed, arrivals) = arrivals?;
        let mut took = Vec::new();
        for line in printed.lines() {
            let (number, called) = line.split_once(' ').with_context(|| format!("the program printed {line:?}"))?;
            let called: u64 = called.parse().with_context(|| format!("the program printed {line:?}"))?;
            let arrived = arrivals.get(&number.parse()?).with_context(|| format!("call {number} has no line"))?;
            took.push(Duration::from_nanos(arrived.saturating_sub(called)));
        }
        Ok(took)
    }
}

/// Returns the arrival times of lines about a pod's x32 calls, in nanoseconds since 1970, by the number of the call.
fn watch(mut log: File, pod: &str, count: u64) -> Result<BTreeMap<u64, u64>> {
    let begin = Instant::now();
    let (mut arrivals, mut text) = (BTreeMap::new(), String::new());
    while (arrivals.len() as u64) < count {
        ensure!(begin.elapsed() < TIMEOUT, "{} of {count} calls have a line", arrivals.len());
        log.read_to_string(&mut text).context("cannot read the log")?;
        let now = now();
        let Some(end) = text.rfind('\n') else {
            thread::sleep(Duration::from_micros(500));
            continue;
        };
        for line in text.drain(..=end).collect::<String>().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if let (Some(number), true) =
                (line["number"].as_u64(), line["workload"]["pod"] == pod && line["abi"] == "x32")
            {
                arrivals.entry(number).or_insert(now);
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
