//! Parses any command line of a process, as in `/proc/PID/cmdline`.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::process::CommandLines;

/// Memory limit: higher use is a finding. The daemon reads 4 KiB.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 16 << 20);

/// Number of bytes that the daemon reads: one more than it keeps.
const MAX_BYTES: usize = 4097;

/// Secrets that are recognized by name or by form, whatever text precedes them.
const SECRETS: [&str; 5] =
    ["--password=CaNaRy7", "API_TOKEN=CaNaRy7", "--secret\0CaNaRy7", "https://user:CaNaRy7@host/", "ghp_CaNaRy7"];
const CANARY: &str = "CaNaRy7";

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    for mode in [CommandLines::Redacted, CommandLines::Full, CommandLines::Program, CommandLines::None] {
        let Some(arguments) = mode.parse(bytes) else { continue };
        let json = serde_json::to_string(&arguments).expect("texts can be written");
        assert!(json.len() <= MAX_BYTES + 8 && !arguments.is_empty(), "{mode:?}: {json}");
        assert!(!arguments.iter().any(|argument| argument.contains(char::is_control)), "{mode:?}: {json}");
        assert!(mode != CommandLines::Program || arguments.len() == 1);
    }
    if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        return;
    }
    for secret in SECRETS {
        for line in [[bytes, b"\0", secret.as_bytes()].concat(), [secret.as_bytes(), b"\0", bytes].concat()] {
            let arguments = CommandLines::Redacted.parse(&line).expect("there is an argument");
            assert!(!arguments.join(" ").contains(CANARY), "{secret:?}: {arguments:?}");
        }
    }
});
