//! `deploy/kubernetes`: helm's output for the chart's defaults, for users without helm.

use anyhow::{Context, Result, ensure};

use super::{
    Deploy,
    chart::{Chart, Helm, KUBERNETES},
    documents::Judge,
};

struct Manifest {
    file: &'static str,
    head: &'static str,
    args: &'static [&'static str],
}

const MADE: &str = "# Made from the chart in ../helm/syscallmon by `cargo xtask manifests`; do not edit.\n#\n";

const MANIFESTS: &[Manifest] = &[
    Manifest {
        file: "syscallmon.yaml",
        head: "\
#     kubectl apply -f syscallmon.yaml
#
# It is for Kubernetes 1.30 and newer; before, with --validate=warn.
",
        args: &[],
    },
    Manifest {
        file: "monitoring.yaml",
        head: "# Needs the CRDs of prometheus-operator. The dashboard is for the sidecar of Grafana's chart.\n",
        args: &[
            "--set=podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true",
            "--show-only=templates/podmonitor.yaml",
            "--show-only=templates/prometheusrule.yaml",
            "--show-only=templates/dashboards.yaml",
        ],
    },
];

/// Writes the files, or checks them, and checks their content.
pub(super) fn make(deploy: &Deploy, chart: &Chart, judge: &Judge) -> Result<()> {
    for manifest in MANIFESTS {
        let [newest, other] = &chart.helms;
        let made = manifest.make(chart, newest)?;
        ensure!(
            made == manifest.make(chart, other)?,
            "{} and {} make different manifests of the chart: mend its templates",
            newest.name,
            other.name
        );
        let name = format!("kubernetes/{}", manifest.file);
        judge.check(&made).with_context(|| format!("deploy/{name}"))?;
        deploy.put(&name, &made)?;
    }
    Ok(())
}

impl Manifest {
    fn make(&self, chart: &Chart, helm: &Helm) -> Result<String> {
        let version = format!("--kube-version={KUBERNETES}.0");
        let mut args = vec!["--namespace=syscallmon", "--set=plainManifests=true", &version];
        args.extend(self.args);
        Ok(format!("{MADE}{}{}", self.head, plain(&chart.template(helm, "syscallmon", &args)?)))
    }
}

/// Returns helm's documents without its comments, surrounding blank lines and empty documents.
fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# Source: ")).collect();
    let documents = lines.split(|line| line.trim_end() == "---").map(|document| document.join("\n"));
    let documents = documents.filter(|document| !document.trim().is_empty());
    documents.flat_map(|document| ["---\n".to_owned(), document.trim().to_owned(), "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_without_what_helm_adds() {
        let helm = "---\n# Source: a/b.yaml\n\nkind: A\n# a comment\n---\n# Source: a/empty.yaml\n\n---\n# Source: c\nkind: C\n\n";
        assert_eq!(plain(helm), "---\nkind: A\n# a comment\n---\nkind: C\n");
    }
}
