//! `cargo xtask e2e policies --operations` and `--minutes`: servers that are rotated, reloaded, backed up, probed,
//! stopped and started, under a learned policy and under the built-in one.
//!
//! `--operations` prints which calls each operation adds to those of the load, and which of them are reported. It is
//! how the defaults of learning were chosen. `--minutes` learns each operation once, and does all of them again and
//! again for that time: nothing may be reported.

mod server;
mod table;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::{
    server::{Environment, Running},
    table::SERVERS,
};
use super::{exporter::Exporter, step};
use crate::{
    alertmanager, cri::Cri, directories::Directories, namespaces::Namespaces, servers::load::Phase, software,
    wait::wait_for,
};

/// The namespace whose containers learn. The containers of the other one have the built-in policy.
const LEARNED: &str = "learned";
const DEFAULT: &str = "ordinary";
const POLICY: &str = "policies: [{name: learned, match: [{namespace: learned}], learn: {}}]\n";
const OPTIONS: [&str; 4] = [
    "--policy.directory=/etc/syscallmon-policies",
    "--alert.alertmanager.url",
    alertmanager::URL,
    "--alert.log=stderr",
];
/// Ports of the servers in both namespaces.
const PORTS: [u16; 2] = [7400, 7500];
const TIMEOUT: Duration = Duration::from_mins(1);
const SETTLE: Duration = Duration::from_secs(1);

/// Prints which calls each operation adds.
pub(crate) fn table(root: &Path, namespaces: &Namespaces, directories: &Directories, cri: &Cri) -> Result<()> {
    let environment = environment(namespaces, directories, cri)?;
    let exporter = exporter(root, namespaces, directories)?;
    println!("| server | operation | new calls | reported |\n|---|---|---|---|");
    for (server, port) in SERVERS.iter().zip(PORTS[0]..) {
        let mut running = Running::start(&environment, server, LEARNED, port)?;
        for phase in [Phase::First, Phase::Second] {
            running.load(phase)?;
        }
        let mut known = calls(&exporter, &running)?;
        println!("| {} | start, load | {} calls | |", server.name, known.len());
        exporter.syscallmon(&["policy", "approve", &running.kind()])?;
        let mut reported = BTreeSet::new();
        for operation in server.operations {
            (operation.run)(&mut running).with_context(|| format!("{}: {}", server.name, operation.name))?;
            // A server may do its work after it has answered.
            thread::sleep(SETTLE);
            let made = calls(&exporter, &running)?;
            let violations = violations(&exporter, LEARNED)?;
            let is_own = |violation: &&Value| violation["metadata"]["pod"] == server.name;
            let now: BTreeSet<String> = violations.iter().filter(is_own).map(call).collect();
            let list = |calls: Vec<&String>| calls.into_iter().cloned().collect::<Vec<_>>().join(" ");
            let (new, alarms) = (list(made.difference(&known).collect()), list(now.difference(&reported).collect()));
            println!("| {} | {} | {new} | {alarms} |", server.name, operation.name);
            (known, reported) = (made, now);
        }
        running.finish()?;
    }
    Ok(())
}

