//! How good the estimate of unseen calls is: servers run for a long time under a load with rare actions, and estimates
//! of earlier times are compared with what came later.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, anyhow};
use syscallmon::profile::{Confidence, Evidence, Observation, Replica, SourceKind};
use syscallmon_testkit::interrupt;

use super::monitor::Monitor;
use crate::servers::{
    self,
    container::Container,
    load::{Action, Target},
    machine::Machine,
};

const SERVERS: [&str; 5] = ["nginx", "python", "go", "redis", "postgres"];
/// When estimates are made, in minutes of observation.
const CUTS: [u64; 3] = [1, 5, 15];
/// A time window. Recordings and daemons have the same.
const WINDOW: Duration = Duration::from_secs(1);
/// Number of windows at the begin that belong to the start.
const STARTUP: u32 = 10;
/// Mean number of windows between two actions of the most common kind. Each further kind is less common by `RARER`.
const MEAN: f64 = 0.5;
const RARER: f64 = 1.7;

/// In which windows a call was made.
#[derive(Clone, Debug, Default)]
struct History {
    count: u64,
    windows: Vec<u32>,
}

/// The calls of a server.
#[derive(Debug, Default)]
struct Histories(BTreeMap<String, History>);

/// Runs servers for this time, and prints the table.
pub(super) fn run(machine: &Machine, monitor: &Monitor, time: Duration) -> Result<()> {
    let mut containers = Vec::new();
    for name in SERVERS {
        let mut container = machine.run(servers::named(name), true, None)?;
        container.wait_until_ready()?;
        containers.push((name, container));
    }
    let mut histories: BTreeMap<&str, Histories> = BTreeMap::new();
    let has_ended = AtomicBool::new(false);
    let targets: Vec<_> = containers.iter().map(|(name, container)| (*name, container.target())).collect();
    let result = thread::scope(|scope| {
        let ended = &has_ended;
        let clients: Vec<_> =
            targets.iter().map(|(name, target)| scope.spawn(move || act(name, target, ended))).collect();
        let observed = observe(&containers, monitor, time, &mut histories);
        has_ended.store(true, Ordering::Relaxed);
        let joined = clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client failed")));
        observed.and(joined)
    });
    result?;
    print!("{}", table(&histories));
    Ok(())
}

/// Counts calls in every window.
fn observe<'a>(
    containers: &[(&'a str, Container<'_>)],
    monitor: &Monitor,
    time: Duration,
    histories: &mut BTreeMap<&'a str, Histories>,
) -> Result<()> {
    let begin = Instant::now();
    for window in 0.. {
        interrupt::sleep((WINDOW * window).saturating_sub(begin.elapsed()))?;
        if begin.elapsed() >= time {
            break;
        }
        for (name, container) in containers {
            let counted = monitor.latest(&container.cgroup())?;
            histories.entry(name).or_default().add(window, counted.calls);
        }
    }
    Ok(())
}

/// Does actions at random times until the end.
fn act(server: &str, target: &Target<'_>, has_ended: &AtomicBool) {
    let actions = Action::of(server);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ server.len() as u64;
    while !has_ended.load(Ordering::Relaxed) {
        for (number, action) in (0..).zip(&actions) {
            // xorshift64
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let chance = (random >> 11) as f64 / (1_u64 << 53) as f64;
            if chance < (0.25 / (MEAN * RARER.powi(number))).min(1.0) {
                action.run(target);
            }
        }
        thread::sleep(WINDOW / 4);
    }
}

impl Histories {
    fn add(&mut self, window: u32, calls: BTreeMap<String, u64>) {
        for (call, count) in calls {
            let history = self.0.entry(call).or_default();
            if count > history.count {
                history.count = count;
                history.windows.push(window);
            }
        }
    }

    /// Returns what was known after this number of windows.
    fn evidence(&self, windows: u32) -> Result<Evidence> {
        let mut evidence = Evidence::new(SourceKind::Daemon, "estimates");
        let begin = SystemTime::UNIX_EPOCH;
        let replica = evidence.add_replica(Replica {
            name: "server".to_owned(),
            image: None,
            from: Some(begin),
            to: Some(begin + WINDOW * windows),
            saw_start: true,
            lost: 0,
            windows: windows.saturating_sub(STARTUP),
            window: WINDOW,
        })?;
        for (call, history) in &self.0 {
            let seen: Vec<u32> = history.windows.iter().copied().filter(|window| *window < windows).collect();
            let Some(first) = seen.first() else { continue };
            let after = seen.iter().filter(|window| **window >= STARTUP).count();
            let observation = Observation {
                count: 1,
                replicas: [replica].into(),
                first: Some(begin + WINDOW * *first),
                in_startup: *first < STARTUP,
                windows: u32::try_from(after)?,
                ..Observation::default()
            };
            evidence.add("x86_64", call, &observation);
        }
        Ok(evidence)
    }
}

fn table(histories: &BTreeMap<&str, Histories>) -> String {
    let mut table = String::from(
        "| server | minutes | seen | in one window, in two | estimated unseen | came later | probability for an hour |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (server, histories) in histories {
        for minutes in CUTS {
            let Ok(evidence) = histories.evidence(u32::try_from(60 * minutes).unwrap_or(u32::MAX)) else { continue };
            let confidence = Confidence::new(&evidence, SystemTime::now());
            let (seen, all) = (evidence.calls.len(), histories.0.len());
            let shown = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
            let (unseen, hour) = (shown(confidence.unseen_calls), shown(confidence.new_call_within_hour));
            let rare =
                |windows| evidence.calls.values().filter(|one| !one.in_startup && one.windows == windows).count();
            let (one, two, later) = (rare(1), rare(2), all - seen);
            let _ = writeln!(table, "| {server} | {minutes} | {seen} | {one}, {two} | {unseen} | {later} | {hour} |");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_a_cut_has_only_what_was_seen_before() {
        let mut histories = Histories::default();
        for (window, reads, forks) in [(0, 5, 0), (30, 9, 1), (70, 9, 2)] {
            histories.add(window, [("read".to_owned(), reads), ("vfork".to_owned(), forks)].into());
        }
        let windows = |cut| -> Vec<(bool, u32)> {
            let evidence = histories.evidence(cut).unwrap();
            evidence.calls.values().map(|seen| (seen.in_startup, seen.windows)).collect()
        };
        assert_eq!(windows(20), [(true, 0)]);
        assert_eq!(windows(60), [(true, 1), (false, 1)]);
        assert_eq!(windows(100), [(true, 1), (false, 2)]);
    }
}
