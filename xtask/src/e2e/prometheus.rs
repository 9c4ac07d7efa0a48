//! A real Prometheus inside an environment, which scrapes what is there and answers `PromQL`.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{namespaces::Namespaces, place::Place, process::Process, wait::wait_for};

const ADDRESS: &str = "127.0.0.1:9090";
const CONFIG: &str = "/etc/prometheus/e2e.yml";
const PATIENCE: Duration = Duration::from_mins(1);

/// A Prometheus that runs.
pub(crate) struct Prometheus<'a> {
    namespaces: &'a Namespaces,
    process: Process,
}

/// One series of an answer, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl<'a> Prometheus<'a> {
    /// Starts one with this configuration; other files that it names are inside.
    pub(crate) fn start(namespaces: &'a Namespaces, place: &Place, configuration: &str) -> Result<Self> {
        namespaces.write(CONFIG, configuration)?;
        namespaces.run("promtool", &["check", "config", CONFIG])?;
        let mut command = namespaces.command("prometheus");
        command.arg(format!("--config.file={CONFIG}")).arg(format!("--web.listen-address={ADDRESS}"));
        command.arg("--storage.tsdb.path=/run/prometheus");
        let mut prometheus = Self { namespaces, process: Process::start("prometheus", &mut command, &place.logs)? };
        wait_for("Prometheus", PATIENCE, || {
            prometheus.process.ensure_running()?;
            Ok(prometheus.query("vector(1)").ok().map(drop))
        })?;
        Ok(prometheus)
    }

    /// The answer to an instant query.
    pub(crate) fn query(&self, promql: &str) -> Result<Vec<Sample>> {
        let answer = self.namespaces.in_network(|| get(promql))?;
        parse(&answer.with_context(|| format!("cannot ask Prometheus for {promql}"))?)
    }
}

fn get(promql: &str) -> Result<String> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let request = agent.new_agent().get(format!("http://{ADDRESS}/api/v1/query")).query("query", promql);
    Ok(request.call()?.body_mut().read_to_string()?)
}

#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

fn parse(answer: &str) -> Result<Vec<Sample>> {
    let answer: Answer = serde_json::from_str(answer).context("cannot understand Prometheus")?;
    let Some(data) = answer.data else { bail!("Prometheus: {}", answer.error.unwrap_or_default()) };
    let sample = |series: Series| {
        let value = series.value.1.parse().with_context(|| format!("{} is no number", series.value.1))?;
        Ok(Sample { labels: series.metric, value })
    };
    data.result.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_read() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1.5,"+Inf"]}]}}"#;
        let labels = BTreeMap::from([("job".to_owned(), "x".to_owned())]);
        assert_eq!(parse(answer).unwrap(), [Sample { labels, value: f64::INFINITY }]);
        let refused = parse(r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#).unwrap_err();
        assert_eq!(refused.to_string(), "Prometheus: parse error");
    }
}
