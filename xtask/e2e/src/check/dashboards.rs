//! Sends every query of every dashboard and of every recording rule to a Prometheus that scrapes real workloads. Each
//! query must have an answer.
//!
//! Every selector in a query must have an answer, too, because `or vector(0)` hides mistyped selectors.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use syscallmon_generate::{
    dashboards::{self, Dashboard, Values, Variable, selectors},
    manifests::alerts,
};
use syscallmon_testkit::{Cgroup, Prometheus, cgroup};
use xtask_support::{shell, workspace};

use super::step;
use crate::wait::wait_for;

/// Maximum time until an answer: rates require two scrapes, and recorded rates another evaluation.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time range of the queries: a series is new if it began in it, and may have ended this long ago. The interval is the
/// distance between the points of a graph.
const RANGE: &str = "10m";
const INTERVAL: &str = "15s";

/// Time range that an answer may come from.
const SHOWN: Duration = Duration::from_mins(10);

/// The only choice that may be empty, because many servers have no label for clusters.
const OPTIONAL: &str = "cluster";

/// The rule that has series only where daemons deliver alerts to an Alertmanager. Tests of the rules have it.
const DIRECT_ALERTS: &str = "instance:syscallmon_direct_alerts:count";

/// Activities of a container that give every panel data: failures, denied calls, io_uring, 32-bit calls, and calls that
/// are unexpected in containers.
fn activities() -> Vec<String> {
    // One call of each class, all without arguments. mount is unexpected and critical.
    let calls = [libc::SYS_getpid, libc::SYS_getitimer, libc::SYS_socket, libc::SYS_epoll_create1, libc::SYS_shmget];
    let calls = calls.iter().chain(&[libc::SYS_mount, UNKNOWN]).map(|number| format!(" {number} 3"));
    let mut activities = vec![
        "failing CGROUP 20 5 3".to_owned(),
        "refused CGROUP errno 25".to_owned(),
        "refused CGROUP enosys 5".to_owned(),
        "io-uring CGROUP 30".to_owned(),
        format!("calls CGROUP{}", calls.collect::<String>()),
    ];
    if cfg!(target_arch = "x86_64") {
        activities.push("int80 CGROUP 20 40".to_owned());
    }
    activities
}

/// A number without a call.
const UNKNOWN: i64 = 9999;

/// A container with all activities, and the labels that restrict panels to it.
pub(super) struct Shown<'a> {
    pub(super) root: &'a Path,
    pub(super) prometheus: &'a Prometheus,
    /// The container's id, as in the name of its cgroup.
    pub(super) container_id: &'a str,
    pub(super) labels: [(&'static str, &'a str); 3],
    /// Recording rules that have no data in this environment.
    pub(super) empty_rules: &'static [&'static str],
}

