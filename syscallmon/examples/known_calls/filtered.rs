//! Calls under seccomp filters: denied in every possible way, and events that must not be counted as denied.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{failing::exec, fork, reap, reap_killed, syscall};

/// The call that the filter denies. Every architecture has `mkdirat`.
const REFUSED: i64 = libc::SYS_mkdirat;

/// Tries the denied call this many times, each denied with this action.
pub(crate) fn refused(action: &str, tries: i64) {
    match action {
        "errno" => {
            install(libc::SECCOMP_RET_ERRNO | 1, 0);
            (0..tries).for_each(|_| assert_eq!(syscall(REFUSED), -1));
        }
        "enosys" => {
            install(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(), 0);
            (0..tries).for_each(|_| assert_eq!(syscall(REFUSED), -1));
        }
        "trap" => {
            handle_sigsys();
            install(libc::SECCOMP_RET_TRAP, 0);
            (0..tries).for_each(|_| call_refused());
            assert_eq!(TRAPPED.load(Ordering::Relaxed), tries.unsigned_abs());
        }
        "kill-process" => {
            for _ in 0..tries {
                reap_killed(fork(|| {
                    install(libc::SECCOMP_RET_KILL_PROCESS, 0);
                    syscall(REFUSED);
                }));
            }
        }
        "kill-inherited" => {
            install(libc::SECCOMP_RET_KILL_PROCESS, 0);
            // The first call of the child is denied.
            (0..tries).for_each(|_| reap_killed(fork(call_refused)));
        }
        "kill-thread" => kill_threads(tries),
        "notify-refuse" => supervised(tries, Answer::Refuse),
        "notify-answer" => supervised(tries, Answer::Zero),
        "notify-continue" => supervised(tries, Answer::Continue),
        other => panic!("no such action: {other}"),
    }
}

fn call_refused() {
    syscall(REFUSED);
}

/// The kernel kills one thread after the other. The process continues.
fn kill_threads(tries: i64) {
    install(libc::SECCOMP_RET_KILL_THREAD, 0);
    for _ in 0..tries {
        let mut stack = vec![0_u8; 64 * 1024];
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_FS | libc::CLONE_FILES;
        let mut tid: libc::pid_t = 0;
        let tid_at = &raw mut tid;
        // SAFETY: the thread has its own stack, uses nothing else, and has ended when its id is cleared.
        unsafe {
            libc::clone(
                one_refused,
                top.cast(),
                flags | libc::CLONE_CHILD_CLEARTID | libc::CLONE_PARENT_SETTID,
                std::ptr::null_mut(),
                tid_at,
                std::ptr::null_mut::<libc::c_void>(),
                tid_at,
            );
            while tid_at.read_volatile() != 0 {
                libc::sched_yield();
            }
        }
    }
}

extern "C" fn one_refused(_: *mut libc::c_void) -> i32 {
    syscall(REFUSED);
    unreachable!("the filter kills the thread");
}

/// Creates and ends tasks in every way, under a filter that denies none of these calls.
pub(crate) fn lives(times: i64) {
    install(libc::SECCOMP_RET_ERRNO | 1, 0);
    let program = CString::new(std::env::current_exe().expect("a path").to_str().expect("UTF-8")).expect("no NUL");
    for _ in 0..times {
        reap(fork(|| {}));
        vfork_and_exit();
        reap(crate::clone3_child(|| {}));
        thread::spawn(|| {}).join().expect("no panic");
        reap(fork(|| exec(&program, &[c"known_calls", c"nothing"])));
    }
    for _ in 0..times / 10 {
        // A thread that is not the first one calls exec, and takes over the id of the first one.
        reap(fork(|| {
            thread::scope(|scope| {
                scope.spawn(|| exec(&program, &[c"known_calls", c"nothing"]));
            });
        }));
    }
}

/// Installs a filter on all threads (`SECCOMP_FILTER_FLAG_TSYNC`). The other threads are inside a call, and this thread
/// is inside the call that installs the filter.
pub(crate) fn synchronized(threads: usize) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let barrier = Barrier::new(threads + 1);
    let fd = reader.as_raw_fd();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                let mut byte = 0_u8;
                // SAFETY: a descriptor of ours, and a byte to read into.
                unsafe { libc::syscall(libc::SYS_read, fd, &raw mut byte, 1) };
            });
        }
        barrier.wait();
        while reading() < threads {
            thread::yield_now();
        }
        install(libc::SECCOMP_RET_ERRNO | 1, libc::SECCOMP_FILTER_FLAG_TSYNC);
        drop(writer);
    });
}

/// Returns the number of threads of this process inside `read`.
fn reading() -> usize {
    let read = format!("{} ", libc::SYS_read);
    let threads = std::fs::read_dir("/proc/self/task").expect("procfs").flatten();
    let calls = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("syscall")).ok());
    calls.filter(|call| call.starts_with(&read)).count()
}

/// Starts threads that read stdin until it ends, under a filter that permits the read.
pub(crate) fn wait(threads: usize) {
    install(libc::SECCOMP_RET_ERRNO | 1, 0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut byte = 0_u8;
                // SAFETY: a byte to read into.
                unsafe { libc::syscall(libc::SYS_read, 0, &raw mut byte, 1) }
            });
        }
    });
}

