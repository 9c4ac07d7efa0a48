//! Generated files that are committed: writes them, or checks that they are up to date.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

/// Writes the file if its content differs. Returns whether it did.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Fails if a file does not have this content.
///
/// # Errors
///
/// If it differs or cannot be read. The message ends with `remedy`.
pub fn check(path: &Path, content: &[u8], remedy: &str) -> Result<()> {
    let old = fs::read(path).with_context(|| format!("cannot read {}: {remedy}", path.display()))?;
    if old != content {
        bail!("{} is not up to date: {remedy}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.rs");
        assert!(write(&path, b"x").unwrap());
        assert!(!write(&path, b"x").unwrap());
        check(&path, b"x", "write it").unwrap();
        assert!(check(&path, b"y", "write it").unwrap_err().to_string().ends_with("not up to date: write it"));
    }
}
