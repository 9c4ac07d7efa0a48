//! Any text as a web configuration file. Files that it names are looked for where there are none.

#![no_main]

use std::{alloc::System, path::Path};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::export::fuzzing;

/// More is a finding: the file has 4 MiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // An absolute path would be read, and could be a device.
    if text.contains('/') {
        return;
    }
    match fuzzing::web_config(Path::new("nowhere/web.yml"), text) {
        Ok(config) => assert!(!config.is_tls() || text.contains("cert")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
