//! Modes that measure, for `cargo xtask bench`: once for each line on stdin, until there are no more.
//!
//! In CPU time: what else runs on that CPU does not count. What disturbs it otherwise (interrupts, a neighbour in the
//! same core) comes in bursts, so a measurement is the median of many short ones.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Read, Write},
    path::Path,
};

use super::{fork_into, reap};

/// What a ring passes on: go on after this, or end.
const GO_ON: u8 = 0;
const STOP: u8 = 1;

/// The parts of a measurement.
const PARTS: i64 = 25;

/// Makes the calls on one CPU and prints how long one took, in ns.
pub(super) fn calls(cpu: i64, nr: i64, count: i64) {
    pin(cpu);
    for line in io::stdin().lines() {
        line.expect("read stdin");
        super::calls(&[(nr, count / 10)]);
        let part = count / PARTS;
        print_median(|| {
            let begin = thread_cpu_ns();
            super::calls(&[(nr, part)]);
            (thread_cpu_ns() - begin) as f64 / part as f64
        });
    }
}

fn print_median(mut measure: impl FnMut() -> f64) {
    let mut values: Vec<f64> = (0..PARTS).map(|_| measure()).collect();
    values.sort_unstable_by(f64::total_cmp);
    println!("{}", values[values.len() / 2]);
}

/// Processes in cgroups of their own pass one byte around, all on one CPU. Prints how long one hop (a read, a write
/// and a switch of tasks) took, in ns.
pub(super) fn ring(base: &Path, cgroups: i64, laps: i64, cpu: i64) {
    pin(cpu);
    let pipes = (0..cgroups).map(|_| io::pipe().expect("make a pipe"));
    // Each reads from the pipe that the one before it writes to.
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

/// The first of the ring: sets the byte off, and measures. `now` is in ns, divided by the hops of a lap.
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

/// Lets this process, and what it forks, run on one CPU only.
fn pin(cpu: i64) {
    // SAFETY: a set of CPUs is plain bits, of which none is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `CPU_SET` checks the bounds of the set.
    unsafe { libc::CPU_SET(usize::try_from(cpu).expect("a CPU"), &mut set) };
    // SAFETY: this thread, and a set of that size.
    let pinned = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert!(pinned == 0, "pin to CPU {cpu}: {}", io::Error::last_os_error());
}

fn thread_cpu_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert!(read == 0, "read the CPU clock: {}", io::Error::last_os_error());
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// CPU time of everything in and below a cgroup. Up to the last switch of tasks, which in a ring was just now.
fn cgroup_cpu_ns(cgroup: &Path) -> f64 {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).expect("read cpu.stat");
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("cgroup2 counts CPU time");
    usage.parse::<f64>().expect("a number") * 1e3
}
