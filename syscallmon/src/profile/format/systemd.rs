//! A drop-in for a systemd unit (systemd.exec(5), `SystemCallFilter=`).
//!
//! The first line resets what the unit has. systemd installs the filter last, so a container runtime's calls are not
//! needed. `SystemCallArchitectures=native` refuses other ABIs, unless the unit uses them.

use super::comment;
use crate::profile::{Plan, Provenance};

/// Width of a line with names.
const WIDTH: usize = 100;

/// Calls that the kernel puts into traced programs. seccomp lets them pass without a filter, and systemd does not know
/// them.
const UNKNOWN_TO_SYSTEMD: [&str; 2] = ["uprobe", "uretprobe"];

pub(super) fn write(plan: &Plan, provenance: &Provenance) -> String {
    let mut lines = vec![String::new()];
    for name in plan.allowed.keys().filter(|name| !UNKNOWN_TO_SYSTEMD.contains(name)) {
        if lines.last().is_some_and(|line| line.len() + name.len() >= WIDTH) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(name);
        }
    }
    let filters = lines.iter().fold(String::new(), |text, line| text + "SystemCallFilter=" + line + "\n");
    let restricted: Vec<&str> = plan.restrictions.keys().copied().collect();
    let whole = if restricted.is_empty() {
        String::new()
    } else {
        format!("# systemd compares no arguments, so these calls are allowed with all: {}\n", restricted.join(", "))
    };
    let architectures: Vec<&str> = plan.abis.iter().map(|abi| name(abi)).collect();
    format!(
        "{}{whole}# Save as /etc/systemd/system/NAME.service.d/50-syscalls.conf, then: systemctl daemon-reload\n\
         # For a trial, replace SystemCallFilter= by SystemCallLog=~ in all lines: systemd logs other calls.\n\
         [Service]\n\
         SystemCallFilter=\n\
         {filters}\
         SystemCallErrorNumber=EPERM\n\
         SystemCallArchitectures={}\n",
        comment(plan, provenance),
        architectures.join(" ")
    )
}

/// Returns systemd's name of an ABI.
fn name(abi: &str) -> &'static str {
    match abi {
        "ia32" => "x86",
        "x32" => "x32",
        "aarch32" => "arm",
        _ => "native",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Format,
        tests::{evidence, text, with_arguments},
    };

    #[test]
    fn the_drop_in_resets_the_filter_and_lists_every_call_once() {
        let text = text(Format::Systemd, &evidence("web"));
        let filters: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
        assert_eq!(filters[0], "");
        let names: Vec<&str> = filters.iter().flat_map(|line| line.split_whitespace()).collect();
        assert!(names.contains(&"openat") && names.contains(&"exit_group") && !names.contains(&"mount"));
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(text.ends_with("SystemCallArchitectures=native\n") && !text.contains("arguments"));
    }

    #[test]
    fn the_drop_in_allows_all_arguments_and_says_so() {
        let text = text(Format::Systemd, &with_arguments());
        assert!(text.contains(
            "\n# systemd compares no arguments, so these calls are allowed with all: clone, clone3, socket\n"
        ));
        let filters = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
        let names: Vec<&str> = filters.flat_map(str::split_whitespace).collect();
        assert!(["clone", "clone3", "socket"].iter().all(|name| names.contains(name)), "{text}");
    }
}
