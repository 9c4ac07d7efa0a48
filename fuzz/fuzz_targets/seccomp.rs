//! Parses any JSON as a seccomp profile.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    seccomp::Profile,
    syscalls::{CallTable, IO_URING},
};

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|json: &[u8]| {
    let Ok(profile) = Profile::parse(&String::from_utf8_lossy(json)) else { return };
    for table in [CallTable::x86_64(), CallTable::aarch64()] {
        let calls = profile.calls(&table);
        assert_eq!(calls.len(), table.iter().count());
        for ((_, call), allowed) in table.iter().zip(calls) {
            assert!(!allowed || call.abi != IO_URING, "{call:?}");
        }
    }
});
