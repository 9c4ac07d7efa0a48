//! Describes an incident in text for people.

use std::fmt::Write;

use super::record::{Content, Record, Suppressed};
use crate::{
    detect::{Incident, Reason, Violation, call_text},
    process::{Ancestor, Process, printable, shortened},
};

/// Maximum bytes of a command line, and of any line.
const COMMAND_LINE: usize = 256;
const LINE: usize = 512;
/// Room for the line about calls that are not described.
const REST: usize = 48;

/// Returns several lines, of at most this many bytes together: the process, its ancestors, each call and why it was
/// unexpected, and the metadata. The least severe calls are left out first.
pub(super) fn description(record: &Record, max_bytes: usize) -> String {
    let mut lines = Lines { text: String::new(), room: max_bytes };
    match &record.content {
        Content::Incident(incident) => of_incident(&mut lines, incident),
        Content::Suppressed(suppressed) => of_suppressed(&mut lines, suppressed),
    }
    lines.text
}

/// Lines of bounded length.
struct Lines {
    text: String,
    room: usize,
}

impl Lines {
    /// Adds a line if it fits, and leaves this much room. Texts from processes have no line breaks here.
    fn add(&mut self, line: &str, leave: usize) -> bool {
        let mut line = printable(line);
        if line.len() > LINE {
            line.truncate(line.floor_char_boundary(LINE - 3));
            line.push('\u{2026}');
        }
        let separator = if self.text.is_empty() { "" } else { "\n" };
        let fits = self.text.len() + separator.len() + line.len() + leave <= self.room;
        if fits {
            write!(self.text, "{separator}{line}").expect("writing to a string");
        }
        fits
    }
}

fn of_suppressed(lines: &mut Lines, suppressed: &Suppressed) {
    let limit = suppressed.limit;
    lines.add(&format!("The limit of new alerts is {limit} for each workload, policy and severity."), 0);
    lines.add("Each ABI, and denied calls, have a limit of their own.", 0);
    lines.add("syscallmon_unexpected_syscalls_total counts all violations, and /api/v1/violations lists them.", 0);
    lines.add(&format!("The worst call that was not sent: {}", suppressed.worst), 0);
    if let Some(process) = &suppressed.worst.process {
        of_process(lines, process);
    }
}

fn of_incident(lines: &mut Lines, incident: &Incident) {
    if let Some(process) = &incident.process {
        of_process(lines, process);
    }
    let mut described = 0;
    for call in &incident.calls {
        let rest = if described + 1 < incident.number_of_calls() { REST } else { 0 };
        if !lines.add(&of_call(call, incident.process.as_ref()), rest) {
            break;
        }
        described += 1;
    }
    let more = incident.number_of_calls() - described;
    if more > 0 {
        lines.add(&format!("... and {more} more calls, none of them worse"), 0);
    }
    for (name, value) in incident.metadata.iter() {
        lines.add(&format!("{name}: {value}"), 0);
    }
}

fn of_process(lines: &mut Lines, process: &Process) {
    let Process { pid, uid, comm, exe, parents, .. } = process;
    lines.add(&format!("Process: {comm} (pid {pid}, uid {uid})"), REST);
    if let Some(exe) = exe {
        lines.add(&format!("Executable: {exe}"), REST);
    }
    if let Some(command_line) = command_line(process) {
        lines.add(&format!("Command line: {command_line}"), REST);
    }
    if !parents.is_empty() {
        let parents: Vec<String> = parents.iter().map(|Ancestor { pid, comm, .. }| format!("{comm} ({pid})")).collect();
        lines.add(&format!("Parents: {}", parents.join(", ")), REST);
    }
}

fn command_line(process: &Process) -> Option<String> {
    let command_line = process.command_line.as_ref()?;
    Some(shortened(command_line, COMMAND_LINE, false).join(" "))
}

/// `mount, critical, 3 times: the policy runtime-default does not allow it. By mount (pid 4712): mount /dev/sda /mnt`
fn of_call(call: &Violation, root: Option<&Process>) -> String {
    let Violation { severity, count, policy, reason, process, .. } = call;
    let times = if *count > 1 { format!(", {count} times") } else { String::new() };
    let mut text = format!("{}, {severity}{times}: {}.", call_text(call), why(*reason, policy));
    if let Some(process) = process.as_ref().filter(|process| root.is_none_or(|root| root.pid != process.pid)) {
        write!(text, " By {} (pid {})", process.comm, process.pid).expect("writing to a string");
        if let Some(command_line) = command_line(process) {
            write!(text, ": {command_line}").expect("writing to a string");
        }
    }
    text
}

fn why(reason: Reason, policy: &str) -> String {
    match reason {
        Reason::DenyList => format!("the deny list of policy {policy} has it"),
        Reason::NotAllowed => format!("policy {policy} does not allow it"),
        Reason::NotLearned => format!("the baseline of policy {policy} has not learned it"),
        Reason::Abi => format!("policy {policy} allows no calls of this ABI"),
        Reason::UnknownNumber => "the ABI has no system call of this number".to_owned(),
    }
}
