//! Copies of files in the chart, because helm reads no file outside of the chart.

use anyhow::{Result, ensure};

use super::{DASHBOARDS, Deploy};

const FILES: &str = "helm/syscallmon/files";

/// Writes the copies, or checks them.
pub(super) fn make(deploy: &Deploy) -> Result<()> {
    deploy.put(&format!("{FILES}/rules.yaml"), &deploy.read("prometheus/rules.yaml")?)?;
    let dashboards = deploy.list(DASHBOARDS, "json")?;
    for dashboard in &dashboards {
        deploy.put(&format!("{FILES}/dashboards/{dashboard}"), &deploy.read(&format!("{DASHBOARDS}/{dashboard}"))?)?;
    }
    for copy in deploy.list(&format!("{FILES}/dashboards"), "json")? {
        ensure!(
            dashboards.contains(&copy),
            "deploy/{DASHBOARDS} has no {copy}: remove it from deploy/{FILES}/dashboards"
        );
    }
    Ok(())
}
