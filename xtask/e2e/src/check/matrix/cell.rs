//! The checks of one cell.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask_support::apt::Suite;

use super::{
    engines::{Engine, Known},
    system::System,
    watch::Watch,
};
use crate::{check::value, images::BUSYBOX, wait::wait_for};

/// The call that containers make: a shell makes it without another process, and no engine makes it.
const CALL: &str = "times";
/// Calls of the container's program, of each start.
const START: u64 = 1000;
/// Calls of a command that is executed in the container.
const EXEC: u64 = 100;
const TIMEOUT: Duration = Duration::from_mins(1);
/// A call that the built-in policy does not expect, and a command that makes it once. Runtimes make it, too.
const UNEXPECTED: [&str; 2] = ["unshare", "unshare -i true || true"];
/// The same for containers whose runtimes' calls are judged like their own.
const UNEXPECTED_OF_OTHERS: [&str; 2] = ["swapoff", "swapoff /etc/passwd || true"];

/// The only result for a container without a cgroup.
const NO_CGROUP: &str = "no cgroup";

/// Names of the checks, in their order.
pub(super) const CHECKS: [&str; 6] =
    ["names", "exact counts", "start and exec silent", "unexpected call reported", "restart", "removal"];

/// An engine with an OCI runtime, beside the daemon.
pub(super) struct Cell<'a> {
    engine: Box<dyn Engine + Send + Sync + 'a>,
    watch: &'a Watch<'a>,
}

/// The outcome of one cell.
pub(super) struct Row {
    pub(super) suite: Suite,
    pub(super) versions: [String; 2],
    pub(super) servers: String,
    /// Result of each check that was made. Nothing follows a failure.
    pub(super) results: Vec<Result<String, String>>,
}

impl Row {
    fn new(system: &System, versions: [String; 2]) -> Self {
        Self { suite: system.suite, versions, servers: system.servers.clone(), results: Vec::new() }
    }

    /// Returns the row of a cell that did not start.
    pub(super) fn failed(system: &System, versions: [String; 2], name: &str, error: &anyhow::Error) -> Self {
        let mut row = Self::new(system, versions);
        row.fail(name, "start", error);
        row
    }

    fn fail(&mut self, name: &str, check: &str, error: &anyhow::Error) {
        self.results.push(Err(format!("{name} ({:?}), {check}: {}", self.suite, brief(error))));
    }

    pub(super) fn is_ok(&self) -> bool {
        let is_complete = self.results.len() == CHECKS.len() || self.results == [Ok(NO_CGROUP.to_owned())];
        is_complete && self.results.iter().all(Result::is_ok)
    }
}

/// A running container, and the labels of its series.
struct Running {
    id: String,
    labels: String,
}

impl<'a> Cell<'a> {
    pub(super) fn new(engine: Box<dyn Engine + Send + Sync + 'a>, watch: &'a Watch<'a>) -> Self {
        Self { engine, watch }
    }

    /// Returns the name of its container.
    pub(super) fn name(&self) -> &str {
        self.engine.name()
    }

    /// Makes all checks. Removes the container also after a failure.
    pub(super) fn check(&self, system: &System) -> Row {
        let (versions, name) = (self.engine.versions().clone(), self.engine.name());
        if self.engine.lacks_cgroup() {
            let mut row = Row::new(system, versions);
            match self.has_no_cgroup() {
                Ok(()) => row.results.push(Ok(NO_CGROUP.to_owned())),
                Err(error) => row.fail(name, "start", &error),
            }
            return row;
        }
        let mut running = match self.start() {
            Ok(running) => running,
            Err(error) => return Row::failed(system, versions, name, &error),
        };
        let mut row = Row::new(system, versions);
        let checks: [fn(&Self, &mut Running) -> Result<String>; 6] =
            [Self::names, Self::counts, Self::is_silent, Self::reports, Self::restarts, Self::leaves];
        for (check_name, check) in CHECKS.into_iter().zip(checks) {
            match check(self, &mut running) {
                Ok(text) => row.results.push(Ok(text)),
                Err(error) => {
                    row.fail(self.engine.name(), check_name, &error);
                    let _ = self.engine.remove(&running.id);
                    break;
                }
            }
        }
        row
    }

