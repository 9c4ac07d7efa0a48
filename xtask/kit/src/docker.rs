//! Debian's dockerd.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{process::Process, wait::try_wait_for};

const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Starts dockerd by a command that runs it, and waits until a command that runs `docker` reaches it.
///
/// Its socket is `docker.sock` in `directory`, a path that the command sees. Its log is in `logs`, a directory of this
/// host.
///
/// # Errors
///
/// If it ends, or does not answer within a minute.
pub fn start(mut dockerd: Command, docker: impl Fn() -> Command, directory: &Path, logs: &Path) -> Result<Process> {
    let path = |name: &str| directory.join(name).display().to_string();
    dockerd.arg(format!("--host=unix://{}", path("docker.sock")));
    dockerd.args([format!("--exec-root={}", path("docker")), format!("--pidfile={}", path("docker.pid"))]);
    // No systemd is there to create cgroups.
    dockerd.arg("--exec-opt=native.cgroupdriver=cgroupfs");
    let mut process = Process::start("dockerd", &mut dockerd, logs)?;
    try_wait_for("dockerd", TIMEOUT, PAUSE, || {
        process.ensure_running()?;
        let output = docker().arg("version").stdin(Stdio::null()).output().context("cannot start docker")?;
        Ok(output.status.success().then_some(()))
    })?;
    Ok(process)
}
