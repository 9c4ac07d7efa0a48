//! Calls without power, which generated profiles and baselines expect of every program.

/// Calls that tell a program about itself, its files or its host, and that give it no power. An
/// observation misses them easily, because a server makes them for a rare feature only. So a profile allows them unless
/// it is strict, and a baseline expects them.
pub const HARMLESS: [&str; 10] = [
    "access",
    "faccessat",
    "faccessat2",
    "getpeername",
    "getrusage",
    "getsockname",
    "lseek",
    "sysinfo",
    "times",
    "uname",
];
