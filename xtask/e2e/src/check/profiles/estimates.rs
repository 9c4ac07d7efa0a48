//! How good the estimate of unseen calls is: servers run for a long time under a load with rare operations, and
//! estimates from parts of that time are compared with all calls that the server made.

mod estimators;
mod history;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use syscallmon::profile::Confidence;
use syscallmon_testkit::{cgroup, interrupt};

use self::{estimators::ESTIMATORS, history::History};
use super::monitor::Monitor;
use crate::{
    directories::Directories,
    servers::{
        self,
        container::Container,
        machine::{CGROUP, Machine},
        operations::{self, Site},
    },
};

const SERVERS: [&str; 5] = ["nginx", "python", "go", "redis", "postgres"];
/// Lengths of the parts, in minutes.
const CUTS: [u32; 3] = [1, 5, 15];
/// Pause between two looks at the daemon's snapshots, which are a window apart.
const PAUSE: Duration = Duration::from_millis(200);
/// Looks after the end of the load, so that the last snapshot has all calls.
const LAST_LOOKS: u32 = 20;

/// Servers under load.
type Containers<'a> = Vec<(&'static str, Container<'a>)>;

/// Runs this number of containers of each server for this time, and prints the table.
pub(super) fn run(
    machine: &Machine,
    monitor: &Monitor,
    directories: &Directories,
    (time, trials): (Duration, u32),
) -> Result<()> {
    let mut containers: Containers<'_> = Vec::new();
    for name in SERVERS.into_iter().flat_map(|name| (0..trials).map(move |_| name)) {
        let mut container = machine.run(servers::named(name), true, None)?;
        container.wait_until_ready().with_context(|| container.tail())?;
        containers.push((name, container));
    }
    let sites: Vec<_> =
        containers.iter().map(|(name, container)| Ok((*name, site(container)?))).collect::<Result<_>>()?;
    let (mut histories, has_ended) = (BTreeMap::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        let ended = || has_ended.load(Ordering::Relaxed);
        let clients: Vec<_> = (0..)
            .zip(&sites)
            .map(|(seed, (name, site))| scope.spawn(move || operations::run(name, site, seed, time, ended)))
            .collect();
        let observed = observe(monitor, &mut histories, || clients.iter().all(thread::ScopedJoinHandle::is_finished));
        has_ended.store(true, Ordering::Relaxed);
        observed
    })?;
    let of = |(name, container): &(&'static str, Container<'_>)| Some((*name, histories.remove(&container.cgroup())?));
    let histories: Vec<(&str, History)> = containers.iter().filter_map(of).collect();
    ensure!(histories.len() == containers.len(), "the daemon does not know every container");
    let file = directories.logs.join("estimates.json");
    fs::write(&file, serde_json::to_vec(&histories)?).with_context(|| format!("cannot write {}", file.display()))?;
    print!("{}", tables(&histories, u32::try_from(time.as_secs())?)?);
    Ok(())
}

fn site<'a>(container: &'a Container<'_>) -> Result<Site<'a>> {
    let path = container.cgroup();
    let found = cgroup::mounts().into_iter().map(|mount| mount.join(path.trim_start_matches('/')));
    let cgroup = found.into_iter().find(|dir| dir.join("cgroup.procs").exists()).context("it has no cgroup")?;
    Ok(Site { target: container.target(), cgroup })
}

/// Adds new calls of every container to its history, window by window.
fn observe(monitor: &Monitor, histories: &mut BTreeMap<String, History>, has_ended: impl Fn() -> bool) -> Result<()> {
    let (mut begin, mut looks_left) = (None, LAST_LOOKS);
    while looks_left > 0 {
        looks_left -= u32::from(has_ended());
        interrupt::sleep(PAUSE)?;
        let (time, counts) = monitor.latest_below(&format!("/{CGROUP}"))?;
        let elapsed = Duration::from_secs_f64((time - *begin.get_or_insert(time)).max(0.0));
        let window = u32::try_from(elapsed.as_secs())?;
        for (cgroup, calls) in counts {
            histories.entry(cgroup).or_default().add(window, calls);
        }
    }
    Ok(())
}

