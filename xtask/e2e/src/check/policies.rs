//! Unexpected calls in real containers: reports, their content, delay and number.

mod latency;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syscallmon_testkit::{Alert, Alertmanager, cgroup};

use super::{exporter::Exporter, ordinary, step, value, web};
use crate::{
    alertmanager,
    containerd::Containerd,
    cri::{Cri, Pod},
    directories::Directories,
    namespaces::Namespaces,
    programs,
    software::{DEBIAN, OFFENDER, PROGRAMS, WEB_SERVER},
    wait::wait_for,
};

const OPTIONS: [&str; 4] = [
    "--policy.directory=/etc/syscallmon-policies",
    "--alert.alertmanager.url",
    alertmanager::URL,
    "--alert.resolve-after=1h",
];
/// The policy for the namespace with learning containers. All others have the built-in policy.
const LEARNING: &str =
    "policies: [{name: learned, match: [{namespace: learned}], learn: {quiet_for: 5s, at_least: 10s}}]\n";

/// Attempts in a container, by their names in the program [`OFFENDER`]: the call or class of arguments, and its ABI.
const ATTEMPTS: [(&str, &str, &str); 14] = [
    ("unshare", "unshare(other)", "x86_64"),
    ("unshare_user", "unshare(CLONE_NEWUSER)", "x86_64"),
    ("clone_user", "clone(CLONE_NEWUSER)", "x86_64"),
    ("clone3_user", "clone3(CLONE_NEWUSER)", "x86_64"),
    ("mount", "mount(MS_BIND)", "x86_64"),
    ("ptrace", "ptrace(other)", "x86_64"),
    ("bpf", "bpf(other)", "x86_64"),
    ("socket_alg", "socket(AF_ALG)", "x86_64"),
    ("socket_vsock", "socket(AF_VSOCK)", "x86_64"),
    ("personality", "personality(ADDR_NO_RANDOMIZE)", "x86_64"),
    ("tiocsti", "ioctl(TIOCSTI)", "x86_64"),
    ("int80", "getpid", "ia32"),
    ("unknown", "unknown", "x86_64"),
    ("io_uring", "openat", "io_uring"),
];
/// What the attempt `setns` is reported as.
const SETNS: &str = "setns(any)";
const REPEATS: u64 = 100_000;
const FLOOD: Duration = Duration::from_secs(10);
/// Number of cgroups that the flooding container has inside its cgroup.
const NESTED: u32 = 2000;
/// Maximum alerts of one workload, policy, severity and class of calls, with the summary of the rest.
const LINES: usize = 21;
/// Classes of calls with separate limits: calls of each ABI that ran, and denied calls.
const CLASSES: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(30);

/// State that all checks use.
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

