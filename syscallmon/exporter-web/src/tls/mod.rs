//! Which certificates of peers are trusted: as Go and curl do, in one place for every client and server here.
//!
//! webpki refuses two kinds of certificates that operators list in a CA file: one that is itself a CA (`openssl req
//! -x509` makes it), and one of a CA that is not listed. Go trusts both where that very certificate is listed, since
//! then nobody needs to vouch for it.

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

/// The TLS error in an error or behind it: that the other side has another protocol, or a certificate that is refused.
/// Neither ends by itself.
#[must_use]
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    iter::successors(Some(error), |&error| behind(error)).find_map(|error| error.downcast_ref())
}

/// The next cause. The source of an error within an `io::Error` is that error's own source, which leaves out
/// the error itself.
fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => Some(within),
        None => error.source(),
    }
}
