//! The web configuration file as it is written: keys and their YAML types, nothing validated beyond names.
//!
//! Called by `config`, which turns the form into a `WebConfig`. No type here has `Debug`: they hold secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::{
    error::Error,
    names::{CipherSuite, ClientAuth, Curve, Version},
};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Form {
    pub(super) tls_server_config: Option<TlsForm>,
    pub(super) http_server_config: Option<HttpForm>,
    pub(super) basic_auth_users: Option<BTreeMap<String, String>>,
    pub(super) rate_limit: Option<IgnoredAny>,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsForm {
    #[serde(deserialize_with = "unless_blank")]
    pub(super) cert: Option<String>,
    #[serde(deserialize_with = "unless_blank")]
    pub(super) key: Option<String>,
    #[serde(deserialize_with = "unless_blank")]
    pub(super) client_ca: Option<String>,
    #[serde(deserialize_with = "path_unless_blank")]
    pub(super) cert_file: Option<PathBuf>,
    #[serde(deserialize_with = "path_unless_blank")]
    pub(super) key_file: Option<PathBuf>,
    #[serde(deserialize_with = "path_unless_blank")]
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<ClientAuth>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
    pub(super) cipher_suites: Option<Vec<CipherSuite>>,
    pub(super) curve_preferences: Option<Vec<Curve>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpForm {
    pub(super) http2: Option<bool>,
    pub(super) headers: Option<HeadersForm>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HeadersForm {
    #[serde(rename = "Content-Security-Policy", deserialize_with = "unless_blank")]
    pub(super) content_security_policy: Option<String>,
    #[serde(rename = "X-Frame-Options", deserialize_with = "unless_blank")]
    pub(super) x_frame_options: Option<String>,
    #[serde(rename = "X-Content-Type-Options", deserialize_with = "unless_blank")]
    pub(super) x_content_type_options: Option<String>,
    #[serde(rename = "X-XSS-Protection", deserialize_with = "unless_blank")]
    pub(super) x_xss_protection: Option<String>,
    #[serde(rename = "Strict-Transport-Security", deserialize_with = "unless_blank")]
    pub(super) strict_transport_security: Option<String>,
}

impl Form {
    /// Reads the text of `path`. An empty file is an empty form.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        // A snippet would print the lines around the mistake, which may be a private key.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options::<Option<Self>>(text, options)
            .map(Option::unwrap_or_default)
            .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })
    }
}

/// The toolkit takes an empty string for an absent key.
fn unless_blank<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(value).map(|text| text.filter(|text| !text.is_empty()))
}

fn path_unless_blank<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    unless_blank(value).map(|text| text.map(PathBuf::from))
}