/// Returns the tables: for each server and length of a part, the estimate beside the truth, as means over all parts;
/// and the errors of all estimators.
fn tables(histories: &[(&str, History)], seconds: u32) -> Result<String> {
    let mut table =
        String::from("| server | minutes | parts | seen | unseen | estimated | low |\n|---|---|---|---|---|---|---|\n");
    let mut of_all = CUTS.map(|_| Vec::new());
    for server in SERVERS {
        let of_server: Vec<&History> = histories.iter().filter(|(name, _)| *name == server).map(|(_, of)| of).collect();
        let all: BTreeSet<&str> = of_server.iter().flat_map(|history| history.calls()).collect();
        for (minutes, of_all) in CUTS.into_iter().zip(&mut of_all) {
            let parts: Vec<Part> = of_server
                .iter()
                .flat_map(|history| history::parts(60 * minutes, seconds).map(move |windows| (history, windows)))
                .map(|(history, windows)| Part::new(history, &windows, all.len()))
                .collect::<Result<_>>()?;
            let mean = |value: fn(&Part) -> f64| mean(&parts, value);
            let (seen, unseen) = (mean(|part| part.seen), mean(|part| part.unseen));
            let (estimated, low) = (mean(|part| part.estimates[0]), low(&parts, 0));
            let count = parts.len();
            let _ = writeln!(
                table,
                "| {server} | {minutes} | {count} | {seen:.1} | {unseen:.1} | {estimated:.1} | {low} |"
            );
            of_all.extend(parts);
        }
    }
    Ok(table + &errors(&of_all))
}

/// Returns the table of all estimators, with a value for each length of a part.
fn errors(of_all: &[Vec<Part>]) -> String {
    let names = ["jackknife 2, in use"].into_iter().chain(ESTIMATORS.iter().map(|(name, _)| *name));
    let counts = list(of_all.iter().map(|parts| parts.len().to_string()));
    let minutes = list(CUTS.iter().map(ToString::to_string));
    let mut table = format!("\n| estimator | error after {minutes} minutes | low parts of {counts} |\n|---|---|---|\n");
    for (index, name) in names.enumerate() {
        let error = |parts: &Vec<Part>| mean(parts, |part| (part.estimates[index] - part.unseen).abs());
        let errors = list(of_all.iter().map(|parts| format!("{:.1}", error(parts))));
        let low = list(of_all.iter().map(|parts| low(parts, index).to_string()));
        let _ = writeln!(table, "| {name} | {errors} | {low} |");
    }
    table
}

fn list(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(", ")
}

fn mean(parts: &[Part], value: impl Fn(&Part) -> f64) -> f64 {
    parts.iter().map(value).sum::<f64>() / parts.len() as f64
}

/// Returns the number of parts with an estimate of half the truth or less.
fn low(parts: &[Part], index: usize) -> usize {
    parts.iter().filter(|part| part.unseen > 0.0 && part.estimates[index] <= part.unseen / 2.0).count()
}

/// A part of the history of a container.
struct Part {
    seen: f64,
    unseen: f64,
    /// The product's estimate, and those of [`ESTIMATORS`].
    estimates: Vec<f64>,
}

impl Part {
    fn new(history: &History, windows: &Range<u32>, all: usize) -> Result<Self> {
        let evidence = history.evidence(windows)?;
        let confidence = Confidence::new(&evidence, SystemTime::now());
        let own = confidence.unseen_calls.context("there are enough windows")?;
        let sample = history.sample(windows);
        let estimates = [own].into_iter().chain(ESTIMATORS.iter().map(|(_, estimate)| estimate(&sample))).collect();
        let seen = evidence.calls.len();
        Ok(Self { seen: seen as f64, unseen: all.saturating_sub(seen) as f64, estimates })
    }
}
