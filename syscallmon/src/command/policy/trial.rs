//! `syscallmon policy test`: what policies decide about calls, before they are in force.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc, time::SystemTime};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Format,
    alarms::{Alarms, ObservedSource},
};
use crate::{
    command::{
        output::print,
        profile::{FOUND, PrometheusSource, TROUBLE, WorkloadFlag, counted, note, on_runtime},
    },
    detect::{Decision, Policies, Policy, PolicySummary, Unexpected},
    settings::LoadedPolicies,
    syscalls::{Call, CallId, CallTable, names},
    workload::{Label, Labels, Selector},
};

/// Value of the label `container_id` of a container whose id does not matter.
const SOME_CONTAINER: &str = "containerd://any";

/// Test policies before they are in force: which policy and line decide about a call, and what would have alarmed.
///
/// Requires no daemon. With --call, prints for each call of the workload whether it is expected, and the line that
/// decides. With --against or --prometheus, lists the calls that were made and would have alarmed. Otherwise, prints a
/// summary of each policy. The built-in policy comes after those of the files.
///
/// Exit status: 0 if all calls are expected, 1 if one is unexpected, 2 if a policy has a mistake or something could not
/// be read.
#[derive(Clone, Debug, Args)]
pub(super) struct Trial {
    /// Policy file, directory of policy files, or configuration file; repeatable. Earlier ones take precedence.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    workload: WorkloadFlag,

    /// Call of the workload, such as mount or ia32:openat; repeatable.
    #[arg(long, value_name = "CALL", requires = "selector")]
    call: Vec<String>,

    /// Recording of `syscallmon record`, of a host or of one command; repeatable.
    ///
    /// The recording of a command has no labels, so --workload gives those of its workload.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    #[command(flatten)]
    prometheus: PrometheusSource,
}

/// Whether a call is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Expected,
    /// It is learned while the policy learns. Afterwards, it is expected only if it was learned.
    Learned,
    Unexpected,
}

/// What is decided about a call.
struct Judgement {
    call: Call,
    verdict: Verdict,
    unexpected: Option<Unexpected>,
    /// The line that decides, and that with the severity.
    by: Option<(Decision, Option<Decision>)>,
}

