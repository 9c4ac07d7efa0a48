//! Go's names for versions, cipher suites, curves and client authentication, and what rustls (with ring) has for them.
//!
//! The types are read straight from YAML, so that an unknown name is reported with its line. `form` holds them, and
//! `tls_config` builds a rustls configuration from them.

use serde::Deserialize;
use tokio_rustls::rustls::crypto::SupportedKxGroup;
use tokio_rustls::rustls::crypto::ring::{cipher_suite as suite, kx_group};
use tokio_rustls::rustls::{CipherSuite as SuiteId, SupportedCipherSuite};

/// A name from the file that cannot be honoured.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {name:?} {why}")]
pub(crate) struct Refused {
    key: &'static str,
    name: String,
    why: &'static str,
}

/// `min_version` and `max_version`.
#[derive(Clone, Copy, Deserialize, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl TryFrom<String> for Version {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        let why = match name.as_str() {
            "TLS12" => return Ok(Self::Tls12),
            "TLS13" => return Ok(Self::Tls13),
            "TLS10" | "TLS11" => "is not supported: rustls has no TLS below 1.2 (RFC 8996); use TLS12 or TLS13",
            _ => "is not a TLS version; use TLS12 or TLS13",
        };
        Err(Refused { key: "min_version or max_version", name, why })
    }
}

/// One of `cipher_suites`.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(crate) struct CipherSuite(SuiteId);

impl TryFrom<String> for CipherSuite {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        let known = suite_named(&name).map(|suite| Self(suite.suite()));
        known.ok_or_else(|| Refused { key: "cipher_suites", why: why_no_suite(&name), name })
    }
}

impl CipherSuite {
    /// The suite's number in TLS.
    pub(super) fn id(self) -> SuiteId {
        self.0
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
        "is not supported: rustls has only AEAD suites with forward secrecy; use an ECDHE suite with GCM or CHACHA20"
    } else {
        "is not supported; use one of Go's names that rustls has, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    }
}

/// One of `curve_preferences`.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(crate) enum Curve {
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
            "CurveP521" => "is not supported: rustls has no P-521 with ring; use CurveP256, CurveP384 or X25519",
            _ => "is not a curve; use CurveP256, CurveP384 or X25519",
        };
        Err(Refused { key: "curve_preferences", name, why })
    }
}

impl Curve {
    /// The same curve in rustls.
    pub(super) fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::P256 => kx_group::SECP256R1,
            Self::P384 => kx_group::SECP384R1,
            Self::X25519 => kx_group::X25519,
        }
    }
}

/// `client_auth_type`: whether a client must show a certificate, and which checks apply to it.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(crate) enum ClientAuth {
    #[default]
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl TryFrom<String> for ClientAuth {
    type Error = Refused;

    fn try_from(name: String) -> Result<Self, Refused> {
        Ok(match name.as_str() {
            "" | "NoClientCert" => Self::None,
            "RequestClientCert" => Self::Request,
            // The toolkit's older name for the same.
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAny,
            "VerifyClientCertIfGiven" => Self::VerifyIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerify,
            _ => {
                return Err(Refused {
                    key: "client_auth_type",
                    name,
                    why: "is unknown; use RequireAndVerifyClientCert",
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::ring;

    use super::*;

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