/// Does all operations for some time, and expects no report.
pub(crate) fn quiet(
    root: &Path,
    namespaces: &Namespaces,
    directories: &Directories,
    cri: &Cri,
    time: Duration,
) -> Result<()> {
    let environment = environment(namespaces, directories, cri)?;
    let alertmanager = alertmanager::start(namespaces, &directories.logs)?;
    let exporter = exporter(root, namespaces, directories)?;
    let mut servers = Vec::new();
    step("each server starts, and is learned with each operation once", || {
        for (namespace, ports) in [(LEARNED, PORTS[0]), (DEFAULT, PORTS[1])] {
            for (server, port) in SERVERS.iter().zip(ports..) {
                let mut running = Running::start(&environment, server, namespace, port)?;
                running.load(Phase::First)?;
                operate(&mut running)?;
                servers.push(running);
            }
        }
        for running in servers.iter().filter(|running| running.namespace == LEARNED) {
            exporter.syscallmon(&["policy", "approve", &running.kind()])?;
        }
        Ok(())
    })?;
    let (begin, mut rounds) = (Instant::now(), 0_u32);
    step(&format!("{} minutes of operation: no report", time.as_secs() / 60), || {
        while rounds == 0 || begin.elapsed() < time {
            for running in &mut servers {
                running.load(Phase::Second)?;
                operate(running)?;
                expect_nothing(&exporter)?;
            }
            rounds += 1;
        }
        Ok(())
    })?;
    step("each server ends gracefully: no report", || {
        servers.into_iter().try_for_each(Running::finish)?;
        expect_nothing(&exporter)
    })?;
    for alert in alertmanager.alerts()? {
        let namespace = alert.labels.get("namespace").map(String::as_str);
        ensure!(!matches!(namespace, Some(LEARNED | DEFAULT)), "an alert: {alert:#?}");
    }
    println!("  {rounds} rounds of all operations in {:.0} minutes", begin.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

fn operate(running: &mut Running<'_>) -> Result<()> {
    for operation in running.server.operations {
        (operation.run)(running).with_context(|| format!("{}: {}", running.server.name, operation.name))?;
    }
    Ok(())
}

fn environment<'a>(namespaces: &'a Namespaces, directories: &Directories, cri: &'a Cri) -> Result<Environment<'a>> {
    let tree = directories.directory("clients")?.join("tree");
    software::unpack(&tree)?;
    Ok(Environment { namespaces, cri, tree })
}

fn exporter<'a>(root: &Path, namespaces: &'a Namespaces, directories: &Directories) -> Result<Exporter<'a>> {
    namespaces.write("/etc/syscallmon-policies/learned.yaml", POLICY)?;
    Exporter::with_options(root, namespaces, &directories.logs, &OPTIONS)
}

/// Returns the names of all calls of a server until now, without those of the container runtime.
fn calls(exporter: &Exporter<'_>, running: &Running<'_>) -> Result<BTreeSet<String>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let selector = format!(r#"namespace="{}",pod="{}",container="main""#, running.namespace, running.server.name);
    let data = wait_for("new counts", TIMEOUT, || {
        let answer: Value = serde_json::from_str(&exporter.get("/api/v1/workloads", &[("match", &selector)])?)?;
        let is_new = answer["data"]["snapshot_time"].as_f64().is_some_and(|time| time > now);
        Ok(is_new.then(|| answer["data"].clone()))
    })?;
    let workloads = data["workloads"].as_array().context("the API has no workloads")?;
    let calls = workloads.iter().filter_map(|workload| workload["syscalls"].as_array()).flatten();
    let is_own = |call: &&Value| call["calls"].as_u64() > Some(call["container_init"].as_u64().unwrap_or_default());
    Ok(calls.filter(is_own).map(call).collect())
}

/// Returns the name of a call, with its ABI unless that is the usual one.
fn call(entry: &Value) -> String {
    let (abi, name) = (entry["abi"].as_str().unwrap_or_default(), entry["syscall"].as_str().unwrap_or_default());
    if abi == "x86_64" { name.to_owned() } else { format!("{abi}:{name}") }
}

fn violations(exporter: &Exporter<'_>, namespace: &str) -> Result<Vec<Value>> {
    let selector = format!(r#"namespace="{namespace}""#);
    let answer = exporter.get("/api/v1/violations", &[("match", &selector), ("limit", "1000")])?;
    let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
    Ok(answer["data"]["violations"].as_array().context("the API has no list of violations")?.clone())
}

/// Fails if there is a violation, after all calls until now are judged.
fn expect_nothing(exporter: &Exporter<'_>) -> Result<()> {
    // The counters report calls without an event at the next snapshot.
    thread::sleep(SETTLE);
    for namespace in [LEARNED, DEFAULT] {
        let violations = violations(exporter, namespace)?;
        let log = fs::read_to_string(exporter.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("\"unexpected\"")).take(3).collect();
        ensure!(violations.is_empty(), "violations in {namespace}: {violations:#?} {lines:#?}");
    }
    Ok(())
}
