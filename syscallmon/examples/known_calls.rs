//! Ground truth for the tests: makes a known number of system calls, in a known cgroup, and prints it.
//!
//! Every mode makes its calls raw, without libc's wrappers, so that it makes no other calls in between. Not part of the
//! product.

use std::{
    env, fs, io,
    os::fd::AsRawFd,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

#[path = "known_calls/arguments.rs"]
mod arguments;
#[path = "known_calls/cgroups.rs"]
mod cgroups;
#[path = "known_calls/failing.rs"]
mod failing;
#[path = "known_calls/filtered.rs"]
mod filtered;
#[path = "known_calls/forking.rs"]
mod forking;
#[path = "known_calls/locked.rs"]
mod locked;
#[path = "known_calls/timed.rs"]
mod timed;
#[path = "known_calls/traced.rs"]
mod traced;
#[path = "known_calls/uring.rs"]
mod uring;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["calls", cgroup, pairs @ ..] => {
            enter(cgroup);
            calls(&pairs_of(pairs));
        }
        ["threads", cgroup, threads, pairs @ ..] => in_threads(cgroup, number(threads), &pairs_of(pairs)),
        ["range", cgroup, from, to] => {
            enter(cgroup);
            (number(from)..number(to)).for_each(|nr| calls(&[(nr, 1)]));
        }
        ["int80", cgroup, nr, count] => {
            enter(cgroup);
            (0..number(count)).for_each(|_| int80(number(nr)));
        }
        ["mixed", cgroup, seconds, threads] => mixed(cgroup, number(seconds), number(threads)),
        ["short-lived", base, prefix, count, nr, times] => {
            cgroups::short_lived(Path::new(base), prefix, number(count), number(nr), number(times));
        }
        ["io-uring", cgroup, count] => {
            enter(cgroup);
            uring::opens_and_reads(number(count));
        }
        ["io-uring-thread", cgroup, count] => {
            enter(cgroup);
            uring::through_a_thread(number(count));
        }
        ["emulated", cgroup, times] => {
            enter(cgroup);
            traced::emulated(number(times));
        }
        ["moved-in-a-call", before, after] => traced::moved_in_a_call(before, after),
        ["locked", cgroup, threads, seconds, numbers @ ..] => {
            enter(cgroup);
            let numbers: Vec<i64> = numbers.iter().map(|text| number(text)).collect();
            let (threads, seconds) = (threads.parse().expect("a number"), seconds.parse().expect("a number"));
            locked::calls(threads, seconds, &numbers);
        }
        ["nothing"] => {}
        ["mkdir-rmdir", base, count] => cgroups::mkdir_rmdir(Path::new(base), number(count)),
        ["populate", base, cgroups, numbers] => cgroups::populate(Path::new(base), number(cgroups), numbers),
        other => failing(other),
    }
}

/// The modes with calls that fail.
fn failing(args: &[&str]) {
    match args {
        ["failing", cgroup, missing, empty, forbidden] => {
            enter(cgroup);
            failing::known(number(missing), number(empty), number(forbidden));
        }
        ["failing-many", cgroup, calls, times] => {
            enter(cgroup);
            failing::many(calls, number(times));
        }
        ["no-failures", cgroup, seconds] => {
            enter(cgroup);
            failing::none(number(seconds));
        }
        ["sleeps", cgroup, times, nanoseconds] => {
            enter(cgroup);
            failing::sleeps(number(times), number(nanoseconds));
        }
        ["die-in-a-call", cgroup, threads] => {
            enter(cgroup);
            failing::die_in_a_call(threads.parse().expect("a number"));
        }
        ["execveat", cgroup, times] => {
            enter(cgroup);
            failing::exec_by_descriptor(number(times));
        }
        other => timing(other),
    }
}

