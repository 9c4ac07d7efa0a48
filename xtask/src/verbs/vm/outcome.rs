//! Parses a VM's console: the tests that passed, and the daemon's messages.

use super::chosen::Extent;

/// Maximum characters of a panic's message in the report.
const MAX_MESSAGE: usize = 300;
/// Lines of the console that are shown when the VM did not complete.
const TAIL: usize = 12;
/// Lines that are shown from a panic on, because the stack of a panic is more useful than the last lines.
const PANIC: usize = 48;

/// The outcome of one VM.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Outcome {
    /// `uname -r`.
    pub(super) release: String,
    /// Debian's version of the package, from `uname -v`.
    pub(super) package_version: String,
    pub(super) page_kib: String,
    /// The extent of the tests.
    pub(super) extent: Extent,
    /// All existing tests.
    pub(super) tests: Vec<String>,
    pub(super) passed: usize,
    /// Whether libtest printed "ok".
    pub(super) is_ok: bool,
    /// Names and messages of failed tests.
    pub(super) failed: Vec<(String, String)>,
    /// (probe, implementation).
    pub(super) probes: Vec<(String, String)>,
    pub(super) runs_32_bit: bool,
    /// The daemon's messages about missing features.
    pub(super) explanations: Vec<String>,
    /// Whether the script completed.
    pub(super) is_complete: bool,
    /// Whether the kernel reported a stuck CPU.
    pub(super) is_stuck: bool,
    /// The end of the console.
    pub(super) tail: Vec<String>,
}

impl Outcome {
    /// Parses a console.
    pub(super) fn read(console: &str, extent: Extent) -> Self {
        let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
        let tagged = |tag: &'static str| lines.iter().filter_map(move |line| line.strip_prefix(tag));
        let word = |tag| tagged(tag).next().unwrap_or_default().trim().to_owned();
        let version = word("@version ");
        let result = lines.iter().rev().find_map(|line| line.strip_prefix("test result: "));
        Self {
            release: word("@release "),
            package_version: version
                .split_whitespace()
                .skip_while(|word| *word != "Debian")
                .nth(1)
                .unwrap_or_default()
                .to_owned(),
            page_kib: word("@page-kib "),
            extent,
            tests: tagged("@test ").filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect(),
            passed: result.and_then(passed).unwrap_or(0),
            is_ok: result.is_some_and(|result| result.starts_with("ok.")),
            failed: failed(&lines),
            probes: tagged("@metric ").filter_map(probe).collect(),
            runs_32_bit: !lines.iter().any(|line| line.contains("this kernel runs no 32-bit programs")),
            explanations: explanations(&lines),
            is_complete: tagged("@end ").next().is_some(),
            is_stuck: lines.iter().any(|line| line.contains("soft lockup")),
            tail: tail(&lines),
        }
    }

    /// Returns the number of tests that must pass.
    pub(super) fn expected(&self) -> usize {
        self.tests.iter().filter(|test| self.extent.has(test)).count()
    }

    /// Whether all selected tests ran and passed.
    pub(super) fn is_pass(&self) -> bool {
        self.is_complete && self.is_ok && self.passed > 0 && self.passed == self.expected()
    }

    /// Returns the implementation of a probe.
    pub(super) fn implementation(&self, probe: &str) -> &str {
        let found = self.probes.iter().find(|(name, _)| name == probe);
        found.map_or("none", |(_, implementation)| implementation)
    }
}

/// Parses `ok. 12 passed; 0 failed; ...`.
fn passed(result: &str) -> Option<usize> {
    result.split_once(". ")?.1.split_once(" passed;")?.0.parse().ok()
}

