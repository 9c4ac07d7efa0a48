//! Calls that nobody expects, in real containers: who is told, of what, how soon and how often.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{exporter::Exporter, ordinary, step, value, web};
use crate::e2e::{
    alertmanager::{self, Alertmanager},
    cgroups,
    containerd::Containerd,
    cri::{Cri, Pod},
    namespaces::Namespaces,
    place::Place,
    programs,
    software::{DEBIAN, DEEDS, PROGRAMS, WEB_SERVER},
    wait::wait_for,
};

const OPTIONS: [&str; 4] = [
    "--policy.directory=/etc/syscallmon-policies",
    "--alert.alertmanager.url",
    alertmanager::URL,
    "--alert.resolve-after=1h",
];
/// For the namespace whose containers are learned; all others have the built-in policy.
const LEARNING: &str =
    "policies: [{name: learned, match: [{namespace: learned}], learn: {quiet_for: 5s, at_least: 10s}}]\n";

/// What is done in a container, by its name in the program [`DEEDS`]: the call and its ABI.
const TOLD: [(&str, &str, &str); 7] = [
    ("unshare", "unshare", "x86_64"),
    ("mount", "mount", "x86_64"),
    ("ptrace", "ptrace", "x86_64"),
    ("bpf", "bpf", "x86_64"),
    ("int80", "getpid", "ia32"),
    ("unknown", "unknown", "x86_64"),
    ("io_uring", "openat", "io_uring"),
];
const REPEATS: u64 = 100_000;
/// Pods in which latency is measured, and calls of each: no more are told of one workload.
const LATENCY: [u64; 2] = [5, 20];
/// What the slowest but one of a hundred may take.
const SLOWEST: Duration = Duration::from_millis(100);
const FLOOD: Duration = Duration::from_secs(10);
/// Cgroups that whoever floods has inside its own.
const NESTED: u32 = 2000;
/// What is told of one workload, policy and severity, and the summary of the rest.
const LINES: usize = 21;
const PATIENCE: Duration = Duration::from_secs(30);

/// What all checks need.
struct Scene<'a> {
    namespaces: &'a Namespaces,
    cri: &'a Cri,
    exporter: Exporter<'a>,
}

/// A pod with one container.
struct Running {
    name: String,
    sandbox: String,
    container: String,
}

/// All checks; ordinary software is under load for so long, and Alertmanager away.
pub(in crate::e2e) fn policies(
    root: &Path,
    namespaces: &Namespaces,
    place: &Place,
    cri: &Cri,
    load: Duration,
) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "what is done here has x86_64's numbers: run it on such a machine");
    namespaces.write("/etc/syscallmon-policies/learned.yaml", LEARNING)?;
    let mut alertmanager = Alertmanager::start(namespaces, place)?;
    let exporter = Exporter::with_options(root, namespaces, place, &OPTIONS)?;
    let mut scene = Scene { namespaces, cri, exporter };
    let nginx = step("a server under load: no violation", || scene.quiet(load))?;
    step("each deed is told once, with who did it", || scene.deeds(&nginx))?;
    step("Alertmanager has an alert of each", || {
        wait_for("the alerts", PATIENCE, || Ok(scene.has_alerts_of_all(&alertmanager)?.then_some(())))
    })?;
    step(&format!("{REPEATS} repeats are counted, and told once"), || scene.repeats(&nginx, &alertmanager))?;
    step("a container that is gone at once is told of by its names", || scene.brief())?;
    step("how soon a call is told", || scene.latency())?;
    step("a flood hides nobody else", || scene.flood(&nginx))?;
    alertmanager.stop();
    let outage = Instant::now();
    scene.run(&nginx, &["swapoff"])?;
    thread::sleep(load.min(Duration::from_mins(1)).saturating_sub(outage.elapsed()));
    alertmanager = Alertmanager::start(namespaces, place)?;
    step("an alert of an outage of Alertmanager's arrives afterwards, once", || {
        let arrived = || Ok((alerts_of(&alertmanager, &nginx.name, "swapoff")? > 0).then_some(()));
        wait_for("the alert", Duration::from_mins(3), arrived)?;
        ensure!(alerts_of(&alertmanager, &nginx.name, "swapoff")? == 1, "there are several");
        Ok(())
    })?;
    step("a server is learned and guarded, also after the daemon's crash", || scene.learns(load))
}

