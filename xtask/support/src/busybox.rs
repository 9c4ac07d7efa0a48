//! A shell and small programs for VMs and containers, from Debian's package. The user's cache keeps them.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    apt::{self, Lists, Suite},
    arch::Arch,
    workspace,
};

/// Returns a statically linked busybox. Fetches it unless it is in the cache.
///
/// # Errors
///
/// If it cannot be downloaded or saved.
pub fn fetch(arch: Arch) -> Result<PathBuf> {
    let dir = workspace::cache_dir()?.join("busybox").join(arch.debian());
    let file = dir.join("busybox");
    if !file.exists() {
        let work = workspace::cache_work_dir()?;
        eprintln!("fetching busybox for {arch}");
        let deb = Lists::fetch(Suite::Bookworm, arch.debian())?.download("busybox-static", work.path())?;
        let unpacked = apt::unpack(&deb, &work.path().join("unpacked"))?;
        workspace::move_into_cache(&unpacked.join("bin"), &dir)?;
    }
    Ok(file)
}
