//! The security headers that the toolkit lets a file set on every response. The set is fixed, as it is there.
//!
//! Called by `config`; `service` puts the result on responses.

use std::path::Path;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{error::Error, form::HeadersForm};

/// One header of the set: its key in the file, its name, the value given, and the values allowed (none: any).
type HeaderRow = (&'static str, HeaderName, Option<String>, &'static [&'static str]);

impl HeadersForm {
    /// The headers to send. `path` is the web configuration file, for errors.
    pub(super) fn validate(self, path: &Path) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (key, name, value, allowed) in self.rows() {
            if let Some(value) = value {
                headers.insert(name, header_value(path, key, &value, allowed)?);
            }
        }
        Ok(headers)
    }

    fn rows(self) -> [HeaderRow; 5] {
        [
            ("Content-Security-Policy", header::CONTENT_SECURITY_POLICY, self.content_security_policy, &[]),
            ("X-Frame-Options", header::X_FRAME_OPTIONS, self.x_frame_options, &["deny", "sameorigin"]),
            ("X-Content-Type-Options", header::X_CONTENT_TYPE_OPTIONS, self.x_content_type_options, &["nosniff"]),
            ("X-XSS-Protection", header::X_XSS_PROTECTION, self.x_xss_protection, &[]),
            ("Strict-Transport-Security", header::STRICT_TRANSPORT_SECURITY, self.strict_transport_security, &[]),
        ]
    }
}

fn header_value(path: &Path, key: &'static str, value: &str, allowed: &[&str]) -> Result<HeaderValue, Error> {
    let refuse = |why| Error::Setting { path: path.to_owned(), key, why };
    if !allowed.is_empty() && !allowed.contains(&value) {
        return Err(refuse(format!("{value:?} is not supported; use one of {}", allowed.join(", "))));
    }
    HeaderValue::from_str(value).map_err(|_| refuse("a header's value must be one line of visible ASCII".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(form: HeadersForm) -> Result<HeaderMap, Error> {
        form.validate(Path::new("web.yml"))
    }

    #[test]
    fn value_outside_the_enumeration_is_refused_by_key() {
        let form = HeadersForm { x_frame_options: Some("allow".into()), ..HeadersForm::default() };
        let text = validate(form).unwrap_err().to_string();
        assert!(text.contains("X-Frame-Options") && text.contains("sameorigin"), "{text}");
    }

    #[test]
    fn line_break_cannot_smuggle_a_second_header() {
        let form = HeadersForm { x_xss_protection: Some("0\r\nSet-Cookie: a".into()), ..HeadersForm::default() };
        assert!(validate(form).is_err());
    }
}
