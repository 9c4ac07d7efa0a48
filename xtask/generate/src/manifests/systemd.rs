//! Checks the unit with systemd-analyze. This requires no running systemd.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use xtask_support::workspace;

use super::Deploy;

const FILE: &str = "systemd/syscallmon.service";
/// Programs of the unit. They may be missing on this machine.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/syscallmon", "/bin/kill"];
/// Units that every service depends on. The check uses empty units with these names, because this machine may have no
/// units, or other ones.
const UNITS: [&str; 3] = ["basic.target", "shutdown.target", "sysinit.target"];
/// Maximum exposure, in tenths of systemd's scale.
const EXPOSURE: &str = "--threshold=25";

/// Checks the unit.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let anything = workspace::find_program(&deploy.root, "true").context("no program `true` on PATH")?;
    let text =
        PROGRAMS.iter().fold(deploy.read(FILE)?, |text, program| text.replace(program, &anything.to_string_lossy()));
    for unit in UNITS {
        deploy.scratch(unit, "[Unit]\nDescription=Not the real one\n")?;
    }
    let unit = deploy.scratch("syscallmon.service", &text)?;
    let said = analyze(deploy, &["verify", "--man=no"], &unit)?;
    // systemd-analyze fails only if the unit cannot start at all. For an unknown key, it only prints a warning.
    ensure!(said.is_empty(), "systemd would complain about deploy/{FILE}: {said}: mend the unit");
    analyze(deploy, &["security", "--offline=true", "--no-pager", EXPOSURE], &unit)?;
    Ok(())
}

/// Returns the messages of systemd-analyze besides its result.
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
