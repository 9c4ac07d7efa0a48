//! Makes calls that ordinary software does not make, once or several times. Prints the time in nanoseconds since 1970.
//!
//! `offender ATTEMPT [TIMES]` makes one of [`ATTEMPTS`], whatever its result. `offender x32 COUNT` makes that many of
//! [`X32_CALLS`] in sequence, in an ABI that few kernels have, and prints the number and the time of each. `offender
//! flood SECONDS` makes calls with every number of every ABI, in short-lived processes.

use std::{
    env, io,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// No address, no file and no flag that a kernel knows.
const BAD: i64 = -1;
/// Calls by their numbers on x86_64, with arguments for which most fail without an effect. With the request -1,
/// `ptrace` does nothing; with 0, it would ask for a tracer.
const ATTEMPTS: [(&str, i64, [i64; 4]); 13] = [
    ("unshare", 272, [0; 4]),
    ("unshare_user", 272, [CLONE_NEWUSER, 0, 0, 0]),
    // `MS_BIND`
    ("mount", 165, [BAD, BAD, BAD, 0x1000]),
    ("ptrace", 101, [BAD; 4]),
    ("bpf", 321, [BAD; 4]),
    ("setns", 308, [BAD, 0, 0, 0]),
    ("socket_alg", 41, [38, 5, 0, 0]),
    ("socket_vsock", 41, [40, 1, 0, 0]),
    // `ADDR_NO_RANDOMIZE`
    ("personality", 135, [0x0004_0000, 0, 0, 0]),
    ("tiocsti", 16, [0, 0x5412, BAD, 0]),
    ("swapon", 167, [BAD; 4]),
    ("swapoff", 168, [BAD; 4]),
    ("unknown", 9999, [BAD; 4]),
];
const CLONE_NEWUSER: i64 = 0x1000_0000;
/// `SIGCHLD`
const AT_EXIT: i64 = 17;
const X32: i64 = 0x4000_0000;
/// Numbers with a name in the x32 table. All other numbers count as one call.
const X32_CALLS: [i64; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 18, 21, 22, 23, 24];
/// Calls that end, stop or multiply the calling process: of x86_64 and of ia32.
const NEVER: [&[i64]; 2] = [
    &[15, 34, 56, 57, 58, 60, 61, 62, 169, 200, 231, 234, 435],
    &[1, 2, 29, 37, 72, 88, 119, 120, 173, 179, 190, 238, 252, 270, 435],
];
/// Maximum time of one process of a flood, because some calls wait.
const LIFE: u64 = 50;

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn fork() -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn mmap(at: *mut u8, length: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
    fn _exit(code: i32) -> !;
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| args.get(index).map_or(1, |text| text.parse().expect("a number"));
    match args[0].as_str() {
        "x32" => different(number(1)),
        "flood" => flood(Duration::from_secs(number(1) as u64)),
        attempt => {
            println!("{}", now());
            (0..number(1)).for_each(|_| act(attempt));
        }
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970").as_nanos()
}

fn act(attempt: &str) {
    match attempt {
        "int80" => int80(20),
        "io_uring" => open_by_ring(),
        "clone_user" => until_end(|| unsafe { syscall(56, CLONE_NEWUSER | AT_EXIT, 0_i64, 0_i64, 0_i64, 0_i64) }),
        "clone3_user" => {
            // `struct clone_args` of include/uapi/linux/sched.h, in its first version.
            let args = [CLONE_NEWUSER, 0, 0, 0, AT_EXIT, 0, 0, 0];
            until_end(|| unsafe { syscall(435, args.as_ptr(), size_of_val(&args)) });
        }
        _ => {
            let (_, number, [a, b, c, d]) = ATTEMPTS.iter().find(|(name, ..)| *name == attempt).expect("an attempt");
            unsafe { syscall(*number, *a, *b, *c, *d, BAD, BAD) };
        }
    }
}

/// Makes a child, if the kernel allows it, which ends at once.
fn until_end(child: impl Fn() -> i64) {
    match child() {
        0 => unsafe { _exit(0) },
        pid if pid > 0 => _ = unsafe { waitpid(pid as i32, null_mut(), 0) },
        _ => {}
    }
}

/// Makes a call without valid arguments.
fn call(number: i64) -> i64 {
    // With 0, `unshare` creates no namespace.
    let first = if number == 272 { 0 } else { BAD };
    unsafe { syscall(number, first, BAD, BAD, BAD, BAD, BAD) }
}

#[cfg(target_arch = "x86_64")]
fn int80(number: i64) {
    unsafe {
        std::arch::asm!("push rbx", "mov rbx, -1", "int 0x80", "pop rbx", inlateout("rax") number => _, in("rcx") -1_i64,
             in("rdx") -1_i64, in("rsi") -1_i64, in("rdi") -1_i64, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: i64) {
    panic!("int 0x80 exists on x86_64 only");
}

fn different(count: i64) {
    for &number in X32_CALLS.iter().take(count as usize) {
        thread::sleep(Duration::from_millis(30));
        println!("{number} {}", now());
        call(X32 | number);
    }
}

/// Opens a file as an operation of a ring: `struct io_uring_params` and `struct
/// io_uring_sqe` of include/uapi/linux/io_uring.h.
fn open_by_ring() {
    let mut params = [0_u32; 30];
    let ring = unsafe { syscall(425, 2_i64, params.as_mut_ptr()) };
    assert!(ring >= 0, "io_uring_setup: {}", io::Error::last_os_error());
    let map = |offset| unsafe { mmap(null_mut(), 4096, 3, 1, ring as i32, offset) };
    let (submissions, entries) = (map(0), map(0x1000_0000));
    let at = |offset: u32| unsafe { submissions.add(offset as usize).cast::<u32>() };
    let path = c"/dev/null";
    unsafe {
        // IORING_OP_OPENAT, AT_FDCWD, the path; read-only.
        entries.write(18);
        entries.add(4).cast::<i32>().write(-100);
        entries.add(16).cast::<u64>().write(path.as_ptr() as u64);
        // The first element of the array is the first entry. The tail moves by one.
        at(params[16]).write(0);
        AtomicU32::from_ptr(at(params[11])).store(1, Ordering::Release);
        let submitted = syscall(426, ring, 1_i64, 1_i64, 1_i64, 0_i64, 0_i64);
        assert!(submitted == 1, "io_uring_enter: {}", io::Error::last_os_error());
    }
}

fn flood(time: Duration) {
    let begin = Instant::now();
    let mut next = 0;
    while begin.elapsed() < time {
        next = (next + 1) % 600;
        let pid = unsafe { fork() };
        if pid == 0 {
            if !NEVER[0].contains(&next) {
                call(next);
                call(X32 | next);
            }
            if !NEVER[1].contains(&next) {
                int80(next);
            }
            call(next << 32 | 0x7fff_0000);
            unsafe { _exit(0) };
        }
        let born = Instant::now();
        while unsafe { waitpid(pid, null_mut(), 1) } == 0 {
            if born.elapsed() > Duration::from_millis(LIFE) {
                unsafe { kill(pid, 9) };
            }
        }
    }
    println!("flooded for {} s", begin.elapsed().as_secs());
}
