//! One request to the API of a running daemon.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail};
use clap::Args;
use exporter_web::tls;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
    uri::Authority,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::Error as TlsError;

use crate::{
    client::http::{HttpClientConfig, client, credentials, first_line},
    error_report::{causes, chain},
};

/// Deadline of a request, with the connection and the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum bytes of an answer: 4,096 baselines without their calls take about 2 MiB.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Text of the answer to plain HTTP on a port with TLS.
const HTTPS_SERVER: &[u8] = b"HTTP request to an HTTPS server";

/// Address of the daemon, and credentials.
#[derive(Clone, Debug, Args)]
pub(super) struct Daemon {
    /// URL of the daemon.
    #[arg(long, value_name = "URL", global = true, default_value = "http://127.0.0.1:9778")]
    url: Uri,
    /// User name, as in the web.config.file of the daemon.
    #[arg(long, value_name = "NAME", global = true, requires = "password_file")]
    username: Option<String>,
    /// File with the password.
    #[arg(long, value_name = "FILE", global = true, requires = "username")]
    password_file: Option<PathBuf>,
    /// File with CA certificates (PEM) for the daemon; by default those of the host.
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Value>,
    error: Option<String>,
}

impl Daemon {
    /// Returns the daemon's answer.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Value> {
        let answer = timeout(TIMEOUT, self.exchange(method, path)).await;
        let answer = answer.map_err(|_| anyhow::anyhow!("no answer within {} s", TIMEOUT.as_secs()));
        let (status, body) =
            answer.flatten().with_context(|| format!("cannot connect to the daemon at {}", self.url))?;
        if status == StatusCode::UNAUTHORIZED {
            bail!(self.unauthorized());
        }
        // Go's servers and syscallmon send this in clear text on a port with TLS.
        if status == StatusCode::BAD_REQUEST && body.windows(HTTPS_SERVER.len()).any(|part| part == HTTPS_SERVER) {
            bail!(
                "{} speaks TLS: use --url=https://{}",
                self.url,
                self.url.authority().map_or("", |host| host.as_str())
            );
        }
        let Ok(Envelope { data, error }) = serde_json::from_slice(&body) else {
            bail!(
                "{} answered {status}{}: not the API of syscallmon, or an older version; --url requires the address of the daemon \
                 without a path, such as http://127.0.0.1:9778",
                self.url,
                said(&body)
            );
        };
        match (data, error) {
            (Some(data), None) if status == StatusCode::OK => Ok(data),
            (_, Some(error)) => bail!("the daemon rejected the request: {error}"),
            _ => bail!("{} answered {status}", self.url),
        }
    }

    fn unauthorized(&self) -> String {
        match &self.username {
            None => format!("the daemon at {} requires a user and password: --username and --password-file", self.url),
            Some(user) => format!(
                "the daemon at {} rejected user {user:?}: wrong user or password (see basic_auth_users in its web.config.file)",
                self.url
            ),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
        let authority = self.url.authority().context("expected a URL such as http://127.0.0.1:9778")?;
        let scheme = self.url.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let scheme = scheme.context("expected a URL that begins with http:// or https://")?;
        let base = self.url.path().trim_end_matches('/');
        let uri = Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query(format!("{base}{path}"));
        let mut request = Request::builder().method(method).uri(uri.build()?).body(Full::default())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let client_config = self.client_config();
        if let Some(credentials) = credentials(&client_config).await.map_err(Error::msg)? {
            request.headers_mut().insert(AUTHORIZATION, credentials);
        }
        let client = client(&self.url, &client_config, "--ca-file").await.map_err(Error::msg)?;
        let answer = client.request(request).await.map_err(|error| no_answer(&error, authority))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(Error::from_boxed)?.to_bytes()))
    }

    fn client_config(&self) -> HttpClientConfig {
        let basic = self.username.clone().zip(self.password_file.clone());
        HttpClientConfig { ca_file: self.ca_file.clone(), bearer_token_file: None, basic }
    }
}

/// Explains why there was no answer.
fn no_answer(error: &legacy::Error, authority: &Authority) -> Error {
    let is_no_http = causes(error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_parse);
    let remedy = match tls::cause(error) {
        Some(TlsError::InvalidMessage(_)) => format!("the server does not speak TLS: use --url=http://{authority}"),
        None if is_no_http => format!("the server does not speak HTTP: for TLS, use --url=https://{authority}"),
        None if error.is_connect() => format!("is the daemon running and listening at {authority}? (--url)"),
        _ => return anyhow!(chain(error)),
    };
    anyhow!(chain(error)).context(remedy)
}

/// Returns the beginning of an unexpected answer in parentheses, if there is one.
fn said(body: &[u8]) -> String {
    let line = first_line(body);
    if line.is_empty() { line } else { format!(" ({line})") }
}
