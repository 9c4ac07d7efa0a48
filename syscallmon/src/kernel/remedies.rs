//! Turns the kernel's errors into one line with a remedy.

use std::{error::Error as StdError, io};

use aya::programs::ProgramError;

use super::Error;
use crate::error_report::causes;

/// The kernel's error for missing privileges.
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

/// Returns [`Error::Privileges`] if the kernel's error was EPERM.
pub(super) fn privileges(error: &(dyn StdError + 'static), operation: &'static str) -> Option<Error> {
    let is_eperm = |error: &io::Error| error.raw_os_error() == Some(EPERM);
    let is_denied = causes(error).any(|cause| cause.downcast_ref().is_some_and(is_eperm));
    is_denied.then_some(Error::Privileges { operation })
}

/// Writes an error and its causes in one line. Of a verifier log, it includes only the line with the reason.
pub(super) fn one_line(error: &(dyn StdError + 'static)) -> String {
    let mut texts = Vec::new();
    for cause in causes(error) {
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = cause.downcast_ref() {
            let log = verifier_log.to_string();
            texts.push(format!("rejected by the kernel ({io_error}): {}", verifier_message(&log)));
            break;
        }
        texts.push(cause.to_string().lines().next().unwrap_or_default().to_owned());
    }
    texts.join(": ")
}

/// Beginnings of the lines that the verifier writes after its message.
const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "insns processed"];

/// Returns the last line of a verifier log that is not statistics.
fn verifier_message(log: &str) -> &str {
    let is_telling = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).rev().find(is_telling).unwrap_or("no verifier log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_message_is_found_among_statistics() {
        let log = "0: R1=ctx\n5: (85) call unknown#158\nunknown func bpf_get_current_task_btf#158\n\
            verification time 34 usec\nstack depth 0+0+0+0\nprocessed 2 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(verifier_message(log), "unknown func bpf_get_current_task_btf#158");
        assert_eq!(verifier_message("processed 0 insns\n"), "no verifier log");
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
