//! One request to a running daemon.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail};
use exporter_web::tls;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
    uri::Authority,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;
use serde_json::Value;
use tokio_rustls::rustls::Error as TlsError;

use crate::{
    client::{
        exchange::{Answer, ExchangeError, ExchangeLimits, exchange},
        http::{HttpClientConfig, HttpsClient, client, credentials, first_line},
    },
    error_report::{causes, chain},
};

/// Maximum time and bytes of an answer: 16 MiB of workloads with what is around them; 4,096 baselines without their
/// calls take about 2 MiB.
const LIMITS: ExchangeLimits = ExchangeLimits { time: Duration::from_secs(30), bytes: 17 << 20 };

/// Text of the answer to plain HTTP on a port with TLS.
const HTTPS_SERVER: &[u8] = b"HTTP request to an HTTPS server";

/// Address of the daemon, and credentials.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    pub(super) url: Uri,
    pub(super) client_config: HttpClientConfig,
    pub(super) flags: DaemonFlags,
}

/// Names of the flags that set these, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonFlags {
    pub(super) url: &'static str,
    pub(super) username: &'static str,
    pub(super) password_file: &'static str,
    pub(super) ca_file: &'static str,
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Value>,
    error: Option<String>,
}

impl Daemon {
    /// Returns the daemon's answer.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Value> {
        let answer = self.exchange(method, path).await;
        let Answer { status, body, .. } =
            answer.with_context(|| format!("cannot connect to the daemon at {}", self.url))?;
        if status == StatusCode::UNAUTHORIZED {
            bail!(self.unauthorized());
        }
        // Go's servers and syscallmon send this in clear text on a port with TLS.
        if status == StatusCode::BAD_REQUEST && body.windows(HTTPS_SERVER.len()).any(|part| part == HTTPS_SERVER) {
            bail!(
                "{} speaks TLS: use {}=https://{}",
                self.url,
                self.flags.url,
                self.url.authority().map_or("", |host| host.as_str())
            );
        }
        let Ok(Envelope { data, error }) = serde_json::from_slice(&body) else {
            bail!(
                "{} answered {status}{}: not the API of syscallmon, or an older version; {} requires the address of \
                 the daemon without a path, such as http://127.0.0.1:9778",
                self.url,
                said(&body),
                self.flags.url
            );
        };
        match (data, error) {
            (Some(data), None) if status == StatusCode::OK => Ok(data),
            (_, Some(error)) => bail!("the daemon rejected the request: {error}"),
            _ => bail!("{} answered {status}", self.url),
        }
    }

    fn unauthorized(&self) -> String {
        match &self.client_config.basic {
            None => format!(
                "the daemon at {} requires a user and password: {} and {}",
                self.url, self.flags.username, self.flags.password_file
            ),
            Some((user, _)) => format!(
                "the daemon at {} rejected user {user:?}: wrong user or password (see basic_auth_users in its \
                 web.config.file)",
                self.url
            ),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Answer> {
        let (client, request) = self.request(method, path).await?;
        exchange(&client, request, LIMITS).await.map_err(|error| self.no_answer(error))
    }

    /// Returns the daemon's answer to a GET request. The caller reads the body, and sets a deadline.
    pub(super) async fn open(&self, path: &str) -> Result<Response<Incoming>> {
        let (client, request) = self.request(Method::GET, path).await?;
        client.request(request).await.map_err(|error| self.no_answer(error.into()))
    }

    fn no_answer(&self, error: ExchangeError) -> Error {
        match self.url.authority() {
            Some(authority) => no_answer(error, authority, "the daemon", self.flags.url),
            None => error.into(),
        }
    }

    async fn request(&self, method: Method, path: &str) -> Result<(HttpsClient, Request<Full<Bytes>>)> {
        let authority = self.url.authority().context("expected a URL such as http://127.0.0.1:9778")?;
        let scheme = self.url.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let scheme = scheme.context("expected a URL that begins with http:// or https://")?;
        let base = self.url.path().trim_end_matches('/');
        let uri = Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query(format!("{base}{path}"));
        let mut request = Request::builder().method(method).uri(uri.build()?).body(Full::default())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(credentials) = credentials(&self.client_config).await.map_err(Error::msg)? {
            request.headers_mut().insert(AUTHORIZATION, credentials);
        }
        let client = client(&self.url, &self.client_config, self.flags.ca_file).await.map_err(Error::msg)?;
        Ok((client, request))
    }
}

/// Returns a text as a part of a URL's path or query, with its own `%` escaped as well.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/:-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string");
        }
    }
    escaped
}

/// Explains why there was no answer of a server, whose URL this flag sets.
pub(super) fn no_answer(error: ExchangeError, authority: &Authority, server: &str, url_flag: &str) -> Error {
    let ExchangeError::Request(error) = error else { return error.into() };
    let is_no_http = causes(&error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_parse);
    let remedy = match tls::cause(&error) {
        Some(TlsError::InvalidMessage(_)) => {
            format!("the server does not speak TLS: use {url_flag}=http://{authority}")
        }
        None if is_no_http => format!("the server does not speak HTTP: for TLS, use {url_flag}=https://{authority}"),
        None if error.is_connect() => format!("is {server} running and listening at {authority}? ({url_flag})"),
        _ => return anyhow!(chain(&error)),
    };
    anyhow!(chain(&error)).context(remedy)
}

/// Returns the beginning of an unexpected answer in parentheses, if there is one.
pub(super) fn said(body: &[u8]) -> String {
    let line = first_line(body);
    if line.is_empty() { line } else { format!(" ({line})") }
}
