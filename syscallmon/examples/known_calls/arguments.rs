//! Calls with known arguments, by every entry of the kernel.

use std::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use crate::{CloneArgs, filtered, fork, number, reap_killed};

/// How a program enters the kernel.
#[derive(Clone, Copy)]
enum Entry {
    Native,
    X32,
    Int80,
}

/// `__X32_SYSCALL_BIT`.
const X32_BIT: i64 = 0x4000_0000;

/// Makes calls as texts say: `NUMBER:COUNT:A,B,C,D`, where arguments are hexadecimal. `@LOW/HIGH/...` is a pointer to
/// these words of 32 bits, which 32-bit calls can use too.
pub(crate) fn calls(entry: &str, specs: &[&str]) {
    let entry = match entry {
        "native" => Entry::Native,
        "x32" => Entry::X32,
        "int80" => Entry::Int80,
        other => panic!("no such entry: {other}"),
    };
    for spec in specs {
        let (nr, count, arguments) = parsed(spec);
        for _ in 0..count {
            call(entry, nr, arguments);
        }
    }
}

fn parsed(spec: &str) -> (i64, i64, [u64; 4]) {
    let mut parts = spec.split(':');
    let mut part = || parts.next().expect("NUMBER:COUNT:A,B,C,D");
    let (nr, count, mut arguments) = (number(part()), number(part()), [0; 4]);
    for (argument, text) in arguments.iter_mut().zip(part().split(',')) {
        *argument = match text.strip_prefix('@') {
            Some(words) => in_memory(words.split('/').map(|word| u32::from_str_radix(word, 16).expect("a word"))),
            None => u64::from_str_radix(text, 16).expect("a number"),
        };
    }
    (nr, count, arguments)
}

/// Returns the address of these words, below 4 GiB where a 32-bit call can reach it.
fn in_memory(words: impl Iterator<Item = u32>) -> u64 {
    #[cfg(target_arch = "x86_64")]
    let low = libc::MAP_32BIT;
    #[cfg(not(target_arch = "x86_64"))]
    let low = 0;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | low;
    // SAFETY: a new page.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert!(page != libc::MAP_FAILED, "no memory");
    for (index, word) in words.enumerate() {
        // SAFETY: in the page.
        unsafe { page.cast::<u32>().add(index).write(word) };
    }
    page as u64
}

fn call(entry: Entry, nr: i64, [a, b, c, d]: [u64; 4]) -> i64 {
    match entry {
        // SAFETY: the tests pass arguments with which these calls fail, or change nothing.
        Entry::Native => unsafe { libc::syscall(nr, a, b, c, d, 0, 0) },
        // SAFETY: as above.
        Entry::X32 => unsafe { libc::syscall(nr | X32_BIT, a, b, c, d, 0, 0) },
        Entry::Int80 => int80(nr, [a, b, c, d]),
    }
}

/// A 32-bit call from a 64-bit program. The compiler keeps rbx for itself.
#[cfg(target_arch = "x86_64")]
fn int80(nr: i64, [a, b, c, d]: [u64; 4]) -> i64 {
    let result: i64;
    // SAFETY: as above; rbx is restored.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {a}", "int 0x80", "xchg rbx, {a}",
            a = inout(reg) a => _, inlateout("rax") nr => result, in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: i64, _: [u64; 4]) -> i64 {
    panic!("int 0x80 exists on x86_64 only");
}

/// Makes calls that a filter denies with an errno, or by ending the process.
pub(crate) fn denied(how: &str, spec: &str) {
    let (nr, count, arguments) = parsed(spec);
    match how {
        "errno" | "enosys" => {
            filtered::deny(nr, if how == "errno" { libc::EPERM } else { libc::ENOSYS });
            (0..count).for_each(|_| assert_eq!(call(Entry::Native, nr, arguments), -1));
        }
        "kill" => {
            for _ in 0..count {
                reap_killed(fork(|| {
                    filtered::kill_at(nr);
                    call(Entry::Native, nr, arguments);
                }));
            }
        }
        other => panic!("no such action: {other}"),
    }
}

/// Makes calls with as many different values of argument `index` as `count` says.
pub(crate) fn flood(nr: i64, index: usize, count: i64) {
    let mut value = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..count {
        // xorshift64
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        let mut arguments = [u64::MAX; 4];
        // Values that no flag or command has: they end in 0xffff.
        arguments[index] = value & 0xffff_0000 | 0xffff;
        call(Entry::Native, nr, arguments);
    }
}

/// Calls `clone3` while another thread changes its flags all the time. With both values, the kernel refuses the call.
pub(crate) fn changed(times: i64) {
    const INVALID: u64 = libc::CLONE_THREAD as u64;
    let user = INVALID | libc::CLONE_NEWUSER as u64;
    let memory = Box::leak(Box::new(CloneArgs::default()));
    let address = ptr::from_mut(memory) as u64;
    let (is_done, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    // SAFETY: the first field of the struct, which is only accessed as an atomic from here on.
    let shared = unsafe { AtomicU64::from_ptr(address as *mut u64) };
    shared.store(INVALID, Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                shared.store(user, Ordering::Relaxed);
                shared.store(INVALID, Ordering::Relaxed);
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        while changes.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for _ in 0..times {
            let arguments = [address, size_of::<CloneArgs>() as u64, 0, 0];
            assert_eq!(call(Entry::Native, libc::SYS_clone3, arguments), -1);
        }
        is_done.store(true, Ordering::Relaxed);
    });
}
