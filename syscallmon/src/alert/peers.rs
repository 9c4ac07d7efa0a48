//! `syscallmon check`: connects to every configured sink, without sending an alert.

use std::{path::Path, time::Duration};

use exporter_web::tls;
use http::{HeaderMap, Uri};
use tokio::time::timeout;
use tower::Service;

use super::{
    AlertConfig, HttpClientConfig,
    http::{CA_SETTING, DeliveryError, Http},
    sink::{self, Peer},
};
use crate::{
    client::http::{connector, credentials},
    error_report::chain,
};

/// Why a peer cannot get alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerProblem {
    /// It does not answer now, and may later.
    Away(String),
    /// The configuration prevents it.
    Refused(String),
}

/// Returns the files that the HTTP clients of all sinks read, each once.
#[must_use]
pub fn peer_files(config: &AlertConfig) -> Vec<&Path> {
    let mut files = Vec::new();
    for file in sink::peers(config).flat_map(|(_, peer)| peer.client_config.files()) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// Connects to every server of a sink, and asks servers with a readiness page. Returns the name of the sink, and the
/// result.
pub async fn check_peers(config: &AlertConfig, time: Duration) -> Vec<(&'static str, Result<String, PeerProblem>)> {
    let mut results = Vec::new();
    for (sink, Peer { uri, client_config, has_readiness_page }) in sink::peers(config) {
        let result = match within(time, connect(&uri, client_config)).await {
            Ok(()) if has_readiness_page => within(time, ask(uri.clone(), client_config)).await,
            connected => connected,
        };
        results.push((sink, with_address(&uri, result)));
    }
    results
}

/// Adds the address to a result, without the path, which may be a secret.
fn with_address(uri: &Uri, result: Result<(), PeerProblem>) -> Result<String, PeerProblem> {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    let name = format!("{scheme}://{}", host.unwrap_or_default());
    match result {
        Ok(()) => Ok(name),
        Err(PeerProblem::Away(why)) => Err(PeerProblem::Away(format!("{name}: {why}"))),
        Err(PeerProblem::Refused(why)) => Err(PeerProblem::Refused(format!("{name}: {why}"))),
    }
}

async fn within(time: Duration, work: impl Future<Output = Result<(), PeerProblem>>) -> Result<(), PeerProblem> {
    let late = || Err(PeerProblem::Away(format!("no answer within {} s", time.as_secs())));
    timeout(time, work).await.unwrap_or_else(|_| late())
}

/// Makes a connection, with TLS for `https`, and closes it.
async fn connect(uri: &Uri, config: &HttpClientConfig) -> Result<(), PeerProblem> {
    credentials(config).await.map_err(PeerProblem::Refused)?;
    let mut connector = connector(uri, config, CA_SETTING).await.map_err(PeerProblem::Refused)?;
    let Err(error) = connector.call(uri.clone()).await else { return Ok(()) };
    let why = chain(&*error);
    Err(if tls::cause(&*error).is_some() { PeerProblem::Refused(why) } else { PeerProblem::Away(why) })
}

async fn ask(uri: Uri, config: &HttpClientConfig) -> Result<(), PeerProblem> {
    match Http::new(uri, config.clone(), HeaderMap::new()).get().await {
        Ok(()) => Ok(()),
        Err(DeliveryError::Retry { why, .. }) => Err(PeerProblem::Away(why)),
        Err(DeliveryError::Refused(why)) => Err(PeerProblem::Refused(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{Answer, Server};

    async fn reached(uri: &Uri, config: &HttpClientConfig) -> Result<(), PeerProblem> {
        let time = Duration::from_secs(5);
        match within(time, connect(uri, config)).await {
            Ok(()) => within(time, ask(uri.clone(), config)).await,
            failed => failed,
        }
    }

    #[tokio::test]
    async fn who_is_away_may_come_back_and_who_refuses_will_not() {
        let ready = Server::start([Answer::Status(200, "OK")]).await;
        assert_eq!(reached(&ready.uri("/-/ready"), &HttpClientConfig::default()).await, Ok(()));
        let away = reached(&Server::nobody().await, &HttpClientConfig::default()).await;
        assert!(matches!(&away, Err(PeerProblem::Away(why)) if why.contains("Connection refused")), "{away:?}");
        let locked = Server::start([Answer::Status(401, "")]).await;
        let refused = reached(&locked.uri("/-/ready"), &HttpClientConfig::default()).await;
        assert!(matches!(&refused, Err(PeerProblem::Refused(why)) if why.contains("401")), "{refused:?}");
        let config = HttpClientConfig { bearer_token_file: Some("/nonexistent".into()), ..HttpClientConfig::default() };
        let refused = reached(&ready.uri("/-/ready"), &config).await;
        assert!(matches!(&refused, Err(PeerProblem::Refused(why)) if why.contains("/nonexistent")), "{refused:?}");
    }

    #[tokio::test]
    async fn a_certificate_of_somebody_else_is_named() {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der();
        let server = Server::start_tls([Answer::Status(200, "")], made.cert.der().clone(), key).await;
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca_file.path(), other.cert.pem()).unwrap();
        let config = HttpClientConfig { ca_file: Some(ca_file.path().into()), ..HttpClientConfig::default() };
        let refused = reached(&server.uri("/-/ready"), &config).await;
        assert!(
            matches!(&refused, Err(PeerProblem::Refused(why)) if why.contains("SHA-256 fingerprint")),
            "{refused:?}"
        );
    }

    #[test]
    fn a_path_that_may_be_a_secret_is_not_shown() {
        let uri = Uri::from_static("https://me:secret@hooks.example:444/services/secret");
        assert_eq!(with_address(&uri, Ok(())), Ok("https://hooks.example:444".to_owned()));
    }
}
