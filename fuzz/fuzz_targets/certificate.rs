//! A certificate that a stranger sends in a TLS handshake, to the names and purposes that it has.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::tls::fuzzing;

/// More is a finding: a handshake has at most 64 KiB of certificates.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|certificate: &[u8]| {
    let names = fuzzing::names(certificate);
    assert!(names.iter().map(String::len).sum::<usize>() <= 20 * certificate.len());
    let text = fuzzing::describe(certificate);
    assert!(text.len() <= 2048 && !text.contains(char::is_control), "{text:?}");
    fuzzing::allows_servers(certificate);
});
