//! A small container runtime for the tests. It puts a child into a cgroup in one of the ways of real runtimes, makes
//! known calls there, runs a hook, and executes a program. Not part of the product.
//!
//! `known_runtime WAY CGROUP COPY PROGRAM [ARGUMENT...]`. `WAY` is `moves` (as runc), `moves-threads` (as runc for
//! `exec`: threads of the child make calls meanwhile), `enters` (as youki: the child moves itself), `asks`
//! (another process moves the child, as systemd does), `spawns` (as newer runtimes for `exec`), `clones` (as crun,
//! directly in a new mount namespace), `clones-user` (also in a user namespace), or `executes` (starts systemd's
//! executor, then moves it). `COPY` is the copy of itself that it runs in the cgroup: `none`, `same`, `memory`, or
//! `executor`: the program `systemd-executor` beside its own, as systemd does. The program `memory:PATH` runs from a
//! copy in memory. In the cgroup, the runtime calls `umask` twice: itself, and in a hook. With the copy `user`, it only
//! runs itself as a user, and calls `umask` once.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// From `include/uapi/linux/sched.h`. The constant in libc is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Threads that make calls while their process is moved.
const THREADS: usize = 2;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["moves", cgroup, copy, program @ ..] => {
            wait_for(moved(Path::new(cgroup), move_in, || inside(copy, program)));
        }
        ["moves-threads", cgroup, copy, program @ ..] => {
            wait_for(moved_with_threads(Path::new(cgroup), || inside(copy, program)));
        }
        ["enters", cgroup, copy, program @ ..] => wait_for(forked(|| {
            move_in(Path::new(cgroup), 0);
            inside(copy, program);
        })),
        ["asks", cgroup, copy, program @ ..] => {
            wait_for(moved(Path::new(cgroup), have_moved_in, || inside(copy, program)));
        }
        ["spawns", cgroup, copy, program @ ..] => wait_for(cloned(Path::new(cgroup), 0, || inside(copy, program))),
        ["executes", cgroup, "executor", program @ ..] => executes(Path::new(cgroup), program),
        ["clones", cgroup, "none", program @ ..] => {
            wait_for(cloned(Path::new(cgroup), libc::CLONE_NEWNS, || init_container(program)));
        }
        ["clones-user", cgroup, "none", program @ ..] => {
            let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWUSER;
            wait_for(cloned(Path::new(cgroup), namespaces, || init_container(program)));
        }
        ["copied", program @ ..] => unshare_and_init_container(program),
        ["executed", program @ ..] => {
            io::stdin().read_to_end(&mut Vec::new()).expect("the parent closes it");
            unshare_and_init_container(program);
        }
        ["hook"] => umask(),
        _ => panic!("known_runtime WAY CGROUP COPY PROGRAM [ARGUMENT...]"),
    }
}

/// Forks, and moves the child into a cgroup before the child continues, as runc does.
fn moved(cgroup: &Path, mover: fn(&Path, libc::pid_t), child: impl FnOnce()) -> libc::pid_t {
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    let pid = forked(|| {
        reader.read_exact(&mut [0]).expect("the parent's byte");
        child();
    });
    mover(cgroup, pid);
    writer.write_all(&[0]).expect("tell the child");
    pid
}

/// Forks, and moves the child into a cgroup while its threads make calls.
fn moved_with_threads(cgroup: &Path, child: impl FnOnce()) -> libc::pid_t {
    let (mut ready, mut has_threads) = io::pipe().expect("a pipe");
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    let pid = forked(|| {
        let is_moved = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while !is_moved.load(Ordering::Relaxed) {
                        harmless_calls();
                    }
                });
            }
            has_threads.write_all(&[0]).expect("tell the parent");
            reader.read_exact(&mut [0]).expect("the parent's byte");
            is_moved.store(true, Ordering::Relaxed);
        });
        child();
    });
    ready.read_exact(&mut [0]).expect("the child's byte");
    move_in(cgroup, pid);
    writer.write_all(&[0]).expect("tell the child");
    pid
}

fn forked(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child();
        unreachable!("it has become the program");
    }
    pid
}

