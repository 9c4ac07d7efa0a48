//! `client_auth_type` and related keys: which clients must show a certificate, and which certificates are accepted.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme,
};

use super::identity::Material;
use crate::{
    error::Error,
    form::TlsForm,
    names::ClientAuth,
    tls::{self, Trust},
};

/// The verifier for `client_auth_type`, `client_ca`, `client_ca_file` and `client_allowed_sans`.
pub(super) fn verifier(
    form: &TlsForm,
    provider: &Arc<CryptoProvider>,
    material: &mut Material,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let auth = form.client_auth_type.unwrap_or_default();
    let trust = trusted(form, material)?;
    if auth == ClientAuth::None && trust.is_some() {
        return Err(material.refuse("client_ca_file", "has no effect without client_auth_type"));
    }
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ClientCertVerifier> = match auth {
        ClientAuth::None => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Request => Arc::new(AnyCertificate { mandatory: false, algorithms }),
        ClientAuth::RequireAny => Arc::new(AnyCertificate { mandatory: true, algorithms }),
        ClientAuth::VerifyIfGiven => signed(trust, false, provider, material)?,
        ClientAuth::RequireAndVerify => signed(trust, true, provider, material)?,
    };
    restrict(verifier, auth, form.client_allowed_sans.as_deref(), material)
}

fn trusted(form: &TlsForm, material: &mut Material) -> Result<Option<Trust>, Error> {
    let text = ("client_ca", form.client_ca.as_ref());
    let Some(pem) = material.find(text, ("client_ca_file", form.client_ca_file.as_ref()))? else {
        return Ok(None);
    };
    let trust = Trust::from_certificates(material.certificates(&pem)?, "client_ca_file");
    trust.map(Some).map_err(|error| material.refuse("client_ca_file", error.to_string()))
}

/// A verifier that requires a certificate that is trusted, or signed by a trusted one.
fn signed(
    trust: Option<Trust>,
    mandatory: bool,
    provider: &Arc<CryptoProvider>,
    material: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let why = "is required to verify client certificates (system CAs are not trusted for clients)";
    let trust = trust.ok_or_else(|| material.refuse("client_ca_file", why))?;
    trust.client_verifier(mandatory, provider).map_err(|error| material.refuse("client_ca_file", error.to_string()))
}

fn restrict(
    verifier: Arc<dyn ClientCertVerifier>,
    auth: ClientAuth,
    allowed: Option<&[String]>,
    material: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let Some(allowed) = allowed else { return Ok(verifier) };
    if !matches!(auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify) {
        let why = "requires client_auth_type RequireAndVerifyClientCert (or RequireAnyClientCert)";
        return Err(material.refuse("client_allowed_sans", why));
    }
    Ok(Arc::new(AllowedSans { inner: verifier, allowed: allowed.to_vec() }))
}

/// Accepts any certificate if the client has its key.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts certificates that `inner` accepts and that have a listed subject alternative name.
#[derive(Debug)]
struct AllowedSans {
    inner: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for AllowedSans {
    inner_client_auth!();

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        if tls::names(end_entity).iter().any(|name| self.allowed.contains(name)) {
            Ok(verified)
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    inner_signatures!();
}
