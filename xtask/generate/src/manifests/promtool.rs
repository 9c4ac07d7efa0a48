//! Checks rules and queries with Prometheus' promtool.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask_support::workspace;

use super::{Deploy, or_else_mend};

/// Path of promtool.
pub(super) struct Promtool(PathBuf);

impl Promtool {
    pub(super) fn find(root: &Path) -> Result<Self> {
        let program = workspace::find_program(root, "promtool");
        Ok(Self(program.context("no promtool: run `cargo xtask setup --for manifests`")?))
    }

    /// Fails if Prometheus would not load these rules.
    pub(super) fn check_rules(&self, rules: &Value) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        // JSON is YAML.
        write!(file, "{rules}").context("cannot write a temporary file")?;
        self.run(&["check", "rules"], file.path())
    }

    fn run(&self, args: &[&str], file: &Path) -> Result<()> {
        let output = Command::new(&self.0).args(args).arg(file).output().context("cannot start promtool")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "promtool {} {}: {}", args.join(" "), file.display(), said.trim());
        Ok(())
    }
}

/// Checks the rules, and runs their tests.
pub(super) fn rules(deploy: &Deploy) -> Result<()> {
    let promtool = Promtool::find(&deploy.root)?;
    let checked = promtool.run(&["check", "rules"], &deploy.path("prometheus/rules.yaml"));
    let tested = checked.and_then(|()| promtool.run(&["test", "rules"], &deploy.path("prometheus/rules_test.yaml")));
    or_else_mend("mend the rule, or its test", tested)
}
