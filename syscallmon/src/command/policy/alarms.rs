//! Calls that would have alarmed: of recordings, and of a Prometheus.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
    io::{BufReader, Read},
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{
    table as text_table,
    trial::{decision_json, judge, labels_of, name},
};
use crate::{
    command::profile::{ObservedWorkload, counted, note},
    detect::{Decision, Policies, Severity},
    engine::Player,
    files,
    model::Delta,
    profile::CommandRecording,
    recording::{Limits, Reader, SampleOrEnd},
    syscalls::{Call, CallId, CallTable, split_argument},
    workload::{Labels, Selector, Workload},
};

/// Maximum alarms that are listed. Of more, only the number is known.
const MAX_ALARMS: usize = 10_000;

/// The first bytes of a gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Calls that would have alarmed.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// By workload.
    found: BTreeMap<Arc<str>, BTreeMap<AlarmKey, Alarm>>,
    listed: usize,
    omitted: u64,
    /// Number of calls that cannot be judged: without a workload, or of another architecture.
    unjudged: u64,
    /// Policies that learn, of workloads that were judged.
    learning: BTreeSet<Arc<str>>,
}

/// A call, whether it was denied, and the policy.
type AlarmKey = (Call, bool, Arc<str>);

#[derive(Debug)]
struct Alarm {
    severity: Severity,
    by: Decision,
    count: u64,
}

/// A recording to judge.
pub(super) enum ObservedSource {
    Host { reader: Box<Reader<BufReader<GzDecoder<File>>>>, player: Box<Player>, calls: RecordedCalls },
    Command { recording: Box<CommandRecording>, metadata: Labels, table: CallTable },
}

/// The calls that the recording of a host can have.
pub(super) struct RecordedCalls {
    table: Arc<CallTable>,
    /// Whether it has classes of arguments.
    knows_arguments: bool,
}

impl RecordedCalls {
    /// Whether a call, or class of arguments, is judged. Where every class of a call is known, they are judged instead.
    fn is_judged(&self, call: CallId) -> bool {
        !(self.knows_arguments && self.table.is_always_classed(call))
    }
}

impl ObservedSource {
    /// Opens a recording of a host or of a command. `workload` has the labels for the recording of a command.
    pub(super) fn open(path: &Path, workload: Option<&Selector>) -> Result<Self> {
        let shown = path.display();
        let mut begin = [0; 2];
        let mut file = files::open(path).with_context(|| format!("cannot read {shown}"))?;
        let is_gzip = file.read_exact(&mut begin).is_ok() && begin == GZIP;
        if is_gzip {
            let reader = Reader::open(files::open(path)?, Limits::default()).map_err(|error| error.problem);
            let reader = reader.with_context(|| format!("cannot read {shown}"))?;
            let started = Instant::now();
            let player = Box::new(Player::new(reader.header(), started, Limits::default()));
            let facts = reader.header().facts(started);
            let calls = RecordedCalls { table: facts.calls, knows_arguments: facts.knows_arguments };
            return Ok(Self::Host { reader: Box::new(reader), player, calls });
        }
        let text = files::read(path).with_context(|| format!("cannot read {shown}"))?;
        let recording = CommandRecording::from_json(&text).with_context(|| format!("cannot use {shown}"))?;
        let Some(workload) = workload else {
            bail!("{shown} is the recording of a command: name its workload, such as --workload 'namespace=\"shop\"'");
        };
        let table = if recording.architecture == "aarch64" { CallTable::aarch64() } else { CallTable::x86_64() };
        Ok(Self::Command { recording: Box::new(recording), metadata: labels_of(workload)?, table })
    }

    /// Returns the calls of its architecture.
    pub(super) fn table(&self) -> CallTable {
        match self {
            Self::Host { calls, .. } => CallTable::clone(&calls.table),
            Self::Command { table, .. } => table.clone(),
        }
    }

