//! Sends requests to servers of others: limited in time and in what is read of the answer.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    pin::pin,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use exporter_web::tls::{self, Trust};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use super::Access;
use crate::{
    blocking::{self, Work},
    client::resolver::{Connector, Resolver},
    error_report::chain,
};

/// Time for a connection, and for all of a request with it.
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// Of an answer's body, more is not read.
const ANSWER_BYTES: usize = 4096;
/// Of a file with a password or certificates.
const FILE_BYTES: u64 = 4 << 20;

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryError {
    /// It may work later.
    Retry {
        why: String,
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
    /// The other side does not want it, and will not.
    Refused(String),
}

impl DeliveryError {
    pub(super) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }
}

type Https = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Sends requests to one server.
#[derive(Debug)]
pub(super) struct Http {
    uri: Uri,
    access: Access,
    headers: HeaderMap,
    /// Time for all of a request.
    time: Duration,
    /// Made anew after failures, so that renewed certificates are noticed.
    client: Option<Https>,
}

impl Http {
    pub(super) fn new(uri: Uri, access: Access, mut headers: HeaderMap) -> Self {
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("syscallmon/", env!("CARGO_PKG_VERSION"))));
        Self { uri, access, headers, time: WHOLE, client: None }
    }

    /// Posts a body.
    pub(super) async fn post(&mut self, body: String) -> Result<(), DeliveryError> {
        self.send(Method::POST, body).await
    }

    /// Asks for the page.
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
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(credentials) = credentials(&self.access).await.map_err(DeliveryError::retry)? {
            request.headers_mut().insert(AUTHORIZATION, credentials);
        }
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(client(&self.uri, &self.access).await.map_err(DeliveryError::retry)?),
        };
        let response = client.request(request).await.map_err(|error| DeliveryError::retry(chain(&error)))?;
        let (parts, body) = response.into_parts();
        // To the end if that is near: then the connection can be used again.
        let said = beginning(body).await;
        judge(parts.status, &parts.headers, &said)
    }
}

/// What an answer means.
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

/// The first line of an answer, as far as it is for a log.
pub(super) async fn beginning(body: impl Body<Data = Bytes>) -> String {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..data.len().min(ANSWER_BYTES)]));
        if bytes.len() >= ANSWER_BYTES {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn client(uri: &Uri, access: &Access) -> Result<Https, String> {
    let connector = connector(uri, access).await?;
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(2))
        .pool_max_idle_per_host(1)
        .http1_max_buf_size(64 << 10)
        .build(connector))
}

/// How connections are made.
pub(super) async fn connector(uri: &Uri, access: &Access) -> Result<HttpsConnector<Connector>, String> {
    let mut connector = Connector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    let is_https = uri.scheme_str() == Some("https");
    let tls = if is_https { trust(access.ca_file.as_deref()).await?.client_config() } else { tls::no_trust() };
    let tls = tls.map_err(|error| error.to_string())?;
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector))
}

/// Whom certificates must be signed by.
async fn trust(ca_file: Option<&Path>) -> Result<Trust, String> {
    let trust = match ca_file {
        None => {
            let load = || Ok(Trust::of_host("ca-file"));
            let read = blocking::file(Work::Secret, "certificates of this host", load).await;
            read.map_err(|error| format!("cannot read the certificates of this host: {error}"))?
        }
        Some(path) => Trust::from_pem(&read(path).await?, path),
    };
    trust.map_err(|error| error.to_string())
}

/// The header that lets in.
pub(super) async fn credentials(access: &Access) -> Result<Option<HeaderValue>, String> {
    let (text, path) = if let Some(path) = &access.bearer_token_file {
        (format!("Bearer {}", secret(path).await?), path)
    } else if let Some((name, path)) = &access.basic {
        (format!("Basic {}", BASE64.encode(format!("{name}:{}", secret(path).await?))), path)
    } else {
        return Ok(None);
    };
    let mut header = HeaderValue::try_from(text)
        .map_err(|_| format!("{}: contains characters that a header cannot have", path.display()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The first line of a file.
async fn secret(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(path).await?).map_err(|_| format!("{}: is not UTF-8", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(format!("{}: is empty", path.display())) } else { Ok(line.to_owned()) }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let owned = path.to_owned();
    let read = blocking::file(Work::Secret, &path.to_string_lossy(), move || read_blocking(&owned)).await;
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn read_blocking(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if length as u64 > FILE_BYTES { Err(io::Error::other("exceeds 4 MiB")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::alert::tests::{Answer, Server};

    fn http(uri: &Uri, access: Access) -> Http {
        Http { time: Duration::from_secs(1), ..Http::new(uri.clone(), access, HeaderMap::new()) }
    }

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// What becomes of one request.
    async fn post(answer: Answer) -> Result<(), DeliveryError> {
        let server = Server::start([answer]).await;
        http(&server.uri("/"), Access::default()).post("{}".to_owned()).await
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
        assert!(is_retried(&http(&nobody, Access::default()).post(String::new()).await));
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
        let access = Access { bearer_token_file: Some(token.path().into()), ..Access::default() };
        let mut client = http(&server.uri("/"), access);
        client.post(String::new()).await.unwrap();
        std::fs::write(token.path(), "two").unwrap();
        client.post(String::new()).await.unwrap();
        let password = file("secret\n");
        let access = Access { basic: Some(("me".to_owned(), password.path().into())), ..Access::default() };
        http(&server.uri("/"), access).post(String::new()).await.unwrap();
        let sent: Vec<_> = server.requests().iter().map(|request| request.header("authorization").to_owned()).collect();
        assert_eq!(sent, ["Bearer one", "Bearer two", "Basic bWU6c2VjcmV0"]);
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let (empty, long) = (file(" \n"), Path::new("/dev/zero"));
        let missing = Path::new("/nonexistent");
        for (path, says) in [(empty.path(), "empty"), (long, "exceeds"), (missing, "No such file")] {
            let access = Access { bearer_token_file: Some(path.into()), ..Access::default() };
            let Err(DeliveryError::Retry { why, .. }) = http(&Server::nobody().await, access).post(String::new()).await
            else {
                panic!("{}", path.display())
            };
            assert!(why.contains(says) && why.contains(&path.display().to_string()), "{why}");
        }
        let error = trust(Some(empty.path())).await.unwrap_err();
        assert!(error.contains("no PEM certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_secret_that_hangs_is_a_failure_and_stops_no_other_task() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("token");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let access = Access { bearer_token_file: Some(pipe.clone()), ..Access::default() };
        let mut client = http(&Server::nobody().await, access);
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
            let access = Access { ca_file: Some(file.path().into()), ..Access::default() };
            let result = http(&server.uri("/"), access).post("{}".to_owned()).await;
            assert_eq!(result.is_ok(), is_trusted, "{result:?}");
        }
    }
}
