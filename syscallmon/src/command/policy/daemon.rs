//! One question to a daemon's API: a connection, a request, an answer within bounds.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Args;
use exporter_web::tls::{self, Trust};
use http::{
    Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{Error as TlsError, pki_types::ServerName},
};
use tokio_util::task::AbortOnDropHandle;

/// How long connecting, asking and the answer may take together.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer: 4,096 baselines without their calls take about 2 MiB.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// In the answer to plain HTTP on a port with TLS.
const HTTPS_SERVER: &[u8] = b"HTTP request to an HTTPS server";

/// The daemon that is asked.
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
    /// What the daemon answers.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Value> {
        let answer = timeout(TIMEOUT, self.exchange(method, path)).await;
        let answer = answer.map_err(|_| anyhow::anyhow!("no answer within {} s", TIMEOUT.as_secs()));
        let (status, body) =
            answer.flatten().with_context(|| format!("cannot connect to the daemon at {}", self.url))?;
        if status == StatusCode::UNAUTHORIZED {
            bail!(self.unauthorized());
        }
        // What Go's servers and syscallmon say in clear text on a port with TLS.
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
                first_line(&body)
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
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = match self.url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("expected a URL that begins with http:// or https://"),
        };
        let base = self.url.path().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        request = request.header(HOST, authority.as_str()).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = self.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new())?;
        let tls = if is_tls { Some(self.tls()?) } else { None };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let refused =
            || format!("cannot connect to {host} port {port}: is the daemon running and listening there? (--url)");
        let stream = TcpStream::connect((host, port)).await.with_context(refused)?;
        let Some(tls) = tls else {
            return send(stream, request).await.map_err(|error| no_http(error, authority.as_str()));
        };
        let connected = tls.connect(ServerName::try_from(host.to_owned())?, stream).await;
        send(connected.map_err(|error| no_tls(error, authority.as_str()))?, request).await
    }

    fn authorization(&self) -> Result<Option<String>> {
        let (Some(user), Some(file)) = (&self.username, &self.password_file) else { return Ok(None) };
        let password = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let password = password.trim_end_matches(['\r', '\n']);
        Ok(Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))))
    }

    fn tls(&self) -> Result<TlsConnector> {
        let trust = match &self.ca_file {
            None => Trust::of_host("--ca-file")?,
            Some(file) => {
                let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                Trust::from_pem(&pem, file)?
            }
        };
        Ok(TlsConnector::from(Arc::new(trust.client_config()?)))
    }
}

/// What is wrong with an answer to plain HTTP.
fn no_http(error: anyhow::Error, authority: &str) -> anyhow::Error {
    let is_other_protocol = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    if is_other_protocol {
        error.context(format!("the server does not speak HTTP: for TLS, use --url=https://{authority}"))
    } else {
        error
    }
}

/// What is wrong with a TLS handshake.
fn no_tls(error: io::Error, authority: &str) -> anyhow::Error {
    let is_other_protocol = matches!(tls::cause(&error), Some(TlsError::InvalidMessage(_)));
    let error = anyhow::Error::from(error);
    if is_other_protocol {
        error.context(format!("the server does not speak TLS: use --url=http://{authority}"))
    } else {
        error
    }
}

/// The beginning of a text that is not what was expected, as it can stand in a message.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let line: String =
        text.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(" ({line})") }
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, driver) = handshake(TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
}
