//! Signals to the recorder, which it passes on to the command.

use std::{
    fs::File,
    io::{self, Read},
    mem::MaybeUninit,
    os::fd::{FromRawFd, OwnedFd},
};

use rustix::process::Signal;
use tokio::io::unix::AsyncFd;

use super::caller;

/// The signals that are passed on, if the caller does not ignore them.
const PASSED_ON: [Signal; 6] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// Bytes of a `signalfd_siginfo`.
const INFO_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// The signals of the recorder, blocked. Must be made before other threads, which inherit the mask.
pub(super) struct Signals {
    fd: OwnedFd,
    caller_mask: libc::sigset_t,
}

/// The same inside a tokio runtime.
pub(super) struct SignalStream(AsyncFd<File>);

/// A received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: Signal,
    /// Whether a process sent it. Otherwise the terminal did, and has sent it to all processes of the foreground.
    pub(super) is_from_process: bool,
}

impl Signals {
    /// Blocks them, and makes them readable.
    pub(super) fn block() -> io::Result<Self> {
        let mut wanted = MaybeUninit::uninit();
        let mut caller_mask = MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes the first set, pthread_sigmask the second one if it succeeds. signalfd
        // returns a new descriptor, or -1.
        unsafe {
            libc::sigemptyset(wanted.as_mut_ptr());
            for signal in PASSED_ON.into_iter().filter(|signal| !caller::is_ignored(signal.as_raw())) {
                libc::sigaddset(wanted.as_mut_ptr(), signal.as_raw());
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, wanted.as_ptr(), caller_mask.as_mut_ptr());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let fd = libc::signalfd(-1, wanted.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { fd: OwnedFd::from_raw_fd(fd), caller_mask: caller_mask.assume_init() })
        }
    }

    /// Returns the signals that the caller of this process had blocked.
    pub(super) fn caller_mask(&self) -> libc::sigset_t {
        self.caller_mask
    }

    /// Makes them awaitable. Must be called inside a tokio runtime.
    pub(super) fn watch(self) -> io::Result<SignalStream> {
        let file = File::from(self.fd);
        // SAFETY: a file owns its descriptor, and returns the same one as long as it lives.
        let watched = unsafe { AsyncFd::register(file) };
        watched.map(SignalStream).map_err(|error| error.into_parts().1)
    }
}

impl SignalStream {
    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> io::Result<Received> {
        loop {
            let mut guard = self.0.readable_mut().await?;
            let mut info = [0; INFO_BYTES];
            let read = guard.try_io(|file| file.get_mut().read_exact(&mut info));
            // Otherwise there was none yet.
            if let Ok(read) = read {
                read?;
                if let Some(received) = received(&info) {
                    return Ok(received);
                }
            }
        }
    }
}

/// Decodes a `signalfd_siginfo`: the signal at 0, `si_code` at 8.
fn received(info: &[u8; INFO_BYTES]) -> Option<Received> {
    let word = |at: usize| Some(i32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    // Codes of processes are SI_USER (0) and negative ones; the kernel's are positive.
    let (number, is_from_process) = (word(0)?, word(8)? <= 0);
    let signal = PASSED_ON.into_iter().find(|signal| signal.as_raw() == number)?;
    Some(Received { signal, is_from_process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_of_the_terminal_is_told_from_one_of_a_process() {
        let info = |signal: i32, code: i32| {
            let mut info = [0; INFO_BYTES];
            info[..4].copy_from_slice(&signal.to_ne_bytes());
            info[8..12].copy_from_slice(&code.to_ne_bytes());
            received(&info)
        };
        let terminal = info(libc::SIGINT, libc::SI_KERNEL);
        assert_eq!(terminal, Some(Received { signal: Signal::INT, is_from_process: false }));
        for code in [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL] {
            assert_eq!(info(15, code), Some(Received { signal: Signal::TERM, is_from_process: true }), "{code}");
        }
        assert_eq!(info(libc::SIGWINCH, 0), None);
    }
}
