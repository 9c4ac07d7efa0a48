//! The pages of one entry: a workload with its calls, and an incident with what to do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    columns::WorkloadRow,
    sample::{IncidentEntry, OpenWorkload, ProcessEntry, UnexpectedCall, name, selector},
    text::{ESCAPED_QUOTE, Line, Tone, ago, compact, compact_rate, cut_middle, pad, sparkline},
};
use crate::process::{printable, short_ids};

/// Columns of names.
const LABEL: usize = 14;
const CALL: usize = 28;

/// Returns the page of a workload. `daemon` has the flags that name the daemon in commands.
pub(super) fn workload(
    row: &WorkloadRow,
    incidents: &[&IncidentEntry],
    open: Option<&OpenWorkload>,
    time: f64,
    daemon: &str,
) -> Vec<Line> {
    let mut lines = vec![Line::of(row.name.clone(), Tone::Heading)];
    for (label, value) in &row.entry.metadata {
        lines.push(labelled(label, &printable(value)));
    }
    if row.entry.gone {
        lines.push(Line::plain("It has ended, and is still exported."));
    }
    let (totals, rates) = (&row.entry.totals, &row.rates);
    lines.push(labelled("calls", &format!("{}, {}/s", compact(totals.calls), compact_rate(rates.calls, 1))));
    lines.push(labelled("errors", &format!("{}, {}/s", compact(totals.errors), compact_rate(rates.errors, 1))));
    lines.push(labelled("denied", &format!("{}, {}/s", compact(totals.denied), compact_rate(rates.denied, 1))));
    let mut history = labelled("15 minutes", "");
    history.push(sparkline(&row.entry.rates.calls, 60).trim_start(), Tone::History);
    lines.push(history);
    lines.push(Line::default());
    if !incidents.is_empty() {
        lines.push(Line::of("Its incidents: 3 has why, and what to do", Tone::Heading));
        lines.extend(incidents.iter().map(|incident| incident_of_workload(incident, time)));
        lines.push(Line::default());
    }
    lines.push(Line::of("Its seccomp profile, from what it has called since the daemon started", Tone::Heading));
    let selector = shell_quoted(&selector(&row.entry.workload));
    lines.push(command(["syscallmon", "profile", "generate"], daemon, ["--workload", &selector]));
    lines.push(Line::default());
    let Some(open) = open.filter(|open| open.id == row.entry.id) else {
        lines.push(Line::of("waiting for its calls", Tone::Dim));
        return lines;
    };
    lines.extend(calls(open, time));
    lines
}

/// Returns an incident in one line, without the name of its workload.
fn incident_of_workload(incident: &IncidentEntry, time: f64) -> Line {
    let (message, name) = (printable(&incident.message), name(&incident.workload));
    let rest = message.strip_prefix(&name).and_then(|rest| rest.strip_prefix(": "));
    let text = format!("  {} ago: {}", ago(time - incident.last_seen), rest.unwrap_or(&message));
    Line::of(text, tone(&incident.severity))
}

/// Returns a command to copy. `daemon` has the flags that name the daemon.
fn command<'a>(
    words: impl IntoIterator<Item = &'a str>,
    daemon: &'a str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Line {
    let words: Vec<&str> = words.into_iter().chain(daemon.split_whitespace()).chain(arguments).collect();
    Line::command(&words)
}

/// Returns an incident in one line: its workload in this many columns, its calls and its process.
pub(super) fn in_short(incident: &IncidentEntry, width: usize) -> String {
    let calls: Vec<String> = incident.calls.iter().map(call_text).collect();
    let process =
        incident.process.as_ref().map_or_else(String::new, |process| format!(" by {}", printable(&process.comm)));
    let name = pad(&cut_middle(&short_ids(&name(&incident.workload)), width), width, false);
    format!("{name} {}{process}", calls.join(", "))
}

/// Returns a call, with its class of arguments if that was judged.
pub(super) fn call_text(call: &UnexpectedCall) -> String {
    let argument = if call.argument.is_empty() { String::new() } else { format!("({})", printable(&call.argument)) };
    printable(&call.syscall) + &argument
}

fn labelled(label: &str, value: &str) -> Line {
    let mut line = Line::of(pad(label, LABEL, false) + " ", Tone::Dim);
    line.push(value, Tone::Plain);
    line
}

