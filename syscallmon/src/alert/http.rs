//! Sends records to the servers of sinks, with limits on time and on the bytes of an answer.

use std::{pin::pin, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::time::timeout;

use crate::{
    client::http::{HttpClientConfig, HttpsClient, client, credentials, first_line},
    error_report::chain,
};

/// Deadline of a request, with its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum bytes of an answer's body that are read.
const MAX_ANSWER_BYTES: usize = 4096;
/// Name of the setting with certificates, for messages.
pub(super) const CA_SETTING: &str = "ca-file";

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryError {
    /// A retry may succeed.
    Retry {
        why: String,
        /// The pause that the server asks for.
        after: Option<Duration>,
    },
    /// The server rejected it, and would do so again.
    Refused(String),
}

impl DeliveryError {
    pub(super) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }
}

/// Sends requests to one server.
#[derive(Debug)]
pub(super) struct Http {
    uri: Uri,
    client_config: HttpClientConfig,
    headers: HeaderMap,
    /// Deadline of a request.
    time: Duration,
    /// Replaced after failures, so renewed certificates are read.
    client: Option<HttpsClient>,
}

impl Http {
    pub(super) fn new(uri: Uri, client_config: HttpClientConfig, mut headers: HeaderMap) -> Self {
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("syscallmon/", env!("CARGO_PKG_VERSION"))));
        Self { uri, client_config, headers, time: REQUEST_TIMEOUT, client: None }
    }

    /// Posts a body.
    pub(super) async fn post(&mut self, body: String) -> Result<(), DeliveryError> {
        self.send(Method::POST, body).await
    }

    /// Gets the page.
    pub(super) async fn get(&mut self) -> Result<(), DeliveryError> {
        self.send(Method::GET, String::new()).await
    }

    async fn send(&mut self, method: Method, body: String) -> Result<(), DeliveryError> {
        let answer = match timeout(self.time, self.answer(method, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(DeliveryError::retry(format!("no answer within {} s", self.time.as_secs()))),
        };
        if answer.is_err() {
            self.client = None;
        }
        answer
    }

    async fn answer(&mut self, method: Method, body: String) -> Result<(), DeliveryError> {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(credentials) = credentials(&self.client_config).await.map_err(DeliveryError::retry)? {
            request.headers_mut().insert(AUTHORIZATION, credentials);
        }
        let client = match &self.client {
            Some(client) => client,
            None => self
                .client
                .insert(client(&self.uri, &self.client_config, CA_SETTING).await.map_err(DeliveryError::retry)?),
        };
        let response = client.request(request).await.map_err(|error| DeliveryError::retry(chain(&error)))?;
        let (parts, body) = response.into_parts();
        // Short bodies are read to the end, so the connection can be reused.
        let said = beginning(body).await;
        judge(parts.status, &parts.headers, &said)
    }
}

/// Decides by an answer whether a record was delivered.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap, said: &str) -> Result<(), DeliveryError> {
    if status.is_success() {
        return Ok(());
    }
    let why = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    let may_work_later =
        status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if !may_work_later {
        return Err(DeliveryError::Refused(why));
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(DeliveryError::Retry { why, after: seconds.map(Duration::from_secs) })
}

