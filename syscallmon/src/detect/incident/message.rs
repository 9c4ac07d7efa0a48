//! The sentence that says what an incident is about.

use std::fmt::Write;

use super::{Incident, IncidentState};
use crate::{detect::Violation, process::printable};

/// Maximum programs and calls that are named.
const PROGRAMS: usize = 3;
const CALLS: usize = 5;

/// Maximum bytes of a program's name. The kernel limits it, and escapes of control characters are longer.
const NAME: usize = 64;

/// Returns one sentence: the pod or workload, the program, and what it did.
///
/// `shop/web-1/web: sh (child of nginx) made 5 unexpected calls: mount, unshare, ptrace, ... (critical)`
#[must_use]
pub fn message(incident: &Incident) -> String {
    let Incident { state, severity, workload, calls, .. } = incident;
    let program = programs(incident);
    let number = incident.number_of_calls();
    let what = if number == 1 { "an unexpected call".to_owned() } else { format!("{number} unexpected calls") };
    let did = if calls.iter().all(|call| call.denied) && incident.calls_omitted == 0 { "tried" } else { "made" };
    let mut names: Vec<String> = calls.iter().take(CALLS).map(|call| call_text(call)).collect();
    if number > names.len() as u64 {
        names.push("...".to_owned());
    }
    let mut text = format!("{workload}: {program} {did} {what}: {} ({severity})", names.join(", "));
    if let [call] = &calls[..]
        && number == 1
        && call.count > 1
    {
        write!(text, ", {} times", call.count).expect("writing to a string");
    }
    if *state == IncidentState::Resolved {
        text.push_str(", resolved");
    }
    printable(&text)
}

/// `mount`, `getpid (ia32)`, `mount (denied)`.
#[must_use]
pub fn call_text(violation: &Violation) -> String {
    let call = violation.call;
    let notes = [(!call.is_native()).then_some(call.abi), violation.denied.then_some("denied")];
    let notes: Vec<&str> = notes.into_iter().flatten().collect();
    let syscall = call.text();
    if notes.is_empty() { syscall.to_owned() } else { format!("{syscall} ({})", notes.join(", ")) }
}

/// Returns the programs that made the worst calls, and where they come from.
fn programs(incident: &Incident) -> String {
    let mut programs: Vec<&str> = Vec::new();
    let mut is_more = false;
    for process in incident.calls.iter().filter_map(|call| call.process.as_ref()) {
        if programs.contains(&process.comm.as_str()) {
            continue;
        }
        if programs.len() == PROGRAMS {
            is_more = true;
            break;
        }
        programs.push(&process.comm);
    }
    let Some(root) = &incident.process else { return "a process".to_owned() };
    if programs.is_empty() {
        programs.push(&root.comm);
    }
    let from = match root.parents.first() {
        _ if !programs.contains(&root.comm.as_str()) => format!(" (started by {})", name(&root.comm)),
        Some(parent) => format!(" (child of {})", name(&parent.comm)),
        None => String::new(),
    };
    let mut names: Vec<String> = programs.into_iter().map(name).collect();
    if is_more {
        names.push("...".to_owned());
    }
    format!("{}{from}", names.join(", "))
}

/// Returns the name of a program, which is bounded.
fn name(comm: &str) -> String {
    comm[..comm.floor_char_boundary(NAME)].to_owned()
}
