//! Modes that measure, for `cargo xtask bench`. Each line on stdin starts one measurement, until stdin ends.
//!
//! They measure CPU time, so other processes on the CPU do not count. Other disturbances (interrupts, a busy sibling
//! thread of the core) come in bursts, so a measurement is the median of many short ones.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Read, Write},
    path::Path,
};

use super::{fork_into, reap};

/// The byte that a ring passes: continue, or stop.
const GO_ON: u8 = 0;
const STOP: u8 = 1;

/// Number of parts of a measurement.
const PARTS: i64 = 25;

/// Makes the calls, with a number and a first argument, on one CPU. Prints the time of one call, in ns.
pub(super) fn calls(cpu: i64, (nr, first): (i64, i64), count: i64) {
    pin(cpu);
    let repeat = |times| {
        for _ in 0..times {
            super::syscall_with(nr, first);
        }
    };
    for line in io::stdin().lines() {
        line.expect("read stdin");
        repeat(count / 10);
        let part = count / PARTS;
        print_median(|| {
            let begin = thread_cpu_ns();
            repeat(part);
            (thread_cpu_ns() - begin) as f64 / part as f64
        });
    }
}

fn print_median(mut measure: impl FnMut() -> f64) {
    let mut values: Vec<f64> = (0..PARTS).map(|_| measure()).collect();
    values.sort_unstable_by(f64::total_cmp);
    println!("{}", values[values.len() / 2]);
}

/// Processes in separate cgroups pass one byte around, all on one CPU. Prints the time of one hop (a read, a write and
/// a task switch), in ns.
pub(super) fn ring(base: &Path, cgroups: i64, laps: i64, cpu: i64) {
    pin(cpu);
    let pipes = (0..cgroups).map(|_| io::pipe().expect("make a pipe"));
    // Each process reads from the pipe that the previous process writes to.
    let (readers, mut writers): (Vec<PipeReader>, Vec<PipeWriter>) = pipes.unzip();
    writers.rotate_left(1);
    let mut members = Vec::new();
    for (index, (mut from, mut to)) in readers.into_iter().zip(writers).enumerate() {
        let cgroup = base.join(format!("r{index}"));
        fs::create_dir(&cgroup).expect("make a cgroup");
        members.push(fork_into(&cgroup, move || match index {
            0 => lead(&mut from, &mut to, laps / PARTS, || cgroup_cpu_ns(base) / cgroups as f64),
            _ => while pass(&mut from, &mut to) == GO_ON {},
        }));
    }
    members.into_iter().for_each(reap);
}

/// Runs the first process of the ring, which sends the byte and measures. `now` returns ns, divided by the hops of a
/// lap.
fn lead(from: &mut PipeReader, to: &mut PipeWriter, laps: i64, now: impl Fn() -> f64) {
    let mut run = |laps: i64, byte: u8| {
        to.write_all(&[byte]).expect("write to the next");
        (1..laps).for_each(|_| assert_eq!(pass(from, to), GO_ON));
        from.read_exact(&mut [0]).expect("read from the last");
    };
    for line in io::stdin().lines() {
        line.expect("read stdin");
        run(1, GO_ON);
        print_median(|| {
            let begin = now();
            run(laps, GO_ON);
            (now() - begin) / laps as f64
        });
    }
    run(1, STOP);
}

/// Passes one byte on, and returns it.
fn pass(from: &mut PipeReader, to: &mut PipeWriter) -> u8 {
    let mut byte = [0];
    from.read_exact(&mut byte).expect("read from the one before");
    to.write_all(&byte).expect("write to the next");
    byte[0]
}

/// Pins this process, and processes that it forks later, to one CPU.
fn pin(cpu: i64) {
    // SAFETY: a set of CPUs is plain bits. All zeros are a valid value: the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `CPU_SET` checks the bounds of the set.
    unsafe { libc::CPU_SET(usize::try_from(cpu).expect("a CPU"), &mut set) };
    // SAFETY: this thread, and a set of that size.
    let pinned = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert!(pinned == 0, "pin to CPU {cpu}: {}", io::Error::last_os_error());
}

fn thread_cpu_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert!(read == 0, "read the CPU clock: {}", io::Error::last_os_error());
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Returns the CPU time of all tasks in and below a cgroup, up to the last task switch. In a ring, the last task switch
/// has just happened.
fn cgroup_cpu_ns(cgroup: &Path) -> f64 {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).expect("read cpu.stat");
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("cgroup2 counts CPU time");
    usage.parse::<f64>().expect("a number") * 1e3
}
