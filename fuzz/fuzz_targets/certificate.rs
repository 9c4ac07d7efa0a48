//! Parses a certificate that an untrusted peer sends in a TLS handshake: its names, its purposes, and whether it is
//! trusted.

#![no_main]

use std::{alloc::System, sync::LazyLock};

use cap::Cap;
use exporter_web::tls::fuzzing::{self, Verifiers};
use libfuzzer_sys::fuzz_target;

/// Memory limit: higher use is a finding. A handshake has at most 64 KiB of certificates.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

/// Listed certificates. This target does not have their keys.
const LISTED: [&[u8]; 2] =
    [include_bytes!("../seeds/certificate/self_signed.der"), include_bytes!("../seeds/certificate/plain.der")];

/// A name in the first of them.
const NAME: &str = "alerts.example";

static VERIFIERS: LazyLock<Verifiers> = LazyLock::new(|| {
    let verifiers = Verifiers::new(&LISTED).expect("the seeds can be listed");
    assert!(verifiers.trust_server(LISTED[0], NAME) && verifiers.trust_client(LISTED[0]));
    verifiers
});

fuzz_target!(|certificate: &[u8]| {
    let names = fuzzing::names(certificate);
    assert!(names.iter().map(String::len).sum::<usize>() <= 20 * certificate.len());
    let text = fuzzing::describe(certificate);
    assert!(text.len() <= 2048 && !text.contains(char::is_control), "{text:?}");

    if VERIFIERS.trust_server(certificate, NAME) || VERIFIERS.trust_client(certificate) {
        assert!(LISTED.contains(&certificate), "another certificate is trusted");
    }
    // A verifier that lists this certificate trusts it only for the certificate's own names and purposes.
    let Some(verifiers) = Verifiers::new(&[certificate]) else { return };
    if verifiers.trust_server(certificate, NAME) {
        let is_named = |name: &String| name.eq_ignore_ascii_case(NAME) || name == "*.example";
        assert!(names.iter().any(is_named), "webpki finds {NAME} in it, and here are {names:?}");
        assert!(fuzzing::allows_servers(certificate));
    }
    assert!(!verifiers.trust_client(certificate) || fuzzing::allows_clients(certificate));
});
