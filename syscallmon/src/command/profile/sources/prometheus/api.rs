//! Queries to the HTTP API of Prometheus, Thanos or Mimir, within limits.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, anyhow};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode as Status, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::time::sleep;

use super::{
    answer::{self, AnswerError, Reply, Series},
    labels::LabelSet,
    promql::Function,
    window::Window,
};
use crate::{
    client::{
        exchange::{Answer, ExchangeError, ExchangeLimits, exchange},
        http::{HttpClientConfig, HttpsClient, client, credentials, first_line},
    },
    command::daemon::{escaped, no_answer},
    process::printable_name,
};

/// Windows of less than twice this are not halved, in seconds.
const MIN_SECONDS: u64 = 300;

/// Pauses before the attempts that follow an answer such as 429.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Maximum number of queries without an answer in time, one after the other. Half of a window may be quick enough; a
/// server that never answers is not worth more.
const MAX_TIMEOUTS: usize = 3;

/// Interval of progress messages.
const PROGRESS: Duration = Duration::from_secs(1);

/// Maximum number of different warnings that are kept.
const MAX_WARNINGS: usize = 10;

/// Address of the server, credentials and limits.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) url: Uri,
    pub(super) client_config: HttpClientConfig,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) limits: ExchangeLimits,
    /// Maximum samples of all answers together.
    pub(super) max_samples: usize,
}

/// A connection to the server, and what it has answered so far.
pub(super) struct Api {
    server: Server,
    client: HttpsClient,
    endpoint: Uri,
    headers: HeaderMap,
    samples_left: usize,
    queries: usize,
    /// Number of queries without an answer in time since the last answer.
    timeouts: usize,
    last_progress: Instant,
    /// Warnings of the answers.
    pub(super) warnings: BTreeSet<String>,
}

/// Why a query has no answer.
enum QueryError {
    /// The query is too much for the server: half of the window may not be.
    TooMuch(Error),
    /// The server is busy.
    Busy(Error),
    Other(Error),
}

impl Api {
    /// Prepares the connection. Does not connect.
    pub(super) async fn new(server: Server) -> Result<Self> {
        let url = "expected a URL such as http://127.0.0.1:9090";
        let (scheme, authority) = server.url.scheme_str().zip(server.url.authority()).context(url)?;
        let path = server.url.path().trim_end_matches('/');
        let path = path.strip_suffix("/api/v1").unwrap_or(path);
        let endpoint = Uri::builder().scheme(scheme).authority(authority.as_str());
        let endpoint = endpoint.path_and_query(format!("{path}/api/v1/query")).build()?;
        let mut headers: HeaderMap = server.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(credentials) = credentials(&server.client_config).await.map_err(Error::msg)? {
            headers.insert(AUTHORIZATION, credentials);
        }
        let client = client(&server.url, &server.client_config, "--prometheus-ca-file").await.map_err(Error::msg)?;
        let last_progress = Instant::now();
        let (samples_left, warnings) = (server.max_samples, BTreeSet::new());
        let (queries, timeouts) = (0, 0);
        Ok(Self { server, client, endpoint, headers, samples_left, queries, timeouts, last_progress, warnings })
    }

    /// Returns a function of series over a window. Halves the window while the server says that it is too much.
    pub(super) async fn over(
        &mut self,
        function: Function,
        selectors: &[String],
        window: Window,
    ) -> Result<HashMap<LabelSet, f64>> {
        let (mut values, mut windows) = (HashMap::<LabelSet, f64>::new(), vec![window]);
        while let Some(window) = windows.pop() {
            match self.query(&function.promql(selectors, window), window.end).await {
                Ok(series) => {
                    for Series { labels, value } in series.into_iter().filter(|series| !series.value.is_nan()) {
                        let combine = |earlier: &mut f64| *earlier = function.combined(*earlier, value);
                        values.entry(labels).and_modify(combine).or_insert(value);
                    }
                }
                Err(QueryError::TooMuch(error)) => {
                    let Some([earlier, later]) = window.halves(MIN_SECONDS) else {
                        return Err(error.context("use a narrower --workload or a shorter --range"));
                    };
                    tracing::debug!(seconds = window.seconds(), %error, "halving a window");
                    windows.extend([later, earlier]);
                }
                Err(QueryError::Busy(error) | QueryError::Other(error)) => return Err(error),
            }
        }
        Ok(values)
    }

    /// Returns the number of series of a query at a time.
    pub(super) async fn count(&mut self, promql: &str, time: u64) -> Result<f64> {
        match self.query(promql, time).await {
            Ok(series) => Ok(series.first().map_or(0.0, |series| series.value)),
            Err(QueryError::TooMuch(error) | QueryError::Busy(error) | QueryError::Other(error)) => Err(error),
        }
    }

