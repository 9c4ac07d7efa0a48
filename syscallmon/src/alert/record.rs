//! The record of an incident that every sink gets, and that the log and webhooks write as JSON.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::SystemTime,
};

use serde::Serialize;

use super::{
    RateLimit,
    line::{MAX_LINE, json_line, line_of_short_texts},
};
use crate::{
    clock::unix_seconds,
    detect::{Incident, IncidentState, Severity, Violation},
    fair_share::{Priority, Tenant},
    process::{Process, printable, shortened},
    stable_id::StableId,
    syscalls::Call,
    workload::Workload,
};

/// Maximum bytes of a command line in a record that is too long: of the root of the process tree, and of each call.
const SHORT_COMMAND_LINE: usize = 1024;
const SHORT_COMMAND_LINE_OF_CALL: usize = 256;

/// Changes when a field is removed or changes its meaning; not when one is added.
const SCHEMA: u32 = 2;

/// The section of the documents that helps with a summary.
const RUNBOOK: &str = "https://github.com/syscallmon/syscallmon/blob/main/docs/alerts.md#unexpectedsyscallssuppressed";

/// An alert at one moment.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) node: Arc<str>,
    pub(super) content: Content,
}

/// What a record reports: an incident, or a summary of violations that were not sent.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Incident(Arc<Incident>),
    Suppressed(Arc<Suppressed>),
}

/// Suppressed violations.
#[derive(Clone, Debug)]
pub(super) struct Suppressed {
    pub(super) state: IncidentState,
    /// When the newest was suppressed.
    pub(super) last_seen: SystemTime,
    pub(super) workload: Workload,
    pub(super) policy: Arc<str>,
    pub(super) severity: Severity,
    /// Number of suppressed violations since the quota last had room.
    pub(super) count: u64,
    pub(super) limit: RateLimit,
    pub(super) worst: Worst,
    pub(super) tenant: Tenant,
}

/// The worst of several violations of the same severity: one with an effect before an attempt, and of those the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Worst {
    pub(super) policy: Arc<str>,
    #[serde(flatten)]
    pub(super) call: Call,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
    pub(super) denied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Process>,
}

/// Identifies records of the same subject. The end of an incident is not put in the place of its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum AlertSubject {
    Incident { id: StableId, is_end: bool },
    Suppressed { workload: Workload, policy: Arc<str>, severity: Severity },
}

impl Record {
    pub(super) fn subject(&self) -> AlertSubject {
        match &self.content {
            Content::Incident(incident) => {
                AlertSubject::Incident { id: incident.id, is_end: incident.state == IncidentState::Resolved }
            }
            Content::Suppressed(suppressed) => {
                let Suppressed { workload, policy, severity, .. } = &**suppressed;
                AlertSubject::Suppressed { workload: workload.clone(), policy: Arc::clone(policy), severity: *severity }
            }
        }
    }

    pub(super) fn workload(&self) -> &Workload {
        match &self.content {
            Content::Incident(incident) => &incident.workload,
            Content::Suppressed(suppressed) => &suppressed.workload,
        }
    }

    pub(super) fn severity(&self) -> Severity {
        match &self.content {
            Content::Incident(incident) => incident.severity,
            Content::Suppressed(suppressed) => suppressed.severity,
        }
    }

    pub(super) fn state(&self) -> IncidentState {
        match &self.content {
            Content::Incident(incident) => incident.state,
            Content::Suppressed(suppressed) => suppressed.state,
        }
    }

    /// Returns the id of its subject: the same in all records about it, and after a restart of the daemon.
    fn id(&self) -> StableId {
        match &self.content {
            Content::Incident(incident) => incident.id,
            Content::Suppressed(suppressed) => {
                let Suppressed { workload, policy, severity, .. } = &**suppressed;
                StableId::of("suppressed", [&*self.node, &workload.id().to_string(), policy, severity.name()])
            }
        }
    }

    /// Takes the state of an earlier record of the same subject that was not delivered, if that says more.
    pub(super) fn follows(&mut self, earlier: IncidentState) {
        if self.state() > earlier {
            match &mut self.content {
                Content::Incident(incident) => Arc::make_mut(incident).state = earlier,
                Content::Suppressed(suppressed) => Arc::make_mut(suppressed).state = earlier,
            }
        }
    }

    /// Returns the tenant and priority for capacity.
    pub(super) fn share(&self) -> (Tenant, Priority) {
        let tenant = match &self.content {
            Content::Incident(incident) => incident.tenant(),
            Content::Suppressed(suppressed) => suppressed.tenant.clone(),
        };
        (tenant, self.severity().into())
    }

    /// Returns one sentence.
    pub(super) fn message(&self) -> String {
        match &self.content {
            Content::Incident(incident) => incident.message(),
            Content::Suppressed(suppressed) => {
                let Suppressed { workload, policy, severity, count, limit, worst, .. } = &**suppressed;
                let noun = if *count == 1 { "violation" } else { "violations" };
                let period = humantime::format_duration(limit.period);
                printable(&format!(
                    "{workload}: {count} more {severity} {noun} of policy {policy} not sent (limit: {} per {period}), \
                     the worst: {worst}",
                    limit.count
                ))
            }
        }
    }

