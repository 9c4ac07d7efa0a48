//! Any text as a web configuration file. Files that it names are looked for where there are none.

#![no_main]

use std::{alloc::System, path::Path};

use cap::Cap;
use exporter_web::fuzzing;
use libfuzzer_sys::fuzz_target;

/// More is a finding: the file has 4 MiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A file with an absolute path would be read; one of these may keep its reader waiting.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    match fuzzing::web_config(Path::new("nowhere/web.yml"), text) {
        Ok(config) => assert!(!config.is_tls() || text.contains("cert")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
