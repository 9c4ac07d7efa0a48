//! Drops capabilities that the daemon no longer needs.

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

/// Drops every capability of this thread and of threads that it starts. Must run before any other thread exists.
///
/// `is_accessible` reports whether the maps can still be used. Before Linux 5.19, with
/// `kernel.unprivileged_bpf_disabled`, they require `CAP_BPF`, which then stays alone. Returns the remaining
/// capabilities.
///
/// # Errors
///
/// When the kernel refuses.
pub fn drop_all(is_accessible: impl Fn() -> bool) -> Result<Vec<Capability>, CapsError> {
    // No program that this process executes may get them back.
    rustix::thread::set_no_new_privs(true).map_err(|error| CapsError::from(error.to_string()))?;
    // Without CAP_SETPCAP, the bounding set cannot be changed; no_new_privs has the same effect then.
    let _ = caps::clear(None, CapSet::Bounding);
    // Effective ones first: a permitted capability can be raised again if it turns out to be needed.
    caps::clear(None, CapSet::Effective)?;
    let needed = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];
    let kept = if is_accessible() {
        None
    } else {
        needed.into_iter().find(|&capability| try_with(capability, &is_accessible))
    };
    let kept: CapsHashSet = kept.into_iter().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::clear(None, CapSet::Ambient)?;
    Ok(kept.into_iter().collect())
}

/// Clears the capabilities of this thread.
///
/// # Errors
///
/// When the kernel refuses.
pub fn clear_of_this_thread() -> Result<(), CapsError> {
    rustix::thread::set_no_new_privs(true).map_err(|error| CapsError::from(error.to_string()))?;
    [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient]
        .into_iter()
        .try_for_each(|set| caps::clear(None, set))
}

/// Keeps only the capability to read files of other users in this thread, which may still hang in a file when the
/// others are dropped.
///
/// # Errors
///
/// When the kernel refuses.
pub fn keep_for_files() -> Result<(), CapsError> {
    let for_files = CapsHashSet::from([Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE]);
    let kept = caps::read(None, CapSet::Permitted)?.intersection(&for_files).copied().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

fn try_with(capability: Capability, is_accessible: impl Fn() -> bool) -> bool {
    caps::set(None, CapSet::Effective, &CapsHashSet::from([capability])).is_ok() && is_accessible()
}
