//! One question to a daemon's API: a connection, a request, an answer within bounds.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Args;
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
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::task::AbortOnDropHandle;

/// How long connecting, asking and the answer may take together.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer: 4,096 baselines without their calls take about 2 MiB.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The daemon that is asked.
#[derive(Clone, Debug, Args)]
pub(super) struct Daemon {
    /// Where the daemon listens.
    #[arg(long, value_name = "URL", global = true, default_value = "http://127.0.0.1:9778")]
    url: Uri,
    /// User of its web.config.file.
    #[arg(long, value_name = "NAME", global = true, requires = "password_file")]
    username: Option<String>,
    /// File with the user's password.
    #[arg(long, value_name = "FILE", global = true, requires = "username")]
    password_file: Option<PathBuf>,
    /// File with the certificate of whoever signed the daemon's, where that is not one whom this host trusts.
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
        let (status, body) = answer.flatten().with_context(|| format!("cannot ask the daemon at {}", self.url))?;
        if status == StatusCode::UNAUTHORIZED {
            bail!("the daemon at {} wants a user and password: --username and --password-file", self.url);
        }
        let Ok(Envelope { data, error }) = serde_json::from_slice(&body) else {
            bail!("{} answered {status}, and not as a syscallmon does that has baselines", self.url);
        };
        match (data, error) {
            (Some(data), None) if status == StatusCode::OK => Ok(data),
            (_, Some(error)) => bail!("the daemon refused: {error}"),
            _ => bail!("{} answered {status}", self.url),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes)> {
        let authority = self.url.authority().context("needs a URL such as http://127.0.0.1:9778")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = match self.url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("needs a URL that begins with http:// or https://"),
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
        let stream = TcpStream::connect((host, port)).await.context("does it run, and listen there? (--url)")?;
        match tls {
            Some(tls) => send(tls.connect(ServerName::try_from(host.to_owned())?, stream).await?, request).await,
            None => send(stream, request).await,
        }
    }

    fn authorization(&self) -> Result<Option<String>> {
        let (Some(user), Some(file)) = (&self.username, &self.password_file) else { return Ok(None) };
        let password = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let password = password.trim_end_matches(['\r', '\n']);
        Ok(Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))))
    }

    fn tls(&self) -> Result<TlsConnector> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Whom certificates must be signed by.
    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.ca_file else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(!roots.is_empty(), "this host trusts no certificates: --ca-file");
            return Ok(roots);
        };
        let unusable = || format!("cannot use the certificates in {}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(unusable)? {
            roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
        }
        ensure!(!roots.is_empty(), "there is no certificate in {}", file.display());
        Ok(roots)
    }
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
