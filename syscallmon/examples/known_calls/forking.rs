//! Processes that are started, left alone, or sent signals.

use std::{
    ffi::CString,
    io::{self, Write},
    mem::MaybeUninit,
    process,
};

use crate::{CloneArgs, calls, clone3, enter, fork, reap, run_child};

/// Starts many processes, one after the other. Each makes each call so many times, and ends.
pub(crate) fn children(count: i64, pairs: &[(i64, i64)]) {
    (0..count).for_each(|_| reap(fork(|| calls(pairs))));
}

/// Becomes a daemon: a grandchild in a session of its own makes the calls, after the first process is gone.
pub(crate) fn daemonize(pairs: &[(i64, i64)]) {
    let first = i32::try_from(process::id()).expect("a process id");
    let child = fork(|| {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        fork(|| {
            // SAFETY: sends nothing, and fails once the process is gone.
            while unsafe { libc::kill(first, 0) } == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            calls(pairs);
        });
    });
    reap(child);
}

/// Starts a process with this id, which no process may have. It makes the calls in a cgroup.
pub(crate) fn with_id(id: i32, cgroup: &str, pairs: &[(i64, i64)]) {
    let args = CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: (&raw const id).addr() as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    let child = clone3(&args).expect("a process with this id");
    reap(run_child(child, || {
        // With it, a child that enters a cgroup would look like a container runtime's.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN).expect("drop a capability");
        enter(cgroup);
        calls(pairs);
    }));
}

/// Blocks these signals, prints `ready`, and waits for each of them in any order. Prints each that comes, and ends at
/// the last one in the list.
pub(crate) fn count_signals(signals: &[i64]) {
    let signals: Vec<i32> = signals.iter().map(|&signal| i32::try_from(signal).expect("a signal")).collect();
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in &signals {
            assert_eq!(libc::sigaddset(set.as_mut_ptr(), signal), 0);
        }
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
    println!("ready");
    loop {
        let mut signal = 0;
        // SAFETY: the set is initialized, and the number of the signal has a place.
        unsafe { libc::sigwait(set.as_ptr(), &raw mut signal) };
        println!("{signal}");
        io::stdout().flush().expect("write");
        if Some(&signal) == signals.last() {
            return;
        }
    }
}

/// Runs another program in this process, with some signals ignored and others blocked, as by unusual callers.
pub(crate) fn with_unusual_signals(command: &[&str]) {
    let mut blocked = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set. Nothing handles these signals.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::sigemptyset(blocked.as_mut_ptr());
        libc::sigaddset(blocked.as_mut_ptr(), libc::SIGUSR1);
        libc::sigaddset(blocked.as_mut_ptr(), libc::SIGWINCH);
        libc::sigprocmask(libc::SIG_BLOCK, blocked.as_ptr(), std::ptr::null_mut());
    }
    let words: Vec<CString> = command.iter().map(|&word| CString::new(word).expect("no NUL")).collect();
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: C strings, and a list of them with its end.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    panic!("exec {}: {}", command[0], io::Error::last_os_error());
}
