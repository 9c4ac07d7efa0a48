//! Programs from crates.io that verbs run: pinned, and built into `target/tools`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{shell, workspace};

/// Settings of a build that takes less time. What these programs do takes seconds.
const QUICK: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// A program.
#[derive(Debug)]
pub struct CargoTool {
    /// Name of the crate and of the program.
    pub name: &'static str,
    /// The version that is built.
    pub version: &'static str,
    /// Arguments that make it print its version, as a word.
    pub version_args: &'static [&'static str],
    /// Arguments of cargo that select features other than the default ones.
    pub features: &'static [&'static str],
    /// What it is needed for.
    pub why: &'static str,
}

impl CargoTool {
    /// Returns the path of the program. Builds it unless it exists in this version, and never replaces a user's own.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn ensure(&self, root: &Path) -> Result<PathBuf> {
        if let Some(program) = workspace::programs(root, self.name).find(|program| self.is_version_of(program)) {
            return Ok(program);
        }
        eprintln!("missing {} {}: {}", self.name, self.version, self.why);
        let tools = workspace::tools_dir(root);
        let build = tools.join("build").join(self.name);
        shell::run(
            Command::new(workspace::cargo())
                .envs(QUICK)
                .env("CARGO_TARGET_DIR", &build)
                .args(["install", self.name, "--version", self.version])
                .args(self.features)
                .args(["--locked", "--force", "--root"])
                .arg(&tools),
            "see the compiler's message",
        )?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        Ok(tools.join("bin").join(self.name))
    }

    fn is_version_of(&self, program: &Path) -> bool {
        let version = shell::query(Command::new(program).args(self.version_args), "");
        version.is_ok_and(|version| version.split_whitespace().any(|word| word == self.version))
    }
}