/// Runs all checks. `load` is the time for ordinary software under load, and the maximum outage of Alertmanager.
pub(crate) fn policies(
    root: &Path,
    namespaces: &Namespaces,
    directories: &Directories,
    cri: &Cri,
    load: Duration,
) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "what is done here has x86_64's numbers: run it on such a machine");
    namespaces.write("/etc/syscallmon-policies/learned.yaml", LEARNING)?;
    let alertmanager = alertmanager::start(namespaces, &directories.logs)?;
    let exporter = Exporter::with_options(root, namespaces, &directories.logs, &OPTIONS)?;
    let mut scene = Scene { namespaces, cri, exporter };
    let nginx = step("a server under load: no violation", || scene.quiet(load))?;
    step("each attempt is reported once, with its process", || scene.attempts(&nginx))?;
    step("Alertmanager has an alert of each process", || {
        wait_for("the alerts", TIMEOUT, || Ok(has_alerts_of_all(&alertmanager, &nginx.name)?.then_some(())))
    })?;
    step(&format!("{REPEATS} repeats are counted, and reported once"), || scene.repeats(&nginx, &alertmanager))?;
    step("a container that is gone at once is reported by its names", || scene.brief())?;
    step("how soon a call is reported", || scene.latency())?;
    step("a flood hides nobody else", || scene.flood(&nginx))?;
    drop(alertmanager);
    let outage = Instant::now();
    scene.run(&nginx, &["swapoff"])?;
    thread::sleep(load.min(Duration::from_mins(1)).saturating_sub(outage.elapsed()));
    let alertmanager = alertmanager::start(namespaces, &directories.logs)?;
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
        wait_for("nginx", TIMEOUT, || Ok(self.namespaces.network().run(|| web::answers(port))?.then_some(())))?;
        Ok(nginx)
    }

    fn load(&self, port: u16, time: Duration) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.namespaces.network().run(|| web::requests(port, 50))??;
        }
        Ok(())
    }

    /// Makes an attempt in a container. Copies the program into the container if the image lacks it. Returns its
    /// output.
    fn run(&self, running: &Running, args: &[&str]) -> Result<String> {
        let root = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/rootfs", running.container);
        let program = self.namespaces.file(&format!("{root}{OFFENDER}"));
        if !program.exists() {
            fs::copy(programs::offender()?, &program).context("cannot put a program into the container")?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("cannot make it executable")?;
        }
        self.cri.exec(&running.container, &[&[OFFENDER], args].concat())
    }

    /// Returns the violations of a pod from the API.
    fn violations(&self, pod: &str) -> Result<Vec<Value>> {
        let answer =
            self.exporter.get("/api/v1/violations", &[("match", &format!(r#"pod="{pod}""#)), ("limit", "1000")])?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
        Ok(answer["data"]["violations"].as_array().context("the API has no list of violations")?.clone())
    }

    /// Returns the calls in the daemon's lines about a pod, as often as they are in lines, with the `metadata` of the
    /// line.
    fn calls(&self, pod: &str) -> Result<Vec<Value>> {
        let calls = |line: Value| {
            let calls = line["calls"].as_array().cloned().unwrap_or_default().into_iter();
            calls.map(move |mut call| {
                call["metadata"] = line["metadata"].clone();
                call
            })
        };
        Ok(self.lines(pod)?.into_iter().flat_map(calls).collect())
    }

    /// Returns the daemon's lines of JSON about a pod.
    fn lines(&self, pod: &str) -> Result<Vec<Value>> {
        let log = self.exporter.log();
        let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(records.filter(|record| record["workload"]["pod"] == pod).collect())
    }

    fn quiet(&self, load: Duration) -> Result<Running> {
        let nginx = self.nginx("shop", 7300)?;
        self.load(7300, load)?;
        let reported = self.violations(&nginx.name)?;
        ensure!(reported.is_empty(), "violations of nginx: {reported:#?}");
        self.exporter.expect_nothing(r#"syscallmon_unexpected_syscalls_total{namespace="shop"}"#)?;
        Ok(nginx)
    }

    fn attempts(&self, nginx: &Running) -> Result<()> {
        for (attempt, call, abi) in ATTEMPTS {
            self.run(nginx, &[attempt])?;
            let is_it = |violation: &&Value| call_of(violation) == call && violation["abi"] == abi;
            let reported =
                wait_for(attempt, TIMEOUT, || Ok(self.violations(&nginx.name)?.iter().find(is_it).cloned()))?;
            let process = &reported["process"];
            ensure!(
                process["comm"] == "offender"
                    && process["exe"].as_str().is_some_and(|exe| exe.ends_with(OFFENDER))
                    && process["uid"] == 0
                    && process["parents"].as_array().is_some_and(|parents| !parents.is_empty())
                    && reported["metadata"]["container"] == "main"
                    && reported["policy"] == "runtime-default",
                "{attempt} is reported as: {reported:#}"
            );
            // A call that is not critical is reported within a second.
            let lines = wait_for(attempt, TIMEOUT, || {
                let calls = self.calls(&nginx.name)?;
                Ok(calls.iter().any(|call| is_it(&call)).then_some(calls))
            })?;
            ensure!(lines.iter().filter(|line| is_it(line)).count() == 1, "{attempt} has not one line: {lines:#?}");
            let (syscall, argument) = call.trim_end_matches(')').split_once('(').unwrap_or((call, ""));
            let argument = if argument.is_empty() { String::new() } else { format!(r#",argument="{argument}""#) };
            let labels =
                format!(r#"pod="{}",syscall="{syscall}",abi="{abi}",policy="runtime-default"{argument}"#, nginx.name);
            self.exporter.expect_count(&format!("syscallmon_unexpected_syscalls_total{{{labels}}}"), 1)?;
        }
        // The call that creates a ring is unexpected, too. No other call is reported.
        let more = ["io_uring_setup", "io_uring_enter"];
        for reported in self.violations(&nginx.name)? {
            let is_attempt =
                |(_, call, abi): &(&str, &str, &str)| call_of(&reported) == *call && reported["abi"] == *abi;
            let is_meant = ATTEMPTS.iter().any(is_attempt) || more.iter().any(|call| reported["syscall"] == *call);
            ensure!(is_meant && reported["count"] == 1, "nobody did this, or so often: {reported:#}");
        }
        let list = self.exporter.get("/incidents?q=bpf", &[])?;
        let link = list.split("href=\"").find(|link| link.starts_with("/incident/"));
        let link = link.and_then(|link| link.split('"').next()).context("the explorer does not list it")?;
        let page = self.exporter.get(link, &[])?;
        ensure!(page.contains("bpf") && page.contains("runtime-default"), "the explorer does not explain it");
        Ok(())
    }

    fn repeats(&self, nginx: &Running, alertmanager: &Alertmanager) -> Result<()> {
        self.run(nginx, &["setns", &REPEATS.to_string()])?;
        let labels = format!(r#"pod="{}",syscall="setns""#, nginx.name);
        self.exporter.expect_count(&format!("syscallmon_unexpected_syscalls_total{{{labels}}}"), REPEATS)?;
        wait_for("the alert", TIMEOUT, || Ok((alerts_of(alertmanager, &nginx.name, SETNS)? == 1).then_some(())))?;
        let calls = self.calls(&nginx.name)?;
        let lines = calls.iter().filter(|call| call_of(call) == SETNS).count();
        ensure!(lines == 1, "{lines} lines of JSON for one violation");
        Ok(())
    }

    fn brief(&self) -> Result<()> {
        let brief = self.start("shop", "brief", PROGRAMS, &[OFFENDER, "setns"])?;
        let reported = wait_for("it", TIMEOUT, || Ok(self.violations("brief")?.into_iter().next()))?;
        ensure!(
            call_of(&reported) == SETNS
                && reported["process"]["comm"] == "offender"
                && reported["workload"]["container"] == "main"
                && reported["workload"]["namespace"] == "shop"
                && reported["metadata"]["image"] == PROGRAMS,
            "{reported:#}"
        );
        self.cri.remove_pod(&brief.sandbox)
    }

    fn flood(&self, nginx: &Running) -> Result<()> {
        let flooding = self.start("shop", "flood", PROGRAMS, &[WEB_SERVER, "7320"])?;
        let own = cgroup::containing(&flooding.container).into_iter().next().context("the container has no cgroup")?;
        let cpu = self.exporter.cpu_seconds()?;
        let begin = Instant::now();
        let client = Containerd::cri(self.namespaces)?;
        thread::scope(|scope| {
            let flood =
                scope.spawn(|| client.exec(&flooding.container, &[OFFENDER, "flood", &FLOOD.as_secs().to_string()]));
            for number in 0..NESTED {
                let nested = own.join(format!("n{number}"));
                fs::create_dir(&nested).with_context(|| format!("cannot make {}", nested.display()))?;
            }
            let printed = self.run(nginx, &["swapon", "1000"])?;
            let called: u64 = printed.trim().parse().context("the program did not print when it called")?;
            let is_it = |line: &Value| line["syscall"] == "swapon";
            wait_for("the line", TIMEOUT, || Ok(self.calls(&nginx.name)?.iter().any(is_it).then_some(())))?;
            println!("  in the flood, a line was there within {:.1?}", latency::since(called));
            flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
        })?;
        let cpu = self.exporter.cpu_seconds()? - cpu;
        println!("  CPU of the daemon: {cpu:.2} s in {:.0} s of flood", begin.elapsed().as_secs_f64());
        let swapon = format!(r#"syscallmon_unexpected_syscalls_total{{pod="{}",syscall="swapon"}}"#, nginx.name);
        self.exporter.expect_count(&swapon, 1000)?;
        let (kept, lines) = (self.violations("flood")?.len(), self.lines("flood")?.len());
        let reported = value(&self.exporter.prometheus, r#"count(syscallmon_unexpected_syscalls_total{pod="flood"})"#)?;
        let lost = value(&self.exporter.prometheus, r#"syscallmon_lost_total{reason="first_call_events"}"#)?;
        println!("  of the flood: {reported:?} series, {kept} violations, {lines} lines; {lost:?} events were lost");
        // The limit for the built-in policy and two severities.
        ensure!(lines <= 2 * CLASSES * LINES && kept > lines, "{lines} lines of {kept} violations");
        self.cri.remove_pod(&flooding.sandbox)
    }

    fn learns(&mut self, load: Duration) -> Result<()> {
        let nginx = self.nginx("learned", 7330)?;
        self.load(7330, load)?;
        wait_for("the policy to guard", Duration::from_mins(2), || Ok(self.guards(&nginx.name)?.then_some(())))?;
        self.exporter.crash()?;
        wait_for("the policy to guard again", TIMEOUT, || Ok(self.guards(&nginx.name)?.then_some(())))?;
        self.load(7330, load)?;
        let reported = self.violations(&nginx.name)?;
        ensure!(reported.is_empty(), "what was learned is reported: {reported:#?}");
        self.cri.exec(&nginx.container, &["sh", "-c", "id; ls -la /"])?;
        let reported = wait_for("a shell", TIMEOUT, || {
            let reported = self.violations(&nginx.name)?;
            Ok((!reported.is_empty()).then_some(reported))
        })?;
        let calls: Vec<&str> = reported.iter().filter_map(|violation| violation["syscall"].as_str()).collect();
        println!("  a shell called what nginx does not: {}", calls.join(", "));
        ensure!(reported.iter().all(|violation| violation["reason"] == "not_learned"), "{reported:#?}");
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

/// Returns the name of a reported call, with the class of its arguments.
fn call_of(reported: &Value) -> String {
    let name = reported["syscall"].as_str().unwrap_or_default();
    reported["argument"].as_str().map_or_else(|| name.to_owned(), |argument| format!("{name}({argument})"))
}

/// Whether there is one alert for each attempt in a pod: each is a process tree of its own. Other containers may have
/// alerts, too. Texts for people leave out that a class is `other`.
fn has_alerts_of_all(alertmanager: &Alertmanager, pod: &str) -> Result<bool> {
    let text = |call: &str, abi: &str| {
        let call = call.strip_suffix("(other)").unwrap_or(call);
        if abi == "x86_64" { call.to_owned() } else { format!("{call} ({abi})") }
    };
    let counts = ATTEMPTS.iter().map(|(_, call, abi)| alerts_of(alertmanager, pod, &text(call, abi)));
    Ok(counts.collect::<Result<Vec<usize>>>()?.iter().all(|&count| count == 1))
}

/// Returns the number of alerts for a call in a pod.
fn alerts_of(alertmanager: &Alertmanager, pod: &str, syscall: &str) -> Result<usize> {
    let alerts = alertmanager.alerts()?;
    let describes = |alert: &Alert| {
        let lines = alert.annotations.get("description").into_iter().flat_map(|text| text.lines());
        lines.into_iter().any(|line| line.strip_prefix(syscall).is_some_and(|rest| rest.starts_with(", ")))
    };
    Ok(alerts.iter().filter(|alert| has(alert, "pod", pod) && describes(alert)).count())
}

fn has(alert: &Alert, label: &str, value: &str) -> bool {
    alert.labels.get(label).is_some_and(|own| own == value)
}
