//! Describes a violation in text for people.

use std::fmt::Write;

use super::record::{Content, Record, Suppressed};
use crate::{
    detect::{Reason, Violation},
    process::{Ancestor, Process, printable},
};

/// Returns several lines: the process, its ancestors, and why the call was unexpected.
pub(super) fn description(record: &Record) -> String {
    match &record.content {
        Content::Violation(violation) => of_violation(violation),
        Content::Suppressed(suppressed) => of_suppressed(suppressed),
    }
}

fn of_suppressed(suppressed: &Suppressed) -> String {
    let mut text = format!(
        "The limit of new alerts is {} for each workload, policy and severity, separately for each ABI and for denied calls. \
         syscallmon_unexpected_syscalls_total counts all violations, and /api/v1/violations lists them.",
        suppressed.limit
    );
    line(&mut text, format_args!("The worst alert that was not sent: {}", suppressed.worst));
    if let Some(process) = &suppressed.worst.process {
        of_process(&mut text, process);
    }
    text
}

fn of_violation(violation: &Violation) -> String {
    let mut text = format!("Why: {}.", why(violation.reason));
    let more = if violation.runtime_default_allows { "allows" } else { "does not allow" };
    line(&mut text, format_args!("The default seccomp profile of container runtimes {more} it."));
    if let Some(process) = &violation.process {
        of_process(&mut text, process);
    }
    for (name, value) in violation.metadata.iter() {
        line(&mut text, format_args!("{name}: {value}"));
    }
    text
}

fn of_process(text: &mut String, process: &Process) {
    let Process { pid, tid, uid, comm, exe, command_line, parents } = process;
    line(text, format_args!("Process: {comm} (pid {pid}, tid {tid}, uid {uid})"));
    if let Some(exe) = exe {
        line(text, format_args!("Executable: {exe}"));
    }
    if let Some(command_line) = command_line {
        line(text, format_args!("Command line: {}", command_line.join(" ")));
    }
    if !parents.is_empty() {
        let parents: Vec<String> = parents.iter().map(|Ancestor { pid, comm, .. }| format!("{comm} ({pid})")).collect();
        line(text, format_args!("Parents: {}", parents.join(", ")));
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::DenyList => "the deny list of the policy has this call",
        Reason::NotAllowed => "the policy does not allow this call",
        Reason::NotLearned => "the baseline has not learned this call",
        Reason::Abi => "the policy allows no calls of this ABI",
        Reason::UnknownNumber => "the ABI has no system call of this number",
    }
}

/// Adds a line. Texts from processes have no line breaks here.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let line = printable(&line.to_string());
    write!(text, "\n{line}").expect("writing to a string");
}
