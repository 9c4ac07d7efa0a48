//! Trusted certificates from a file or this host, and the configurations that use them.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    ClientConfig, Error as TlsError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::listed::{ListedClients, ListedServers};

/// Certificates. Those of peers must be signed by one of them, or be one of them.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    pub(super) listed: Arc<[CertificateDer<'static>]>,
    /// The remedy for a certificate without trust.
    pub(super) remedy: Arc<str>,
}

/// Why there is no trusted certificate.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is no PEM.
    #[error("{origin}: contains no PEM certificate: {source}")]
    Pem {
        /// The file.
        origin: String,
        /// What is wrong.
        source: pem::Error,
    },
    /// The file has none.
    #[error("{origin}: contains no PEM certificate")]
    Empty {
        /// The file.
        origin: String,
    },
    /// One of its certificates is broken.
    #[error("{origin}: contains an invalid certificate: {source}")]
    Certificate {
        /// The file.
        origin: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The host has no trusted certificate.
    #[error("this host has no CA certificates: set {setting} to a file with them")]
    NoneOnHost {
        /// The setting or flag.
        setting: String,
    },
    /// They cannot be used.
    #[error("the CA certificates cannot be used: {0}")]
    Unusable(String),
}

impl Trust {
    /// The certificates in a PEM file's text.
    ///
    /// # Errors
    ///
    /// When it has none, or one that is broken.
    pub fn from_pem(text: &[u8], path: &Path) -> Result<Self, TrustError> {
        let origin = path.display().to_string();
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = read.map_err(|source| TrustError::Pem { origin: origin.clone(), source })?;
        Self::from_certificates(certificates, &origin)
    }

    /// These certificates, which are from this file.
    ///
    /// # Errors
    ///
    /// When there is none, or one is broken.
    pub fn from_certificates(listed: Vec<CertificateDer<'static>>, origin: &str) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in &listed {
            let broken = |source| TrustError::Certificate { origin: origin.to_owned(), source };
            roots.add(certificate.clone()).map_err(broken)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty { origin: origin.to_owned() });
        }
        let remedy = format!("add it or the certificate of its CA to {origin}");
        Ok(Self { roots: Arc::new(roots), listed: listed.into(), remedy: remedy.into() })
    }

    /// Returns the certificates that this host trusts. `setting` is the setting for another file.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn of_host(setting: &str) -> Result<Self, TrustError> {
        let listed = rustls_native_certs::load_native_certs().certs;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(listed.iter().cloned());
        if roots.is_empty() {
            return Err(TrustError::NoneOnHost { setting: setting.to_owned() });
        }
        let remedy = format!("set {setting} to a file with it or with the certificate of its CA");
        Ok(Self { roots: Arc::new(roots), listed: listed.into(), remedy: remedy.into() })
    }

    /// Returns the verifier of a client.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn server_verifier(self) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&provider));
        let inner = verifier.build().map_err(|error| TrustError::Unusable(error.to_string()))?;
        Ok(Arc::new(ListedServers { trust: self, inner }))
    }

    /// Returns the verifier of a server with clients that may, or must, show a certificate.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn client_verifier(
        self,
        is_mandatory: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(provider));
        let verifier = if is_mandatory { verifier } else { verifier.allow_unauthenticated() };
        let inner = verifier.build().map_err(|error| TrustError::Unusable(error.to_string()))?;
        Ok(Arc::new(ListedClients { trust: self, inner }))
    }

    /// The configuration of a client that shows no certificate itself.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn client_config(self) -> Result<ClientConfig, TrustError> {
        let mut config = no_trust()?;
        config.dangerous().set_certificate_verifier(self.server_verifier()?);
        Ok(config)
    }
}

/// Returns the configuration of a client without trusted certificates, for a connector that requires one although it
/// uses plain HTTP.
///
/// # Errors
///
/// When rustls has no protocol version.
pub fn no_trust() -> Result<ClientConfig, TrustError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TrustError::Unusable(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}
