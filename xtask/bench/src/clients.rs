//! Clients that scrape many series without a pause: the delay of first-call reports and of health responses meanwhile,
//! and the cost of many scrapes at once.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    mem,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syscallmon::scheduling::prefer_short_slices;
use syscallmon_testkit::{Cgroup, Guarded, interrupt, usage::Memory};

use super::{
    daemon::{Client, Daemon, FRESH},
    host::Host,
    report::{Figure, Report, Unit},
    scale::{self, SIZES},
};

const SCRAPING: usize = 3;
const AT_ONCE: usize = 100;
/// Permits more clients at once than the default limit for connections of one address.
const CONNECTIONS: &str = "--web.max-connections=512";
/// Number of cgroups that make first calls, and of first calls in each: the maximum that is reported for one workload.
const FIRST_CALLS: [usize; 2] = [10, 20];
/// Number of the first x32 call, `keyctl`. This call and those after it are not among the calls that every policy
/// allows in every ABI.
const X32: usize = 0x4000_0000 + 250;
const REPORT_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_PAUSE: Duration = Duration::from_millis(5);

/// Runs the scenario.
pub(super) fn measure(host: &Host) -> Result<Report> {
    let [size, ..] = &SIZES;
    eprintln!("clients: {SCRAPING} that scrape {} series without a pause", size.series());
    let cgroup = host.cgroup("clients")?;
    let files = Files::new(host, &cgroup.label())?;
    let daemon = Daemon::start(host, &[size.capacity, &[CONNECTIONS, &files.policies(), &files.alerts()]].concat())?;
    scale::call(host, &cgroup, size.cgroups, scale::CALLS)?;
    interrupt::sleep(FRESH)?;
    let series = daemon.scrape()?.below(&cgroup.label()).len();
    ensure!(series == size.series(), "the daemon has {series} series, not {}", size.series());

    let Measured { mut reported, mut health, scrape_count } = under_scrapes(host, &daemon, &cgroup, &files)?;
    ensure!(scrape_count > SCRAPING, "{scrape_count} scrapes are no load");
    reported.sort_unstable();
    health.sort_unstable();
    let percentile = |times: &[Duration], percent: usize| {
        times.get((times.len() * percent).div_ceil(100) - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    let figure =
        |what: &str, value, limit| Figure::new(format!("clients: {what}"), value, Unit::Milliseconds).at_most(limit);
    let mut figures = vec![
        figure("from a first call to its alert line, p99 of 200", percentile(&reported, 99), 10.0),
        figure("/healthz, the slowest", percentile(&health, 100), 50.0),
    ];
    figures.extend(at_once(&daemon)?);
    Ok(Report { figures, ..Report::default() })
}

struct Measured {
    /// Time from each call to its line of JSON.
    reported: Vec<Duration>,
    health: Vec<Duration>,
    scrape_count: usize,
}

/// Makes first calls and requests health, while clients scrape.
fn under_scrapes(host: &Host, daemon: &Daemon, cgroup: &Cgroup, files: &Files) -> Result<Measured> {
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let scrapers: Vec<_> =
            (0..SCRAPING).map(|_| scope.spawn(|| repeat(daemon, "/metrics", &ends, Duration::ZERO))).collect();
        let health = scope.spawn(|| repeat(daemon, "/healthz", &ends, HEALTH_PAUSE));
        let watcher = scope.spawn(|| files.watch(FIRST_CALLS.iter().product()));
        let called = call_all(host, cgroup);
        let reported = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ends.store(true, Ordering::Relaxed);
        let times = |thread: thread::ScopedJoinHandle<'_, Result<Vec<Duration>>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let scrape_count = scrapers.into_iter().map(|scraper| Ok(times(scraper)?.len())).sum::<Result<usize>>();
        let health = times(health);
        called?;
        Ok(Measured { reported: reported?, health: health?, scrape_count: scrape_count? })
    })
}

/// Returns the duration of each request until `ends`.
fn repeat(daemon: &Daemon, path: &str, ends: &AtomicBool, pause: Duration) -> Result<Vec<Duration>> {
    let client = daemon.client();
    let mut times = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let begin = Instant::now();
        client.get(path, true)?;
        times.push(begin.elapsed());
        thread::sleep(pause);
    }
    Ok(times)
}

/// Makes first calls, in one cgroup after the other.
fn call_all(host: &Host, cgroup: &Cgroup) -> Result<()> {
    let [cgroups, calls] = FIRST_CALLS;
    for number in 0..cgroups {
        let directory = cgroup.path().join(format!("first-{number}"));
        fs::create_dir(&directory).context("cannot make a cgroup")?;
        for number in X32..X32 + calls {
            // Uses a process for each call, because first calls rarely come in groups.
            let mut command = Command::new(&host.known_calls);
            command.arg("range").arg(&directory).args([number, number + 1].map(|number| number.to_string()));
            let status = Guarded::spawn_bound(command.stdin(Stdio::null()))?.wait(REPORT_TIMEOUT)?;
            ensure!(status.success(), "known_calls range failed: {status}");
        }
    }
    Ok(())
}

