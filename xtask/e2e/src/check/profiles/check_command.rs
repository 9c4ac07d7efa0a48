//! `syscallmon profile check`: a generated profile can be enforced, and one that lacks an observed call cannot.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    super::step,
    generate::{allowed, observed, path},
    minimal::without,
    monitor::Monitor,
};
use crate::directories::Directories;

/// Checks the profile of a server against these sources.
pub(super) fn check(server: &str, sources: &[&str], monitor: &Monitor, directories: &Directories) -> Result<()> {
    let good = path(directories, server);
    let bad = directories.directory("profiles")?.join("bad.json");
    let profile = fs::read(&good).with_context(|| format!("cannot read {}", good.display()))?;
    let profile: Value = serde_json::from_slice(&profile)?;
    // A call without which the profile certainly breaks the server.
    let call = observed(&profile).into_iter().find(|call| call == "read").context("every server reads")?;
    ensure!(allowed(&profile).contains(&call), "the profile lacks {call}");
    fs::write(&bad, without(&profile, &call).to_string()).context("cannot write a profile")?;
    step(&format!("{server}: profile check"), || {
        let (status, text) = answer(monitor, &good, sources)?;
        ensure!(
            status == Some(0)
                && (text.contains("can be enforced.") || text.contains("breaks nothing that was observed.")),
            "status {status:?}: {text}"
        );
        let (status, text) = answer(monitor, &bad, sources)?;
        ensure!(status == Some(1) && text.contains("must not be enforced"), "status {status:?}: {text}");
        ensure!(text.contains(&format!("x86_64/{call}  ")), "{call} is not named: {text}");
        Ok(())
    })
}

fn answer(monitor: &Monitor, profile: &Path, sources: &[&str]) -> Result<(Option<i32>, String)> {
    let profile = profile.to_str().context("the path is not UTF-8")?;
    let output = monitor.syscallmon(&[&["profile", "check", profile], sources].concat())?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}
