//! Interface for the fuzz target of certificates.

use std::{sync::Arc, time::Duration};

use tokio_rustls::rustls::{
    client::danger::ServerCertVerifier,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::ClientCertVerifier,
};

use super::{
    Trust,
    certificate::{Purpose, allows},
};
pub use super::{describe, names};

/// The seeds are valid at this time (January 2027).
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

/// Whether a certificate may be a server's.
#[must_use]
pub fn allows_servers(certificate: &[u8]) -> bool {
    allows(certificate, Purpose::Server)
}

/// Whether a certificate may be a client's.
#[must_use]
pub fn allows_clients(certificate: &[u8]) -> bool {
    allows(certificate, Purpose::Client)
}

/// A client and a server that trust the same certificates.
pub struct Verifiers {
    of_servers: Arc<dyn ServerCertVerifier>,
    of_clients: Arc<dyn ClientCertVerifier>,
}

impl Verifiers {
    /// They list these; `None` if one of them cannot be listed.
    #[must_use]
    pub fn new(listed: &[&[u8]]) -> Option<Self> {
        let listed = listed.iter().map(|certificate| CertificateDer::from(certificate.to_vec())).collect();
        let trust = Trust::from_certificates(listed, "fuzz").ok()?;
        let of_clients = trust.clone().client_verifier(true, &Arc::new(ring::default_provider())).ok()?;
        Some(Self { of_servers: trust.server_verifier().ok()?, of_clients })
    }

    /// Whether the client takes the certificate for that of a server of this name.
    #[must_use]
    pub fn trust_server(&self, certificate: &[u8], name: &str) -> bool {
        let (certificate, Ok(name)) = (CertificateDer::from(certificate), ServerName::try_from(name)) else {
            return false;
        };
        self.of_servers.verify_server_cert(&certificate, &[], &name, &[], NOW).is_ok()
    }

    /// Whether the server takes the certificate for a client's.
    #[must_use]
    pub fn trust_client(&self, certificate: &[u8]) -> bool {
        self.of_clients.verify_client_cert(&CertificateDer::from(certificate), &[], NOW).is_ok()
    }
}
