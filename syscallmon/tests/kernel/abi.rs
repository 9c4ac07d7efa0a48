//! Numbers mean what their ABI says, and numbers that mean nothing do no harm.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::harness::{Daemon, KnownCalls, TestCgroup, number};

#[test]
fn any_number_counts_as_unknown_in_one_series_and_harms_nothing() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("numbers"));
    let path = cgroup.path();
    KnownCalls::run(&[&"calls", &path, &"-1", &"100", &"9999", &"10", &"400", &"1"]);
    KnownCalls::run(&[&"range", &path, &"1000", &"101000"]);
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_getppid), &"4321"]);

    let label = cgroup.label();
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&label, "unknown"), 100 + 10 + 1 + 100_000);
    assert_eq!(scrape.calls(&label, "getppid"), 4321);
    let unknown = scrape.below(&label).into_iter().filter(|series| series.1 == "unknown").count();
    assert_eq!(unknown, 1, "one series, whatever the numbers");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn numbers_with_bit_30_are_x32_or_unknown() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("x32"));
    let bit = 0x4000_0000_i64;
    let x32_getpid = number(bit + 39);
    let too_high = number(bit + 5000);
    KnownCalls::run(&[&"calls", &cgroup.path(), &x32_getpid, &"77", &too_high, &"5"]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls_of(&cgroup.label(), "getpid", "x32"), 77);
    assert_eq!(scrape.calls(&cgroup.label(), "unknown"), 5);
    assert_eq!(scrape.calls(&cgroup.label(), "getpid"), 0);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_number_beyond_32_bits_counts_as_what_the_kernel_takes_it_for() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("beyond"));
    // The entry code sign-extends eax (since Linux 5.13), so the kernel runs getpid; before, it ran nothing.
    KnownCalls::run(&[&"calls", &cgroup.path(), &number((1 << 32) + 39), &"55"]);
    let scrape = daemon.settled_scrape();
    let counted = [scrape.calls(&cgroup.label(), "getpid"), scrape.calls(&cgroup.label(), "unknown")];
    assert!(counted == [55, 0] || counted == [0, 55], "{counted:?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn int_0x80_from_a_64_bit_program_is_ia32() {
    crate::harness::mount_tracefs();
    for flags in [&[][..], &["--probe.sys-enter=raw_tp"], &["--probe.sys-enter=tracepoint"]] {
        let (daemon, cgroup) = (Daemon::start(flags), TestCgroup::new("int80"));
        KnownCalls::run(&[&"int80", &cgroup.path(), &"20", &"1234"]);
        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.calls_of(&cgroup.label(), "getpid", "ia32"), 1234, "{flags:?}");
        assert_eq!(scrape.calls(&cgroup.label(), "writev"), 0, "{flags:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program_is_ia32() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("ia32"));
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("ia32");
    fs::write(&program, ia32_program(1234)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"echo 0 > "$1/cgroup.procs"; exec "$2""#;
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(cgroup.path()).arg(&program).status().unwrap();
    assert!(status.success(), "{status}: does the kernel run 32-bit programs (CONFIG_IA32_EMULATION)?");

    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls_of(&cgroup.label(), "getpid", "ia32"), 1234);
    assert_eq!(scrape.calls_of(&cgroup.label(), "exit", "ia32"), 1);
    assert_eq!(scrape.calls(&cgroup.label(), "writev"), 0);
}

/// A static 32-bit ELF executable that calls getpid `count` times and exits: no compiler needed.
fn ia32_program(count: u32) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let mut code = vec![0xbe]; // mov esi, count
    code.extend(count.to_le_bytes());
    code.extend([0xb8, 20, 0, 0, 0]); // again: mov eax, 20 (getpid)
    code.extend([0xcd, 0x80]); // int 0x80
    code.push(0x4e); // dec esi
    code.extend([0x75, 0xf6]); // jnz again
    code.extend([0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]); // exit(0)

    let size = HEADERS + u32::try_from(code.len()).unwrap();
    let mut elf = Vec::from(*b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |value: u16| value.to_le_bytes();
    elf.extend([half(2), half(3)].concat()); // ET_EXEC, EM_386
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        elf.extend(u32::to_le_bytes(word)); // version, entry, program headers, section headers, flags
    }
    elf.extend([half(52), half(32), half(1), half(0), half(0), half(0)].concat());
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        elf.extend(u32::to_le_bytes(word)); // PT_LOAD of the whole file, readable and executable
    }
    elf.extend(code);
    elf
}
