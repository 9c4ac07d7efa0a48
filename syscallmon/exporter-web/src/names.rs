//! Go's names for versions, cipher suites and curves, and what rustls (with ring) has for them.
//!
//! The types are read straight from YAML, so that an unknown name is reported with its line.

use serde::Deserialize;
use tokio_rustls::rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite as SuiteId, SupportedCipherSuite, SupportedProtocolVersion};

use crate::serve::web::form::TlsForm;

/// A name from the file that cannot be honoured.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {name:?} {why}")]
pub(in super::super) struct Refused {
    pub(super) key: &'static str,
    pub(super) name: String,
    pub(super) why: &'static str,
}

#[derive(Clone, Copy, Deserialize, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(in super::super) enum Version {
    Tls12,
    Tls13,
}

impl TryFrom<String> for Version {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        let why = match name.as_str() {
            "TLS12" => return Ok(Self::Tls12),
            "TLS13" => return Ok(Self::Tls13),
            "TLS10" | "TLS11" => "is not possible: rustls has no TLS below 1.2 (RFC 8996); use TLS12 or TLS13",
            _ => "is no TLS version; use TLS12 or TLS13",
        };
        Err(Refused { key: "min_version or max_version", name, why })
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(in super::super) struct CipherSuite(SuiteId);

impl TryFrom<String> for CipherSuite {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        let known = suite_named(&name).map(|suite| Self(suite.suite()));
        known.ok_or_else(|| Refused { key: "cipher_suites", why: why_no_suite(&name), name })
    }
}

fn suite_named(name: &str) -> Option<SupportedCipherSuite> {
    Some(match name {
        "TLS_AES_128_GCM_SHA256" => suite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => suite::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => suite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        _ => return None,
    })
}

fn why_no_suite(name: &str) -> &'static str {
    if name.contains("_CBC_") || name.contains("_RC4_") || name.starts_with("TLS_RSA_") {
        "is not possible: rustls has only AEAD suites with forward secrecy; use an ECDHE suite with GCM or CHACHA20"
    } else {
        "is no cipher suite of Go's crypto/tls that rustls has; use Go's names, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(in super::super) enum Curve {
    P256,
    P384,
    X25519,
}

impl TryFrom<String> for Curve {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        let why = match name.as_str() {
            "CurveP256" => return Ok(Self::P256),
            "CurveP384" => return Ok(Self::P384),
            "X25519" => return Ok(Self::X25519),
            "CurveP521" => "is not possible: rustls has no P-521 with ring; use CurveP256, CurveP384 or X25519",
            _ => "is no curve; use CurveP256, CurveP384 or X25519",
        };
        Err(Refused { key: "curve_preferences", name, why })
    }
}

impl Curve {
    fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::P256 => kx_group::SECP256R1,
            Self::P384 => kx_group::SECP384R1,
            Self::X25519 => kx_group::X25519,
        }
    }
}

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
    let picked = listed.iter().filter_map(|CipherSuite(id)| optional.iter().find(|suite| suite.suite() == *id));
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
        (Version::Tls13, Version::Tls12) => Err("is above max_version; no version is left"),
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn every_suite_of_ring_has_a_go_name() {
        for suite in ring::default_provider().cipher_suites {
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert_eq!(suite_named(&name).map(|found| found.suite()), Some(suite.suite()), "{name}");
        }
    }

    #[test]
    fn suite_without_forward_secrecy_is_refused_with_the_reason() {
        let refused = CipherSuite::try_from("TLS_RSA_WITH_AES_128_CBC_SHA".to_owned()).err().unwrap().to_string();
        assert!(refused.contains("cipher_suites") && refused.contains("forward secrecy"), "{refused}");
    }

    #[test]
    fn p521_is_refused_with_the_reason() {
        let refused = Curve::try_from("CurveP521".to_owned()).err().unwrap().to_string();
        assert!(refused.contains("curve_preferences") && refused.contains("ring"), "{refused}");
    }
}