impl Trial {
    pub(super) fn execute(&self, format: Format) -> Result<ExitCode> {
        if !self.against.is_empty() || self.prometheus.url.is_some() {
            return self.against(format);
        }
        let table = CallTable::native();
        let Some(policies) = self.load(&table) else { return Ok(ExitCode::from(TROUBLE)) };
        let metadata = self.workload.selector.as_ref().map(labels_of).transpose()?;
        let Some(metadata) = metadata else {
            print(summaries(policies.iter().map(AsRef::as_ref), &table, format)?.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        };
        let policy = policies.of(&metadata);
        if self.call.is_empty() {
            print(summaries(policy.map(AsRef::as_ref).into_iter(), &table, format)?.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let calls = self.call.iter().map(|text| call(text, &table)).collect::<Result<Vec<_>>>()?;
        let judged: Vec<Judgement> =
            calls.into_iter().map(|id| Judgement::new(&policies, &metadata, id, &table)).collect();
        let text = match format {
            Format::Table => decisions(&metadata, policy, &judged),
            Format::Json => {
                let calls: Vec<Value> = judged.iter().map(Judgement::to_json).collect();
                let policy = policy.map(|policy| summary_json(&policy.summary(&table)));
                let workload: serde_json::Map<String, Value> =
                    metadata.iter().map(|(label, value)| (label.to_owned(), value.into())).collect();
                serde_json::to_string_pretty(&json!({"workload": workload, "policy": policy, "calls": calls}))? + "\n"
            }
        };
        print(text.as_bytes())?;
        let is_unexpected = judged.iter().any(|judged| judged.verdict == Verdict::Unexpected);
        Ok(if is_unexpected { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
    }

    /// Returns the policies; `None` after it has reported their mistakes.
    fn load(&self, table: &CallTable) -> Option<Policies> {
        let LoadedPolicies { policies, problems, .. } = LoadedPolicies::of_paths(&self.files, table);
        for problem in &problems {
            note(&problem.to_string());
        }
        if !problems.is_empty() {
            note(&format!("syscallmon: {} in the policies: nothing was tested", counted(problems.len(), "mistake")));
        }
        problems.is_empty().then_some(policies)
    }

    /// Lists what would have alarmed.
    fn against(&self, format: Format) -> Result<ExitCode> {
        if !self.call.is_empty() {
            bail!("--call cannot be used with --against or --prometheus: they have the calls");
        }
        let mut alarms = Alarms::default();
        for path in &self.against {
            let mut source = ObservedSource::open(path, self.workload.selector.as_ref())?;
            let Some(policies) = self.load(&source.table()) else { return Ok(ExitCode::from(TROUBLE)) };
            source.judge(&policies, &mut alarms)?;
        }
        if let Some((url, workload)) = self.prometheus.url.as_ref().zip(self.workload.selector.as_ref()) {
            let table = CallTable::native();
            let Some(policies) = self.load(&table) else { return Ok(ExitCode::from(TROUBLE)) };
            let (workloads, warnings) = on_runtime(self.prometheus.workloads(url, workload, SystemTime::now()))?;
            for warning in warnings {
                note(&format!("warning: the server warns: {warning}"));
            }
            alarms.judge_observed(&policies, &table, &workloads);
        }
        match format {
            Format::Table => print(alarms.to_text().as_bytes())?,
            Format::Json => print((serde_json::to_string_pretty(&alarms.to_json())? + "\n").as_bytes())?,
        }
        Ok(if alarms.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
    }
}

impl Judgement {
    fn new(policies: &Policies, metadata: &Labels, id: CallId, table: &CallTable) -> Self {
        let call = table.call(id);
        let Some(policy) = policies.of(metadata) else {
            return Self { call, verdict: Verdict::Expected, unexpected: None, by: None };
        };
        let (unexpected, is_learned) = judge(policies, policy, metadata, id);
        let verdict = match (&unexpected, is_learned) {
            (Some(_), _) => Verdict::Unexpected,
            (None, true) => Verdict::Learned,
            (None, false) => Verdict::Expected,
        };
        let severity = unexpected.map(|_| policy.severity_decision(id, table, policies.built_in()));
        Self { call, verdict, unexpected, by: Some((policy.decision(metadata, id, table), severity)) }
    }

    fn to_json(&self) -> Value {
        let by = self.by.as_ref();
        json!({
            "abi": self.call.abi,
            "syscall": self.call.syscall,
            "verdict": self.verdict,
            "severity": self.unexpected.map(|unexpected| unexpected.severity),
            "reason": self.unexpected.map(|unexpected| unexpected.reason),
            "decided_by": by.map(|(decision, _)| decision_json(decision)),
            "severity_by": by.and_then(|(_, severity)| severity.as_ref()).map(decision_json),
        })
    }
}

/// Judges a call of a workload of which nothing was learned. Also returns whether the call is learned.
pub(super) fn judge(
    policies: &Policies,
    policy: &Arc<Policy>,
    metadata: &Labels,
    call: CallId,
) -> (Option<Unexpected>, bool) {
    if policy.learn().is_none() {
        return (policy.judge(metadata, call, None), false);
    }
    let nothing = std::collections::BTreeSet::new();
    let unexpected = policies.judge_while_learning(policy, metadata, call, &nothing);
    (unexpected, unexpected.is_none() && policy.judge(metadata, call, Some(&nothing)).is_some())
}

/// Returns a decision for `--output json`.
pub(super) fn decision_json(decision: &Decision) -> Value {
    let Decision { policy, origin, at, list, item } = decision;
    json!({
        "policy": **policy, "file": **origin, "line": at.line, "column": at.column, "list": list, "item": item,
    })
}

/// Returns the labels of one workload. A workload with labels of containers is one, also without `container_id`.
pub(super) fn labels_of(selector: &Selector) -> Result<Labels> {
    let mut labels: Vec<(Label, Arc<str>)> = Vec::new();
    for (label, operator, value) in selector.matchers() {
        if operator != "=" {
            bail!("--workload must name one workload, so {} requires =, not {operator}", label.name());
        }
        labels.push((label, value.into()));
    }
    let has = |of: &[Label]| labels.iter().any(|(label, value)| of.contains(label) && !value.is_empty());
    let is_container = has(&[Label::Namespace, Label::Pod, Label::Container, Label::Image, Label::Runtime]);
    if is_container && !labels.iter().any(|(label, _)| *label == Label::ContainerId) {
        labels.push((Label::ContainerId, SOME_CONTAINER.into()));
    }
    Ok(Labels::new(labels))
}

/// Parses a call of this architecture, as `mount`, `ia32:mount` or `ia32/mount`.
fn call(text: &str, table: &CallTable) -> Result<CallId> {
    let (abi, name) = text.split_once([':', '/']).unwrap_or((table.native_abi(), text));
    if let Some(id) = table.id(abi, name) {
        return Ok(id);
    }
    let abis: Vec<&'static str> = table.abis().collect();
    if !abis.contains(&abi) {
        bail!("{text:?}: this machine has no ABI {abi}: expected one of {}", abis.join(", "));
    }
    let suggestion = names::suggestion(name, names::system_calls().iter().copied());
    bail!("{text:?} is not a call of {abi}{suggestion}")
}

fn decisions(metadata: &Labels, policy: Option<&Arc<Policy>>, judged: &[Judgement]) -> String {
    let workload = name(metadata);
    let mut text = match policy {
        Some(policy) => format!("{workload} has the policy {}\n", policy.summary(&CallTable::native()).title()),
        None => format!("{workload} has no policy: its calls are not judged\n"),
    };
    for Judgement { call, verdict, unexpected, by } in judged {
        let verdict = match (verdict, unexpected) {
            (Verdict::Learned, _) => "expected while the policy learns, and later only if it was learned".to_owned(),
            (_, Some(unexpected)) => format!("unexpected, {}", unexpected.severity),
            (_, None) => "expected".to_owned(),
        };
        let _ = writeln!(text, "{} ({}): {verdict}", call.syscall, call.abi);
        if let Some((decision, severity)) = by {
            let _ = writeln!(text, "  {decision}");
            if let Some(severity) = severity {
                let _ = writeln!(text, "  {severity}");
            }
        }
    }
    text
}

/// Returns a name of a workload for people. The id of a container says nothing to them.
pub(super) fn name(metadata: &Labels) -> String {
    let named = metadata.only(&[Label::Namespace, Label::Pod, Label::Container, Label::Cgroup]);
    if named.is_empty() { metadata.to_string() } else { named.to_string() }
}

fn summaries<'a>(policies: impl Iterator<Item = &'a Policy>, table: &CallTable, format: Format) -> Result<String> {
    let all: Vec<PolicySummary> = policies.map(|policy| policy.summary(table)).collect();
    if format == Format::Json {
        let policies: Vec<Value> = all.iter().map(summary_json).collect();
        return Ok(serde_json::to_string_pretty(&json!({ "policies": policies }))? + "\n");
    }
    if all.is_empty() {
        return Ok("No policy selects the workload: its calls are not judged.\n".to_owned());
    }
    let mut text = String::new();
    for summary in all {
        let PolicySummary { native, allowed, denied, critical, exceptions, severity, .. } = summary;
        let learns = if summary.learn.is_some() { ", learns" } else { "" };
        let _ = writeln!(
            text,
            "{}\n  allows {allowed} of {native} native calls, denies {denied}; {critical} are critical, others \
             {severity}; {}{learns}",
            summary.title(),
            counted(exceptions, "exception"),
        );
    }
    Ok(text)
}

fn summary_json(summary: &PolicySummary) -> Value {
    let PolicySummary { name, origin, at, extends, native, allowed, denied, critical, exceptions, severity, learn } =
        summary;
    let extends: Vec<&str> = extends.iter().map(AsRef::as_ref).collect();
    json!({
        "name": **name, "file": **origin, "line": at.line, "extends": extends, "native_calls": native,
        "allowed": allowed, "denied": denied, "critical": critical, "exceptions": exceptions, "severity": severity,
        "learn": learn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(files: &[PathBuf], workload: &str, calls: &[&str]) -> Result<Vec<(Verdict, String)>> {
        let table = CallTable::native();
        let LoadedPolicies { policies, problems, .. } = LoadedPolicies::of_paths(files, &table);
        assert!(problems.is_empty(), "{problems:?}");
        let metadata = labels_of(&workload.parse().unwrap())?;
        let judged = calls.iter().map(|text| {
            let judged = Judgement::new(&policies, &metadata, call(text, &table)?, &table);
            Ok((judged.verdict, decisions(&metadata, policies.of(&metadata), &[judged])))
        });
        judged.collect()
    }

    #[test]
    fn the_policy_and_the_line_that_decide_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.yaml");
        let text = "poll: {interval: 5s}\npolicies:\n- name: web\n  match: [{namespace: shop}]\n  extends: runtime-default\n  allow: [bpf]\n\
                    - {name: learns, match: [{namespace: learned}], learn: {}}\n";
        std::fs::write(&file, text).unwrap();
        let at = file.display();
        let files = [file.clone()];
        let judged = trial(&files, "namespace=\"shop\",container=\"web\"", &["bpf", "mount", "read"]).unwrap();
        assert!(judged[0].1.contains(&format!("expected\n  allow has bpf (policy web, {at}:6:11)")), "{}", judged[0].1);
        assert!(
            judged[0].1.starts_with(&format!("shop/web has the policy web ({at}:3), which extends runtime-default\n"))
        );
        let mount = &judged[1].1;
        assert!(
            mount.contains(&format!("): unexpected, critical\n  no list has it (policy web, {at}:3:3)\n")),
            "{mount}"
        );
        assert!(mount.contains("  critical has mount (policy runtime-default, built in:"), "{mount}");
        assert_eq!(judged[2].0, Verdict::Expected);

        let verdicts = |workload, calls: &[&str]| -> Vec<Verdict> {
            trial(&files, workload, calls).unwrap().into_iter().map(|(verdict, _)| verdict).collect()
        };
        assert_eq!(verdicts("namespace=\"learned\"", &["read", "mount"]), [Verdict::Learned, Verdict::Unexpected]);
        assert_eq!(verdicts("container=\"other\"", &["ptrace"]), [Verdict::Unexpected], "the built-in policy");
        assert_eq!(verdicts("cgroup=\"/system.slice/x.service\"", &["mount"]), [Verdict::Expected], "no policy");
    }

    #[test]
    fn calls_and_workloads_that_name_nothing_are_refused() {
        let error = |workload, call| trial(&[], workload, &[call]).unwrap_err().to_string();
        assert!(error("pod=\"a\"", "opennat").contains("(did you mean openat?)"));
        assert!(error("pod=\"a\"", "arm:openat").contains("has no ABI arm"));
        assert!(error("pod=~\"a\"", "openat").contains("pod requires =, not =~"));
        for call in ["openat", "io_uring:openat", "io_uring/openat"] {
            assert!(trial(&[], "pod=\"a\"", &[call]).is_ok(), "{call}");
        }
    }
}
