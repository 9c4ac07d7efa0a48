//! Numbers are counted by their ABI, and unknown numbers do no harm.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

use crate::harness::{Daemon, KnownCalls, TestCgroup, many_calls, number, wait_for};

#[test]
fn any_number_counts_as_unknown_in_one_series_and_harms_nothing() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("numbers"));
    let path = cgroup.path();
    KnownCalls::run(&[&"calls", &path, &"-1", &"100", &"9999", &"10", &"400", &"1"]);
    let range = many_calls() / 10;
    KnownCalls::run(&[&"range", &path, &"1000", &(1000 + range).to_string()]);
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_getppid), &"4321"]);

    let label = cgroup.label();
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&label, "unknown"), 100 + 10 + 1 + range);
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
    // The entry code sign-extends eax since Linux 5.13, so the kernel runs getpid. Earlier kernels run no call.
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

/// The 32-bit ABI of this architecture.
pub(crate) const COMPAT: &str = if cfg!(target_arch = "aarch64") { "aarch32" } else { "ia32" };

#[test]
fn a_32_bit_program_has_an_abi_of_its_own() {
    crate::harness::mount_tracefs();
    for flags in [&[][..], &["--probe.sys-enter=raw_tp"], &["--probe.sys-enter=tracepoint"]] {
        let (daemon, cgroup) = (Daemon::start(flags), TestCgroup::new("compat"));
        if !run_32_bit_program(cgroup.path(), 1234) {
            return;
        }
        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.calls_of(&cgroup.label(), "getpid", COMPAT), 1234, "{flags:?}");
        assert_eq!(scrape.calls_of(&cgroup.label(), "exit", COMPAT), 1, "{flags:?}");
        // The meaning of the numbers in the native ABI.
        let native = ["writev", "io_setup", "epoll_create1", "setxattr"];
        assert_eq!(native.map(|syscall| scrape.calls(&cgroup.label(), syscall)), [0; 4], "{flags:?}");
    }
}

/// Runs a 32-bit program in a cgroup that calls getpid `count` times and exit once. Returns `false` if the kernel
/// cannot run it.
pub(crate) fn run_32_bit_program(cgroup: &Path, count: u16) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("32-bit");
    fs::write(&program, program_32_bit(count)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // A process that another test has just forked may still have the file open for writing.
    let run = wait_for("the program to be closed", Duration::from_secs(10), || match Command::new(&program).status() {
        Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
        run => Some(run),
    });
    match run {
        Ok(status) => assert!(status.success(), "{status}"),
        // A kernel without CONFIG_COMPAT, such as arm64 with pages larger than 4 KiB. `cargo xtask vm` looks for this
        // line.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            println!("this kernel runs no 32-bit programs");
            return false;
        }
        Err(error) => panic!("{error}"),
    }
    KnownCalls::run_through(r#"echo 0 > "$1/cgroup.procs"; exec "$2""#, &[&cgroup, &program]);
    true
}

/// A static 32-bit ELF executable that calls getpid `count` times and exits: no compiler needed.
fn program_32_bit(count: u16) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let (machine, flags, code) = if cfg!(target_arch = "aarch64") {
        (40, 0x0500_0000, arm_code(count)) // EM_ARM, EABI 5
    } else {
        (3, 0, i386_code(count)) // EM_386
    };
    let size = HEADERS + u32::try_from(code.len()).unwrap();
    let mut elf = Vec::from(*b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |value: u16| value.to_le_bytes();
    elf.extend([half(2), half(machine)].concat()); // ET_EXEC
    for word in [1, BASE + HEADERS, 52, 0, flags] {
        elf.extend(u32::to_le_bytes(word)); // version, entry, program headers, section headers, flags
    }
    elf.extend([half(52), half(32), half(1), half(0), half(0), half(0)].concat());
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        elf.extend(u32::to_le_bytes(word)); // PT_LOAD of the whole file, readable and executable
    }
    elf.extend(code);
    elf
}

fn i386_code(count: u16) -> Vec<u8> {
    let mut code = vec![0xbe]; // mov esi, count
    code.extend(u32::from(count).to_le_bytes());
    code.extend([0xb8, 20, 0, 0, 0]); // again: mov eax, 20 (getpid)
    code.extend([0xcd, 0x80]); // int 0x80
    code.push(0x4e); // dec esi
    code.extend([0x75, 0xf6]); // jnz again
    code.extend([0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]); // exit(0)
    code
}

fn arm_code(count: u16) -> Vec<u8> {
    let count = u32::from(count);
    let words = [
        0xe300_4000 | (count & 0xf000) << 4 | count & 0xfff, // movw r4, #count
        0xe3a0_7014,                                         // mov r7, #20 (getpid)
        0xef00_0000,                                         // again: svc 0
        0xe254_4001,                                         // subs r4, r4, #1
        0x1aff_fffc,                                         // bne again
        0xe3a0_0000,                                         // mov r0, #0
        0xe3a0_7001,                                         // mov r7, #1 (exit)
        0xef00_0000,                                         // svc 0
    ];
    words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}
