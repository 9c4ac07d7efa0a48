//! Parses any JSON as a seccomp profile, and decides, compares and heals with it.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    profile::{Comparison, Surface, with_allowed},
    seccomp::Profile,
    syscalls::{CallTable, IO_URING},
};

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|json: &[u8]| {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) {
        let _ = Profile::from_value(with_allowed(value, &["kill", "openat", "socket(AF_UNIX)"].into()));
    }
    let Ok(profile) = Profile::parse(&String::from_utf8_lossy(json)) else { return };
    for table in [CallTable::x86_64(), CallTable::aarch64()] {
        let calls = profile.calls(&table);
        assert_eq!(calls.len(), table.iter().count());
        for ((_, call), allowed) in table.iter().zip(calls) {
            assert!(!allowed || call.abi != IO_URING, "{call:?}");
        }
        for (_, call) in table.iter().filter(|(_, call)| call.abi != IO_URING) {
            let decision = |args| profile.decide(table.native_abi(), call.abi, call.syscall, args);
            let mildest = profile.decide_mildest(table.native_abi(), call.abi, call.syscall);
            assert!(mildest <= decision(&[0; 6]) && mildest <= decision(&[1; 6]), "{call:?}");
        }
    }
    let _ = Surface::new(&profile);
    assert!(Comparison::new(&profile, &profile).changes.is_empty());
});
