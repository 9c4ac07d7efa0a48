//! Subject alternative names out of a certificate's DER (RFC 5280, section 4.2.1.6).
//!
//! Written by hand because webpki shows no e-mail, URI or address, and an ASN.1 stack is much for one extension.
//! `clients` calls it with certificates that may be hostile (`RequireAnyClientCert`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[3] EXPLICIT`, the extensions among the parts of a `TBSCertificate`.
const EXTENSIONS: u8 = 0xa3;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// DNS names, e-mail addresses, URIs and IP addresses as text. Malformed DER has none.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    let general_names = extension(certificate).unwrap_or_default();
    Der(general_names).filter_map(|(tag, content)| text(tag, content)).collect()
}

fn extension(certificate: &[u8]) -> Option<&[u8]> {
    let mut tbs = Der(Der(Der(certificate).element(SEQUENCE)?).element(SEQUENCE)?);
    let extensions = tbs.find(|(tag, _)| *tag == EXTENSIONS)?.1;
    Der(Der(extensions).element(SEQUENCE)?).find_map(|(_, extension)| alt_names(extension))
}

/// `SEQUENCE { OID, critical BOOLEAN OPTIONAL, OCTET STRING { SEQUENCE OF GeneralName } }`
fn alt_names(extension: &[u8]) -> Option<&[u8]> {
    let mut parts = Der(extension);
    if parts.element(OID)? != SUBJECT_ALT_NAME {
        return None;
    }
    let (_, value) = parts.find(|(tag, _)| *tag != BOOLEAN).filter(|(tag, _)| *tag == OCTET_STRING)?;
    Der(value).element(SEQUENCE)
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
    use rcgen::{CertificateParams, KeyPair, SanType};

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
            names(&damaged);
        }
    }
}
