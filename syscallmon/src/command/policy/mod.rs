//! `syscallmon policy`: shows policies and manages baselines, through a daemon's API; and tests policy files.

mod alarms;
mod allow;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    iter,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use self::trial::Trial;
use super::{
    daemon::escaped,
    daemon_flags::DaemonArgs,
    profile::{ProfileArgs, baseline, or_trouble},
};
use crate::{
    detect::{BUILT_IN_YAML, Baseline, BaselineKey, Learn, PolicyInForce},
    profile,
    stable_id::StableId,
};

/// Test and show policies, and show and change baselines (learned calls).
///
/// `test` and `print` need no daemon. The others connect to a running one. Changes require a loopback address of its
/// host, or a user of its web.config.file.
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    action: PolicyAction,

    #[command(flatten)]
    daemon: DaemonArgs,

    /// Output format.
    #[arg(long, value_enum, value_name = "FORMAT", global = true, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Table; a single baseline is printed as JSON.
    Table,
    /// JSON, as from the API.
    Json,
}

#[derive(Clone, Debug, Subcommand)]
enum PolicyAction {
    /// List the policies and the baselines.
    List,
    /// Print a baseline with its calls.
    Show(OfKind),
    /// Make a baseline guard: calls that it has not learned are unexpected from now on.
    Approve(OfKind),
    /// Remove a baseline and print it. If a policy still learns, a new empty baseline begins.
    Forget(OfKind),
    /// Make a baseline learn again; it keeps its calls.
    Relearn(OfKind),
    /// Print the narrowest exception for violations, as YAML for the policy that reported them.
    Allow(Allow),
    /// Print a seccomp profile that allows the calls of a baseline.
    Export(Export),
    Test(Box<Trial>),
    /// Print the built-in policy as YAML.
    Print,
}

#[derive(Clone, Debug, Args)]
struct Allow {
    /// Ids of violations, as in alerts and in /api/v1/violations.
    #[arg(required = true, value_name = "VIOLATION_ID")]
    ids: Vec<StableId>,
}

#[derive(Clone, Debug, Args)]
struct Export {
    #[command(flatten)]
    of: OfKind,

    /// Format of the profile.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "oci")]
    format: profile::Format,

    /// Name of the object (formats spo, spo-v1beta1) or of the policy.
    #[arg(long, value_name = "NAME", default_value = "workload")]
    name: String,

    /// Selector of the workloads that the policy is for (format policy).
    #[arg(long = "match", id = "match", value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct OfKind {
    /// Kind of workload, as in the list: shop/Deployment/web/httpd, docker:web, or unit: and a path.
    kind: BaselineKey,
}

/// A row of the table of baselines.
#[derive(Deserialize)]
struct BaselineRow {
    kind: String,
    state: String,
    calls: u64,
    workloads: u64,
    began: String,
    learned_for: String,
    quiet_for: String,
    policy: String,
    approved: bool,
    guards_in: Option<String>,
    waits_for: Option<String>,
    missing: Vec<String>,
}

/// A row of the table of policies.
#[derive(Deserialize)]
struct PolicyRow {
    name: String,
    origin: String,
    workloads: u64,
    learn: Option<Learn>,
}

#[derive(Deserialize)]
struct List {
    policies: Vec<PolicyRow>,
    baselines: Vec<BaselineRow>,
}

const OTHER_VERSION: &str = "the daemon has another version than this command: --output=json prints its response";

