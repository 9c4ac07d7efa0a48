//! Trust in certificates of peers: like Go and curl, in one place for all clients and servers here.
//!
//! webpki refuses two kinds of certificates that operators list in a CA file: one that is itself a CA (`openssl req
//! -x509` makes it), and one of a CA that is not listed. Go trusts both if the certificate itself is listed, because no
//! signature is needed then.

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
