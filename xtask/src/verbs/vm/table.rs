//! The table of kernels in docs/kernels-and-runtimes.md.

use xtask_support::arch::Arch;

use super::{kernels::Kernel, outcome::Outcome};

/// Returns one row for each kernel, in Markdown.
pub(super) fn render(results: &[(&Kernel, Outcome)]) -> String {
    let head = "| kernel | architecture | page size | cgroups | calls by | cgroup events by | io_uring by | 32-bit calls | tests passed | result |\n\
                |---|---|---|---|---|---|---|---|---|---|";
    let rows = results.iter().map(|(kernel, outcome)| row(kernel, outcome));
    [head.to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn row(kernel: &Kernel, outcome: &Outcome) -> String {
    let append = if kernel.append.is_empty() { String::new() } else { format!(", `{}`", kernel.append) };
    let architecture = if kernel.arch == Arch::Amd64 { "x86_64" } else { "arm64" };
    let cells = [
        format!("{}{append}", outcome.release),
        architecture.to_owned(),
        format!("{} KiB", outcome.page_kib),
        kernel.cgroups.name().to_owned(),
        outcome.implementation("sys_enter").to_owned(),
        outcome.implementation("cgroup").to_owned(),
        outcome.implementation("io_uring").to_owned(),
        if outcome.runs_32_bit { "counted" } else { "none run" }.to_owned(),
        format!("{} of {}", outcome.passed, outcome.expected()),
        if outcome.is_pass() { "passed" } else { "**failed**" }.to_owned(),
    ];
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::vm::kernels::KERNELS;

    #[test]
    fn row_says_what_ran_how() {
        let kernel = KERNELS.iter().find(|kernel| kernel.name == "x86_64-newest-preempt").unwrap();
        let outcome = Outcome {
            release: "7.3.4".to_owned(),
            page_kib: "4".to_owned(),
            tests: vec!["kernels::a".to_owned()],
            probes: vec![("sys_enter".to_owned(), "tracepoint".to_owned())],
            ..Outcome::default()
        };
        let expected = "| 7.3.4, `preempt=full` | x86_64 | 4 KiB | v2 | tracepoint | none | none | none run | 0 of 1 | **failed** |";
        assert_eq!(render(&[(kernel, outcome)]).lines().nth(2).unwrap(), expected);
    }
}
