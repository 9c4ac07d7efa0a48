//! Runs the program that makes a known number of calls (`examples/known_calls.rs`).

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A run of `known_calls`.
pub(crate) struct KnownCalls {
    child: Child,
}

impl KnownCalls {
    /// Path of the program. cargo builds examples with the tests, beside them.
    pub(crate) fn binary() -> PathBuf {
        example("known_calls")
    }

    /// Starts it. [`Self::finish`] closes its stdin.
    pub(crate) fn start(args: &[&dyn AsRef<OsStr>]) -> Self {
        let child = Command::new(Self::binary())
            .args(args.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start known_calls");
        Self { child }
    }

    /// Runs it to its end. Returns its output.
    pub(crate) fn run(args: &[&dyn AsRef<OsStr>]) -> String {
        Self::start(args).finish()
    }

    /// Runs a shell script to its end; the script may run the program.
    pub(crate) fn run_through(script: &str, args: &[&dyn AsRef<OsStr>]) {
        let args = args.iter().map(AsRef::as_ref);
        let status = Command::new("sh").args(["-c", script, "sh"]).args(args).status().expect("start sh");
        assert!(status.success(), "{script} failed: {status}");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the number of its threads inside `read`, from `/proc/PID/task/TID/syscall`.
    pub(crate) fn reading(&self) -> usize {
        let read = format!("{} ", libc::SYS_read);
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let calls = threads.filter_map(|thread| fs::read_to_string(thread.path().join("syscall")).ok());
        calls.filter(|call| call.starts_with(&read)).count()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for its end. Returns its output.
    pub(crate) fn finish(self) -> String {
        let output = self.child.wait_with_output().expect("wait for known_calls");
        assert!(output.status.success(), "known_calls failed: {}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Path of an example program. cargo builds examples with the tests, beside them.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("our own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps/<test>");
    let binary = profile.join("examples").join(name);
    assert!(binary.is_file(), "no {}: build it with `cargo build --examples`", binary.display());
    binary
}

/// The number of a syscall, as an argument for `known_calls`.
pub(crate) fn number(nr: i64) -> String {
    nr.to_string()
}
