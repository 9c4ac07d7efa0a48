//! `cargo xtask pictures`: the dashboards, the explorer and `top`, drawn for the documents from real data.
//!
//! Grafana does not draw the dashboards, and each picture says so. They show the answers to the panels' queries.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use syscallmon_generate::{
    dashboards::{self, Dashboard, Panel, Values},
    pictures::{self, Answer, Drawn},
};
use syscallmon_testkit::Prometheus;
use xtask_support::{
    setup::{self, Purpose},
    workspace,
};

const DIRECTORY: &str = "docs/pictures";
/// The most informative rows of each dashboard, so that a picture fits on a screen.
const ROWS: [(&str, &[&str]); 4] = [
    ("overview", &["Summary", "Calls", "Errors and denied calls"]),
    ("workload", &["Summary", "Calls", "Durations (probe.latency, latency.syscalls)", "io_uring"]),
    ("unexpected", &["Summary", "Unexpected calls", "Policies and baselines"]),
    ("nodes", &["Summary", "Probes, names and configuration", "Cost"]),
];
/// Interval between points, and range of rates, in seconds.
const STEP: f64 = 5.0;
const INTERVAL: &str = "20s";

/// Rows and columns of the terminal of `top`, and how long it draws: some samples.
const TERMINAL: (u16, u16) = (12, 104);
const DRAWING: Duration = Duration::from_secs(10);

/// Arguments of `cargo xtask pictures`.
#[derive(clap::Args)]
pub struct Args {
    /// For how long there is something to see
    #[arg(long, value_name = "SECONDS", default_value_t = 420)]
    seconds: u64,
}

/// Runs the verb.
///
/// # Errors
///
/// If containerd or Prometheus do not start, or a picture cannot be written.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    setup::ensure(root, Purpose::E2e)?;
    syscallmon_e2e::busy_containers(root, Duration::from_secs(args.seconds), |prometheus, namespaces| {
        let directory = root.join(DIRECTORY);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {DIRECTORY}"))?;
        syscallmon_e2e::photograph(root, namespaces, &directory)?;
        let top = format!("{} top", workspace::target_dir(root).join("debug/syscallmon").display());
        let screen = syscallmon_e2e::screen(namespaces, &top, TERMINAL, DRAWING)?;
        fs::write(directory.join("top.svg"), screen).context("cannot write top.svg")?;
        let end = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs_f64();
        let shown = Shown { prometheus, range: [end - args.seconds as f64, end, STEP], seconds: args.seconds };
        dashboards::all().iter().try_for_each(|dashboard| shown.picture(root, dashboard))
    })
}

/// The data for the pictures.
struct Shown<'a> {
    prometheus: &'a Prometheus,
    range: [f64; 3],
    seconds: u64,
}

impl Shown<'_> {
    fn picture(&self, root: &Path, dashboard: &Dashboard) -> Result<()> {
        let (_, titles) = ROWS.iter().find(|(name, _)| *name == dashboard.name).context("ROWS lacks a dashboard")?;
        let rows: Vec<_> = dashboard.rows.iter().filter(|row| titles.contains(&row.title)).collect();
        ensure!(rows.len() == titles.len(), "{} has no longer all of the rows {titles:?}: mend ROWS", dashboard.name);
        // The dashboard `workload` shows one workload. The other dashboards show all workloads.
        let chosen = if dashboard.name == "workload" { syscallmon_e2e::SHOWN.as_slice() } else { &[] };
        let chosen = chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let values = Values { chosen, range: format!("{}s", self.seconds), interval: INTERVAL.to_owned() };
        let mut drawn = Vec::new();
        for row in rows {
            let answers = row.panels.iter().map(|panel| self.answers(panel, &values)).collect::<Result<Vec<_>>>()?;
            drawn.push(Drawn { row, answers });
        }
        let path = root.join(DIRECTORY).join(format!("{}.svg", dashboard.name));
        fs::create_dir_all(root.join(DIRECTORY)).with_context(|| format!("cannot create {DIRECTORY}"))?;
        fs::write(&path, pictures::dashboard(dashboard, &drawn, self.range))
            .with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{}: written", path.display());
        Ok(())
    }

    /// Returns the legend and the points of each series of a panel. For tables, returns only the last point.
    fn answers(&self, panel: &Panel, values: &Values) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for query in &panel.queries {
            let promql = values.put_into(&query.promql);
            if panel.kind.is_instant() {
                let samples = self.prometheus.query(&promql)?;
                let answer = samples.into_iter().map(|sample| Answer {
                    legend: String::new(),
                    labels: sample.labels,
                    points: vec![(self.range[1], sample.value)],
                });
                answers.extend(answer);
            } else {
                let lines = self.prometheus.query_range(&promql, self.range)?;
                let answer = lines.into_iter().map(|line| Answer {
                    legend: pictures::legend(query.legend, &line.labels),
                    labels: line.labels,
                    points: line.points,
                });
                answers.extend(answer);
            }
        }
        Ok(answers)
    }
}
