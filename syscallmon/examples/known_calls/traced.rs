//! Calls with interference by another process: a tracer skips them, or a mover changes the cgroup during a call.

use std::{fs, path::Path, thread, time::Duration};

use crate::{enter, fork, reap, syscall};

/// `PTRACE_SYSEMU` of `include/uapi/asm/ptrace.h`: stops at the next call, which the kernel does not run.
const PTRACE_SYSEMU: libc::c_uint = 31;

/// Runs a child that calls `mkdirat`. Its tracer skips all of these calls but the last one, so they seem to fail.
pub(crate) fn emulated(times: i64) {
    let child = fork(|| {
        // SAFETY: takes integers only.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        stop_self();
        for _ in 0..times {
            syscall(libc::SYS_mkdirat);
        }
        stop_self();
        syscall(libc::SYS_mkdirat);
    });
    wait_stopped(child, libc::SIGSTOP);
    // The call in which the child stopped itself has ended. The tracer skips each call that begins from here on.
    for _ in 0..times {
        resume(child, PTRACE_SYSEMU);
        wait_stopped(child, libc::SIGTRAP);
    }
    resume(child, libc::PTRACE_CONT);
    wait_stopped(child, libc::SIGSTOP);
    resume(child, libc::PTRACE_CONT);
    reap(child);
}

fn stop_self() {
    // SAFETY: takes integers only.
    unsafe { libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGSTOP) };
}

fn resume(pid: i32, request: libc::c_uint) {
    // SAFETY: our child, which is stopped; takes integers only.
    let resumed = unsafe { libc::ptrace(request, pid, 0, 0) };
    assert_eq!(resumed, 0, "ptrace {request}: {}", std::io::Error::last_os_error());
}

fn wait_stopped(pid: i32, signal: i32) {
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(waited == pid && libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == signal, "{status:#x}");
}

/// A child sleeps once. Its parent moves it from the cgroup `before` to `after` during the sleep.
pub(crate) fn moved_in_a_call(before: &str, after: &str) {
    let child = fork(|| {
        enter(before);
        let time = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        // SAFETY: a time to read. The null pointer requests no remaining time.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, 0) };
    });
    let is_in_call = || {
        let text = fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
        text.split(' ').next() == Some(&libc::SYS_nanosleep.to_string())
    };
    while !is_in_call() {
        thread::sleep(Duration::from_millis(1));
    }
    fs::write(Path::new(after).join("cgroup.procs"), child.to_string()).expect("move the child");
    assert!(is_in_call(), "it was moved too late");
    reap(child);
}