    /// Returns the section of the documents that helps with it.
    pub(super) fn runbook(&self) -> &'static str {
        match &self.content {
            Content::Incident(_) => Incident::RUNBOOK,
            Content::Suppressed(_) => RUNBOOK,
        }
    }

    /// Returns its size: about its length as JSON.
    pub(super) fn bytes(&self) -> usize {
        struct Length(usize);
        impl Write for Length {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut length = Length(0);
        // Counting cannot fail.
        let _ = serde_json::to_writer(&mut length, self);
        length.0
    }

    /// Returns JSON without a line break, of at most [`MAX_LINE`]. Of a longer record, the descriptions of processes
    /// are cut first. Then the least severe calls are left out, and then every long text is cut.
    pub(super) fn json(&self) -> String {
        const CANNOT_FAIL: &str = "keys are strings, and nothing in it can fail";
        let is_short = |line: &String| line.len() <= MAX_LINE;
        if let Some(line) = Some(json_line(self)).filter(is_short) {
            return line;
        }
        let (mut short, message) = (self.shortened(), self.message());
        loop {
            let mut json = serde_json::to_value(&short).expect(CANNOT_FAIL);
            // It also names calls that are left out.
            json["message"] = message.as_str().into();
            if let Some(line) = Some(json_line(&json)).filter(is_short) {
                return line;
            }
            if !short.omit_calls() {
                return line_of_short_texts(&json);
            }
        }
    }

    fn shortened(&self) -> Self {
        let mut short = self.clone();
        match &mut short.content {
            Content::Incident(incident) => {
                let incident = Arc::make_mut(incident);
                shorten(incident.process.as_mut(), SHORT_COMMAND_LINE, 1);
                for call in &mut incident.calls {
                    shorten(Arc::make_mut(call).process.as_mut(), SHORT_COMMAND_LINE_OF_CALL, 0);
                }
            }
            Content::Suppressed(suppressed) => {
                shorten(Arc::make_mut(suppressed).worst.process.as_mut(), SHORT_COMMAND_LINE, 1);
            }
        }
        short
    }

    /// Leaves out a quarter of the calls: the least severe. Returns whether there was more than one.
    fn omit_calls(&mut self) -> bool {
        let Content::Incident(incident) = &mut self.content else { return false };
        let number = incident.calls.len();
        if number < 2 {
            return false;
        }
        let incident = Arc::make_mut(incident);
        incident.calls.truncate(number - number.div_ceil(4).min(number - 1));
        incident.calls_omitted += (number - incident.calls.len()) as u64;
        true
    }
}

fn shorten(process: Option<&mut Process>, command_line: usize, parents: usize) {
    if let Some(process) = process {
        process.command_line = process.command_line.take().map(|line| shortened(&line, command_line, false));
        process.parents.truncate(parents);
    }
}

impl Worst {
    pub(super) fn of(violation: &Violation) -> Self {
        let Violation { policy, call, number, denied, process, .. } = violation;
        let (policy, process) = (Arc::clone(policy), process.clone());
        Self { policy, call: *call, number: *number, denied: *denied, process }
    }
}

impl fmt::Display for Worst {
    /// `mount (x86_64), denied, by sh (pid 4711)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (syscall, abi) = (self.call.text(), self.call.abi);
        write!(formatter, "{syscall} ({abi}){}", if self.denied { ", denied" } else { "" })?;
        match &self.process {
            Some(process) => write!(formatter, ", by {} (pid {})", process.comm, process.pid),
            None => Ok(()),
        }
    }
}

