//! Parses any text as a web configuration file. Relative file names in it refer to a directory that does not exist.

#![no_main]

use std::{alloc::System, path::Path};

use cap::Cap;
use exporter_web::fuzzing;
use libfuzzer_sys::fuzz_target;

/// Memory limit: higher use is a finding. The file has 4 MiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The parser reads files with absolute paths. A file in one of these directories may block the reader.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    match fuzzing::web_config(Path::new("nowhere/web.yml"), text) {
        Ok(config) => assert!(!config.is_tls() || text.contains("cert")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
