//! systemd's own judgement of the unit; no systemd runs for it.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use xtask_support::workspace;

use super::Deploy;

const FILE: &str = "systemd/syscallmon.service";
/// What the unit runs, which need not be installed here.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/syscallmon", "/bin/kill"];
/// Units that every service depends on. Only their names are known here: this machine may have no units, or others.
const UNITS: [&str; 3] = ["basic.target", "shutdown.target", "sysinit.target"];
/// The most exposure that it may have, in tenths of systemd's scale.
const EXPOSURE: &str = "--threshold=30";

/// Checks it.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let anything = workspace::find_program(&deploy.root, "true").context("no program `true` on PATH")?;
    let text =
        PROGRAMS.iter().fold(deploy.read(FILE)?, |text, program| text.replace(program, &anything.to_string_lossy()));
    for unit in UNITS {
        deploy.scratch(unit, "[Unit]\nDescription=Not the real one\n")?;
    }
    let unit = deploy.scratch("syscallmon.service", &text)?;
    let said = analyze(deploy, &["verify", "--man=no"], &unit)?;
    // It fails only when the unit could not be started at all, and merely warns of a key that it does not know.
    ensure!(said.is_empty(), "systemd would complain about deploy/{FILE}: {said}: mend the unit");
    analyze(deploy, &["security", "--offline=true", "--no-pager", EXPOSURE], &unit)?;
    Ok(())
}

/// Returns what systemd-analyze had to say besides its result.
fn analyze(deploy: &Deploy, args: &[&str], unit: &Path) -> Result<String> {
    let program = workspace::find_program(&deploy.root, "systemd-analyze");
    let program = program.context("no systemd-analyze: run `cargo xtask setup --for manifests`")?;
    let mut command = Command::new(program);
    command.env("SYSTEMD_UNIT_PATH", deploy.work.path()).args(args).arg(unit);
    let output = command.output().context("cannot start systemd-analyze")?;
    let (result, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(
        output.status.success(),
        "systemd-analyze {} refuses deploy/{FILE}: {} {}: mend the unit",
        args.join(" "),
        said.trim(),
        result.lines().last().unwrap_or_default()
    );
    Ok(said.trim().to_owned())
}
