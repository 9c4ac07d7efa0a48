//! The table of costs in README.md: a few figures of docs/performance.md, copied from there.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use xtask_support::marked;

/// Document with all figures, and the mark around them.
pub(super) const DOCUMENT: &str = "docs/performance.md";
pub(super) const MARK: &str = "bench";
/// Mark of the summary in README.md.
const SUMMARY_MARK: &str = "costs";
const README: &str = "README.md";

/// A row of the summary: its subject, and figures with the text after each.
type Row = (&'static str, &'static [(&'static str, &'static str)]);

const ROWS: [Row; 5] = [
    (
        "A call (`getppid`), counted",
        &[
            ("getppid: added by syscallmon, calls only", " more, "),
            ("getppid: calls only, by an empty program", " times the cost of an empty program on `sys_enter`"),
        ],
    ),
    (
        "A call, with errors and denied calls (default)",
        &[
            ("getppid: added by syscallmon", " more, "),
            ("getppid: with denied calls too, by the same", " times the cost of empty programs on both tracepoints"),
        ],
    ),
    ("The same call under bpftrace's `count()` by cgroup and call", &[("getppid: added by bpftrace", " more")]),
    (
        "31,000 series",
        &[
            ("31,000 series: scrape, 1 % of the workloads changed", " a scrape after 1 % have changed, "),
            ("31,000 series: scrape, all of them changed", " after all have, "),
            ("31,000 series: resident memory", " resident memory"),
        ],
    ),
    ("Idle daemon", &[("idle: CPU", " of a CPU")]),
];

/// Writes the summary into README.md.
pub(super) fn write(root: &Path) -> Result<()> {
    marked::write(root, README, SUMMARY_MARK, &summary(&read(root, DOCUMENT)?)?)
}

/// Checks that README.md has the same figures as docs/performance.md.
///
/// # Errors
///
/// If the figures differ, or if a document cannot be read or has no such table.
pub fn check(root: &Path) -> Result<()> {
    let readme = read(root, README)?;
    let committed = marked::read(&readme, SUMMARY_MARK).with_context(|| format!("{README} has no {SUMMARY_MARK}"))?;
    let summary = summary(&read(root, DOCUMENT)?)?;
    ensure!(committed == summary, "{README} has other costs than {DOCUMENT}: put this between the marks:\n{summary}");
    Ok(())
}

fn read(root: &Path, document: &str) -> Result<String> {
    fs::read_to_string(root.join(document)).with_context(|| format!("cannot read {document}"))
}

fn summary(document: &str) -> Result<String> {
    let table = marked::read(document, MARK).with_context(|| format!("{DOCUMENT} has no {MARK}"))?;
    let cells = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let figures: HashMap<&str, &str> = cells.filter_map(|cells| Some((*cells.get(1)?, *cells.get(2)?))).collect();
    let mut lines = vec!["| | cost |".to_owned(), "|---|---|".to_owned()];
    for (title, parts) in ROWS {
        let mut row = format!("| {title} | ");
        for (name, text) in parts {
            let figure = figures.get(name).with_context(|| format!("{DOCUMENT} has no figure {name:?}"))?;
            row.push_str(figure);
            row.push_str(text);
        }
        lines.push(row + " |");
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_the_figures_of_the_document() {
        let names = ROWS.iter().flat_map(|(_, parts)| parts.iter().map(|(name, _)| name));
        let rows: Vec<String> =
            names.zip(1..).map(|(name, number)| format!("| {name} | {number}.5 ns |  |  |")).collect();
        let document = format!("<!-- bench:begin -->\n{}\n<!-- bench:end -->", rows.join("\n"));
        let summary = summary(&document).unwrap();
        assert_eq!(summary.lines().count(), 2 + ROWS.len());
        assert_eq!(summary.lines().last(), Some("| Idle daemon | 9.5 ns of a CPU |"));
        assert!(super::summary(&document.replace("idle: CPU", "idle")).unwrap_err().to_string().contains("idle: CPU"));
    }
}
