//! Checks that the versions in the chart are those of the workspace.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Deploy;

const FILE: &str = "helm/syscallmon/Chart.yaml";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chart {
    version: String,
    app_version: String,
}

/// Checks both versions.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let chart: Chart = serde_saphyr::from_str(&deploy.read(FILE)?).with_context(|| format!("deploy/{FILE}"))?;
    for (key, version) in [("version", &chart.version), ("appVersion", &chart.app_version)] {
        ensure!(version == VERSION, "deploy/{FILE} has {key} {version}, not {VERSION}: mend it, as Cargo.toml has it");
    }
    Ok(())
}
