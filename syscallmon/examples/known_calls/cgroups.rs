//! Many cgroups: made, filled and removed.

use std::{
    fs,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{calls, fork, fork_into, number, reap, syscall};

/// Makes a cgroup, runs a process in it that makes its calls and ends, removes the cgroup; again and again.
/// Prints the median and the longest life of a cgroup, in microseconds.
pub(crate) fn short_lived(base: &Path, prefix: &str, count: i64, nr: i64, times: i64) {
    let mut lives: Vec<Duration> = (0..count)
        .map(|index| {
            let cgroup = base.join(format!("{prefix}{index}"));
            let born = Instant::now();
            fs::create_dir(&cgroup).expect("make a cgroup");
            run_inside(&cgroup, nr, times);
            remove(&cgroup);
            born.elapsed()
        })
        .collect();
    lives.sort_unstable();
    println!("{} {}", lives[lives.len() / 2].as_micros(), lives[lives.len() - 1].as_micros());
}

/// Forks into the cgroup: the child makes its calls and ends.
fn run_inside(cgroup: &Path, nr: i64, times: i64) {
    let pid = fork_into(cgroup, || calls(&[(nr, times)]));
    reap(pid);
}

/// A cgroup may be busy for a moment after its last process was reaped.
fn remove(cgroup: &Path) {
    for _ in 0..10_000 {
        match fs::remove_dir(cgroup) {
            Ok(()) => return,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => thread::yield_now(),
            Err(error) => panic!("remove {}: {error}", cgroup.display()),
        }
    }
    panic!("{} stays busy", cgroup.display());
}

/// As many cgroups as fast as the kernel makes them.
pub(crate) fn mkdir_rmdir(base: &Path, count: i64) {
    let begin = Instant::now();
    for index in 0..count {
        let cgroup = base.join(format!("m{index}"));
        fs::create_dir(&cgroup).expect("make a cgroup");
        fs::remove_dir(&cgroup).expect("remove a cgroup");
    }
    println!("{}", begin.elapsed().as_millis());
}

/// Makes cgroups that stay, unless they are there, and processes in each that make each call once and end.
pub(crate) fn populate(base: &Path, cgroups: i64, numbers: &str) {
    // With it, a child that enters a cgroup would look like a container runtime's.
    caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN).expect("drop a capability");
    let numbers: Vec<i64> = numbers.split(',').map(number).collect();
    for index in 0..cgroups {
        let cgroup = base.join(format!("c{index}"));
        fs::create_dir_all(&cgroup).expect("make a cgroup");
        let procs = fs::OpenOptions::new().write(true).open(cgroup.join("cgroup.procs")).expect("open the cgroup");
        for &nr in &numbers {
            let pid = fork(|| {
                // Only this call and the end of the process are made inside.
                (&procs).write_all(b"0").expect("enter the cgroup");
                syscall(nr);
            });
            reap(pid);
        }
    }
}
