//! Trust in certificates of peers: like Go and curl, in one place for all clients and servers here.
//!
//! webpki refuses two kinds of certificates that operators list in a CA file: one that is itself a CA (`openssl req
//! -x509` makes it), and one of a CA that is not listed. Go trusts both if the certificate itself is listed, because no
//! signature is needed then.

/// Methods of a verifier with a field `inner`, which checks signatures: Rust has no delegation.
macro_rules! inner_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &::tokio_rustls::rustls::pki_types::CertificateDer<'_>,
            signature: &::tokio_rustls::rustls::DigitallySignedStruct,
        ) -> Result<::tokio_rustls::rustls::client::danger::HandshakeSignatureValid, ::tokio_rustls::rustls::Error> {
            self.inner.verify_tls12_signature(message, cert, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &::tokio_rustls::rustls::pki_types::CertificateDer<'_>,
            signature: &::tokio_rustls::rustls::DigitallySignedStruct,
        ) -> Result<::tokio_rustls::rustls::client::danger::HandshakeSignatureValid, ::tokio_rustls::rustls::Error> {
            self.inner.verify_tls13_signature(message, cert, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<::tokio_rustls::rustls::SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}

/// Methods of a verifier of clients with a field `inner`, which decides whether clients must show a certificate.
macro_rules! inner_client_auth {
    () => {
        fn client_auth_mandatory(&self) -> bool {
            self.inner.client_auth_mandatory()
        }

        fn root_hint_subjects(&self) -> &[::tokio_rustls::rustls::DistinguishedName] {
            self.inner.root_hint_subjects()
        }
    };
}

mod certificate;
#[cfg(fuzzing)]
pub mod fuzzing;
mod listed;
#[cfg(test)]
mod tests;
mod trust;

use std::{error::Error, io, iter};

use tokio_rustls::rustls::Error as TlsError;

pub use self::{
    certificate::{describe, names},
    trust::{Trust, TrustError, no_trust},
};

/// Returns the TLS error in an error or its causes: the other side has another protocol, or a certificate is refused.
/// Neither disappears without a change.
#[must_use]
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    iter::successors(Some(error), |&error| behind(error)).find_map(|error| error.downcast_ref())
}

/// Returns the next cause. The source of an error within an `io::Error` is that error's own source, which would skip
/// the error itself.
fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => Some(within),
        None => error.source(),
    }
}
