//! Turns `tls_server_config` into a rustls configuration, or says which key rustls cannot honour.
//!
//! Called by `config` only. Reads certificates through `files`, so that a renewed one is noticed. The algorithms are
//! ring's, whatever the process' default provider is.

mod algorithms;
mod clients;
mod identity;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::NoServerSessionStorage;

use super::{error::Error, files::Files, form::TlsForm, names::ClientAuth};
use identity::Material;

/// ALPN's names for the protocols that `connection` speaks.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The configuration for new connections; `None` for a section without any key, which means plain HTTP.
///
/// `path` is the web configuration file: relative paths start at its directory.
pub(super) fn server_config(
    form: &TlsForm,
    http2: bool,
    path: &Path,
    files: &mut Files,
) -> Result<Option<Arc<ServerConfig>>, Error> {
    if *form == TlsForm::default() {
        return Ok(None);
    }
    let provider = Arc::new(algorithms::provider(form));
    let mut material = Material::new(path, files);
    let verifier = clients::verifier(form, &provider, &mut material)?;
    let (chain, key) = identity::load(form, &mut material)?;
    let refused = |key| move |source| Error::Tls { path: path.to_owned(), key, source };
    let mut config = builder(provider, form, path)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(refused("cert_file with key_file"))?;
    config.alpn_protocols = protocols(http2);
    config.ignore_client_order = form.prefer_server_cipher_suites.unwrap_or(true);
    if form.client_auth_type.unwrap_or_default() != ClientAuth::None {
        forbid_resumption(&mut config);
    }
    Ok(Some(Arc::new(config)))
}

type Builder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

fn builder(provider: Arc<CryptoProvider>, form: &TlsForm, path: &Path) -> Result<Builder, Error> {
    let versions = algorithms::versions(form).map_err(|why| Error::Setting {
        path: path.to_owned(),
        key: "min_version",
        why: why.to_owned(),
    })?;
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(|source| Error::Tls {
        path: path.to_owned(),
        key: "cipher_suites with min_version and max_version",
        source,
    })
}

fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let offered: &[&[u8]] = if http2 { &[HTTP2, HTTP1] } else { &[HTTP1] };
    offered.iter().map(|name| name.to_vec()).collect()
}

/// A resumed session skips the check of the client's certificate, which may have expired since.
fn forbid_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}