    /// Judges all of its calls.
    pub(super) fn judge(&mut self, policies: &Policies, alarms: &mut Alarms) -> Result<()> {
        match self {
            Self::Command { recording, metadata, table } => {
                let calls = recording.calls.iter();
                let calls = calls.map(|(call, recorded)| (call.split_once('/').unwrap_or_default(), recorded));
                let judged_by_class = judged_by_class(table, calls.clone().map(|(names, _)| names));
                for ((abi, syscall), recorded) in calls.filter(|(names, _)| !judged_by_class.contains(names)) {
                    let made = recorded.startup.saturating_add(recorded.serving);
                    alarms.add_named(policies, table, metadata, (abi, syscall), (made, false));
                    alarms.add_named(policies, table, metadata, (abi, syscall), (recorded.denied, true));
                }
            }
            Self::Host { reader, player, calls } => {
                while let Some(record) = reader.next_record() {
                    match record {
                        Ok(SampleOrEnd::Sample(sample)) => {
                            let deltas = player.apply(&sample).context("cannot use the rest of the recording")?;
                            alarms.judge_deltas(policies, calls, deltas);
                        }
                        Ok(SampleOrEnd::End(_)) => break,
                        Err(error) => {
                            note(&format!("warning: the rest of the recording was not read: {error}"));
                            break;
                        }
                    }
                }
                alarms.judge_deltas(policies, calls, player.release());
            }
        }
        Ok(())
    }
}

/// Returns the calls, by ABI and name, of which these names have classes of arguments that are judged instead.
fn judged_by_class<'a>(
    table: &CallTable,
    names: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<(&'a str, &'a str)> {
    let classes =
        names.map(|(abi, name)| (abi, split_argument(name))).filter(|(_, (_, argument))| !argument.is_empty());
    let calls = classes.map(|(abi, (call, _))| (abi, call));
    calls.filter(|(abi, call)| table.id(abi, call).is_some_and(|id| table.is_always_classed(id))).collect()
}

impl Alarms {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Judges new calls of a recording.
    fn judge_deltas(&mut self, policies: &Policies, recorded: &RecordedCalls, deltas: Vec<Delta>) {
        for Delta { named, before, calls, denied, .. } in deltas {
            let calls = calls.iter().map(|(call, &count)| (call, count, false));
            let calls = calls.chain(denied.iter().map(|(call, &count)| (call, count, true)));
            if matches!(named.workload, Workload::Unknown | Workload::Remainder | Workload::Pause) {
                let calls = calls.filter(|(call, ..)| recorded.table.call(*call).argument().is_empty());
                self.unjudged = calls.map(|(_, count, _)| count).fold(self.unjudged, u64::saturating_add);
                continue;
            }
            if let Some(before) = before {
                // All calls are judged again by the name that has come.
                self.forget(&before.to_string());
            }
            for (call, count, is_denied) in calls.filter(|(call, ..)| recorded.is_judged(*call)) {
                self.add(policies, &recorded.table, &named.metadata, call, (count, is_denied));
            }
        }
    }

    /// Judges calls that a Prometheus has.
    pub(super) fn judge_observed(&mut self, policies: &Policies, table: &CallTable, workloads: &[ObservedWorkload]) {
        for ObservedWorkload { metadata, calls } in workloads {
            let names = calls.iter().map(|call| (call.abi.as_str(), call.syscall.as_str()));
            let judged_by_class = judged_by_class(table, names.clone());
            for (call, names) in calls.iter().zip(names).filter(|(_, names)| !judged_by_class.contains(names)) {
                self.add_named(policies, table, metadata, names, (call.count, call.is_denied));
            }
        }
    }

    fn add_named(
        &mut self,
        policies: &Policies,
        table: &CallTable,
        metadata: &Labels,
        (abi, syscall): (&str, &str),
        (count, is_denied): (u64, bool),
    ) {
        match table.id(abi, syscall) {
            Some(call) => self.add(policies, table, metadata, call, (count, is_denied)),
            None => self.unjudged = self.unjudged.saturating_add(count),
        }
    }

