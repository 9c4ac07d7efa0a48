//! Ctrl-C: the first one starts the cleanup, and the second one ends the process at once.

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Sets handlers. Afterwards, a signal to end makes [`check`] fail, and a second one ends this process.
///
/// # Errors
///
/// If the kernel rejects the handlers.
pub fn watch() -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        // SAFETY: the handler only stores to an atomic, and lives as long as the program.
        let set = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        ensure!(set == 0, "cannot handle signal {signal}: {}", io::Error::last_os_error());
    }
    Ok(())
}

/// Fails after a signal.
///
/// # Errors
///
/// If a signal has arrived.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps, unless a signal arrives.
///
/// # Errors
///
/// If a signal arrives.
pub fn sleep(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
