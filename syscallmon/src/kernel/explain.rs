//! Turns what the kernel answered into one line that people can act on.

use std::{error::Error as StdError, io};

use aya::programs::ProgramError;

use super::Error;

/// The kernel's answer to what is not permitted.
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

/// [`Error::Privileges`] when the kernel's answer was EPERM.
pub(super) fn privileges(error: &(dyn StdError + 'static), operation: &'static str) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.raw_os_error() == Some(EPERM)) {
            return Some(Error::Privileges { operation });
        }
        cause = error.source();
    }
    None
}

/// An error and its causes in one line; of a verifier's log, only the line that complains.
pub(super) fn one_line(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = error.downcast_ref() {
            let log = verifier_log.to_string();
            return format!("{text}rejected by the kernel ({io_error}): {}", complaint(&log));
        }
        let own = error.to_string();
        text.push_str(own.lines().next().unwrap_or_default());
        cause = error.source();
        if cause.is_some() {
            text.push_str(": ");
        }
    }
    text
}

/// What the verifier writes after its complaint.
const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "insns processed"];

/// The last line of a verifier's log that is no statistics.
fn complaint(log: &str) -> &str {
    let is_telling = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).rev().find(is_telling).unwrap_or("no verifier log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_found_among_statistics() {
        let log = "0: R1=ctx\n5: (85) call unknown#158\nunknown func bpf_get_current_task_btf#158\n\
            verification time 34 usec\nstack depth 0+0+0+0\nprocessed 2 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(complaint(log), "unknown func bpf_get_current_task_btf#158");
        assert_eq!(complaint("processed 0 insns\n"), "no verifier log");
    }

    #[test]
    fn causes_follow_each_other() {
        let source = io::Error::from_raw_os_error(EPERM);
        let error = Error::Cpus(source);
        assert!(one_line(&error).starts_with("cannot read the possible CPUs"), "{}", one_line(&error));
        assert!(one_line(&error).contains(": Operation not permitted"), "{}", one_line(&error));
        assert!(matches!(privileges(&error, "reading"), Some(Error::Privileges { operation: "reading" })));
        assert!(privileges(&Error::Object { name: "x" }, "reading").is_none());
    }
}