/// Returns why a policy reported a call, after the policy's name.
fn why(reason: &str) -> String {
    match reason {
        "not_allowed" => "does not allow it".to_owned(),
        "deny_list" => "has it in its deny list".to_owned(),
        "not_learned" => "has not learned it".to_owned(),
        "abi" => "allows no calls of this ABI".to_owned(),
        "unknown_number" => "no system call has this number".to_owned(),
        other => printable(other),
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", compact(count)) }
}

/// Returns a text as one argument of a shell.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ESCAPED_QUOTE))
}

/// Returns one line for each call, with its errors and denied calls.
fn calls(open: &OpenWorkload, time: f64) -> Vec<Line> {
    let mut failures: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for error in &open.errors {
        let text = format!("{} {}", printable(&error.errno), compact(error.errors));
        failures.entry((&error.abi, &error.syscall)).or_default().push(text);
    }
    for denied in &open.denied {
        let text = format!("denied {}", compact(denied.denied));
        failures.entry((&denied.abi, &denied.syscall)).or_default().push(text);
    }
    let heading =
        [pad("CALL", CALL, false), pad("CALLS", 8, true), pad("FIRST", 6, true), pad("LAST", 6, true)].join(" ");
    let mut lines = vec![Line::of(heading + "  ERRORS", Tone::Heading)];
    for call in &open.syscalls {
        let errors = failures.remove(&(call.abi.as_str(), call.syscall.as_str())).unwrap_or_default();
        let span = |seen: Option<f64>| seen.map_or_else(String::new, |seen| ago(time - seen));
        let name = format!("{} {}", printable(&call.syscall), printable(&call.abi));
        let (count, first, last) = (compact(call.calls), span(call.first_seen), span(call.last_seen));
        let columns = [pad(&name, CALL, false), pad(&count, 8, true), pad(&first, 6, true), pad(&last, 6, true)];
        let mut line = Line::plain(columns.join(" "));
        line.push(format!("  {}", errors.join(", ")), Tone::Dim);
        lines.push(line);
    }
    // Calls that were only denied.
    for ((abi, syscall), errors) in failures {
        let mut line = Line::plain(pad(&format!("{} {}", printable(syscall), printable(abi)), CALL, false));
        line.push(format!(" {}", errors.join(", ")), Tone::Warning);
        lines.push(line);
    }
    for operation in &open.io_uring {
        let name = pad(&format!("{} io_uring", printable(&operation.op)), CALL, false);
        lines.push(Line::plain(format!("{name} {}", pad(&compact(operation.requests), 8, true))));
    }
    lines
}