/// The modes that measure the time of calls.
fn timing(args: &[&str]) {
    match args {
        ["time", cgroup, cpu, nr, count] => {
            enter(cgroup);
            timed::calls(number(cpu), (number(nr), 0), number(count));
        }
        ["time-with", cgroup, cpu, nr, count, first] => {
            enter(cgroup);
            timed::calls(number(cpu), (number(nr), number(first)), number(count));
        }
        ["time-filtered", cgroup, cpu, nr, count] => {
            enter(cgroup);
            filtered::permit_all();
            timed::calls(number(cpu), (number(nr), 0), number(count));
        }
        ["ring", base, cgroups, laps, cpu] => {
            timed::ring(Path::new(base), number(cgroups), number(laps), number(cpu));
        }
        other => under_a_filter(other),
    }
}

/// The modes that install a seccomp filter.
fn under_a_filter(args: &[&str]) {
    match args {
        ["refused", cgroup, action, tries] => {
            enter(cgroup);
            filtered::refused(action, number(tries));
        }
        ["without-clone3", cgroup, threads, errno] => {
            enter(cgroup);
            filtered::threads_without_clone3(threads.parse().expect("a number"), number(errno));
        }
        ["refused-from", cgroup, first, last] => {
            enter(cgroup);
            filtered::refused_from(number(first), number(last));
        }
        ["lives", cgroup, times] => {
            enter(cgroup);
            filtered::lives(number(times));
        }
        ["synchronized", cgroup, threads] => {
            enter(cgroup);
            filtered::synchronized(threads.parse().expect("a number"));
        }
        ["filtered-wait", cgroup, threads] => {
            enter(cgroup);
            filtered::wait(threads.parse().expect("a number"));
        }
        ["filtered-forks", cgroup] => {
            enter(cgroup);
            filtered::keep_forking();
        }
        other => with_arguments(other),
    }
}

/// The modes that pass known arguments.
fn with_arguments(args: &[&str]) {
    match args {
        ["arguments", cgroup, entry, specs @ ..] => {
            enter(cgroup);
            arguments::calls(entry, specs);
        }
        ["arguments-denied", cgroup, how, spec] => {
            enter(cgroup);
            arguments::denied(how, spec);
        }
        ["arguments-flood", cgroup, nr, index, count] => {
            enter(cgroup);
            arguments::flood(number(nr), index.parse().expect("a number"), number(count));
        }
        ["arguments-changed", cgroup, times] => {
            enter(cgroup);
            arguments::changed(number(times));
        }
        other => forking(other),
    }
}

/// The modes that start processes.
fn forking(args: &[&str]) {
    match args {
        ["forks", cgroup, children, pairs @ ..] => {
            enter(cgroup);
            forking::children(number(children), &pairs_of(pairs));
        }
        ["daemonize", cgroup, pairs @ ..] => {
            enter(cgroup);
            forking::daemonize(&pairs_of(pairs));
        }
        ["with-id", id, cgroup, pairs @ ..] => {
            forking::with_id(id.parse().expect("a process id"), cgroup, &pairs_of(pairs));
        }
        ["with-unusual-signals", command @ ..] => forking::with_unusual_signals(command),
        ["counts-signals", signals @ ..] => {
            forking::count_signals(&signals.iter().map(|text| number(text)).collect::<Vec<i64>>());
        }
        other => panic!("no such mode: {other:?}"),
    }
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

fn pairs_of(args: &[&str]) -> Vec<(i64, i64)> {
    args.chunks(2).map(|pair| (number(pair[0]), number(pair[1]))).collect()
}

/// Moves this process into a cgroup; `-` is the one that it is in.
fn enter(cgroup: &str) {
    if cgroup == "-" {
        return;
    }
    fs::write(Path::new(cgroup).join("cgroup.procs"), "0").expect("enter the cgroup");
}

/// Makes each call so many times, without arguments.
fn calls(pairs: &[(i64, i64)]) {
    for &(nr, count) in pairs {
        for _ in 0..count {
            syscall(nr);
        }
    }
}

fn syscall(nr: i64) -> i64 {
    syscall_with(nr, 0)
}

/// Makes a call with a first argument.
fn syscall_with(nr: i64, first: i64) -> i64 {
    // SAFETY: the tests ask for calls that take no pointer, or fail on a null one.
    unsafe { libc::syscall(nr, first, 0, 0, 0, 0, 0) }
}

/// A 32-bit call from a 64-bit program.
#[cfg(target_arch = "x86_64")]
fn int80(nr: i64) {
    // SAFETY: the 32-bit entry saves every register but rax (and, on old kernels, r8 to r11); the tests ask for
    // calls that take no pointer.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") nr => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: i64) {
    panic!("int 0x80 exists on x86_64 only");
}

/// Threads that make the same calls at the same time.
fn in_threads(cgroup: &str, threads: i64, pairs: &[(i64, i64)]) {
    enter(cgroup);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| calls(pairs));
        }
    });
}

