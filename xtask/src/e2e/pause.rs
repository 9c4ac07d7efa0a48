//! The program that only waits: the first process of every pod, and of every environment.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{record::sha256, shell, workspace};

const SOURCE: &str = include_str!("pause.c");

/// The program, linked statically; compiled unless it is in the user's cache.
pub(crate) fn program() -> Result<PathBuf> {
    let place = workspace::cache_dir()?.join("pause").join(&sha256(SOURCE.as_bytes())[..16]);
    if !place.exists() {
        let work = workspace::cache_work_dir()?;
        let prepared = work.path().join("pause");
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        let source = prepared.join("pause.c");
        fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
        let mut cc = Command::new("cc");
        cc.args(["-static", "-Os", "-s", "-o"]).arg(prepared.join("pause")).arg(&source);
        shell::query(&mut cc, "run `cargo xtask setup --for e2e`")?;
        workspace::move_into_cache(&prepared, &place)?;
    }
    Ok(place.join("pause"))
}
