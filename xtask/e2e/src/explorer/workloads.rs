//! The workloads that the explorer shows: many ordinary ones, and some with hostile names.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::{Cgroup, Guarded};

/// Number of ordinary workloads, and of different calls that each makes.
const WORKLOADS: usize = 1000;
/// Series that the daemon has at least.
pub(super) const SERIES: f64 = 100_000.0;

const TIMEOUT: Duration = Duration::from_mins(1);

/// Parts of hostile names. The kernel allows all but `/`, a zero byte and a line break in a name of at most 255 bytes.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)<script>",
    "\"><img src=x onerror=alert(2)>",
    "'><svg onload=alert(3)>",
    "{{7*7}}${7*7}&lt;b&gt;",
    "\u{202e}gpj.exe\u{2066}\u{200b}",
    "\u{1b}[2J\u{7}\u{9b}31m\t\r",
];

/// Calls that exist on every architecture and do nothing without valid arguments.
const CALLS: [i64; 100] = [
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getcwd,
    libc::SYS_uname,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_sched_yield,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_clock_gettime,
    libc::SYS_inotify_init1,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_lseek,
    libc::SYS_munmap,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat2,
    libc::SYS_faccessat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_getdents64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_ioctl,
    libc::SYS_pipe2,
    libc::SYS_dup3,
    libc::SYS_epoll_ctl,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_signalfd4,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mremap,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_gettimeofday,
    libc::SYS_clock_getres,
    libc::SYS_timer_gettime,
    libc::SYS_timer_delete,
    libc::SYS_sysinfo,
];

/// Makes the workloads, which make each call at least once. The cgroup must live as long as they are looked at.
pub(super) fn populate(known_calls: &Path, cgroup: &Cgroup) -> Result<()> {
    for number in 0..WORKLOADS {
        // Their order by calls is not that of their names.
        let times = 1 + (number * 7919) % WORKLOADS;
        let name = match number {
            0 => "flagged".to_owned(),
            1 => "learning".to_owned(),
            number => format!("service-{number:04}"),
        };
        calls(known_calls, &cgroup.child(&name)?, times)?;
    }
    for (number, part) in HOSTILE.iter().enumerate() {
        let mut path = cgroup.child(&format!("hostile-{number}-flagged-{part}"))?;
        // About 1 KiB.
        for _ in 0..4 {
            path.push(format!("{part}{}", "\u{e9}".repeat(80)));
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        calls(known_calls, &path, 1)?;
    }
    Ok(())
}

fn calls(known_calls: &Path, cgroup: &Path, times: usize) -> Result<()> {
    let mut command = Command::new(known_calls);
    command.arg("calls").arg(cgroup).stdin(Stdio::null());
    for (position, call) in CALLS.iter().enumerate() {
        let times = if position == 1 { times } else { 1 };
        command.args([call.to_string(), times.to_string()]);
    }
    let status = Guarded::spawn_bound(&mut command)?.wait(TIMEOUT)?;
    ensure!(status.success(), "known_calls failed in {}: {status}", cgroup.display());
    Ok(())
}

/// Starts processes that make calls all the time, so that rates change.
pub(super) fn busy(cgroup: &Cgroup) -> Result<Guarded> {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\"; while :; do ls / > /dev/null; sleep 0.1; done"]);
    Guarded::spawn_bound(command.arg(cgroup.child("busy")?).stdin(Stdio::null()))
}