/// Parses `syscallmon_probe_info{probe="cgroup",implementation="raw_tp"} 1`.
fn probe(metric: &str) -> Option<(String, String)> {
    let labels = metric.strip_prefix(r#"syscallmon_probe_info{probe=""#)?.strip_suffix(r#""} 1"#)?;
    let (probe, implementation) = labels.split_once(r#"",implementation=""#)?;
    Some((probe.to_owned(), implementation.to_owned()))
}

/// Returns the problems that the daemon's check reports, and the warnings in its log.
fn explanations(lines: &[&str]) -> Vec<String> {
    let missing = lines.iter().filter_map(|line| line.strip_prefix("@check ")).filter(|line| !line.starts_with("ok "));
    let warned = lines.iter().filter_map(|line| line.strip_prefix("@log "));
    missing.chain(warned).map(cut).collect()
}

/// Returns failed tests with their output, which libtest prints below `---- NAME stdout ----`.
fn failed(lines: &[&str]) -> Vec<(String, String)> {
    let Some(begin) = lines.iter().position(|line| *line == "failures:") else { return Vec::new() };
    let head = |line: &str| Some(line.strip_prefix("---- ")?.strip_suffix(" stdout ----")?.to_owned());
    let mut failed: Vec<(String, Vec<&str>)> = Vec::new();
    for line in &lines[begin..] {
        if *line == "failures:" && !failed.is_empty() {
            break;
        }
        match (head(line), failed.last_mut()) {
            (Some(name), _) => failed.push((name, Vec::new())),
            (None, Some((_, said))) if !line.is_empty() => said.push(line),
            (None, _) => {}
        }
    }
    failed.into_iter().map(|(name, said)| (name, message(&said))).collect()
}

/// Returns the panic's message, or all output if there is no panic.
fn message(said: &[&str]) -> String {
    let panic = said.iter().position(|line| line.contains(" panicked at ")).unwrap_or(0);
    let said = &said[panic..];
    let end = said.iter().position(|line| line.starts_with("note: run with")).unwrap_or(said.len());
    cut(&said[..end].join(" "))
}

fn tail(lines: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let begin = panic.unwrap_or_else(|| lines.len().saturating_sub(TAIL));
    lines[begin..].iter().take(PANIC).map(|line| cut(line)).collect()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_MESSAGE {
        return text.to_owned();
    }
    text.chars().take(MAX_MESSAGE).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "\
SeaBIOS\r
@boot 2.43\r
@release 6.1.0-56-cloud-amd64\r
@version #1 SMP PREEMPT_DYNAMIC Debian 6.1.187-1 (2026-10-30)\r
@page-kib 4\r
@test abi::a: test\r
@test exact::b: test\r
@test prometheus::c: test\r
@test \r
@test 3 tests, 0 benchmarks\r
running 2 tests\r
";
    const TAIL: &str = "\
@check ok       btf           /sys/kernel/btf/vmlinux\r
@check remark   tracepoints     no cgroup_mkdir\r
@metric syscallmon_probe_info{probe=\"sys_enter\",implementation=\"tp_btf\"} 1\r
@log ts=1 level=warn message=\"no cgroup events\"\r
@end 99.1\r
";

    #[test]
    fn console_of_a_pass_is_understood() {
        let outcome = Outcome::read(
            &format!(
                "{HEAD}test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 9s\r\n{TAIL}"
            ),
            Extent::Suite,
        );
        assert!(outcome.is_pass());
        assert_eq!((outcome.passed, outcome.expected(), outcome.tests.len()), (2, 2, 3));
        assert_eq!((outcome.release.as_str(), outcome.package_version.as_str()), ("6.1.0-56-cloud-amd64", "6.1.187-1"));
        assert_eq!((outcome.page_kib.as_str(), outcome.runs_32_bit), ("4", true));
        assert_eq!((outcome.implementation("sys_enter"), outcome.implementation("cgroup")), ("tp_btf", "none"));
        assert_eq!(outcome.explanations.len(), 2);
        assert!(outcome.explanations[0].starts_with("remark   tracepoints"));
    }

    #[test]
    fn failed_tests_are_named_with_their_message() {
        let said = "\
failures:\r
\r
---- abi::a stdout ----\r
calls were made\r
\r
thread 'abi::a' (12) panicked at syscallmon/tests/kernel/abi.rs:1:2:\r
assertion failed: 1 == 2\r
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\r
\r
---- exact::b stdout ----\r
thread 'exact::b' (13) panicked at x.rs:1:2:\r
boom\r
\r
\r
failures:\r
    abi::a\r
    exact::b\r
\r
test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 9s\r
";
        let outcome = Outcome::read(&format!("{HEAD}successes:\r\n\r\nsuccesses:\r\n{said}{TAIL}"), Extent::Suite);
        assert!(!outcome.is_pass());
        let expected = [
            ("abi::a", "thread 'abi::a' (12) panicked at syscallmon/tests/kernel/abi.rs:1:2: assertion failed: 1 == 2"),
            ("exact::b", "thread 'exact::b' (13) panicked at x.rs:1:2: boom"),
        ];
        assert_eq!(outcome.failed, expected.map(|(name, message)| (name.to_owned(), message.to_owned())));
    }

    #[test]
    fn nothing_that_is_cut_short_passes() {
        let result = |passed: usize| format!("test result: ok. {passed} passed; 0 failed; 0 ignored\r\n");
        for console in [
            String::new(),
            format!("{HEAD}{TAIL}"),
            format!("{HEAD}{}", result(2)),
            format!("{HEAD}{}{TAIL}", result(0)),
            format!("{HEAD}{}{TAIL}", result(1)),
            format!("{}{TAIL}", result(0)),
        ] {
            assert!(!Outcome::read(&console, Extent::Suite).is_pass(), "{console}");
        }
        let panicked = format!("{HEAD}Kernel panic - not syncing\r\n");
        assert_eq!(Outcome::read(&panicked, Extent::Suite).tail.last().unwrap(), "Kernel panic - not syncing");
    }

    #[test]
    fn of_a_stuck_cpu_the_stack_is_shown() {
        let console = format!(
            "{HEAD}watchdog: BUG: soft lockup - CPU#1 stuck for 22s!\r\nKernel panic - not syncing: softlockup\r\n Call Trace:\r\n{}",
            " frame\r\n".repeat(100)
        );
        let outcome = Outcome::read(&console, Extent::Suite);
        assert!(outcome.is_stuck && !outcome.is_pass() && !Outcome::read(HEAD, Extent::Suite).is_stuck);
        assert_eq!((outcome.tail[1].as_str(), outcome.tail.len()), (" Call Trace:", PANIC));
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(cut(&"\u{e9}".repeat(500)).chars().count(), MAX_MESSAGE + 3);
    }
}
