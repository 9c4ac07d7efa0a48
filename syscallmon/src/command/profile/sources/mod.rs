//! Sources of evidence: servers and files, read into [`Evidence`](crate::profile::Evidence).
//!
//! Each source separates its parser, which does no I/O, from its requests.

pub(in crate::command) mod baseline;
pub(in crate::command) mod daemon;
pub(in crate::command) mod prometheus;

use clap::Args;

use crate::workload::Selector;

/// The workload that servers are asked for.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct WorkloadFlag {
    /// Workload, as a selector of PromQL by the labels of syscallmon_workload_info: namespace="shop",owner=~"web|api".
    ///
    /// Operators: =, !=, =~, !~. Regular expressions match whole values.
    #[arg(long = "workload", value_name = "SELECTOR")]
    pub(in crate::command) selector: Option<Selector>,
}

/// Reasons of `syscallmon_lost_total` that count calls without a workload or without a name.
const LOST_CALLS: [&str; 6] = ["cgroups_full", "series_full", "denied_full", "position", "recursion", "max_series"];

/// Values of the labels `abi` and `syscall` begin with this where they stand for several calls, and values of `cgroup`
/// where they stand for several workloads.
const NO_NAME: char = '(';

/// Maximum characters of a name from a server in a message.
const MAX_PRINTED: usize = 300;

/// Returns a text from a server for a terminal: control characters are escaped, and the end of a long text is cut.
fn printable(text: &str) -> String {
    let is_hostile = |char: char| {
        char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut printable = String::new();
    for (index, char) in text.chars().enumerate() {
        if index == MAX_PRINTED {
            printable.push_str("...");
            break;
        }
        if is_hostile(char) {
            printable.extend(char.escape_default());
        } else {
            printable.push(char);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::LOSS_REASONS;

    #[test]
    fn reasons_of_losses_are_those_of_the_metric() {
        for reason in LOST_CALLS {
            let info = LOSS_REASONS.iter().find(|info| info.name == reason).expect(reason);
            assert!(info.help.contains("calls "), "{}", info.help);
        }
    }

    #[test]
    fn hostile_names_neither_move_the_cursor_nor_fill_the_screen() {
        assert_eq!(printable("a\x1b[2J\nb\u{202e}c\u{e9}"), "a\\u{1b}[2J\\nb\\u{202e}c\u{e9}");
        assert_eq!(printable(&"x".repeat(1000)).len(), MAX_PRINTED + 3);
    }
}
