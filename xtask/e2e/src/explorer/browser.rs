//! Debian's Chromium, driven by Playwright, with axe-core.
//!
//! Playwright is the best kept of the drivers, waits for what it asks for, and brings axe-core as a wheel that pip
//! pins by its hash. So no second package manager is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use xtask_support::{
    pypi,
    setup::{self, Purpose},
};

const PINS: &str = include_str!("pins.txt");

/// The directory with the Python packages.
pub(crate) struct Browser(PathBuf);

impl Browser {
    /// Installs Chromium, and the packages unless these versions are there.
    pub(crate) fn installed(root: &Path) -> Result<Self> {
        setup::ensure(root, Purpose::Browser)?;
        let tools = pypi::installed(root, "browser", PINS)?;
        ensure!(tools.join("playwright").exists(), "pip installed no Playwright");
        Ok(Self(tools))
    }

    /// Returns a command that runs a script with both, by this Python. The script is written below `work`.
    pub(crate) fn script(&self, mut python: Command, text: &str, work: &Path) -> Result<Command> {
        let path = work.join("script.py");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        python.env("PYTHONPATH", &self.0).env("PYTHONDONTWRITEBYTECODE", "1").arg(&path);
        Ok(python)
    }
}