/// Returns the tone of a severity.
pub(super) fn tone(severity: &str) -> Tone {
    match severity {
        "critical" => Tone::Critical,
        "warning" => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// Returns the page of an incident.
pub(super) fn incident(incident: &IncidentEntry, time: f64, daemon: &str) -> Vec<Line> {
    let mut lines = vec![Line::of(short_ids(&printable(&incident.message)), tone(&incident.severity)), Line::default()];
    lines.push(labelled("workload", &name(&incident.workload)));
    let (started, seen) = (ago(time - incident.started), ago(time - incident.last_seen));
    lines.push(labelled("seen", &format!("{started} ago to {seen} ago, {}", times(incident.count))));
    if let Some(process) = &incident.process {
        lines.extend(process_tree(process));
    }
    lines.push(Line::default());
    lines.push(Line::of("Why: calls that its policy does not expect", Tone::Heading));
    for call in &incident.calls {
        let name = format!("  {} {}", call_text(call), printable(&call.abi));
        let mut line = Line::of(pad(&name, CALL.max(name.len()), false), tone(&call.severity));
        let denied = if call.denied { ", denied by seccomp" } else { "" };
        let (severity, policy, reason) = (&call.severity, printable(&call.policy), why(&call.reason));
        let text = format!(" {}, {severity}, policy {policy}: {reason}{denied}", times(call.count));
        line.push(text, Tone::Plain);
        lines.push(line);
    }
    lines.push(Line::default());
    lines.push(Line::of("What to do", Tone::Heading));
    lines.push(Line::plain("  Was it an attack? Look at the processes above, and follow the runbook:"));
    lines.push(Line::plain(format!("    {}", printable(&incident.runbook_url))));
    lines.push(Line::plain("  Is it what the workload does? This prints the narrowest exception for its policy:"));
    let ids: Vec<String> = incident.calls.iter().map(|call| printable(&call.violation)).collect();
    lines.push(command(["syscallmon", "policy", "allow"], daemon, ids.iter().map(String::as_str)));
    lines
}

/// Returns a process and its ancestors, the oldest first.
fn process_tree(process: &ProcessEntry) -> Vec<Line> {
    let mut lines = vec![Line::default(), Line::of("Processes", Tone::Heading)];
    let program = |exe: &Option<String>, comm: &str| printable(exe.as_deref().unwrap_or(comm));
    let mut indent = 2;
    for parent in process.parents.iter().rev() {
        let text = format!("{}{} (pid {})", " ".repeat(indent), program(&parent.exe, &parent.comm), parent.pid);
        lines.push(Line::of(text, Tone::Dim));
        indent += 2;
    }
    let (space, program) = (" ".repeat(indent), program(&process.exe, &process.comm));
    lines.push(Line::plain(format!("{space}{program} (pid {}, uid {})", process.pid, process.uid)));
    let command_line = match &process.command_line {
        Some(Value::Array(arguments)) => {
            let arguments = arguments.iter().map(|argument| argument.as_str().unwrap_or_default());
            arguments.map(printable).collect::<Vec<_>>().join(" ")
        }
        Some(Value::String(text)) => printable(text),
        _ => return lines,
    };
    lines.push(Line::plain(format!("{space}{command_line}")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(lines: &[Line]) -> String {
        lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_workload_has_its_calls_with_their_errors_and_the_command_for_its_profile() {
        let entry = serde_json::from_value(json!({
            "id": "1", "workload": {"container": "it's", "namespace": "shop"}, "metadata": {"image": "web:1"},
            "gone": false, "totals": {"calls": 12345, "errors": 7, "denied": 2, "io_uring": 1},
            "rates": {"step": 10, "calls": [1.0, 2.0], "errors": [], "denied": []},
        }))
        .unwrap();
        let open: OpenWorkload = serde_json::from_value(json!({
            "id": "1",
            "syscalls": [{"abi": "x86_64", "syscall": "openat", "calls": 12345, "first_seen": 40.0, "last_seen": 99.0}],
            "errors": [{"abi": "x86_64", "syscall": "openat", "errno": "ENOENT", "errors": 7}],
            "denied": [{"abi": "x86_64", "syscall": "mount", "denied": 2}],
            "io_uring": [{"op": "read", "requests": 1}],
        }))
        .unwrap();
        let page = texts(&workload(&WorkloadRow::new(entry, None), &[], Some(&open), 100.0, ""));
        for part in [
            "image          web:1\n",
            "openat x86_64                   12.3k    60s     1s  ENOENT 7\n",
            "mount x86_64                 denied 2\n",
            "read io_uring                       1\n",
            r#"syscallmon profile generate --workload 'container="it'\''s",namespace="shop"'"#,
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        // A long list of calls does not hide the command.
        assert!(page.find("profile generate") < page.find("openat"), "{page}");
    }

    #[test]
    fn an_incident_has_its_processes_its_reasons_and_what_to_do() {
        let entry: IncidentEntry = serde_json::from_value(json!({
            "id": "2", "message": "sh made \u{1b}[31m", "severity": "critical", "started": 10.0, "last_seen": 90.0,
            "count": 3, "workload": {"cgroup": "/a"}, "runbook_url": "https://runbook",
            "process": {"pid": 3, "uid": 0, "comm": "sh", "exe": "/bin/sh", "command_line": ["sh", "-c", "\u{202e}x"],
                        "parents": [{"pid": 2, "comm": "nginx"}, {"pid": 1, "comm": "init"}]},
            "calls": [{"violation": "abc", "abi": "x86_64", "syscall": "mount", "argument": "MS_BIND", "denied": true, "policy": "web",
                       "severity": "critical", "reason": "not_allowed", "count": 3}],
        }))
        .unwrap();
        let page = texts(&incident(&entry, 100.0, "--url http://node "));
        for part in [
            "sh made \\u{1b}[31m\n",
            "  init (pid 1)\n    nginx (pid 2)\n      /bin/sh (pid 3, uid 0)\n      sh -c \\u{202e}x\n",
            "  mount(MS_BIND) x86_64      3 times, critical, policy web: does not allow it, denied by seccomp\n",
            "https://runbook\n",
            "syscallmon policy allow --url http://node abc\n",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
