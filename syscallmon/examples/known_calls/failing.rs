//! Calls that fail in known ways, and calls that end without being failures.

use std::{
    ffi::CStr,
    io,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use crate::{number, syscall};

/// Opens a missing file, reads an empty pipe, and tries to become root, this many times each.
pub(crate) fn known(missing: i64, empty: i64, forbidden: i64) {
    let path = c"/nonexistent/file";
    for _ in 0..missing {
        // SAFETY: the path is a C string.
        expect(libc::ENOENT, unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), 0) });
    }
    let (reader, _writer) = io::pipe().expect("a pipe");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&reader);
    let mut byte = 0_u8;
    // SAFETY: a descriptor of ours, and a byte to read into.
    unsafe {
        libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFL, libc::O_NONBLOCK);
        for _ in 0..empty {
            expect(libc::EAGAIN, libc::syscall(libc::SYS_read, fd, &raw mut byte, 1));
        }
        if forbidden > 0 {
            libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534);
        }
        for _ in 0..forbidden {
            expect(libc::EPERM, libc::syscall(libc::SYS_setuid, 0));
        }
    }
}

/// Makes each of these calls with bad arguments, which gives many pairs of call and errno.
pub(crate) fn many(calls: &str, times: i64) {
    for nr in calls.split(',').map(number) {
        for _ in 0..times {
            // SAFETY: the tests ask for calls that read a structure, and the kernel checks its address.
            unsafe { libc::syscall(nr, -1, 1, 1, 1, 1, 1) };
        }
    }
}

fn expect(errno: i32, returned: i64) {
    let error = io::Error::last_os_error();
    assert!(returned == -1 && error.raw_os_error() == Some(errno), "{error}");
}

/// Number of signals that the handler received.
static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: i32) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// Makes everything that only looks like an error at `sys_exit`. Signals interrupt a loop with -2 in the
/// registers, which `sigreturn` returns. Calls are interrupted, restarted, or stopped and continued. Results are above
/// any errno.
pub(crate) fn none(seconds: i64) {
    let moment = Duration::from_millis(5);
    handle(libc::SIGALRM, 0);
    let child = crate::fork(|| {
        // SIGSTOP and SIGCONT during this call cause `restart_syscall`.
        let long = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
        // SAFETY: a time to read.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const long, 0) };
    });
    let end = std::time::Instant::now() + Duration::from_secs(seconds.unsigned_abs());
    while std::time::Instant::now() < end {
        every(Duration::from_micros(200));
        spin_with_an_errno();
        every(Duration::ZERO);
        for signal in [libc::SIGSTOP, libc::SIGCONT] {
            // SAFETY: our child.
            unsafe { libc::syscall(libc::SYS_kill, child, signal) };
            thread::sleep(moment);
        }
        every(Duration::from_millis(2));
        // SAFETY: reads an empty set. The timer ends the call, with -ERESTARTNOHAND in the kernel and EINTR in user
        // space.
        unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &raw const EMPTY, 8) };
        every(Duration::ZERO);
        // SAFETY: no code uses the mapping.
        unsafe {
            let page =
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            libc::munmap(page, 4096);
        }
    }
    crate::reap(child);
    println!("{}", SEEN.load(Ordering::Relaxed));
}

/// The empty set of signals.
static EMPTY: u64 = 0;

fn handle(signal: i32, flags: i32) {
    // SAFETY: a handler that does one atomic addition.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Makes SIGALRM arrive periodically. A period of zero stops it.
fn every(period: Duration) {
    let value = libc::timeval { tv_sec: 0, tv_usec: i64::from(period.subsec_micros()) };
    let timer = libc::itimerval { it_interval: value, it_value: value };
    // SAFETY: a timer to read.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
}

/// Spins for some milliseconds with -2 (ENOENT) in the result register of calls.
fn spin_with_an_errno() {
    // SAFETY: counts a register down.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("2: dec {rounds}", "jnz 2b", rounds = inout(reg) 20_000_000_u64 => _, inout("rax") -2_i64 => _);
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("2: subs {rounds}, {rounds}, #1", "b.ne 2b", rounds = inout(reg) 20_000_000_u64 => _, inout("x0") -2_i64 => _);
    }
}

/// A bucket bound above the sleep time of the tests: 2^14 us.
const BOUND: Duration = Duration::from_micros(1 << 14);

/// Sleeps `times` times for `nanoseconds` each. Prints the total time by its own clock, in nanoseconds, and the number
/// of sleeps within [`BOUND`].
pub(crate) fn sleeps(times: i64, nanoseconds: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let durations: Vec<Duration> = (0..times)
        .map(|_| {
            let begin = std::time::Instant::now();
            // SAFETY: a time to read.
            unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, 0) };
            begin.elapsed()
        })
        .collect();
    let short = durations.iter().filter(|&&took| took <= BOUND).count();
    println!("{} {short}", durations.iter().sum::<Duration>().as_nanos());
}

/// Kills threads inside a read that never returns, in processes of a hundred threads.
pub(crate) fn die_in_a_call(threads: usize) {
    const EACH: usize = 100;
    for _ in 0..threads / EACH {
        let (reader, writer) = io::pipe().expect("a pipe");
        let (blocked, ready) = io::pipe().expect("a pipe");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let child = crate::fork(|| {
            thread::scope(|scope| {
                for _ in 0..EACH {
                    scope.spawn(|| {
                        io::Write::write_all(&mut &ready, b"r").expect("tell the parent");
                        let mut byte = 0_u8;
                        // SAFETY: a descriptor of ours, and a byte to read into.
                        unsafe { libc::syscall(libc::SYS_read, fd, &raw mut byte, 1) };
                    });
                }
            });
        });
        let mut all = [0; EACH];
        io::Read::read_exact(&mut &blocked, &mut all).expect("every thread begins");
        // The last thread may not have reached the read yet.
        syscall(libc::SYS_sched_yield);
        // SAFETY: our child.
        unsafe { libc::kill(child, libc::SIGKILL) };
        crate::reap_killed(child);
        drop(writer);
    }
}

/// Runs processes that execute another program by `execveat`. On x86, the kernel ends this call as another call.
pub(crate) fn exec_by_descriptor(times: i64) {
    let program = std::fs::File::open(std::env::current_exe().expect("a path")).expect("our own program");
    let args = [c"known_calls".as_ptr(), c"nothing".as_ptr(), std::ptr::null()];
    for _ in 0..times {
        crate::reap(crate::fork(|| {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&program);
            // SAFETY: C strings, and a list of them with its end.
            unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), args.as_ptr(), 0, libc::AT_EMPTY_PATH) };
            panic!("execveat: {}", io::Error::last_os_error());
        }));
    }
}

/// Runs another program in this process.
pub(crate) fn exec(program: &CStr, args: &[&CStr]) -> ! {
    let mut pointers: Vec<*const libc::c_char> = args.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: C strings, and a list of them with its end.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    panic!("exec: {}", io::Error::last_os_error());
}
