//! HTTP clients of other servers: TLS, credentials from files, and deadlines.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use exporter_web::tls::{self, Trust};
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::resolver::{Connector, Resolver};
use crate::blocking::{self, Work};

/// Deadline of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a file with a password or certificates.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A client over TLS, or without it for `http://`.
pub(crate) type HttpsClient = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Configuration of an HTTP client: credentials for the server, and CA certificates to verify it by. Files are read
/// again for each request or client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpClientConfig {
    /// Certificates of authorities, one of which must have signed the server's; those of the host if there is none.
    pub ca_file: Option<PathBuf>,
    /// File with a bearer token.
    pub bearer_token_file: Option<PathBuf>,
    /// User name for basic authentication, and file with its password.
    pub basic: Option<(String, PathBuf)>,
}

impl HttpClientConfig {
    /// Returns the files that a client reads.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let Self { ca_file, bearer_token_file, basic } = self;
        let password_file = basic.as_ref().map(|(_, file)| file);
        [ca_file.as_ref(), bearer_token_file.as_ref(), password_file].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// Returns a client of the server with this URL. It keeps one idle connection.
///
/// `ca_setting` is the flag or setting that messages name as the remedy for a certificate without trust.
///
/// # Errors
///
/// When the certificates of authorities cannot be used.
pub(crate) async fn client(
    uri: &Uri,
    config: &HttpClientConfig,
    ca_setting: &'static str,
) -> Result<HttpsClient, String> {
    let connector = connector(uri, config, ca_setting).await?;
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(2))
        .pool_max_idle_per_host(1)
        .http1_max_buf_size(64 << 10)
        .build(connector))
}

/// Returns what makes connections to the server with this URL.
///
/// # Errors
///
/// As [`client`].
pub(crate) async fn connector(
    uri: &Uri,
    config: &HttpClientConfig,
    ca_setting: &'static str,
) -> Result<HttpsConnector<Connector>, String> {
    let mut connector = Connector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    let is_https = uri.scheme_str() == Some("https");
    let tls =
        if is_https { trust(config.ca_file.as_deref(), ca_setting).await?.client_config() } else { tls::no_trust() };
    let tls = tls.map_err(|error| error.to_string())?;
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector))
}

/// Reads the certificates of the authorities that a server's certificate must be signed by.
async fn trust(ca_file: Option<&Path>, ca_setting: &'static str) -> Result<Trust, String> {
    let trust = match ca_file {
        None => {
            let load = move || Ok(Trust::of_host(ca_setting));
            let read = blocking::file(Work::Secret, "certificates of this host", load).await;
            read.map_err(|error| format!("cannot read the certificates of this host: {error}"))?
        }
        Some(path) => Trust::from_pem(&read(path).await?, path),
    };
    trust.map_err(|error| error.to_string())
}

/// Returns the header `Authorization`; `None` without credentials.
///
/// # Errors
///
/// When a file cannot be read, or contains characters that a header cannot have.
pub(crate) async fn credentials(config: &HttpClientConfig) -> Result<Option<HeaderValue>, String> {
    let (text, path) = if let Some(path) = &config.bearer_token_file {
        (format!("Bearer {}", secret(path).await?), path)
    } else if let Some((name, path)) = &config.basic {
        (format!("Basic {}", BASE64.encode(format!("{name}:{}", secret(path).await?))), path)
    } else {
        return Ok(None);
    };
    let mut header = HeaderValue::try_from(text)
        .map_err(|_| format!("{}: contains characters that a header cannot have", path.display()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// Returns the first line of a file, without spaces around it.
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
    let length = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if length as u64 > MAX_FILE_BYTES { Err(io::Error::other("exceeds 4 MiB")) } else { Ok(bytes) }
}

/// Returns the first line of an answer, without control characters and cut, for a message.
pub(crate) fn first_line(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_answer_cannot_forge_log_lines_or_fill_them() {
        assert_eq!(first_line(b"\r\n \x1b[31mno\x07\x00 \xff entry\nts=2026 level=error"), "[31mno \u{fffd} entry");
        assert_eq!(first_line(&vec![b'x'; 1 << 20]).len(), 200);
        assert_eq!(first_line(b"\n\n"), "");
    }
}
