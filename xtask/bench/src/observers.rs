//! Processes that are attached to the tracepoints of system calls.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;
use xtask_support::shell;

use super::host::Host;

/// Warns of all processes that are attached already, because they also cost time.
pub(super) fn warn_of_any(host: &Host) -> Result<()> {
    for pid in find(host)? {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        eprintln!("warning: {} ({pid}) is attached to system calls: the figures will be wrong", name.trim());
    }
    Ok(())
}

/// Returns processes with a program of any kind attached to `sys_enter` or `sys_exit`.
pub(super) fn find(host: &Host) -> Result<Vec<u32>> {
    let remedy = "looking for eBPF programs needs root";
    let json = shell::query(Command::new(&host.bpftool).args(["perf", "show", "--json"]), remedy)?;
    parse(&json).context("cannot understand bpftool perf show --json")
}

/// Returns the processes in bpftool's output. An entry has its kind (`tracepoint`, `raw_tracepoint`, ...) under
/// `fd_type`, and a name under the kind.
fn parse(json: &str) -> Option<Vec<u32>> {
    // Old versions print nothing if there are no entries.
    if json.trim().is_empty() {
        return Some(Vec::new());
    }
    let entries: Vec<Value> = serde_json::from_str(json).ok()?;
    let watches_calls = |entry: &&Value| {
        let name = entry["fd_type"].as_str().and_then(|kind| entry[kind].as_str());
        matches!(name, Some("sys_enter" | "sys_exit"))
    };
    entries.iter().filter(watches_calls).map(|entry| u32::try_from(entry["pid"].as_u64()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_tracepoints_are_found() {
        let json = r#"[{"pid":11,"fd":8,"prog_id":1,"fd_type":"tracepoint","tracepoint":"sys_enter"},
            {"pid":12,"fd":9,"prog_id":2,"fd_type":"raw_tracepoint","raw_tracepoint":"sys_enter"},
            {"pid":13,"fd":9,"prog_id":3,"fd_type":"raw_tracepoint","raw_tracepoint":"cgroup_mkdir"},
            {"pid":14,"fd":9,"prog_id":4,"fd_type":"kprobe","func":"sys_enter","offset":0}]"#;
        assert_eq!(parse(json), Some(vec![11, 12]));
        assert_eq!(parse("[]\n"), Some(vec![]));
        assert_eq!(parse(""), Some(vec![]));
        assert_eq!(parse("no"), None);
    }
}