/// Measures many scrapes of one snapshot at once. The first scrape renders and compresses, and the others share its
/// result.
fn at_once(daemon: &Daemon) -> Result<[Figure; 2]> {
    let clients: Vec<Client> = (0..AT_ONCE).map(|_| daemon.client()).collect();
    clients.iter().try_for_each(|client| client.get("/healthz", false).map(drop))?;
    // The first scrape also renders.
    interrupt::sleep(FRESH)?;
    let (cpu, before) = (daemon.cpu_time()?, daemon.memory()?);
    daemon.timed_scrape()?;
    let one = daemon.cpu_time()?.saturating_sub(cpu);
    interrupt::sleep(FRESH)?;
    let (cpu, ends) = (daemon.cpu_time()?, AtomicBool::new(false));
    let most = thread::scope(|scope| {
        let watcher = scope.spawn(|| most_memory(daemon, &ends));
        let scrapers: Vec<_> = clients.iter().map(|client| scope.spawn(|| client.get("/metrics", true))).collect();
        let outcomes: Vec<_> = scrapers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ends.store(true, Ordering::Relaxed);
        let most = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        for outcome in outcomes {
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<u64, anyhow::Error>(most)
    })?;
    let all = daemon.cpu_time()?.saturating_sub(cpu);
    let grown = scale::as_f64(most.saturating_sub(before.resident)) / f64::from(1 << 20);
    Ok([
        Figure::new(format!("clients: memory that {AT_ONCE} scrapes at once add"), grown, Unit::Mebibytes)
            .at_most(16.0),
        Figure::new(
            format!("clients: CPU of {AT_ONCE} scrapes at once, divided by one scrape"),
            all.as_secs_f64() / one.as_secs_f64(),
            Unit::Ratio,
        ),
    ])
}

/// Returns the maximum resident memory until `ends`, in bytes.
fn most_memory(daemon: &Daemon, ends: &AtomicBool) -> Result<u64> {
    let mut most = 0;
    while !ends.load(Ordering::Relaxed) {
        let Memory { resident, .. } = daemon.memory()?;
        most = most.max(resident);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(most)
}

/// The daemon's policy, and the file to which it reports.
struct Files {
    directory: PathBuf,
    /// Common prefix of the labels of the cgroups.
    label: String,
}

impl Files {
    fn new(host: &Host, label: &str) -> Result<Self> {
        let directory = host.scratch.join("clients");
        let policies = directory.join("policies");
        fs::create_dir_all(&policies).with_context(|| format!("cannot make {}", policies.display()))?;
        // A critical call does not wait for others of its incident, if it is the first: so the policy allows what the
        // process calls besides.
        let policy = format!(
            "policies:\n  - name: bench\n    severity: critical\n    match: [{{cgroup: \"{label}/first-*\"}}]\n    \
             allow: [\"@default\", \"@basic-io\", \"@signal\"]\n"
        );
        fs::write(policies.join("bench.yaml"), policy).context("cannot write the policy")?;
        let files = Self { directory, label: label.to_owned() };
        let _ = fs::remove_file(files.lines());
        Ok(files)
    }

    fn policies(&self) -> String {
        format!("--policy.directory={}", self.directory.join("policies").display())
    }

    fn alerts(&self) -> String {
        format!("--alert.log={}", self.lines().display())
    }

    fn lines(&self) -> PathBuf {
        self.directory.join("violations")
    }

    /// Waits for lines about this many first calls. Returns the time from each call, by its event, to its line.
    fn watch(&self, count: usize) -> Result<Vec<Duration>> {
        // Delays of this process must not count as delays of the daemon.
        prefer_short_slices();
        let begin = Instant::now();
        let (mut reported, mut lines) = (BTreeMap::new(), NewLines::default());
        while reported.len() < count {
            ensure!(begin.elapsed() < REPORT_TIMEOUT, "{} of {count} first calls have a line", reported.len());
            interrupt::check()?;
            let new = lines.take(&self.lines())?;
            let now = SystemTime::now();
            for line in new {
                note(&line, now, &self.label, &mut reported)?;
            }
            thread::sleep(Duration::from_micros(500));
        }
        Ok(reported.into_values().collect())
    }
}

/// Reads a growing file.
#[derive(Default)]
struct NewLines {
    file: Option<BufReader<File>>,
    /// The beginning of an incomplete line.
    begun: String,
}

impl NewLines {
    /// Returns the new lines, or none if there is no file.
    fn take(&mut self, path: &Path) -> Result<Vec<String>> {
        if self.file.is_none() {
            self.file = File::open(path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        while file.read_line(&mut self.begun).context("cannot read the lines")? > 0 {
            if self.begun.ends_with('\n') {
                lines.push(mem::take(&mut self.begun));
            }
        }
        Ok(lines)
    }
}

/// Records the delay of the x32 calls in a line, by cgroup and number, if the line is about these cgroups.
fn note(line: &str, now: SystemTime, label: &str, reported: &mut BTreeMap<(String, u64), Duration>) -> Result<()> {
    let line: Value = serde_json::from_str(line).context("a line is not JSON")?;
    let cgroup = line["workload"]["cgroup"].as_str().unwrap_or_default();
    let calls = line["calls"].as_array().filter(|_| cgroup.starts_with(label));
    for call in calls.into_iter().flatten().filter(|call| call["abi"] == "x32") {
        let Some(number) = call["number"].as_u64() else { continue };
        let seconds = call["first_seen"].as_f64().context("a call has no time")?;
        let time = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).context("a call has no time")?;
        reported.entry((cgroup.to_owned(), number)).or_insert_with(|| now.duration_since(time).unwrap_or_default());
    }
    Ok(())
}
