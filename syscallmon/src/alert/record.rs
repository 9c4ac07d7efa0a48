//! The record of a violation that every sink gets, and that the log and webhooks write as JSON.

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
    detect::{Severity, Violation},
    fair_share::{Priority, Tenant},
    process::{Process, printable, shortened},
    syscalls::Call,
    workload::Workload,
};

/// Maximum bytes of a command line in a record that is too long.
const SHORT_COMMAND_LINE: usize = 1024;

/// Changes when a field is removed or changes its meaning; not when one is added.
const SCHEMA: u32 = 1;

/// An alert at one moment.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) node: Arc<str>,
    /// Whether it is the first alert of its subject.
    pub(super) first: bool,
    pub(super) content: Content,
}

/// What a record reports: a violation, or a summary of violations that were not sent.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Violation(Arc<Violation>),
    Suppressed(Arc<Suppressed>),
}

/// Suppressed violations.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Suppressed {
    /// When the newest was suppressed.
    #[serde(serialize_with = "unix_seconds")]
    pub(super) time: SystemTime,
    pub(super) workload: Workload,
    pub(super) policy: Arc<str>,
    pub(super) severity: Severity,
    /// Number of suppressed violations since the quota last had room.
    pub(super) count: u64,
    pub(super) limit: RateLimit,
    pub(super) worst: Worst,
    #[serde(skip)]
    pub(super) tenant: Tenant,
}

/// The worst of several violations of the same severity: one with an effect before an attempt, and of those the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Worst {
    #[serde(flatten)]
    pub(super) call: Call,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
    pub(super) denied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Process>,
}

/// Identifies records of the same subject within a workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AlertSubject {
    policy: Arc<str>,
    what: CallOrSummary,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CallOrSummary {
    Call { call: Call, denied: bool },
    Suppressed(Severity),
}

impl AlertSubject {
    pub(super) fn of(violation: &Violation) -> Self {
        let what = CallOrSummary::Call { call: violation.call, denied: violation.denied };
        Self { policy: Arc::clone(&violation.policy), what }
    }

    /// Returns a key that is the same for calls that ran and for those that were denied.
    pub(super) fn denied_or_not(mut self) -> Self {
        if let CallOrSummary::Call { denied, .. } = &mut self.what {
            *denied = false;
        }
        self
    }

    pub(super) fn suppressed(policy: &Arc<str>, severity: Severity) -> Self {
        Self { policy: Arc::clone(policy), what: CallOrSummary::Suppressed(severity) }
    }
}

impl Record {
    pub(super) fn subject(&self) -> AlertSubject {
        match &self.content {
            Content::Violation(violation) => AlertSubject::of(violation),
            Content::Suppressed(suppressed) => AlertSubject::suppressed(&suppressed.policy, suppressed.severity),
        }
    }

    pub(super) fn workload(&self) -> &Workload {
        match &self.content {
            Content::Violation(violation) => &violation.workload,
            Content::Suppressed(suppressed) => &suppressed.workload,
        }
    }

    /// Returns the tenant and priority for capacity.
    pub(super) fn share(&self) -> (Tenant, Priority) {
        match &self.content {
            Content::Violation(violation) => (violation.tenant(), violation.severity.into()),
            Content::Suppressed(suppressed) => (suppressed.tenant.clone(), suppressed.severity.into()),
        }
    }

    /// Returns one sentence.
    pub(super) fn message(&self) -> String {
        match &self.content {
            Content::Violation(violation) => {
                let Violation { workload, call, count, policy, .. } = &**violation;
                let did = if violation.denied { "was denied" } else { "made" };
                let times = if *count > 1 { format!(", {count} times") } else { String::new() };
                let (call, abi) = (call.syscall, call.abi);
                printable(&format!("{workload} {did} an unexpected call: {call} ({abi}){times}, policy {policy}"))
            }
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

    /// Returns JSON without a line break. Of a record longer than [`MAX_LINE`], the description of the process is cut
    /// first, and then every long text.
    pub(super) fn json(&self) -> String {
        const CANNOT_FAIL: &str = "keys are strings, and nothing in it can fail";
        let is_short = |line: &String| line.len() <= MAX_LINE;
        let shortened = || {
            let record = self.shortened();
            let line = Some(json_line(&record)).filter(is_short);
            line.unwrap_or_else(|| line_of_short_texts(&serde_json::to_value(&record).expect(CANNOT_FAIL)))
        };
        Some(json_line(self)).filter(is_short).unwrap_or_else(shortened)
    }

    fn shortened(&self) -> Self {
        let mut short = self.clone();
        let process = match &mut short.content {
            Content::Violation(violation) => &mut Arc::make_mut(violation).process,
            Content::Suppressed(suppressed) => &mut Arc::make_mut(suppressed).worst.process,
        };
        if let Some(process) = process {
            process.command_line = process.command_line.take().map(|line| shortened(&line, SHORT_COMMAND_LINE, false));
            process.parents.truncate(1);
        }
        short
    }
}

impl Worst {
    pub(super) fn of(violation: &Violation) -> Self {
        let &Violation { call, number, denied, ref process, .. } = violation;
        Self { call, number, denied, process: process.clone() }
    }
}

impl fmt::Display for Worst {
    /// `mount (x86_64), denied, by sh (pid 4711)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { abi, syscall } = self.call;
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
            first: bool,
            message: String,
            #[serde(flatten)]
            content: &'a T,
        }
        fn flat<'a, T>(record: &'a Record, kind: &'static str, content: &'a T) -> Flat<'a, T> {
            Flat { schema: SCHEMA, kind, node: &record.node, first: record.first, message: record.message(), content }
        }
        match &self.content {
            Content::Violation(violation) => flat(self, "violation", &**violation).serialize(serializer),
            Content::Suppressed(suppressed) => flat(self, "suppressed", &**suppressed).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        alert::tests::{record, violation},
        process::{Ancestor, is_obeyed},
        workload::{Label, Labels},
    };

    #[test]
    fn the_documented_line_is_what_is_written() {
        let document = include_str!("../../../docs/violations.md");
        let example = document.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let line = record(violation("web", "mount")).json();
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

    #[test]
    fn every_field_of_a_line_can_be_in_a_template() {
        let suppressed = Suppressed {
            time: SystemTime::now(),
            workload: Workload::Unknown,
            policy: "p".into(),
            severity: Severity::Info,
            count: 3,
            limit: RateLimit::default(),
            worst: Worst::of(&violation("web", "mount")),
            tenant: violation("web", "mount").tenant(),
        };
        let suppressed = Content::Suppressed(Arc::new(suppressed));
        let suppressed = Record { content: suppressed, ..record(violation("web", "mount")) };
        for record in [record(violation("web", "mount")), suppressed] {
            let line: Value = serde_json::from_str(&record.json()).unwrap();
            for field in line.as_object().unwrap().keys() {
                format!("{{{{ {field} }}}}").parse::<crate::alert::Template>().unwrap();
            }
        }
    }

    #[test]
    fn a_record_takes_as_much_room_as_its_line() {
        let record = record(violation("web", "mount"));
        assert_eq!(record.bytes(), record.json().len());
    }
}