    fn start(&self) -> Result<Running> {
        let id = self.engine.start(&calls_and_waits(START))?;
        let labels = match self.engine.known(&id)? {
            Known::Name(..) => format!(r#"container="{}""#, self.engine.name()),
            Known::Path(cgroup) => format!(r#"cgroup="{cgroup}""#),
        };
        Ok(Running { id, labels })
    }

    /// Checks that a container has no cgroup of its own.
    fn has_no_cgroup(&self) -> Result<()> {
        let id = self.engine.start(&calls_and_waits(START))?;
        let known = self.engine.known(&id);
        self.engine.remove(&id)?;
        ensure!(known.is_err(), "it has a cgroup: check it");
        Ok(())
    }

    /// Checks the labels that users see. A container without a name has its path.
    fn names(&self, running: &mut Running) -> Result<String> {
        let Known::Name(runtime, id) = self.engine.known(&running.id)? else {
            self.watch.exporter.expect_count(&format!("count({})", series(running)), 1)?;
            return Ok("cgroup path".to_owned());
        };
        let name = if id == running.id { "yes" } else { "the outer container's" };
        let id = format!("{runtime}://{id}");
        let labels = format!(r#"{},runtime="{runtime}",container_id="{id}",image="{BUSYBOX}""#, running.labels);
        self.watch.exporter.expect_count(&format!("syscallmon_workload_info{{{labels}}}"), 1)?;
        self.watch.exporter.expect_nothing(&format!(r#"syscallmon_syscalls_total{{cgroup=~".*{}.*"}}"#, running.id))?;
        Ok(name.to_owned())
    }

    /// Checks the numbers of the program's calls and of a command's calls.
    fn counts(&self, running: &mut Running) -> Result<String> {
        self.watch.exporter.expect_count(&series(running), START)?;
        self.engine.exec(&running.id, &calls(EXEC))?;
        self.watch.exporter.expect_count(&series(running), START + EXEC)?;
        Ok(format!("{} of {}", START + EXEC, START + EXEC))
    }

    /// Checks that the runtime's calls during start and exec are no violations.
    fn is_silent(&self, running: &mut Running) -> Result<String> {
        let violations = self.violations(running)?;
        let calls: Vec<_> = violations.iter().map(|violation| violation["syscall"].to_string()).collect();
        ensure!(violations.is_empty(), "reported without an unexpected call: {}", calls.join(", "));
        self.watch.exporter.expect_nothing(&unexpected(running, ""))?;
        Ok("yes".to_owned())
    }

    /// Checks that an unexpected call is counted, recorded and delivered once, and that nothing else is.
    fn reports(&self, running: &mut Running) -> Result<String> {
        let [call, command] = if self.engine.is_runtime_distinguished() { UNEXPECTED } else { UNEXPECTED_OF_OTHERS };
        self.engine.exec(&running.id, command)?;
        self.watch.exporter.expect_count(&unexpected(running, call), 1)?;
        let violations = self.violations(running)?;
        let calls: Vec<_> = violations.iter().filter_map(|violation| violation["syscall"].as_str()).collect();
        ensure!(calls == [call], "reported {calls:?} instead of {call}");
        let own = running.labels.split(',').next().unwrap_or_default();
        let (label, name) = own.split_once('=').context("a selector has a label")?;
        let name = name.trim_matches('"');
        wait_for("the alert", TIMEOUT, || {
            let alerts = self.watch.alertmanager.alerts()?;
            let own = alerts.iter().filter(|alert| alert.labels.get(label).is_some_and(|value| value == name)).count();
            ensure!(own <= 1, "{own} alerts of one call");
            Ok((own == 1).then_some(()))
        })?;
        Ok(format!("{call}, once"))
    }

    /// Checks that counts go on after a restart, and that the restart is silent.
    fn restarts(&self, running: &mut Running) -> Result<String> {
        let before = self.count(running)?;
        running.id = self.engine.restart(&running.id, &calls_and_waits(START))?;
        self.watch.exporter.expect_count(&series(running), before + START)?;
        self.watch.exporter.expect_count(&format!("sum({})", unexpected(running, "")), 1)?;
        Ok(format!("{} of {}", before + START, before + START))
    }

    /// Checks that the series end with the container.
    fn leaves(&self, running: &mut Running) -> Result<String> {
        self.engine.remove(&running.id)?;
        self.watch.exporter.expect_nothing(&series(running))?;
        Ok("yes".to_owned())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    fn count(&self, running: &Running) -> Result<u64> {
        let value = value(&self.watch.exporter.prometheus, &series(running))?.context("the container has no series")?;
        Ok(value as u64)
    }

    fn violations(&self, running: &Running) -> Result<Vec<Value>> {
        let answer = self.watch.exporter.get("/api/v1/violations", &[("match", &running.labels), ("limit", "1000")])?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
        Ok(answer["data"]["violations"].as_array().context("the API has no list of violations")?.clone())
    }
}

/// Returns a shell command that makes this many calls.
fn calls(count: u64) -> String {
    format!("i=0; while [ $i -lt {count} ]; do times >/dev/null; i=$((i+1)); done")
}

/// Returns the same for a container that continues to run afterwards.
fn calls_and_waits(count: u64) -> String {
    format!("{}; exec sleep 100000", calls(count))
}

/// Returns the causes of an error without the logs.
fn brief(error: &anyhow::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).filter(|cause| !cause.contains('\n')).collect();
    causes.join(": ")
}

fn series(running: &Running) -> String {
    format!(r#"syscallmon_syscalls_total{{{},syscall="{CALL}"}}"#, running.labels)
}

/// Returns the selector of unexpected calls: of this one, or of all.
fn unexpected(running: &Running, syscall: &str) -> String {
    let call = if syscall.is_empty() { String::new() } else { format!(r#",syscall="{syscall}""#) };
    format!("syscallmon_unexpected_syscalls_total{{{}{call}}}", running.labels)
}
