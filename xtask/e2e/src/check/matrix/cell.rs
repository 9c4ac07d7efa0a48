//! The checks of one cell.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syscallmon_testkit::Alertmanager;
use xtask_support::apt::Suite;

use super::{engines::Engine, system};
use crate::{
    check::{CALL, Exporter, calls, calls_and_waits, value},
    images::BUSYBOX,
    wait::wait_for,
};

/// Path of the policy inside.
pub(super) const POLICY_FILE: &str = "/etc/syscallmon-policies/rootless.yaml";
/// The policy of rootless containers, which have no names. It allows calls of their runtimes, which are judged like
/// their own. All others have the built-in policy.
pub(super) const POLICY: &str = r#"policies:
- name: rootless
  match: [{cgroup: "/user.slice/*"}]
  allow: ["@runtime-default", "@mount", keyctl, open_tree, setns, sethostname, setdomainname, unshare]
"#;

/// Calls of the container's program, of each start.
const START: u64 = 1000;
/// Calls of a command that is executed in the container.
const EXEC: u64 = 100;
const TIMEOUT: Duration = Duration::from_mins(1);
/// A call that the built-in policy does not expect, and a command that makes it once. Runtimes make it, too.
const UNEXPECTED: [&str; 2] = ["unshare", "unshare -i true || true"];
/// The same for the policy of rootless containers.
const UNEXPECTED_ROOTLESS: [&str; 2] = ["swapoff", "swapoff /etc/passwd || true"];

/// Names of the checks, in their order.
pub(super) const CHECKS: [&str; 6] =
    ["names", "exact counts", "start and exec silent", "unexpected call reported", "restart", "removal"];

/// An engine with an OCI runtime, beside the daemon.
pub(super) struct Cell<'a> {
    engine: Box<dyn Engine + Send + Sync + 'a>,
    exporter: &'a Exporter<'a>,
    alertmanager: &'a Alertmanager,
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
    pub(super) fn is_ok(&self) -> bool {
        self.results.len() == CHECKS.len() && self.results.iter().all(Result::is_ok)
    }
}

/// A running container, and the labels of its series.
struct Running {
    id: String,
    labels: String,
}

impl<'a> Cell<'a> {
    pub(super) fn new(
        engine: Box<dyn Engine + Send + Sync + 'a>,
        exporter: &'a Exporter<'a>,
        alertmanager: &'a Alertmanager,
    ) -> Self {
        Self { engine, exporter, alertmanager }
    }

    /// Makes all checks. Removes the container also after a failure.
    pub(super) fn check(&self, suite: Suite, servers: &str) -> Row {
        let (versions, servers) = (self.engine.versions().clone(), servers.to_owned());
        let mut row = Row { suite, versions, servers, results: Vec::new() };
        let fail = |check: &str, error: anyhow::Error| {
            Err(format!("{} ({suite:?}), {check}: {}", self.engine.name(), brief(&error)))
        };
        let mut running = match self.start() {
            Ok(running) => running,
            Err(error) => {
                row.results.push(fail("start", error));
                return row;
            }
        };
        let checks: [fn(&Self, &mut Running) -> Result<String>; 6] =
            [Self::names, Self::counts, Self::is_silent, Self::reports, Self::restarts, Self::leaves];
        for (name, check) in CHECKS.into_iter().zip(checks) {
            match check(self, &mut running) {
                Ok(text) => row.results.push(Ok(text)),
                Err(error) => {
                    row.results.push(fail(name, error));
                    let _ = self.engine.remove(&running.id);
                    break;
                }
            }
        }
        row
    }

    fn start(&self) -> Result<Running> {
        let id = self.engine.start(&calls_and_waits(START))?;
        let labels = match self.engine.label() {
            Some(_) => format!(r#"container="{}""#, self.engine.name()),
            None => format!(r#"cgroup="{}""#, system::cgroup_of(&id)?),
        };
        Ok(Running { id, labels })
    }

    /// Checks the labels that users see. A rootless container has no name but its path.
    fn names(&self, running: &mut Running) -> Result<String> {
        let Some(runtime) = self.engine.label() else {
            self.exporter.expect_count(&format!("count({})", series(running)), 1)?;
            return Ok("cgroup path".to_owned());
        };
        let id = format!("{runtime}://{}", running.id);
        let labels = format!(r#"{},runtime="{runtime}",container_id="{id}",image="{BUSYBOX}""#, running.labels);
        self.exporter.expect_count(&format!("syscallmon_workload_info{{{labels}}}"), 1)?;
        self.exporter.expect_nothing(&format!(r#"syscallmon_syscalls_total{{cgroup=~".*{}.*"}}"#, running.id))?;
        Ok("yes".to_owned())
    }

    /// Checks the numbers of the program's calls and of a command's calls.
    fn counts(&self, running: &mut Running) -> Result<String> {
        self.exporter.expect_count(&series(running), START)?;
        self.engine.exec(&running.id, &calls(EXEC))?;
        self.exporter.expect_count(&series(running), START + EXEC)?;
        Ok(format!("{} of {}", START + EXEC, START + EXEC))
    }

    /// Checks that the runtime's calls during start and exec are no violations.
    fn is_silent(&self, running: &mut Running) -> Result<String> {
        let violations = self.violations(running)?;
        ensure!(violations.is_empty(), "violations of a container that made none: {violations:#?}");
        self.exporter.expect_nothing(&unexpected(running, ""))?;
        Ok("yes".to_owned())
    }

    /// Checks that an unexpected call is counted, recorded and delivered once, and that nothing else is.
    fn reports(&self, running: &mut Running) -> Result<String> {
        let [call, command] = if self.engine.label().is_some() { UNEXPECTED } else { UNEXPECTED_ROOTLESS };
        self.engine.exec(&running.id, command)?;
        self.exporter.expect_count(&unexpected(running, call), 1)?;
        let violations = self.violations(running)?;
        let calls: Vec<_> = violations.iter().filter_map(|violation| violation["syscall"].as_str()).collect();
        ensure!(calls == [call], "reported {calls:?} instead of {call}: {violations:#?}");
        let own = running.labels.split(',').next().unwrap_or_default();
        let (label, name) = own.split_once('=').context("a selector has a label")?;
        let name = name.trim_matches('"');
        wait_for("the alert", TIMEOUT, || {
            let alerts = self.alertmanager.alerts()?;
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
        self.exporter.expect_count(&series(running), before + START)?;
        self.exporter.expect_count(&format!("sum({})", unexpected(running, "")), 1)?;
        Ok(format!("{} of {}", before + START, before + START))
    }

    /// Checks that the series end with the container.
    fn leaves(&self, running: &mut Running) -> Result<String> {
        self.engine.remove(&running.id)?;
        self.exporter.expect_nothing(&series(running))?;
        Ok("yes".to_owned())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    fn count(&self, running: &Running) -> Result<u64> {
        let value = value(&self.exporter.prometheus, &series(running))?.context("the container has no series")?;
        Ok(value as u64)
    }

    fn violations(&self, running: &Running) -> Result<Vec<Value>> {
        let answer = self.exporter.get("/api/v1/violations", &[("match", &running.labels), ("limit", "1000")])?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("the API answers {answer}"))?;
        Ok(answer["data"]["violations"].as_array().context("the API has no list of violations")?.clone())
    }
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