/// Makes threads that sleep for a moment, until stdin ends. The filter permits these calls.
pub(crate) fn keep_forking() {
    install(libc::SECCOMP_RET_ERRNO | 1, 0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::stdin().lines().count();
            ended.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            scope.spawn(|| thread::sleep(std::time::Duration::from_millis(100)));
            thread::sleep(std::time::Duration::from_micros(500));
        }
    });
}

/// Installs a filter that permits the measured calls.
pub(crate) fn permit_all() {
    install(libc::SECCOMP_RET_ERRNO | 1, 0);
}

/// How a supervisor answers.
#[derive(Clone, Copy)]
enum Answer {
    Refuse,
    Zero,
    Continue,
}

/// One thread makes the calls, and another thread answers them.
fn supervised(tries: i64, answer: Answer) {
    let (send, receive) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            send.send(install(libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER))
                .expect("a listener");
            (0..tries).for_each(|_| call_refused());
        });
        // SAFETY: the kernel has just created the descriptor.
        let listener =
            unsafe { OwnedFd::from_raw_fd(i32::try_from(receive.recv().expect("a listener")).expect("a descriptor")) };
        for _ in 0..tries {
            // SAFETY: the kernel requires zeros, and the structures are those of the kernel.
            unsafe {
                let mut request: libc::seccomp_notif = std::mem::zeroed();
                assert_eq!(
                    libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut request),
                    0,
                    "{}",
                    io::Error::last_os_error()
                );
                let mut response: libc::seccomp_notif_resp = std::mem::zeroed();
                response.id = request.id;
                match answer {
                    Answer::Refuse => response.error = -libc::EACCES,
                    Answer::Zero => {}
                    Answer::Continue => response.flags = 1,
                }
                assert_eq!(
                    libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut response),
                    0,
                    "{}",
                    io::Error::last_os_error()
                );
            }
        }
        worker.join().expect("no panic");
    });
}

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of `include/uapi/linux/seccomp.h`.
const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;

/// Number of signals from denied calls.
static TRAPPED: AtomicU64 = AtomicU64::new(0);

extern "C" fn trapped(_: i32) {
    TRAPPED.fetch_add(1, Ordering::Relaxed);
}

fn handle_sigsys() {
    // SAFETY: a handler that does one atomic addition.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = trapped as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Makes each call of a range once, under a filter that denies them all.
pub(crate) fn refused_from(first: i64, last: i64) {
    install_range(libc::SECCOMP_RET_ERRNO | 1, 0, (first, last));
    (first..=last).for_each(|nr| assert_eq!(syscall(nr), -1));
}

/// Makes threads that live at the same time, and each try `clone3` once under a filter that answers with an errno. The
/// C library tries it for each thread, too, and always gets `ENOSYS`: for other errors it makes no thread.
pub(crate) fn threads_without_clone3(threads: usize, errno: i64) {
    let errno = u32::try_from(errno).expect("an errno");
    let clone3 = (libc::SYS_clone3, libc::SYS_clone3);
    install_range(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(), 0, clone3);
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                barrier.wait();
                assert_eq!(syscall(libc::SYS_clone3), -1);
            });
        }
        barrier.wait();
        // Of two filters with the same action, the kernel takes the errno of the newer one.
        install_range(libc::SECCOMP_RET_ERRNO | errno, libc::SECCOMP_FILTER_FLAG_TSYNC, clone3);
        barrier.wait();
    });
}

/// Installs a filter that applies this action to [`REFUSED`] and permits everything else. Returns the kernel's result:
/// 0, or a listener.
fn install(action: u32, flags: libc::c_ulong) -> i64 {
    install_range(action, flags, (REFUSED, REFUSED))
}

/// Denies a call with an errno.
pub(crate) fn deny(nr: i64, errno: i32) {
    install_range(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(), 0, (nr, nr));
}

/// Denies a call by ending the process.
pub(crate) fn kill_at(nr: i64) {
    install_range(libc::SECCOMP_RET_KILL_PROCESS, 0, (nr, nr));
}

/// Does the same for a range of numbers.
fn install_range(action: u32, flags: libc::c_ulong, (first, last): (i64, i64)) -> i64 {
    const LOAD_NUMBER: libc::sock_filter = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let answer = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let bound = |nr: i64| u32::try_from(nr).expect("a number");
    let filter = [
        LOAD_NUMBER,
        // At least the first, and not above the last.
        libc::sock_filter { code: 0x35, jt: 0, jf: 2, k: bound(first) },
        libc::sock_filter { code: 0x25, jt: 1, jf: 0, k: bound(last) },
        answer(action),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 5, filter: filter.as_ptr().cast_mut() };
    // SAFETY: a filter to read; the kernel copies it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    let is_listener = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    assert!(installed == 0 || (installed > 0 && is_listener), "seccomp: {installed}, {}", io::Error::last_os_error());
    installed
}

/// Makes a child that shares everything with its parent until it ends. It ends at once.
#[cfg(target_arch = "x86_64")]
fn vfork_and_exit() {
    let pid: i64;
    // SAFETY: the child uses only registers, and ends. The parent continues after it.
    unsafe {
        std::arch::asm!(
            "syscall", "test rax, rax", "jnz 2f", "xor edi, edi", "mov eax, 231", "syscall", "2:",
            inout("rax") libc::SYS_vfork => pid, out("rdi") _, out("rcx") _, out("r11") _,
        );
    }
    reap(i32::try_from(pid).expect("a process id"));
}

/// Does nothing: `vfork` is not a call of other supported architectures.
#[cfg(not(target_arch = "x86_64"))]
fn vfork_and_exit() {}
