//! The explorer in a real Chromium.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use xtask_support::{shell, workspace};

use crate::explorer::Explorer;

/// Checks every page. Keeps one open for some minutes, or refreshes it a few times.
pub(crate) fn explorer(root: &Path, explorer: &Explorer, minutes: Option<u64>) -> Result<()> {
    let pictures = workspace::target_dir(root).join("explorer");
    fs::create_dir_all(&pictures).with_context(|| format!("cannot make {}", pictures.display()))?;
    let mut script = explorer.script(include_str!("explorer.py"))?;
    script.arg(&pictures).arg(minutes.unwrap_or_default().to_string());
    let result = shell::run(&mut script, "the message above says what is wrong, and the screenshots show it");
    eprintln!("screenshots: {}", pictures.display());
    result
}
