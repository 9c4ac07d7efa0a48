//! The user and password of an `Authorization: Basic` header (RFC 7617).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_STANDARD, Engine};

/// What a client claims. Bytes, as neither part need be UTF-8. No `Debug`: it holds a password.
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Credentials {
    /// `None` without the header, or if it is malformed.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Self { user: decoded[..colon].to_vec(), password: decoded[colon + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        Credentials::from_headers(&headers).map(|found| (found.user, found.password))
    }

    #[test]
    fn password_may_contain_colons() {
        assert_eq!(parse("bAsIc YTpiOmM="), Some((b"a".to_vec(), b"b:c".to_vec())));
    }

    #[test]
    fn other_schemes_and_bad_base64_carry_no_credentials() {
        for value in ["Bearer YTpi", "Basic", "Basic !!", "Basic YQ==", "Basic  YTpi"] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
