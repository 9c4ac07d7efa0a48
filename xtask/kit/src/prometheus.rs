//! A real Prometheus, and its answers to `PromQL`.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};

use crate::server::{Server, Site};

/// A running Prometheus. Dropping it ends it.
pub struct Prometheus(Server);

/// One series of an answer, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
    /// The value, which may be infinite or not a number.
    pub value: f64,
}

impl Prometheus {
    /// Starts one by a command that runs it, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub fn start(command: Command, site: &Site<'_>) -> Result<Self> {
        Server::start("prometheus", command, "--storage.tsdb.path", site).map(Self)
    }

    /// Returns the answer to an instant query.
    ///
    /// # Errors
    ///
    /// If Prometheus does not answer, or rejects the query.
    pub fn query(&self, promql: &str) -> Result<Vec<Sample>> {
        let series = self.get::<Data<Series>>("query", &[("query", promql)])?.result;
        series.into_iter().map(Series::sample).collect()
    }

    /// Returns the answer to a range query. Times are in seconds since 1970.
    ///
    /// # Errors
    ///
    /// If Prometheus does not answer, or rejects the query.
    pub fn query_range(&self, promql: &str, [begin, end, step]: [f64; 3]) -> Result<Vec<Line>> {
        let [begin, end, step] = [begin, end, step].map(|number| number.to_string());
        let args = [("query", promql), ("start", &begin), ("end", &end), ("step", &step)];
        let ranges = self.get::<Data<Range>>("query_range", &args)?.result;
        ranges.into_iter().map(Range::line).collect()
    }

    /// Returns the values of a label in these series, as Grafana queries them.
    ///
    /// # Errors
    ///
    /// If Prometheus does not answer, or rejects the selector.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        self.get(&format!("label/{label}/values"), &[("match[]", selector)])
    }

    /// Returns rules that Prometheus could not evaluate, each with the reason.
    ///
    /// # Errors
    ///
    /// If Prometheus does not answer.
    pub fn failed_rules(&self) -> Result<Vec<String>> {
        let groups: Groups = self.get("rules", &[])?;
        let rules = groups.groups.into_iter().flat_map(|group| group.rules);
        let failed = rules.filter(|rule| rule.health != "ok");
        Ok(failed.map(|rule| format!("{} is {}: {}", rule.name, rule.health, rule.last_error)).collect())
    }

    fn get<T: DeserializeOwned>(&self, path: &str, args: &[(&str, &str)]) -> Result<T> {
        let answer = self.0.get(&format!("/api/v1/{path}"), args);
        parse(&answer.with_context(|| format!("cannot ask Prometheus for {path} {args:?}"))?.1)
    }
}

/// One series of a range query's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Times in seconds since 1970, and values.
    pub points: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Answer<T> {
    error: Option<String>,
    data: Option<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: Vec<T>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Range {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    health: String,
    #[serde(default)]
    last_error: String,
}

impl Series {
    fn sample(self) -> Result<Sample> {
        Ok(Sample { labels: self.metric, value: number(&self.value.1)? })
    }
}

impl Range {
    fn line(self) -> Result<Line> {
        let points = self.values.iter().map(|(time, value)| Ok((*time, number(value)?))).collect::<Result<_>>()?;
        Ok(Line { labels: self.metric, points })
    }
}

fn number(text: &str) -> Result<f64> {
    text.parse().with_context(|| format!("{text} is no number"))
}

fn parse<T: DeserializeOwned>(answer: &str) -> Result<T> {
    let answer: Answer<T> = serde_json::from_str(answer).context("cannot understand Prometheus")?;
    answer.data.with_context(|| format!("Prometheus: {}", answer.error.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_read() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1.5,"+Inf"]}]}}"#;
        let labels = BTreeMap::from([("job".to_owned(), "x".to_owned())]);
        let mut series = parse::<Data<Series>>(answer).unwrap().result;
        assert_eq!(series.remove(0).sample().unwrap(), Sample { labels, value: f64::INFINITY });
        let refused =
            parse::<Data<Series>>(r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#).err().unwrap();
        assert_eq!(refused.to_string(), "Prometheus: parse error");
    }
}