fn harmless_calls() {
    let calls = [
        libc::SYS_getsid,
        libc::SYS_getpgid,
        libc::SYS_getppid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
    ];
    for call in calls {
        // SAFETY: takes an integer or nothing.
        unsafe { libc::syscall(call, 0) };
    }
}

/// Starts the executor, and moves it into a cgroup before it goes on, as systemd does where it cannot clone into it.
fn executes(cgroup: &Path, program: &[&str]) {
    let mut child =
        Command::new(executor()).arg("executed").args(program).stdin(Stdio::piped()).spawn().expect("the executor");
    move_in(cgroup, libc::pid_t::try_from(child.id()).expect("a process id"));
    // `wait` closes its stdin.
    assert!(child.wait().expect("its end").success(), "the program fails");
}

fn executor() -> String {
    let own = env::current_exe().expect("a path");
    own.with_file_name("systemd-executor").display().to_string()
}

fn move_in(cgroup: &Path, pid: libc::pid_t) {
    fs::write(cgroup.join("cgroup.procs"), pid.to_string()).expect("move the child");
}

fn have_moved_in(cgroup: &Path, pid: libc::pid_t) {
    let script = format!("echo {pid} >{}/cgroup.procs", cgroup.display());
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh").success());
}

/// Makes a child directly in the cgroup.
fn cloned(cgroup: &Path, namespaces: libc::c_int, child: impl FnOnce()) -> libc::pid_t {
    let directory = File::open(cgroup).expect("the cgroup");
    // SAFETY: all of its fields are integers.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP | u64::from(namespaces.cast_unsigned());
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.cgroup = u64::from(directory.as_raw_fd().cast_unsigned());
    // SAFETY: a struct of that size, and a child with a copy of this process' memory, which has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    assert!(pid >= 0, "clone3: {}", io::Error::last_os_error());
    if pid == 0 {
        child();
    }
    libc::pid_t::try_from(pid).expect("a process id")
}

/// Runs in the child: executes a copy of this program, or continues without a copy.
fn inside(copy: &str, program: &[&str]) {
    let path = match copy {
        "none" => return unshare_and_init_container(program),
        "same" => "/proc/self/exe".to_owned(),
        "memory" => in_memory(Path::new("/proc/self/exe"), "known_runtime"),
        "executor" => executor(),
        "user" => {
            // SAFETY: takes integers.
            assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0, "{}", io::Error::last_os_error());
            panic!("{}", Command::new("/proc/self/exe").arg("hook").exec());
        }
        other => panic!("no way to copy: {other}"),
    };
    panic!("{}", Command::new(path).arg("copied").args(program).exec());
}

/// Enters a new mount namespace, then does the container init.
fn unshare_and_init_container(program: &[&str]) {
    // SAFETY: takes an integer.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", io::Error::last_os_error());
    init_container(program);
}

/// Does the container init, then executes the program.
fn init_container(program: &[&str]) {
    umask();
    let hook = Command::new("/proc/self/exe").arg("hook").status().expect("run the hook");
    assert!(hook.success());
    let [path, args @ ..] = program else { panic!("no program") };
    let path =
        path.strip_prefix("memory:").map_or_else(|| (*path).to_owned(), |path| in_memory(Path::new(path), "own"));
    panic!("{path}: {}", Command::new(&path).args(args).exec());
}

fn umask() {
    // SAFETY: takes an integer.
    unsafe { libc::syscall(libc::SYS_umask, 0o22) };
}

/// Copies a program into memory with this name. Returns a path to the copy, which is valid in this process.
fn in_memory(program: &Path, name: &str) -> String {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: a string that ends with a NUL, and no flag: the descriptor must survive the exec of a script, too.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), 0) };
    assert!(descriptor >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and has no other owner.
    let mut copy = unsafe { File::from_raw_fd(descriptor) };
    copy.write_all(&fs::read(program).expect("the program")).expect("write the copy");
    // Opens the copy again, because a file that is open for writing cannot be executed.
    let readable = File::open(format!("/proc/self/fd/{descriptor}")).expect("the copy");
    // SAFETY: a descriptor of this process; its copy survives the exec, and is left open on purpose.
    let kept = unsafe { libc::dup(readable.as_raw_fd()) };
    format!("/proc/self/fd/{kept}")
}

fn wait_for(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the program fails");
}
