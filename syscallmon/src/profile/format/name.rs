//! Names of objects, namespaces and policies: those that Kubernetes accepts (RFC 1123).

use super::{Details, FormatError};

/// Maximum length of a name that every format accepts. Policies have the shortest names.
const MAX_IN_EVERY_FORMAT: usize = 63;

/// Maximum length of a namespace.
const MAX_NAMESPACE: usize = 63;

impl Details {
    /// Checks the name and the namespace by the rules of all formats together, also where a format has neither.
    ///
    /// # Errors
    ///
    /// When one of them is not a name.
    pub fn check(&self) -> Result<(), FormatError> {
        check_name(&self.name, "an object or a policy (name)", MAX_IN_EVERY_FORMAT)?;
        self.namespace.as_deref().map_or(Ok(()), check_namespace)
    }
}

/// Checks the name of an object: parts as of [`is_part`] with dots between them.
pub(super) fn check_name(name: &str, what: &'static str, max: usize) -> Result<(), FormatError> {
    let is_valid = name.len() <= max && name.split('.').all(is_part);
    if is_valid { Ok(()) } else { Err(invalid(name, what, "a-z, 0-9, - and .", max)) }
}

/// Checks the name of a namespace.
pub(super) fn check_namespace(name: &str) -> Result<(), FormatError> {
    let is_valid = name.len() <= MAX_NAMESPACE && is_part(name);
    if is_valid { Ok(()) } else { Err(invalid(name, "a namespace (namespace)", "a-z, 0-9 and -", MAX_NAMESPACE)) }
}

fn invalid(name: &str, what: &'static str, characters: &'static str, max: usize) -> FormatError {
    FormatError::Name { name: name.chars().take(64).collect(), what, characters, max }
}

/// Whether a text is lower-case letters, digits and `-`, with a letter or a digit at both ends.
fn is_part(part: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|&byte| is_alphanumeric(byte));
    let bytes = part.as_bytes();
    is_edge(bytes.first()) && is_edge(bytes.last()) && bytes.iter().all(|&byte| is_alphanumeric(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_refuses_are_refused() {
        for name in ["", "-web", "web-", "Web", "we b", "web\n", "a..b", "a-.b", ".a", "w\u{e9}b", &"w".repeat(254)] {
            assert!(check_name(name, "a profile", 253).is_err(), "{name:?}");
            assert!(check_namespace(name).is_err(), "{name:?}");
        }
        assert!(check_name("shop-web.7d5", "a profile", 253).is_ok() && check_namespace("shop-web").is_ok());
        assert!(check_namespace("shop.web").is_err() && check_namespace(&"w".repeat(64)).is_err());
        let error = check_name("Web", "a profile (name)", 253).unwrap_err().to_string();
        assert!(error.contains("a-z, 0-9, - and .") && error.contains("at most 253"), "{error}");
    }
}