/// Returns the first line of an answer, for a log.
pub(super) async fn beginning(body: impl Body<Data = Bytes>) -> String {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..data.len().min(MAX_ANSWER_BYTES)]));
        if bytes.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    first_line(&bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, path::Path};

    use tempfile::NamedTempFile;

    use super::*;
    use crate::{
        alert::tests::{Answer, Server},
        client::http::connector,
    };

    fn http(uri: &Uri, config: HttpClientConfig) -> Http {
        Http { time: Duration::from_secs(1), ..Http::new(uri.clone(), config, HeaderMap::new()) }
    }

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// Returns the result of one request.
    async fn post(answer: Answer) -> Result<(), DeliveryError> {
        let server = Server::start([answer]).await;
        http(&server.uri("/"), HttpClientConfig::default()).post("{}".to_owned()).await
    }

    fn is_retried(result: &Result<(), DeliveryError>) -> bool {
        matches!(result, Err(DeliveryError::Retry { .. }))
    }

    #[tokio::test]
    async fn what_may_work_later_is_tried_again() {
        for answer in [
            Answer::Status(500, ""),
            Answer::Status(503, ""),
            Answer::Status(429, ""),
            Answer::Status(408, ""),
            Answer::Garbage,
            Answer::HangUp,
            Answer::Silence,
            Answer::EndlessHead,
        ] {
            let result = post(answer).await;
            assert!(is_retried(&result), "{answer:?}: {result:?}");
        }
        let nobody = Server::nobody().await;
        assert!(is_retried(&http(&nobody, HttpClientConfig::default()).post(String::new()).await));
    }

    #[tokio::test]
    async fn what_is_refused_says_why() {
        for (status, says) in [(400, "400 Bad Request: bad labels"), (401, "401"), (302, "302"), (404, "404")] {
            let Err(DeliveryError::Refused(why)) = post(Answer::Status(status, "bad labels\nmore")).await else {
                panic!("{status}")
            };
            assert!(why.starts_with(says) && !why.contains("more"), "{why}");
        }
    }

    #[tokio::test]
    async fn the_status_counts_and_not_how_long_the_body_is() {
        assert_eq!(post(Answer::EndlessBody(200)).await, Ok(()));
        assert!(is_retried(&post(Answer::EndlessBody(500)).await));
        assert_eq!(post(Answer::Status(202, "anything")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_server_says_how_long_to_wait() {
        let result = post(Answer::Busy).await;
        assert_eq!(
            result,
            Err(DeliveryError::Retry { why: "429 Too Many Requests".into(), after: Some(Duration::from_secs(7)) })
        );
    }

    #[tokio::test]
    async fn credentials_are_read_anew_for_each_request() {
        let server = Server::start([Answer::Status(200, ""), Answer::Status(200, ""), Answer::Status(200, "")]).await;
        let token = file("one\n");
        let config = HttpClientConfig { bearer_token_file: Some(token.path().into()), ..HttpClientConfig::default() };
        let mut client = http(&server.uri("/"), config);
        client.post(String::new()).await.unwrap();
        std::fs::write(token.path(), "two").unwrap();
        client.post(String::new()).await.unwrap();
        let password = file("secret\n");
        let config =
            HttpClientConfig { basic: Some(("me".to_owned(), password.path().into())), ..HttpClientConfig::default() };
        http(&server.uri("/"), config).post(String::new()).await.unwrap();
        let sent: Vec<_> = server.requests().iter().map(|request| request.header("authorization").to_owned()).collect();
        assert_eq!(sent, ["Bearer one", "Bearer two", "Basic bWU6c2VjcmV0"]);
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let (empty, long) = (file(" \n"), Path::new("/dev/zero"));
        let missing = Path::new("/nonexistent");
        for (path, says) in [(empty.path(), "empty"), (long, "exceeds"), (missing, "No such file")] {
            let config = HttpClientConfig { bearer_token_file: Some(path.into()), ..HttpClientConfig::default() };
            let Err(DeliveryError::Retry { why, .. }) = http(&Server::nobody().await, config).post(String::new()).await
            else {
                panic!("{}", path.display())
            };
            assert!(why.contains(says) && why.contains(&path.display().to_string()), "{why}");
        }
        let config = HttpClientConfig { ca_file: Some(empty.path().into()), ..HttpClientConfig::default() };
        let error = connector(&"https://127.0.0.1".parse().unwrap(), &config, CA_SETTING).await.unwrap_err();
        assert!(error.contains("no PEM certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_secret_that_hangs_is_a_failure_and_stops_no_other_task() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("token");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let config = HttpClientConfig { bearer_token_file: Some(pipe.clone()), ..HttpClientConfig::default() };
        let mut client = http(&Server::nobody().await, config);
        // This runtime has one thread.
        let (result, ()) = tokio::join!(client.post(String::new()), tokio::time::sleep(Duration::from_millis(10)));
        assert!(is_retried(&result), "{result:?}");
        // So that the thread of this test ends.
        drop(File::options().read(true).write(true).open(&pipe).unwrap());
    }

    #[tokio::test]
    async fn a_server_of_another_authority_is_not_trusted() {
        let names = vec!["127.0.0.1".to_owned()];
        let [(ours, key), (others, _)] = [(); 2]
            .map(|()| rcgen::generate_simple_self_signed(names.clone()).unwrap())
            .map(|made| (made.cert.pem(), (made.cert.der().clone(), made.signing_key.serialize_der())));
        let answers = [Answer::Status(200, ""), Answer::Status(200, "")];
        let server = Server::start_tls(answers, key.0, key.1).await;
        for (authority, is_trusted) in [(&ours, true), (&others, false)] {
            let file = file(authority);
            let config = HttpClientConfig { ca_file: Some(file.path().into()), ..HttpClientConfig::default() };
            let result = http(&server.uri("/"), config).post("{}".to_owned()).await;
            assert_eq!(result.is_ok(), is_trusted, "{result:?}");
        }
    }
}