/// The documented JSON object.
impl Serialize for Record {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a, T> {
            schema: u32,
            kind: &'static str,
            node: &'a str,
            #[serde(flatten)]
            content: T,
        }
        #[derive(Serialize)]
        struct Summary<'a> {
            id: StableId,
            state: IncidentState,
            message: String,
            severity: Severity,
            #[serde(serialize_with = "unix_seconds")]
            last_seen: SystemTime,
            count: u64,
            workload: &'a Workload,
            limit: RateLimit,
            worst: &'a Worst,
            runbook_url: &'static str,
        }
        let (schema, node) = (SCHEMA, &*self.node);
        match &self.content {
            Content::Incident(incident) => {
                Flat { schema, kind: "incident", node, content: &**incident }.serialize(serializer)
            }
            Content::Suppressed(suppressed) => {
                let Suppressed { state, severity, last_seen, count, workload, limit, worst, .. } = &**suppressed;
                let content = Summary {
                    id: self.id(),
                    state: *state,
                    message: self.message(),
                    severity: *severity,
                    last_seen: *last_seen,
                    count: *count,
                    workload,
                    limit: *limit,
                    worst,
                    runbook_url: RUNBOOK,
                };
                Flat { schema, kind: "suppressed", node, content }.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::{
        alert::tests::{incident, record, record_of, violation},
        process::{Ancestor, is_obeyed},
        workload::{Label, Labels},
    };

    #[test]
    fn the_documented_line_is_what_is_written() {
        let document = include_str!("../../../docs/violations.md");
        let example = document.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let unshare = Call { abi: "x86_64", syscall: "unshare" };
        let unshare = Violation { call: unshare, number: Some(272), ..violation("web", "mount") };
        let line = record_of(incident([violation("web", "mount"), unshare])).json();
        assert!(!line.contains('\n'));
        let (written, documented): (Value, Value) =
            (serde_json::from_str(&line).unwrap(), serde_json::from_str(example).unwrap());
        assert_eq!(written, documented);
    }

    #[test]
    fn a_line_is_valid_and_short_whatever_the_process_says_of_itself() {
        let mut long = violation("web", "mount");
        let process = long.process.as_mut().unwrap();
        process.command_line = crate::process::CommandLines::Full.parse(&[b'"'; 5000]);
        let parent = process.parents[0].clone();
        process.parents = vec![Ancestor { exe: Some("/\"".repeat(250)), ..parent }; 17];
        let line = record(long).json();
        assert!(line.len() <= MAX_LINE, "{}", line.len());
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["process"]["command_line"][0].as_str().unwrap().ends_with('\u{2026}'));
    }

    #[test]
    fn a_line_is_valid_and_short_whatever_its_workload_is_called() {
        let mut long = violation("web", "mount");
        let path: Arc<str> = format!("/user.slice/{}", "\"\u{9b}\u{1}\u{202e}".repeat(600)).into();
        long.workload = Workload::cgroup(Arc::clone(&path));
        long.metadata = Labels::new(Label::ALL.iter().map(|&label| (label, Arc::clone(&path))));
        let process = long.process.as_mut().unwrap();
        process.exe = Some("\\u{1b}".repeat(400));
        process.parents[0].exe.clone_from(&process.exe);
        let short = record(long);
        let line = short.json();
        assert!(line.len() <= MAX_LINE && !line.contains(is_obeyed), "{}", line.len());
        let read: Value = serde_json::from_str(&line).unwrap();
        assert!(read["workload"]["cgroup"].as_str().unwrap().starts_with("/user.slice/"), "{line}");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_means_the_same() {
        let mut odd = violation("web", "mount");
        let path = "/a\u{9b}2J\u{7f}\u{202e}b";
        odd.workload = Workload::cgroup(path.into());
        let line = record(odd).json();
        assert!(!line.contains(is_obeyed), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["workload"]["cgroup"], path);
    }

    /// The summary for a violation of a policy on a node.
    fn summary(node: &str, violation: &Violation) -> Record {
        let suppressed = Suppressed {
            state: IncidentState::New,
            last_seen: SystemTime::now(),
            workload: violation.workload.clone(),
            policy: Arc::clone(&violation.policy),
            severity: violation.severity,
            count: 3,
            limit: RateLimit::default(),
            worst: Worst::of(violation),
            tenant: violation.tenant(),
        };
        Record { node: node.into(), content: Content::Suppressed(Arc::new(suppressed)) }
    }

    #[test]
    fn every_field_of_a_line_can_be_in_a_template() {
        for record in [record(violation("web", "mount")), summary("node-1", &violation("web", "mount"))] {
            let line: Value = serde_json::from_str(&record.json()).unwrap();
            for field in line.as_object().unwrap().keys() {
                format!("{{{{ {field} }}}}").parse::<crate::alert::Template>().unwrap();
            }
        }
    }

    #[test]
    fn summaries_of_the_same_subject_have_an_id_and_others_have_another_one() {
        let id = |record: &Record| {
            let line: Value = serde_json::from_str(&record.json()).unwrap();
            line["id"].as_str().unwrap().to_owned()
        };
        let web = violation("web", "mount");
        let of_web = summary("node-1", &web);
        let mut later = summary("node-1", &Violation { count: 9, ..violation("web", "bpf") });
        later.follows(IncidentState::Repeated);
        assert_eq!((id(&of_web), of_web.subject()), (id(&later), later.subject()), "another call is no other subject");
        let others = [
            record(web.clone()),
            summary("node-2", &web),
            summary("node-1", &violation("db", "mount")),
            summary("node-1", &Violation { policy: "own".into(), ..web.clone() }),
            summary("node-1", &Violation { severity: Severity::Info, ..web.clone() }),
        ];
        let ids: BTreeSet<String> = others.iter().map(id).chain([id(&of_web)]).collect();
        assert_eq!(ids.len(), 6);
    }

    #[test]
    fn a_record_takes_as_much_room_as_its_line() {
        let record = record(violation("web", "mount"));
        assert_eq!(record.bytes(), record.json().len());
    }
}
