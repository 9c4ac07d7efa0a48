//! The process of a recorded command. It waits inside its cgroup, completely set up: its next call is `execve`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use rustix::{
    fs::{Access, access},
    pipe::{PipeFlags, SpliceFlags, pipe_with, tee},
};

use super::{caller, signals::Signals};

/// The call by which the process waits. Few programs use it, so its first-call event takes none from the command.
pub(super) const WAITS_IN: &str = "tee";

/// Search path of a process without `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a command cannot be executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {}: {source}", program.to_string_lossy())]
pub(super) struct ExecError {
    program: OsString,
    source: io::Error,
}

impl ExecError {
    pub(super) fn new(program: &OsStr, source: io::Error) -> Self {
        Self { program: program.to_owned(), source }
    }

    /// Returns the exit status that a shell has for it.
    pub(super) fn status(&self) -> u8 {
        if self.source.kind() == ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// Finds a program as `execvp` does. The child then makes one `execve` only.
pub(super) fn find(program: &OsStr) -> Result<PathBuf, ExecError> {
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    find_in(program, &path).map_err(|source| ExecError::new(program, source))
}

fn find_in(program: &OsStr, path: &OsStr) -> io::Result<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return check(Path::new(program)).map(|()| program.into());
    }
    let mut problem = ErrorKind::NotFound;
    for directory in env::split_paths(path).filter(|_| !program.is_empty()) {
        // An empty part is the working directory. A path without `/` would be searched again.
        let found = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory }.join(program);
        match check(&found) {
            Ok(()) => return Ok(found),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => problem = ErrorKind::PermissionDenied,
            Err(_) => {}
        }
    }
    Err(problem.into())
}

fn check(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// A process that waits.
pub(super) struct Waiting {
    gate: OwnedFd,
    spawning: JoinHandle<io::Result<Child>>,
}

/// Whether stdout and stderr of the command are pipes to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Inherited,
    Piped,
}

impl Waiting {
    /// Starts a process that enters the cgroup and waits. A thread waits for its `execve`, as `Command::spawn` does.
    pub(super) fn start(
        (program, arguments): (&Path, &[OsString]),
        output: Output,
        entrance: File,
        signals: &Signals,
    ) -> io::Result<Self> {
        let (gate_read, gate) = pipe_with(PipeFlags::CLOEXEC)?;
        // `tee` copies the byte of the gate into this pipe, which nobody reads.
        let (spare_read, spare) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(program);
        command.arg0(&arguments[0]).args(&arguments[1..]);
        if output == Output::Piped {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let (mask, ignores_sigpipe, gate_write) = (signals.caller_mask(), caller::ignored_sigpipe(), gate.as_raw_fd());
        let set_up = move || {
            let _ = &spare_read;
            // SAFETY: `Command` has set both to defaults. The descriptor is a copy of this process, which nothing else
            // here uses: the gate closes when the recorder ends.
            unsafe {
                if ignores_sigpipe {
                    libc::signal(libc::SIGPIPE, libc::SIG_IGN);
                }
                libc::close(gate_write);
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
            }
            rustix::io::write(&entrance, b"0")?;
            // From here on, each call is counted.
            match tee(&gate_read, &spare, 1, SpliceFlags::empty())? {
                0 => Err(ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            }
        };
        // SAFETY: the closure makes system calls only, and allocates no memory.
        unsafe { command.pre_exec(set_up) };
        let spawning = thread::Builder::new().spawn(move || command.spawn())?;
        Ok(Self { gate, spawning })
    }

    /// Whether it waits no longer, because it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.spawning.is_finished()
    }

    /// Lets it execute the program. Returns when it has, or why it could not.
    pub(super) fn release(self) -> io::Result<Child> {
        // If it was killed meanwhile, spawning tells.
        let _ = rustix::io::write(&self.gate, b"g");
        self.end()
    }

    /// Ends it. Returns why it failed before.
    pub(super) fn cancel(self) -> io::Error {
        let Self { gate, spawning } = self;
        drop(gate);
        match join(spawning) {
            Ok(mut child) => child.wait().map_or_else(|error| error, |status| io::Error::other(status.to_string())),
            Err(error) => error,
        }
    }

    fn end(self) -> io::Result<Child> {
        join(self.spawning)
    }
}

fn join(spawning: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawning.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts the command failed")))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("a/tool")).unwrap();
        fs::create_dir(at("b")).unwrap();
        for (name, mode) in [("b/tool", 0o755), ("a/text", 0o644)] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = env::join_paths([at("a"), at("b")]).unwrap();
        let find = |program: &str| find_in(OsStr::new(program), &path).map_err(|error| error.kind());
        assert_eq!(find("tool"), Ok(at("b/tool")));
        assert_eq!(find("text"), Err(ErrorKind::PermissionDenied));
        assert_eq!(find("other"), Err(ErrorKind::NotFound));
        assert_eq!(find(""), Err(ErrorKind::NotFound));
        let whole = |name: &str| find(at(name).to_str().unwrap());
        assert_eq!(whole("b/tool"), Ok(at("b/tool")));
        assert_eq!((whole("a/tool"), whole("c")), (Err(ErrorKind::PermissionDenied), Err(ErrorKind::NotFound)));
    }
}
