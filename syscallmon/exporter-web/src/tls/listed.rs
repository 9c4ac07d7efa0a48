//! Verifiers that also trust a certificate that is listed itself.
//!
//! Certificates that webpki trusts stay trusted. Of the others, one is trusted if the same certificate, byte by byte,
//! is listed, and its signer was the only problem. Its dates, names and purposes still count, and the handshake proves
//! that the peer has its key.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    CertificateError, Error as TlsError, OtherError,
    client::{
        danger::{ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    certificate::{Purpose, allows, describe},
    trust::Trust,
};

/// Verifies servers.
#[derive(Debug)]
pub(super) struct ListedServers {
    pub(super) trust: Trust,
    pub(super) inner: Arc<dyn ServerCertVerifier>,
}

/// Verifies clients.
#[derive(Debug)]
pub(super) struct ListedClients {
    pub(super) trust: Trust,
    pub(super) inner: Arc<dyn ClientCertVerifier>,
}

/// Why a certificate is refused, with its name.
#[derive(thiserror::Error)]
struct Refused {
    certificate: String,
    source: TlsError,
    remedy: Remedy,
}

/// The remedy.
#[derive(Debug)]
enum Remedy {
    /// The certificate must be listed.
    List(Arc<str>),
    Rename,
    Renew,
    Unknown,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, source, remedy } = self;
        match remedy {
            Remedy::List(remedy) => write!(formatter, "{certificate} is not trusted: {remedy}"),
            Remedy::Rename => write!(
                formatter,
                "{certificate}: {source}: use one of its names, or issue a certificate with this name as subjectAltName (the CN is ignored)"
            ),
            Remedy::Renew => write!(formatter, "{certificate}: {source}: renew it, or correct the clocks"),
            Remedy::Unknown => write!(formatter, "{certificate}: {source}"),
        }
    }
}

/// The same: rustls shows some errors in this way only.
impl fmt::Debug for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Trust {
    /// Whether a certificate that webpki refused is trusted because it is listed; otherwise the reason.
    fn reconsider(
        &self,
        certificate: &CertificateDer<'_>,
        refusal: TlsError,
        purpose: Purpose,
    ) -> Result<(), TlsError> {
        let is_listed = self.listed.iter().any(|listed| listed == certificate);
        if !is_about_issuer(&refusal) {
            return Err(refusal);
        }
        if is_listed && !allows(certificate, purpose) {
            return Err(TlsError::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        if is_listed { Ok(()) } else { Err(refusal) }
    }

    /// Returns the error for a certificate, with its name and the remedy.
    fn rejection(&self, certificate: &CertificateDer<'_>, source: TlsError) -> Refused {
        use CertificateError as Why;
        let remedy = match &source {
            refusal if is_about_issuer(refusal) => Remedy::List(Arc::clone(&self.remedy)),
            TlsError::InvalidCertificate(Why::NotValidForName | Why::NotValidForNameContext { .. }) => Remedy::Rename,
            TlsError::InvalidCertificate(
                Why::Expired | Why::ExpiredContext { .. } | Why::NotValidYet | Why::NotValidYetContext { .. },
            ) => Remedy::Renew,
            _ => Remedy::Unknown,
        };
        Refused { certificate: describe(certificate), source, remedy }
    }
}

/// Whether the signer of a certificate, or that it is one of a CA, is its only problem. webpki checks dates before, but
/// names and purposes after. A signature is wrong if a listed CA has the issuer's name and did not make it.
fn is_about_issuer(refusal: &TlsError) -> bool {
    match refusal {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => true,
        TlsError::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

impl ServerCertVerifier for ListedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified
            .or_else(|refusal| {
                self.trust.reconsider(end_entity, refusal, Purpose::Server)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            })
            .map_err(|refusal| TlsError::Other(OtherError(Arc::new(self.trust.rejection(end_entity, refusal)))))
    }

    inner_signatures!();
}

impl ClientCertVerifier for ListedClients {
    inner_client_auth!();

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now);
        verified
            .or_else(|refusal| {
                self.trust.reconsider(end_entity, refusal, Purpose::Client)?;
                Ok(ClientCertVerified::assertion())
            })
            .inspect_err(|refusal: &TlsError| {
                // The client gets an alert with the reason, which an error of another type would not send.
                tracing::debug!("rejected a client certificate: {}", self.trust.rejection(end_entity, refusal.clone()));
            })
    }

    inner_signatures!();
}