impl Shown<'_> {
    /// Runs all activities in the container, then sends the queries.
    pub(super) fn check(&self) -> Result<()> {
        let _unnamed = step("containers do all that dashboards show", || {
            self.act()?;
            self.unnamed_acts()
        })?;
        step("every recording rule has series", || self.rules())?;
        let everything = values(&[]);
        for dashboard in dashboards::all() {
            step(&format!("every query of the dashboard {} has an answer", dashboard.name), || {
                dashboard.variables.iter().try_for_each(|variable| self.variable(variable, &everything))?;
                self.annotations(&dashboard, &everything)?;
                self.panels(&dashboard, &everything)
            })?;
        }
        step("every panel shows one container alone, and one service alone", || self.choices())
    }

    /// Makes calls within the container's cgroup.
    pub(super) fn act(&self) -> Result<()> {
        // Pictures show its path.
        let program = std::env::temp_dir().join("known_calls");
        let built = known_calls(self.root)?;
        std::fs::copy(&built, &program).with_context(|| format!("cannot copy {}", built.display()))?;
        let cgroup = self.cgroup()?;
        for activity in activities() {
            let args = activity.split(' ').map(|arg| if arg == "CGROUP" { cgroup.as_os_str() } else { arg.as_ref() });
            shell::run(Command::new(&program).args(args), "known_calls says why it failed")?;
        }
        std::fs::remove_file(&program).with_context(|| format!("cannot remove {}", program.display()))
    }

    /// Makes calls in a cgroup that looks like a container's, but belongs to no runtime: nobody can name it.
    fn unnamed_acts(&self) -> Result<Cgroup> {
        let of_container = self.cgroup()?;
        let mount = cgroup::mounts().into_iter().find(|mount| of_container.starts_with(mount));
        let unnamed =
            Cgroup::new(&mount.context("a cgroup outside of all mounts")?, "syscallmon-e2e", &"0".repeat(64))?;
        let mut calls = Command::new(known_calls(self.root)?);
        calls.arg("calls").arg(unnamed.path()).args([libc::SYS_getpid.to_string().as_str(), "3"]);
        shell::run(&mut calls, "known_calls says why it failed")?;
        Ok(unnamed)
    }

    fn cgroup(&self) -> Result<PathBuf> {
        let cgroup = cgroup::containing(self.container_id).into_iter().next();
        cgroup.with_context(|| format!("no cgroup of {}", self.container_id))
    }

    fn rules(&self) -> Result<()> {
        let file = self.root.join("deploy/prometheus/rules.yaml");
        let rules = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let rules: Value = serde_saphyr::from_str(&rules).context("the rules are no YAML")?;
        for rule in alerts::all(&rules, "record") {
            let name = rule["record"].as_str().unwrap_or_default();
            let labels = rule["labels"].as_object().into_iter().flatten();
            let labels: Vec<String> = labels.map(|(label, value)| format!("{label}={value}")).collect();
            if self.can_be_asked(name) {
                self.ask(&format!("{name}{{{}}}", labels.join(",")))?;
            }
        }
        let failed = self.prometheus.failed_rules()?;
        ensure!(failed.is_empty(), "rules that Prometheus cannot evaluate: {failed:?}");
        Ok(())
    }

    fn variable(&self, variable: &Variable, values: &Values) -> Result<()> {
        let selector = values.put_into(&variable.selector);
        if variable.name == OPTIONAL {
            return Ok(());
        }
        let found = self.prometheus.label_values(&selector, variable.name)?;
        ensure!(!found.is_empty(), "no values of {} for {selector}", variable.name);
        Ok(())
    }

    /// Asks for what annotations select: there may be none of the moments.
    fn annotations(&self, dashboard: &Dashboard, values: &Values) -> Result<()> {
        for annotation in &dashboard.annotations {
            let promql = values.put_into(&annotation.promql);
            self.prometheus.query(&promql).with_context(|| format!("the annotation {:?}", annotation.name))?;
            selectors(&promql).iter().try_for_each(|selector| self.ask(selector))?;
        }
        Ok(())
    }

    fn panels(&self, dashboard: &Dashboard, values: &Values) -> Result<()> {
        for panel in dashboard.panels() {
            for query in panel.queries.iter().filter(|query| self.can_be_asked(&query.promql)) {
                let promql = values.put_into(&query.promql);
                let answered = selectors(&promql).iter().try_for_each(|selector| self.ask(selector));
                answered.and_then(|()| self.ask(&promql)).with_context(|| format!("the panel {:?}", panel.title))?;
            }
        }
        Ok(())
    }

    /// Checks the dashboard of one workload, for the container and for a service of the host.
    fn choices(&self) -> Result<()> {
        let all = dashboards::all();
        let find = |name| all.iter().find(|dashboard| dashboard.name == name).context("a dashboard has gone");
        self.panels(find("workload")?, &values(&self.labels))?;
        let cgroups = find("workload")?.variables.iter().find(|variable| variable.name == "cgroup");
        let services =
            self.prometheus.query(&values(&[]).put_into(&cgroups.context("a variable has gone")?.selector))?;
        let service =
            services.iter().find_map(|service| service.labels.get("cgroup")).context("no service runs here")?;
        let of_service = values(&[("cgroup", service)]);
        let calls = find("workload")?.panels().find(|panel| panel.title == "All calls").context("a panel has gone")?;
        calls.queries.iter().try_for_each(|query| self.ask(&of_service.put_into(&query.promql)))
    }

    /// Whether a query can have an answer in this environment.
    fn can_be_asked(&self, promql: &str) -> bool {
        !self.empty_rules.iter().chain(&[DIRECT_ALERTS]).any(|rule| promql.contains(rule))
    }

    /// Waits for an answer with at least one series.
    fn ask(&self, promql: &str) -> Result<()> {
        let answered = wait_for("an answer", TIMEOUT, || {
            // Queries a range, as a panel does, because the container's activities may have ended.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
            let lines = self.prometheus.query_range(promql, [now - SHOWN.as_secs_f64(), now, 5.0])?;
            Ok((!lines.is_empty()).then_some(()))
        });
        answered.with_context(|| format!("no series for {promql}"))
    }
}

fn values(chosen: &[(&str, &str)]) -> Values {
    let chosen = chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Values { chosen: chosen.collect(), range: RANGE.to_owned(), interval: INTERVAL.to_owned() }
}

fn known_calls(root: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(root).args(["build", "--quiet", "--locked", "--package=syscallmon", "--example=known_calls"]);
    shell::run(&mut cargo, "the compiler's message is above")?;
    let program = workspace::target_dir(root).join("debug/examples/known_calls");
    if !program.exists() {
        bail!("cargo made no {}", program.display());
    }
    Ok(program)
}