    async fn query(&mut self, promql: &str, time: u64) -> Result<Vec<Series>, QueryError> {
        let timeout = self.server.limits.time.as_secs().max(1);
        let form = format!("query={}&time={time}&timeout={timeout}s", escaped(promql));
        let mut pauses = PAUSES.into_iter();
        let Reply { series, warnings } = loop {
            match self.attempt(form.clone()).await {
                Err(QueryError::Busy(error)) => {
                    let Some(pause) = pauses.next() else { return Err(QueryError::Busy(error)) };
                    tracing::info!(%error, "the server is busy: trying again in {} s", pause.as_secs());
                    sleep(pause).await;
                }
                result => break result?,
            }
        };
        (self.queries, self.timeouts) = (self.queries + 1, 0);
        if self.last_progress.elapsed() >= PROGRESS {
            self.last_progress = Instant::now();
            let samples = self.server.max_samples - self.samples_left;
            tracing::info!(queries = self.queries, samples, until = %rfc3339(time), "reading from Prometheus");
        }
        for warning in warnings {
            if self.warnings.len() < MAX_WARNINGS {
                self.warnings.insert(printable_name(&warning));
            }
        }
        self.samples_left = self.samples_left.checked_sub(series.len()).ok_or_else(|| {
            QueryError::Other(anyhow!(
                "the answers have more than {} samples: use a narrower --workload or a shorter --range",
                self.server.max_samples
            ))
        })?;
        Ok(series)
    }

    async fn attempt(&mut self, form: String) -> Result<Reply, QueryError> {
        let url = &self.server.url;
        let request = Request::post(self.endpoint.clone()).body(Full::new(Bytes::from(form)));
        let mut request = request.map_err(|error| QueryError::Other(error.into()))?;
        request.headers_mut().extend(self.headers.clone());
        let answer = exchange(&self.client, request, self.server.limits).await.map_err(|error| {
            self.timeouts += usize::from(matches!(error, ExchangeError::Timeout(_)));
            let may_halve = matches!(error, ExchangeError::Timeout(_)) && self.timeouts < MAX_TIMEOUTS;
            let authority = self.endpoint.authority().expect("checked in new");
            let error = no_answer(error, authority, "Prometheus", "--prometheus");
            let error = error.context(format!("no answer from Prometheus at {url}"));
            if may_halve { QueryError::TooMuch(error) } else { QueryError::Other(error) }
        })?;
        judged(&answer).map_err(|error| {
            let context = |error: Error| error.context(format!("cannot query Prometheus at {url}"));
            match error {
                QueryError::TooMuch(error) => QueryError::TooMuch(context(error)),
                QueryError::Busy(error) => QueryError::Busy(context(error)),
                QueryError::Other(error) => QueryError::Other(context(error)),
            }
        })
    }
}

/// Returns the reply in an answer.
fn judged(answer: &Answer) -> Result<Reply, QueryError> {
    let status = answer.status;
    let said = first_line(&answer.body);
    let said = if said.is_empty() { said } else { format!(": {}", printable_name(&said)) };
    match (status, answer::parse(&answer.body)) {
        (Status::OK, Ok(reply)) => Ok(reply),
        (Status::UNAUTHORIZED | Status::FORBIDDEN, _) => Err(QueryError::Other(anyhow!(
            "the server answered {status}{said}: see --prometheus-username, --prometheus-token-file and --prometheus-header"
        ))),
        (_, Err(AnswerError::Refused { kind, message })) => {
            let error = anyhow!("{status}: {}", printable_name(&message));
            Err(match (kind.as_str(), status) {
                ("bad_data", _) => QueryError::Other(error),
                ("timeout" | "canceled" | "execution", _)
                | (_, Status::UNPROCESSABLE_ENTITY | Status::PAYLOAD_TOO_LARGE | Status::GATEWAY_TIMEOUT) => {
                    QueryError::TooMuch(error)
                }
                (_, Status::TOO_MANY_REQUESTS | Status::SERVICE_UNAVAILABLE | Status::BAD_GATEWAY) => {
                    QueryError::Busy(error)
                }
                _ => QueryError::Other(error),
            })
        }
        (Status::OK, Err(error)) => Err(QueryError::Other(anyhow!(error).context(format!(
            "--prometheus requires the URL of a Prometheus, Thanos or Mimir, such as http://127.0.0.1:9090{said}"
        )))),
        _ => {
            let error = match answer.location() {
                Some(target) => anyhow!("the server answered {status} to {}: use that URL", printable_name(&target)),
                None => anyhow!("the server answered {status}{said}"),
            };
            Err(match status {
                Status::GATEWAY_TIMEOUT | Status::PAYLOAD_TOO_LARGE | Status::UNPROCESSABLE_ENTITY => {
                    QueryError::TooMuch(error)
                }
                Status::TOO_MANY_REQUESTS | Status::SERVICE_UNAVAILABLE | Status::BAD_GATEWAY => {
                    QueryError::Busy(error)
                }
                Status::NOT_FOUND => {
                    QueryError::Other(error.context(
                        "--prometheus requires the URL before /api/v1, such as http://mimir.example/prometheus",
                    ))
                }
                _ => QueryError::Other(error),
            })
        }
    }
}

/// Returns a time in seconds since 1970 for people.
pub(super) fn rfc3339(time: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time));
    time.map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
}