impl Scene<'_> {
    fn start(&self, namespace: &str, name: &str, image: &str, command: &[&str]) -> Result<Running> {
        let pod = Pod::named(namespace, name);
        let sandbox = self.cri.run_pod(&pod)?;
        let container = self.cri.run_container(&pod, &sandbox, "main", image, command)?;
        Ok(Running { name: name.to_owned(), sandbox, container })
    }

    fn nginx(&self, namespace: &str, port: u16) -> Result<Running> {
        let command = ordinary::nginx(port);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let nginx = self.start(namespace, &format!("nginx-{port}"), DEBIAN, &command)?;
        wait_for("nginx", PATIENCE, || Ok(self.namespaces.in_network(|| web::answers(port))?.then_some(())))?;
        Ok(nginx)
    }

    fn load(&self, port: u16, time: Duration) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.namespaces.in_network(|| web::requests(port, 50))??;
        }
        Ok(())
    }

    /// Does a deed in a container, whose image may lack the program; what it printed.
    fn run(&self, running: &Running, args: &[&str]) -> Result<String> {
        let root = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/rootfs", running.container);
        let program = self.namespaces.file(&format!("{root}{DEEDS}"));
        if !program.exists() {
            fs::copy(programs::deeds()?, &program).context("cannot put a program into the container")?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("cannot make it executable")?;
        }
        self.cri.exec(&running.container, &[&[DEEDS], args].concat())
    }

    /// What the API has of a pod.
    fn violations(&self, pod: &str) -> Result<Vec<Value>> {
        let answer =
            self.exporter.get("/api/v1/violations", &[("match", &format!(r#"pod="{pod}""#)), ("limit", "1000")])?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
        Ok(answer["data"]["violations"].as_array().context("the API has no list of violations")?.clone())
    }

    /// The lines of JSON that the daemon wrote of a pod.
    fn lines(&self, pod: &str) -> Result<Vec<Value>> {
        let log = self.exporter.log();
        let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(records.filter(|record| record["workload"]["pod"] == pod).collect())
    }

    fn quiet(&self, load: Duration) -> Result<Running> {
        let nginx = self.nginx("shop", 7300)?;
        self.load(7300, load)?;
        let told = self.violations(&nginx.name)?;
        ensure!(told.is_empty(), "violations of nginx: {told:#?}");
        self.exporter.expect_nothing(r#"syscallmon_unexpected_syscalls_total{namespace="shop"}"#)?;
        Ok(nginx)
    }

    fn deeds(&self, nginx: &Running) -> Result<()> {
        for (deed, syscall, abi) in TOLD {
            self.run(nginx, &[deed])?;
            let is_it = |violation: &&Value| violation["syscall"] == syscall && violation["abi"] == abi;
            let told = wait_for(deed, PATIENCE, || Ok(self.violations(&nginx.name)?.iter().find(is_it).cloned()))?;
            let process = &told["process"];
            ensure!(
                process["comm"] == "deeds"
                    && process["exe"].as_str().is_some_and(|exe| exe.ends_with(DEEDS))
                    && process["uid"] == 0
                    && process["parents"].as_array().is_some_and(|parents| !parents.is_empty())
                    && told["about"]["container"] == "main"
                    && told["policy"] == "runtime-default",
                "{deed} is told so: {told:#}"
            );
            let lines = self.lines(&nginx.name)?;
            ensure!(lines.iter().filter(|line| is_it(line)).count() == 1, "{deed} has not one line: {lines:#?}");
            let labels = format!(r#"pod="{}",syscall="{syscall}",abi="{abi}",policy="runtime-default""#, nginx.name);
            self.exporter.expect_count(&format!("syscallmon_unexpected_syscalls_total{{{labels}}}"), 1)?;
        }
        // What a ring is made with is unexpected, too; nothing else is told.
        let more = ["io_uring_setup", "io_uring_enter"];
        for told in self.violations(&nginx.name)? {
            let is_meant = TOLD.iter().any(|(_, call, abi)| told["syscall"] == *call && told["abi"] == *abi)
                || more.iter().any(|call| told["syscall"] == *call);
            ensure!(is_meant && told["count"] == 1, "nobody did this, or so often: {told:#}");
        }
        let page = self.exporter.get("/", &[])?;
        ensure!(page.contains("bpf") && page.contains("runtime-default"), "the landing page does not show it");
        Ok(())
    }

    fn has_alerts_of_all(&self, alertmanager: &Alertmanager<'_>) -> Result<bool> {
        let alerts = alertmanager.alerts()?;
        let has = |call: &str, abi: &str| {
            alerts.iter().filter(|alert| alert.labels["syscall"] == call && alert.labels["abi"] == abi).count() == 1
        };
        Ok(TOLD.iter().all(|(_, call, abi)| has(call, abi)))
    }

    fn repeats(&self, nginx: &Running, alertmanager: &Alertmanager<'_>) -> Result<()> {
        self.run(nginx, &["setns", &REPEATS.to_string()])?;
        let labels = format!(r#"pod="{}",syscall="setns""#, nginx.name);
        self.exporter.expect_count(&format!("syscallmon_unexpected_syscalls_total{{{labels}}}"), REPEATS)?;
        let lines = self.lines(&nginx.name)?;
        let lines = lines.iter().filter(|line| line["syscall"] == "setns").count();
        ensure!(lines == 1, "{lines} lines of JSON for one violation");
        wait_for("the alert", PATIENCE, || Ok((alerts_of(alertmanager, &nginx.name, "setns")? == 1).then_some(())))
    }

    fn brief(&self) -> Result<()> {
        let brief = self.start("shop", "brief", PROGRAMS, &[DEEDS, "setns"])?;
        let told = wait_for("it", PATIENCE, || Ok(self.violations("brief")?.into_iter().next()))?;
        ensure!(
            told["syscall"] == "setns"
                && told["process"]["comm"] == "deeds"
                && told["workload"]["container"] == "main"
                && told["workload"]["namespace"] == "shop"
                && told["about"]["image"] == PROGRAMS,
            "{told:#}"
        );
        self.cri.remove_pod(&brief.sandbox)
    }

    /// From the moment before a call to the moment at which its line is in the log.
    fn latency(&self) -> Result<()> {
        let [pods, calls] = LATENCY;
        let mut took = Vec::new();
        for number in 0..pods {
            let name = format!("latency-{number}");
            let running = self.start("shop", &name, PROGRAMS, &[WEB_SERVER, &(7310 + number).to_string()])?;
            // A container has its names a moment after its start.
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
            let watcher = scope.spawn(|| watch(log, &running.name, calls as usize));
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

    fn flood(&self, nginx: &Running) -> Result<()> {
        let flooding = self.start("shop", "flood", PROGRAMS, &[WEB_SERVER, "7320"])?;
        let own = cgroups::containing(&flooding.container).into_iter().next().context("the container has no cgroup")?;
        let cpu = self.exporter.cpu_seconds()?;
        let begin = Instant::now();
        let client = Containerd::cri(self.namespaces)?;
        thread::scope(|scope| {
            let flood =
                scope.spawn(|| client.exec(&flooding.container, &[DEEDS, "flood", &FLOOD.as_secs().to_string()]));
            for number in 0..NESTED {
                let nested = own.join(format!("n{number}"));
                fs::create_dir(&nested).with_context(|| format!("cannot make {}", nested.display()))?;
            }
            let printed = self.run(nginx, &["swapon", "1000"])?;
            let called: u64 = printed.trim().parse().context("the program did not print when it called")?;
            let is_it = |line: &Value| line["syscall"] == "swapon";
            wait_for("the line", PATIENCE, || Ok(self.lines(&nginx.name)?.iter().any(is_it).then_some(())))?;
            println!("  in the flood, a line was there within {:.1?}", since(called));
            flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
        })?;
        let cpu = self.exporter.cpu_seconds()? - cpu;
        println!("  CPU of the daemon: {cpu:.2} s in {:.0} s of flood", begin.elapsed().as_secs_f64());
        let swapon = format!(r#"syscallmon_unexpected_syscalls_total{{pod="{}",syscall="swapon"}}"#, nginx.name);
        self.exporter.expect_count(&swapon, 1000)?;
        let (kept, lines) = (self.violations("flood")?.len(), self.lines("flood")?.len());
        let told = value(&self.exporter.prometheus, r#"count(syscallmon_unexpected_syscalls_total{pod="flood"})"#)?;
        let lost = value(&self.exporter.prometheus, r#"syscallmon_lost_total{reason="first_seen_events"}"#)?;
        println!("  of the flood: {told:?} series, {kept} violations, {lines} lines; {lost:?} events were lost");
        // Of the built-in policy, and of two severities.
        ensure!(lines <= 2 * LINES && kept > LINES, "{lines} lines of {kept} violations");
        self.cri.remove_pod(&flooding.sandbox)
    }

    fn learns(&mut self, load: Duration) -> Result<()> {
        let nginx = self.nginx("learned", 7330)?;
        self.load(7330, load)?;
        wait_for("the policy to guard", Duration::from_mins(2), || Ok(self.guards(&nginx.name)?.then_some(())))?;
        self.exporter.crash()?;
        wait_for("the policy to guard again", PATIENCE, || Ok(self.guards(&nginx.name)?.then_some(())))?;
        self.load(7330, load)?;
        let told = self.violations(&nginx.name)?;
        ensure!(told.is_empty(), "what was learned is told: {told:#?}");
        self.cri.exec(&nginx.container, &["sh", "-c", "id; ls -la /"])?;
        let told = wait_for("a shell", PATIENCE, || {
            let told = self.violations(&nginx.name)?;
            Ok((!told.is_empty()).then_some(told))
        })?;
        let calls: Vec<&str> = told.iter().filter_map(|violation| violation["syscall"].as_str()).collect();
        println!("  a shell called what nginx does not: {}", calls.join(", "));
        ensure!(told.iter().all(|violation| violation["reason"] == "not_learned"), "{told:#?}");
        self.cri.remove_pod(&nginx.sandbox)
    }

    fn guards(&self, pod: &str) -> Result<bool> {
        let answer = self.exporter.get("/api/v1/policies", &[])?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
        let baselines = answer["data"]["baselines"].as_array().context("the API has no baselines")?;
        let is_it = |entry: &&Value| entry["kind"].as_str().is_some_and(|kind| kind.contains(pod));
        Ok(baselines.iter().find(is_it).is_some_and(|entry| entry["state"] == "guarding"))
    }
}

/// How many alerts there are of a call in a pod.
fn alerts_of(alertmanager: &Alertmanager<'_>, pod: &str, syscall: &str) -> Result<usize> {
    let has =
        |labels: &BTreeMap<String, String>, name: &str, value: &str| labels.get(name).is_some_and(|own| own == value);
    let alerts = alertmanager.alerts()?;
    let of_it = alerts.iter().filter(|alert| has(&alert.labels, "pod", pod) && has(&alert.labels, "syscall", syscall));
    Ok(of_it.count())
}

/// When lines of a pod's x32 calls arrive in the log, in nanoseconds since 1970, by the calls' numbers.
fn watch(mut log: File, pod: &str, count: usize) -> Result<BTreeMap<u64, u64>> {
    let begin = Instant::now();
    let (mut arrivals, mut text) = (BTreeMap::new(), String::new());
    while arrivals.len() < count {
        ensure!(begin.elapsed() < PATIENCE, "{} of {count} calls have a line", arrivals.len());
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

fn since(nanoseconds: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(nanoseconds))
}
