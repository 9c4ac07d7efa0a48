//! The explorer in a real Chromium.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use syscallmon_testkit::{Guarded, interrupt};
use xtask_support::workspace;

use crate::explorer::Explorer;

/// Checks every page. Keeps one open for some minutes, or refreshes it a few times.
pub(crate) fn explorer(root: &Path, explorer: &Explorer, minutes: Option<u64>) -> Result<()> {
    let pictures = workspace::target_dir(root).join("explorer");
    fs::create_dir_all(&pictures).with_context(|| format!("cannot make {}", pictures.display()))?;
    let mut script = explorer.script(include_str!("explorer.py"))?;
    script.arg(&pictures).arg(minutes.unwrap_or_default().to_string());
    let mut browser = Guarded::spawn_bound(&mut script)?;
    // Ctrl-C ends the wait, so that the workloads are removed.
    while browser.ensure_running().is_ok() {
        interrupt::sleep(Duration::from_millis(100))?;
    }
    eprintln!("screenshots: {}", pictures.display());
    let status = browser.wait(Duration::from_secs(1))?;
    ensure!(status.success(), "the message above says what is wrong, and the screenshots show it");
    Ok(())
}
