//! The daemon's lines of JSON.

use std::{fs, path::Path};

use serde_json::Value;

/// Returns the lines in a file, without one that is being written.
pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON")).collect()
}

/// Returns the calls of all incidents in a file, each once in its newest state, with the fields `kind`, `workload` and
/// `metadata` of its line; and the summaries of what was not sent.
pub(crate) fn reported(file: &Path) -> Vec<Value> {
    let mut reported: Vec<Value> = Vec::new();
    for line in lines(file) {
        let Some(calls) = line["calls"].as_array() else {
            reported.push(line);
            continue;
        };
        for call in calls {
            let mut call = call.clone();
            for field in ["kind", "id", "workload", "metadata"] {
                call[field] = line[field].clone();
            }
            let is_it = |known: &&mut Value| known["id"] == call["id"] && known["violation"] == call["violation"];
            match reported.iter_mut().find(is_it) {
                Some(known) => *known = call,
                None => reported.push(call),
            }
        }
    }
    reported
}
