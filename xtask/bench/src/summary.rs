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

/// Rows of the summary: a subject, and a text with names of figures in braces.
const ROWS: [(&str, &str); 5] = [
    (
        "A call (`getppid`)",
        "{getppid: nothing} without any tool; {getppid: syscallmon} with syscallmon, that is {getppid: added by \
         syscallmon} more; {getppid: empty programs on both} with empty eBPF programs on the same two hooks",
    ),
    (
        "The same call, counted otherwise",
        "{getppid: syscallmon, calls only} with syscallmon that counts calls only; {getppid: bpftrace} with bpftrace's \
         `count()` by cgroup and call",
    ),
    ("100,000 calls per second", "{CPU of 100,000 calls} of a CPU, paid by the process that makes the calls"),
    (
        "Scrape of 31,000 series",
        "{31,000 series: scrape, 1 % of the workloads made calls} if 1 % of the workloads made calls since the last \
         scrape, {31,000 series: scrape, all of them made calls} if all did",
    ),
    (
        "Daemon",
        "{idle: CPU} of a CPU when idle; {31,000 series: resident memory} resident with 31,000 series. The chart and the \
         systemd unit limit it to 256 MiB, [all kernel tables](docs/performance.md#memory) included",
    ),
];

/// The figure that a call of the default costs more, and the name of the row's figure that is computed from it.
const ADDED: &str = "getppid: added by syscallmon";
const SHARE: &str = "CPU of 100,000 calls";

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
    let lines = ROWS.iter().map(|(title, text)| Ok(format!("| {title} | {} |", fill(text, &figures)?)));
    let lines = lines.collect::<Result<Vec<_>>>()?;
    Ok(format!("| | cost |\n|---|---|\n{}", lines.join("\n")))
}

/// The text with figures in place of their names.
fn fill(text: &str, figures: &HashMap<&str, &str>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        let figure = |name| figures.get(name).with_context(|| format!("{DOCUMENT} has no figure {name:?}"));
        filled.push_str(before);
        filled.push_str(&if name == SHARE { share(figure(ADDED)?)? } else { (*figure(name)?).to_owned() });
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The share of a CPU that 100,000 calls per second take.
fn share(added: &str) -> Result<String> {
    let ns: f64 = added.trim_end_matches(" ns").parse().with_context(|| format!("{added:?} is no time"))?;
    Ok(format!("{:.1} %", ns * 100_000.0 / 1e9 * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the figures that the summary has, each once.
    fn names() -> Vec<&'static str> {
        let in_braces = |text: &'static str| text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let mut names: Vec<&str> =
            ROWS.iter().flat_map(|(_, text)| in_braces(text)).filter(|&name| name != SHARE).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn summary_has_the_figures_of_the_document() {
        let rows: Vec<String> = names()
            .iter()
            .map(|name| format!("| {name} | {} |  |  |", if *name == ADDED { "184.1 ns" } else { "9.5 x" }))
            .collect();
        let document = format!("<!-- bench:begin -->\n{}\n<!-- bench:end -->", rows.join("\n"));
        let summary = summary(&document).unwrap();
        assert_eq!(summary.lines().count(), 2 + ROWS.len());
        assert!(!summary.contains(['{', '}']), "{summary}");
        for expected in [
            "| 100,000 calls per second | 1.8 % of a CPU, paid by the process that makes the calls |",
            "| Scrape of 31,000 series | 9.5 x if 1 % of the workloads made calls since the last scrape, 9.5 x if all did |",
        ] {
            assert!(summary.lines().any(|line| line == expected), "{summary}");
        }
        assert!(super::summary(&document.replace("idle: CPU", "idle")).unwrap_err().to_string().contains("idle: CPU"));
    }

    #[test]
    fn memory_limit_is_that_of_chart_and_unit() {
        let root = xtask_support::workspace::root();
        for (file, limit) in [
            ("deploy/helm/syscallmon/values.yaml", "  limits:\n    memory: 256Mi\n"),
            ("deploy/systemd/syscallmon.service", "\nMemoryMax=256M\n"),
        ] {
            assert!(read(&root, file).unwrap().contains(limit), "{file}");
        }
    }
}