/// Different calls from several threads for some time; prints how many there were: `getppid N getuid N ...`.
fn mixed(cgroup: &str, seconds: i64, threads: i64) {
    enter(cgroup);
    let stop = AtomicBool::new(false);
    let kinds = [("getppid", libc::SYS_getppid), ("getuid", libc::SYS_getuid), ("sched_yield", libc::SYS_sched_yield)];
    let count = || {
        let mut counts = [0_u64; 4];
        while !stop.load(Ordering::Relaxed) {
            for (count, (_, nr)) in counts.iter_mut().zip(kinds) {
                syscall(nr);
                *count += 1;
            }
            // A call that sleeps, so that tasks change on the CPUs.
            if counts[0] % 4096 == 0 {
                let moment = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                // SAFETY: ppoll with no descriptors reads the time only.
                unsafe { libc::syscall(libc::SYS_ppoll, 0, 0, &raw const moment, 0, 0) };
                counts[3] += 1;
            }
        }
        counts
    };
    let totals = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        thread::sleep(Duration::from_secs(seconds.unsigned_abs()));
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("no panic")).fold([0; 4], |mut sum: [u64; 4], counts| {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sum
        })
    });
    println!("getppid {} getuid {} sched_yield {} ppoll {}", totals[0], totals[1], totals[2], totals[3]);
}

/// Forks into the cgroup: the child does its work and ends. Returns its id.
fn fork_into(cgroup: &Path, work: impl FnOnce()) -> i32 {
    let directory = fs::File::open(cgroup).expect("open the cgroup");
    let plain = CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    // CLONE_INTO_CGROUP (Linux 5.7) takes cgroup2's cgroups only.
    let into = CloneArgs { flags: 0x2_0000_0000, cgroup: u64::from(directory.as_raw_fd().cast_unsigned()), ..plain };
    let (pid, is_inside) = match clone3(&into) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => (clone3(&plain).expect("fork"), false),
        pid => (pid.expect("fork into the cgroup"), true),
    };
    if pid == 0 {
        if !is_inside {
            fs::write(cgroup.join("cgroup.procs"), "0").expect("enter the cgroup");
        }
        work();
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    pid
}

/// Forks: the child does its work and ends. Returns its id.
fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: the programs here have one thread when they fork, or the child only makes system calls.
    let pid = unsafe { libc::fork() };
    run_child(pid, work)
}

/// The same by `clone3`.
fn clone3_child(work: impl FnOnce()) -> i32 {
    let pid = clone3(&CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() }).expect("clone3");
    run_child(pid, work)
}

fn run_child(pid: i32, work: impl FnOnce()) -> i32 {
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    if pid == 0 {
        work();
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    pid
}

/// Its own id for the parent, 0 for the child.
fn clone3(args: &CloneArgs) -> io::Result<i32> {
    // SAFETY: a fork of a process with one thread, so the child has whole data structures.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(args), size_of::<CloneArgs>()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(pid).expect("a process id")) }
}

fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(waited == pid && status == 0, "the child failed: {status}");
}

/// Waits for a child that a signal ends.
fn reap_killed(pid: i32) {
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(waited == pid && libc::WIFSIGNALED(status), "the child was not killed: {status}");
}

/// `struct clone_args` of `include/uapi/linux/sched.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
