//! Parses answers of `/api/v1/query`: an instant vector, or an error.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::labels::LabelSet;

/// Maximum labels of all series of one answer: less than 400 MiB of memory.
const MAX_LABELS: usize = 2_000_000;

/// Error of an answer with more labels. A message of serde is its only type.
const TOO_LARGE: &str = "the answer has more than 2,000,000 labels";

/// A successful answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reply {
    pub(super) series: Vec<Series>,
    /// What limits the answer, such as a store of Thanos that did not answer.
    pub(super) warnings: Vec<String>,
}

/// A series and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: LabelSet,
    pub(super) value: f64,
}

/// Why an answer is not a vector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// The server reports an error, with its type.
    #[error("{message}")]
    Refused { kind: String, message: String },
    /// It is too large.
    #[error("{TOO_LARGE}")]
    TooLarge,
    /// It is something else.
    #[error("not an answer of Prometheus: {0}")]
    Format(String),
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Option<Vector>,
}

/// The series of an answer.
struct Vector(Vec<Series>);

#[derive(Deserialize)]
struct RawSeries {
    metric: LabelSet,
    /// Absent for a native histogram.
    value: Option<(f64, String)>,
}

/// Parses the body of an answer with any status.
pub(super) fn parse(body: &[u8]) -> Result<Reply, AnswerError> {
    let Envelope { status, data, error_type, error, warnings } = serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        if text.starts_with(TOO_LARGE) { AnswerError::TooLarge } else { AnswerError::Format(text) }
    })?;
    if status != "success" || error.is_some() {
        let message = error.unwrap_or_else(|| format!("status {status:?}"));
        return Err(AnswerError::Refused { kind: error_type.unwrap_or_default(), message });
    }
    let data = data.ok_or_else(|| AnswerError::Format("it has no data".to_owned()))?;
    if data.result_type != "vector" {
        return Err(AnswerError::Format(format!("its type is {:?}, not \"vector\"", data.result_type)));
    }
    Ok(Reply { series: data.result.map_or_else(Vec::new, |vector| vector.0), warnings: warnings.unwrap_or_default() })
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Vector;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of series")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
                let (mut series, mut labels) = (Vec::new(), 0);
                while let Some(RawSeries { metric, value }) = seq.next_element()? {
                    labels += metric.len();
                    if labels > MAX_LABELS {
                        return Err(de::Error::custom(TOO_LARGE));
                    }
                    let Some((_, text)) = value else { continue };
                    let value = text.parse().map_err(|_| de::Error::custom(format!("{text:?} is not a number")))?;
                    series.push(Series { labels: metric, value });
                }
                Ok(Vector(series))
            }
        }

        deserializer.deserialize_seq(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer of Prometheus 2.42 that scraped a daemon.
    const RECORDED: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"__name__":"syscallmon_syscalls_total","abi":"x86_64","cgroup":"/shop-web",
        "instance":"127.0.0.1:19778","job":"syscallmon","syscall":"openat"},"value":[1795969427.086,"1553"]},
        {"metric":{"__name__":"syscallmon_workload_info","cgroup":"/shop-web","instance":"127.0.0.1:19778",
        "job":"syscallmon","node":"vm"},"value":[1795969427.086,"1"]}]}}"#;

    #[test]
    fn a_recorded_answer_is_read() {
        let reply = parse(RECORDED.as_bytes()).unwrap();
        assert_eq!((reply.series.len(), reply.series[0].value), (2, 1553.0));
        assert_eq!(reply.series[1].labels.get("node"), "vm");
    }

    #[test]
    fn an_empty_answer_and_warnings_are_read() {
        let text =
            r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["no store"],"infos":["x"]}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), Reply { series: vec![], warnings: vec!["no store".to_owned()] });
        let text = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}}"#;
        assert!(parse(text.as_bytes()).unwrap().series[0].value.is_infinite());
    }

    #[test]
    fn an_error_of_the_server_keeps_its_text() {
        for data in ["", r#""data":null,"#, r#""data":{"resultType":"","result":null},"#] {
            let text = format!(r#"{{"status":"error",{data}"errorType":"execution","error":"too many samples"}}"#);
            let refused = AnswerError::Refused { kind: "execution".to_owned(), message: "too many samples".to_owned() };
            assert_eq!(parse(text.as_bytes()).unwrap_err(), refused);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "",
            "<html>",
            "[]",
            "null",
            "{}",
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":{}}"#,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":[],"value":[1,"1"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["1","1"]}]}}"#,
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(AnswerError::Format(_))), "{text}");
        }
        for cut in 0..RECORDED.len() {
            assert!(parse(&RECORDED.as_bytes()[..cut]).is_err(), "{cut}");
        }
        let deep = "[".repeat(1 << 20);
        assert!(parse(format!(r#"{{"status":"success","data":{deep}"#).as_bytes()).is_err());
    }

    #[test]
    fn an_answer_with_endless_labels_is_refused() {
        let series = r#"{"metric":{"a":"1","b":"2"},"value":[1,"1"]},"#.repeat(MAX_LABELS / 2 + 1);
        let text = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap_err(), AnswerError::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_change_of_an_answer_is_too_much(at in 0..RECORDED.len(), byte in any::<u8>()) {
            let mut bytes = RECORDED.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
