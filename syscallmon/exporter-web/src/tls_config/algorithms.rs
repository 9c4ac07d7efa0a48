//! The protocol versions, cipher suites and curves of `tls_server_config`, as rustls takes them.

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::form::TlsForm;
use crate::names::{CipherSuite, Version};

/// The algorithms asked for, in the order of the file.
pub(super) fn provider(form: &TlsForm) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(listed) = form.cipher_suites.as_deref().filter(|listed| !listed.is_empty()) {
        provider.cipher_suites = suites(provider.cipher_suites, listed);
    }
    if let Some(listed) = form.curve_preferences.as_deref().filter(|listed| !listed.is_empty()) {
        provider.kx_groups = listed.iter().map(|curve| curve.group()).collect();
    }
    provider
}

/// As in Go, the list picks and orders the suites of TLS 1.2; those of 1.3 are always on.
fn suites(all: Vec<SupportedCipherSuite>, listed: &[CipherSuite]) -> Vec<SupportedCipherSuite> {
    let (always, optional): (Vec<_>, Vec<_>) = all.into_iter().partition(|suite| suite.tls13().is_some());
    let picked = listed.iter().filter_map(|listed| optional.iter().find(|suite| suite.suite() == listed.id()));
    always.into_iter().chain(picked.copied()).collect()
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// The versions between `min_version` and `max_version`.
pub(super) fn versions(form: &TlsForm) -> Result<&'static [&'static SupportedProtocolVersion], &'static str> {
    let min = form.min_version.unwrap_or(Version::Tls12);
    let max = form.max_version.unwrap_or(Version::Tls13);
    match (min, max) {
        (Version::Tls12, Version::Tls13) => Ok(&BOTH),
        (Version::Tls12, Version::Tls12) => Ok(&BOTH[1..]),
        (Version::Tls13, Version::Tls13) => Ok(&BOTH[..1]),
        (Version::Tls13, Version::Tls12) => Err("is above max_version"),
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::CipherSuite as SuiteId;

    use super::*;

    fn named(names: &[&str]) -> Vec<CipherSuite> {
        names.iter().map(|name| CipherSuite::try_from((*name).to_owned()).unwrap()).collect()
    }

    #[test]
    fn listed_suites_replace_those_of_tls12_in_their_order_and_leave_tls13() {
        let listed = named(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
        let form = TlsForm { cipher_suites: Some(listed), ..TlsForm::default() };
        let ids: Vec<_> = provider(&form).cipher_suites.iter().map(SupportedCipherSuite::suite).collect();
        assert_eq!(ids.len(), 5);
        assert_eq!(ids[3], SuiteId::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256);
        assert_eq!(ids[4], SuiteId::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    }
}
