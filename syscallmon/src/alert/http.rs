//! Sends requests to servers of others: limited in time and in what is read of the answer.

use std::{fs::File, io::Read, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::Access;
use crate::workload::source::chain;

/// Time for a connection, and for all of a request.
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// Of an answer's body, more is not read.
const ANSWER_BYTES: usize = 4096;
/// Of a file with a password or certificates.
const FILE_BYTES: u64 = 4 << 20;

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may work later.
    Retry {
        why: String,
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
    /// The other side does not want it, and will not.
    Refused(String),
}

impl Failure {
    pub(super) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }
}

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends requests to one server.
#[derive(Debug)]
pub(super) struct Http {
    uri: Uri,
    access: Access,
    headers: HeaderMap,
    /// Made anew after failures, so that renewed certificates are noticed.
    client: Option<Https>,
}

impl Http {
    pub(super) fn new(uri: Uri, access: Access, mut headers: HeaderMap) -> Self {
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("syscallmon/", env!("CARGO_PKG_VERSION"))));
        Self { uri, access, headers, client: None }
    }

    /// Posts a body.
    pub(super) async fn post(&mut self, body: String) -> Result<(), Failure> {
        let answer = match timeout(WHOLE, self.answer(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::retry(format!("no answer within {} s", WHOLE.as_secs()))),
        };
        if answer.is_err() {
            self.client = None;
        }
        answer
    }

    async fn answer(&mut self, body: String) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(credentials) = credentials(&self.access).map_err(Failure::retry)? {
            request.headers_mut().insert(AUTHORIZATION, credentials);
        }
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(client(&self.uri, &self.access).map_err(Failure::retry)?),
        };
        let response = client.request(request).await.map_err(|error| Failure::retry(chain(&error)))?;
        let (parts, body) = response.into_parts();
        // To the end if that is near: then the connection can be used again.
        let said = beginning(body).await;
        judge(parts.status, &parts.headers, &said)
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, said: &str) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let why = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    let may_work_later =
        status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if !may_work_later {
        return Err(Failure::Refused(why));
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Failure::Retry { why, after: seconds.map(Duration::from_secs) })
}

/// The first line of an answer, as far as it is for a log.
async fn beginning(mut body: Incoming) -> String {
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

fn client(uri: &Uri, access: &Access) -> Result<Https, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    let roots =
        if uri.scheme_str() == Some("https") { roots(access.ca_file.as_deref())? } else { RootCertStore::empty() };
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(2))
        .pool_max_idle_per_host(1)
        .http1_max_buf_size(64 << 10)
        .build(connector))
}

/// Whom certificates must be signed by.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err("this host has no certificates of authorities: name a file with them in ca_file".to_owned())
        } else {
            Ok(roots)
        };
    };
    let pem = read(path)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("{}: not a certificate: {error}", path.display()))?;
    }
    if roots.is_empty() { Err(format!("{}: no certificate in PEM format in it", path.display())) } else { Ok(roots) }
}

/// The header that lets in.
fn credentials(access: &Access) -> Result<Option<HeaderValue>, String> {
    let (text, path) = if let Some(path) = &access.bearer_token_file {
        (format!("Bearer {}", secret(path)?), path)
    } else if let Some((name, path)) = &access.basic {
        (format!("Basic {}", BASE64.encode(format!("{name}:{}", secret(path)?))), path)
    } else {
        return Ok(None);
    };
    let mut header =
        HeaderValue::try_from(text).map_err(|_| format!("{}: has what cannot be in a header", path.display()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The first line of a file.
fn secret(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| format!("{}: is no text", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(format!("{}: is empty", path.display())) } else { Ok(line.to_owned()) }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > FILE_BYTES => Err(format!("{}: longer than 4 MiB", path.display())),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}