impl Policy {
    pub(super) fn execute(self) -> Result<ExitCode> {
        if let PolicyAction::Test(trial) = &self.action {
            return or_trouble(trial.execute(self.output));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the async runtime")?;
        if let PolicyAction::Export(export) = &self.action {
            let evidence = runtime.block_on(baseline::of_daemon(&self.daemon.daemon(), &export.of.kind))?;
            ProfileArgs::to_stdout(export.format, export.name.clone()).write(&evidence, export.selector.clone())?;
            return Ok(ExitCode::SUCCESS);
        }
        let text = runtime.block_on(self.text())?;
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    /// Returns the text to print.
    async fn text(&self) -> Result<String> {
        if let PolicyAction::Allow(Allow { ids }) = &self.action {
            return allow::text(&self.daemon.daemon(), ids, self.output).await;
        }
        // What requires no daemon prints the built-in policy, or was done before.
        let Some((method, path)) = self.action.request() else { return Ok(BUILT_IN_YAML.to_owned()) };
        let answer = self.daemon.daemon().ask(method, &path).await?;
        if self.output == Format::Json {
            return pretty(&answer);
        }
        match &self.action {
            PolicyAction::List => list(answer),
            PolicyAction::Show(_)
            | PolicyAction::Forget(_)
            | PolicyAction::Export(_)
            | PolicyAction::Allow(_)
            | PolicyAction::Test(_)
            | PolicyAction::Print => as_file(answer),
            PolicyAction::Approve(of) | PolicyAction::Relearn(of) => {
                Ok(format!("{}: {}\n", of.kind, answer["state"].as_str().unwrap_or("changed")))
            }
        }
    }
}

impl PolicyAction {
    /// Returns the request to the API; `None` if no daemon is required.
    fn request(&self) -> Option<(Method, String)> {
        let (method, of, action) = match self {
            Self::Allow(_) | Self::Test(_) | Self::Print => return None,
            Self::List => return Some((Method::GET, "/api/v1/policies".to_owned())),
            Self::Show(of) | Self::Export(Export { of, .. }) => (Method::GET, of, ""),
            Self::Approve(of) => (Method::POST, of, "/approve"),
            Self::Forget(of) => (Method::POST, of, "/forget"),
            Self::Relearn(of) => (Method::POST, of, "/relearn"),
        };
        Some((method, format!("/api/v1/baselines/{}{action}", escaped(of.kind.as_str()))))
    }
}

fn pretty(answer: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(answer)? + "\n")
}

/// Returns a baseline as in its file.
fn as_file(answer: Value) -> Result<String> {
    let baseline: Baseline = serde_json::from_value(answer).context(OTHER_VERSION)?;
    Ok(baseline.to_json()?)
}

/// Returns all policies, and below them all baselines.
fn list(answer: Value) -> Result<String> {
    let List { policies, baselines } = serde_json::from_value(answer).context(OTHER_VERSION)?;
    let head = ["POLICY", "WORKLOADS", "LEARNS", "FROM"];
    let policies = table(head, policies.into_iter().map(PolicyRow::cells));
    if baselines.is_empty() {
        return Ok(policies);
    }
    let head = ["KIND", "STATE", "CALLS", "WORKLOADS", "BEGAN", "LEARNED", "QUIET", "GUARDS IN", "POLICY", "NOTES"];
    let advice = advice(&baselines);
    Ok(policies + "\n" + &table(head, baselines.into_iter().map(BaselineRow::cells)) + &advice)
}

/// What to do about a note of a baseline.
const ADVICE: [(&str, &str); 6] = [
    ("no start seen", "restart the workload once while it learns, or calls of its next start may be reported"),
    ("no stop seen", "stop or restart the workload once while it learns, or calls of its next stop may be reported"),
    ("waits for policy", "no policy in force learns this kind: forget it, or correct the policy"),
    ("waits for workload", "time passes only while a workload of the kind runs; approve it if it has run often enough"),
    ("waits for at_least", "it learns for at least this time; approve it if it has seen everything"),
    ("waits for quiet_for", "it still finds new calls; syscallmon policy show KIND has them with their times"),
];

/// Returns a line for each note in the list that needs an action.
fn advice(baselines: &[BaselineRow]) -> String {
    let notes: BTreeSet<String> = baselines.iter().flat_map(BaselineRow::notes).collect();
    let lines =
        ADVICE.iter().filter(|(note, _)| notes.contains(*note)).map(|(note, advice)| format!("{note}: {advice}\n"));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

impl PolicyRow {
    fn in_force(self) -> PolicyInForce {
        PolicyInForce { name: self.name, origin: self.origin, learns: self.learn.is_some() }
    }

    fn cells(self) -> [String; 4] {
        let learns = self.learn.map_or_else(String::new, |Learn { quiet_for, at_least, at_most }| {
            let [quiet_for, at_least, at_most] = [quiet_for, at_least, at_most].map(humantime::format_duration);
            format!("until {quiet_for} quiet, {at_least} to {at_most}")
        });
        [self.name, self.workloads.to_string(), learns, self.origin]
    }
}

impl BaselineRow {
    /// Returns what a person should know about it.
    fn notes(&self) -> Vec<String> {
        let setting = |waits: &str| match waits {
            "at_least" => "at_least".to_owned(),
            "quiet" => "quiet_for".to_owned(),
            other => other.replace('_', " "),
        };
        let approved = self.approved.then(|| "approved".to_owned());
        let waits = self.waits_for.as_deref().map(|waits| format!("waits for {}", setting(waits)));
        let missing = self.missing.iter().map(|operation| format!("no {operation} seen"));
        approved.into_iter().chain(waits).chain(missing).collect()
    }

    fn cells(self) -> [String; 10] {
        let notes = self.notes().join(", ");
        let (calls, workloads) = (self.calls.to_string(), self.workloads.to_string());
        let (learned, quiet, guards_in) = (self.learned_for, self.quiet_for, self.guards_in.unwrap_or_default());
        [self.kind, self.state, calls, workloads, self.began, learned, quiet, guards_in, self.policy, notes]
    }
}