    fn add(
        &mut self,
        policies: &Policies,
        table: &CallTable,
        metadata: &Labels,
        call: CallId,
        (count, is_denied): (u64, bool),
    ) {
        let Some(policy) = policies.of(metadata).filter(|_| count > 0) else { return };
        if policy.learn().is_some() && self.learning.len() < MAX_ALARMS {
            self.learning.insert(Arc::clone(policy.name()));
        }
        let (Some(unexpected), _) = judge(policies, policy, metadata, call) else { return };
        let key = (table.call(call), is_denied, Arc::clone(policy.name()));
        let workload: Arc<str> = name(metadata).into();
        if let Some(known) = self.found.get_mut(&workload).and_then(|alarms| alarms.get_mut(&key)) {
            known.count = known.count.saturating_add(count);
        } else if self.listed < MAX_ALARMS {
            self.listed += 1;
            let by = policy.decision(metadata, call, table);
            self.found.entry(workload).or_default().insert(key, Alarm { severity: unexpected.severity, by, count });
        } else {
            self.omitted += 1;
        }
    }

    fn forget(&mut self, workload: &str) {
        self.listed -= self.found.remove(workload).map_or(0, |alarms| alarms.len());
    }

    /// Returns all alarms, the most severe first.
    fn sorted(&self) -> Vec<(&Arc<str>, &AlarmKey, &Alarm)> {
        let alarms = self
            .found
            .iter()
            .flat_map(|(workload, alarms)| alarms.iter().map(move |(key, alarm)| (workload, key, alarm)));
        let mut alarms: Vec<_> = alarms.collect();
        alarms.sort_by_key(|(_, _, alarm)| Reverse(alarm.severity));
        alarms
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        if self.is_empty() {
            text += "No call would have alarmed.\n";
        } else {
            let rows = self.sorted().into_iter().map(|(workload, (call, is_denied, _), alarm)| {
                let denied = if *is_denied { " (denied)" } else { "" };
                [
                    alarm.severity.to_string(),
                    workload.to_string(),
                    format!("{}{denied}", call.syscall),
                    call.abi.to_owned(),
                    alarm.count.to_string(),
                    alarm.by.to_string(),
                ]
            });
            text += &text_table(["SEVERITY", "WORKLOAD", "CALL", "ABI", "COUNT", "DECIDED BY"], rows);
        }
        if self.omitted > 0 {
            let _ = writeln!(text, "More than {MAX_ALARMS} alarms: the others are not listed.");
        }
        for policy in &self.learning {
            let _ = writeln!(text, "The policy {policy} learns: other calls of its workloads would have been learned.");
        }
        if self.unjudged > 0 {
            let calls = counted(usize::try_from(self.unjudged).unwrap_or(usize::MAX), "call");
            let _ = writeln!(text, "{calls} without a workload or of another architecture cannot be judged.");
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let alarm = |(workload, (call, is_denied, policy), alarm): (&Arc<str>, &AlarmKey, &Alarm)| {
            json!({
                "workload": **workload, "abi": call.abi, "syscall": call.syscall, "denied": is_denied,
                "policy": **policy, "severity": alarm.severity, "count": alarm.count,
                "decided_by": decision_json(&alarm.by),
            })
        };
        let alarms: Vec<Value> = self.sorted().into_iter().map(alarm).collect();
        let learning: Vec<&str> = self.learning.iter().map(AsRef::as_ref).collect();
        json!({
            "alarms": alarms, "alarms_omitted": self.omitted, "learning_policies": learning,
            "unjudged_calls": self.unjudged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::profile::ObservedCall, settings::LoadedPolicies, workload::Label};

    fn observed(pod: &str, calls: &[(&str, u64, bool)]) -> ObservedWorkload {
        let labels = [(Label::Namespace, "shop"), (Label::Pod, pod), (Label::ContainerId, "containerd://1")];
        let call = |&(syscall, count, is_denied): &(&str, u64, bool)| ObservedCall {
            abi: CallTable::native().native_abi().to_owned(),
            syscall: syscall.to_owned(),
            count,
            is_denied,
        };
        let metadata = Labels::new(labels.map(|(label, value)| (label, value.into())));
        ObservedWorkload { metadata, calls: calls.iter().map(call).collect() }
    }

    #[test]
    fn what_would_have_alarmed_is_listed_by_severity_with_its_line() {
        let table = CallTable::native();
        let LoadedPolicies { policies, .. } = LoadedPolicies::of_paths(&[], &table);
        let mut alarms = Alarms::default();
        let web =
            observed("web", &[("read", 9, false), ("kcmp", 2, false), ("mount", 3, true), ("nonsense", 4, false)]);
        alarms.judge_observed(&policies, &table, &[web, observed("web", &[("kcmp", 5, false)])]);
        let text = alarms.to_text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..4], ["critical", "shop/web", "mount", "(denied)"], "{text}");
        assert_eq!(lines[2][..5], ["warning", "shop/web", "kcmp", table.native_abi(), "7"], "{text}");
        assert!(lines[2].join(" ").contains("no list has it (policy runtime-default, built in:"), "{text}");
        assert_eq!(lines[3][..2], ["4", "calls"], "{text}");
        let json = alarms.to_json();
        assert_eq!((json["alarms"].as_array().unwrap().len(), &json["alarms"][1]["count"]), (2, &json!(7)));
        assert_eq!((&json["alarms"][0]["decided_by"]["list"], &json["unjudged_calls"]), (&json!("none"), &json!(4)));
    }

    #[test]
    fn calls_of_a_command_are_judged_by_their_arguments_if_these_are_recorded() {
        let table = CallTable::native();
        let call = |name: &str| format!("\"{}/{name}\": {{\"serving\": 2}}", table.native_abi());
        let calls = ["unshare", "unshare(CLONE_NEWUSER)", "setns", "socket", "socket(AF_UNIX)"].map(call).join(",");
        let text = format!(
            r#"{{"version": 1, "syscallmon": "0.1.0", "command": ["web"], "kernel": "6.18", "architecture": "{}",
            "began": "2026-01-31T12:00:00Z", "seconds": 1, "end": {{"status": 0}}, "lost": 0, "window_seconds": 1,
            "windows": 1, "calls": {{{calls}}}}}"#,
            table.native_abi()
        );
        let recording = Box::new(CommandRecording::from_json(text.as_bytes()).unwrap());
        let metadata = Labels::new([(Label::ContainerId, "containerd://1".into())]);
        let LoadedPolicies { policies, .. } = LoadedPolicies::of_paths(&[], &table);
        let mut alarms = Alarms::default();
        let mut source = ObservedSource::Command { recording, metadata, table };
        source.judge(&policies, &mut alarms).unwrap();
        let names: Vec<_> = alarms.sorted().iter().map(|(_, (call, ..), _)| call.syscall).collect();
        assert_eq!(names, ["setns", "unshare(CLONE_NEWUSER)"]);
    }

    #[test]
    fn alarms_are_bounded() {
        let table = CallTable::native();
        let LoadedPolicies { policies, .. } = LoadedPolicies::of_paths(&[], &table);
        let mut alarms = Alarms::default();
        for pod in 0..=MAX_ALARMS {
            alarms.judge_observed(&policies, &table, &[observed(&format!("web-{pod}"), &[("mount", 1, false)])]);
        }
        assert_eq!((alarms.sorted().len(), alarms.omitted), (MAX_ALARMS, 1));
        assert!(alarms.to_text().contains("More than 10000 alarms"));
    }
}
