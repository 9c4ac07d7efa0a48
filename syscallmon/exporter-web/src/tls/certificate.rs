//! Reads a certificate's DER (RFC 5280): names, purposes, and a description for messages.
//!
//! This parser exists because webpki shows no e-mail, URI or address, and an ASN.1 library is too much for a few
//! fields. Certificates may be hostile: a peer sends them before it is authenticated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ring::digest::{SHA256, digest};

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] EXPLICIT`, the version among the parts of a `TBSCertificate`; version 1 has none.
const VERSION: u8 = 0xa0;
/// `[3] EXPLICIT`, the extensions among the parts of a `TBSCertificate`.
const EXTENSIONS: u8 = 0xa3;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// Characters of one name in a message, and names of one certificate.
const MAX_NAME_CHARS: usize = 64;
const MAX_SHOWN_NAMES: usize = 5;

/// What a certificate may be used for (extended key usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// id-kp-serverAuth.
    Server,
    /// id-kp-clientAuth.
    Client,
}

impl Purpose {
    fn oid(self) -> &'static [u8] {
        match self {
            Self::Server => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            Self::Client => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

/// DNS names, e-mail addresses, URIs and IP addresses as text. Malformed DER has none.
#[must_use]
pub fn names(certificate: &[u8]) -> Vec<String> {
    let general_names = extension(certificate, SUBJECT_ALT_NAME).and_then(|value| Der(value).element(SEQUENCE));
    Der(general_names.unwrap_or_default()).filter_map(|(tag, content)| text(tag, content)).collect()
}

/// Whether a certificate may be used for this: one that says nothing of purposes may be used for every one.
pub(super) fn allows(certificate: &[u8], purpose: Purpose) -> bool {
    let Some(value) = extension(certificate, EXTENDED_KEY_USAGE) else { return true };
    let Some(purposes) = Der(value).element(SEQUENCE) else { return false };
    Der(purposes).any(|(tag, oid)| tag == OID && [purpose.oid(), ANY_PURPOSE].contains(&oid))
}

/// How to call a certificate in a message: names to know it by, and the fingerprint as `openssl x509 -fingerprint
/// -sha256` prints it.
#[must_use]
pub fn describe(certificate: &[u8]) -> String {
    let mut names: Vec<String> = names(certificate).iter().map(|name| shown(name)).collect();
    if names.len() > MAX_SHOWN_NAMES {
        let more = names.len() - MAX_SHOWN_NAMES;
        names.truncate(MAX_SHOWN_NAMES);
        names.push(format!("{more} more"));
    }
    let names = if names.is_empty() { "no names".to_owned() } else { format!("names {}", names.join(", ")) };
    let subject = common_name(certificate).map_or_else(String::new, |name| format!("CN={}, ", shown(&name)));
    let digits: Vec<String> = digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("certificate ({subject}{names}, SHA-256 fingerprint {})", digits.join(":"))
}

/// A name that a stranger chose, as it can stand in a line of a log.
fn shown(name: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '?' }).take(MAX_NAME_CHARS).collect();
    if name.chars().nth(MAX_NAME_CHARS).is_some() { plain + "..." } else { plain }
}

/// The parts of the `TBSCertificate`.
fn parts(certificate: &[u8]) -> Option<Der<'_>> {
    Some(Der(Der(Der(certificate).element(SEQUENCE)?).element(SEQUENCE)?))
}

/// The common name in the subject, which comes after serial number, algorithm, issuer and validity.
fn common_name(certificate: &[u8]) -> Option<String> {
    let mut parts = parts(certificate)?;
    let mut fields = parts.by_ref().filter(|(tag, _)| *tag != VERSION);
    let (_, subject) = fields.nth(4).filter(|(tag, _)| *tag == SEQUENCE)?;
    Der(subject).filter(|(tag, _)| *tag == SET).find_map(|(_, attributes)| {
        let mut attribute = Der(Der(attributes).element(SEQUENCE)?);
        let is_name = attribute.element(OID)? == COMMON_NAME;
        let (_, value) = attribute.next().filter(|_| is_name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The value of an extension: `SEQUENCE { OID, critical BOOLEAN OPTIONAL, OCTET STRING }`
fn extension<'a>(certificate: &'a [u8], id: &[u8]) -> Option<&'a [u8]> {
    let extensions = parts(certificate)?.find(|(tag, _)| *tag == EXTENSIONS)?.1;
    Der(Der(extensions).element(SEQUENCE)?).find_map(|(_, extension)| {
        let mut parts = Der(extension);
        if parts.element(OID)? != id {
            return None;
        }
        let (_, value) = parts.find(|(tag, _)| *tag != BOOLEAN).filter(|(tag, _)| *tag == OCTET_STRING)?;
        Some(value)
    })
}

fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        EMAIL | DNS | URI => String::from_utf8(content.to_vec()).ok(),
        ADDRESS => address(content).map(|address| address.to_canonical().to_string()),
        _ => None,
    }
}

fn address(content: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(content).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = <[u8; 16]>::try_from(content).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    v4.or(v6).ok()
}

/// The elements of a DER value in order: tag and content. Ends at the first that is cut short.
#[derive(Default)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's content, if it has this tag.
    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (len, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, content))
    }
}

/// One byte below 0x80, or the count of the big-endian bytes that follow (at most 4 here: certificates are small).
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
    Some((digits.iter().fold(0, |len, digit| (len << 8) | usize::from(*digit)), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(["scraper.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("ops@example.org".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://cluster/prometheus".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.7".parse().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("2001:db8::1".parse().unwrap()));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let expected = ["scraper.example", "ops@example.org", "spiffe://cluster/prometheus", "10.0.0.7", "2001:db8::1"];
        assert_eq!(names(&certificate()), expected);
    }

    fn with_purposes(purposes: Vec<ExtendedKeyUsagePurpose>) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.extended_key_usages = purposes;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn purposes_are_kept_to() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
        for (purposes, server, client) in [
            (vec![], true, true),
            (vec![Any], true, true),
            (vec![CodeSigning, ServerAuth], true, false),
            (vec![ClientAuth], false, true),
            (vec![CodeSigning], false, false),
        ] {
            let made = with_purposes(purposes.clone());
            let allowed = [Purpose::Server, Purpose::Client].map(|purpose| allows(&made, purpose));
            assert_eq!(allowed, [server, client], "{purposes:?}");
        }
    }

    #[test]
    fn a_description_names_a_certificate_and_no_control_characters() {
        let mut params = CertificateParams::new((0..7).map(|n| format!("{n}.example")).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("evil\u{1b}[2J\n\u{202e}{}", "x".repeat(100)));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let text = describe(made.der());
        let start = format!("certificate (CN=evil?[2J??{}..., names 0.example, ", "x".repeat(54));
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains("4.example, 2 more, SHA-256 fingerprint ") && text.len() < 400, "{text}");
        assert!(describe(b"nonsense").starts_with("certificate (no names, SHA-256"));
    }

    #[test]
    fn truncated_certificate_has_no_names_and_does_not_panic() {
        let whole = certificate();
        for len in 0..whole.len() {
            assert!(names(&whole[..len]).is_empty());
        }
    }

    proptest! {
        #[test]
        fn damaged_certificate_does_not_panic(at in 0_usize..300, byte: u8) {
            let mut damaged = certificate();
            let at = at % damaged.len();
            damaged[at] = byte;
            let _ = (names(&damaged), describe(&damaged));
            allows(&damaged, Purpose::Server);
        }
    }
}
