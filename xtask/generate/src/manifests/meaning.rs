//! The meaning of the chart's defaults and switches, as patterns that the manifests must or must not contain.

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::chart::Chart;

/// A pattern, and whether manifests with these arguments must contain it.
struct Meaning {
    pattern: &'static str,
    is_there: bool,
    args: &'static [&'static str],
}

const fn has(pattern: &'static str, args: &'static [&'static str]) -> Meaning {
    Meaning { pattern, is_there: true, args }
}

const fn has_not(pattern: &'static str, args: &'static [&'static str]) -> Meaning {
    Meaning { pattern, is_there: false, args }
}

const MEANINGS: &[Meaning] = &[
    has("--names.cri=/run/containerd/containerd.sock", &[]),
    has("--names.cri=off", &["--set=cri.enabled=false"]),
    has_not("/run/containerd", &["--set=cri.enabled=false"]),
    has("--names.kubernetes=off", &["--set=names.kubernetes=off"]),
    has_not("ClusterRole", &["--set=names.kubernetes=off"]),
    has("automountServiceAccountToken: false", &["--set=names.kubernetes=off"]),
    has_not("resources: \\[events\\]|kubernetes-events", &[]),
    has("resources: \\[events\\]", &["--set=alerts.kubernetesEvents=true"]),
    has("--alert.kubernetes-events=true", &["--set=alerts.kubernetesEvents=true"]),
    has_not("resources: \\[pods\\]", &["--set=alerts.kubernetesEvents=true,names.kubernetes=off"]),
    has_not("hostNetwork: true", &[]),
    has("initContainers", &[]),
    has_not("initContainers", &["--set=seccomp.type=RuntimeDefault"]),
    // Its account may read pods, but no subresources of pods, and no secrets or nodes.
    has_not(r"pods/|secrets|nodes\b", &[]),
    // Its account gets single controllers. It does not require lists of the whole cluster.
    has(r"resources: \[replicasets\]\n *verbs: \[get\]\n", &[]),
    has(r"resources: \[jobs\]\n *verbs: \[get\]\n", &[]),
    has_not(r"replicasets|jobs\]", &["--set=alerts.kubernetesEvents=true,names.kubernetes=off"]),
    // helm 3 does not wait for the only pod of a DaemonSet, and no certificate is for the address of a pod.
    has("helm.sh/hook: test,post-install,post-upgrade\n", &[]),
    has("helm.sh/hook: test\n", &["--set=test.afterInstall=false"]),
    has_not("helm.sh/hook", &["--set=test.enabled=false"]),
    has_not("helm.sh/hook|kind: Role", &["--set=rbac.create=false"]),
    has("- --service=default/syscallmon\n", &[]),
    has("- --telemetry-path=/m\n", &["--set=config.web.telemetry_path=/m"]),
    has_not("runAsUser: 65534", &["--api-versions=security.openshift.io/v1"]),
    has_not("--service=|endpoints\\]", &["--set=service.enabled=false"]),
    has_not("--service=|endpoints\\]", &["--set=web.configSecret=web,web.scheme=HTTPS"]),
    has(
        "app.kubernetes.io/name: syscallmon-test\n *app.kubernetes.io/instance: syscallmon\n  egress",
        &["--set=networkPolicy.enabled=true,networkPolicy.ingressFrom[0].podSelector.matchLabels.a=b"],
    ),
    // Only the image's name contains a registry.
    has_not(r"ghcr\.io|docker\.io|quay\.io", &[]),
    has("recursiveReadOnly", &["--kube-version=1.37.0"]),
    has_not("recursiveReadOnly", &["--kube-version=1.20.0"]),
];

/// Checks the table with the newest helm.
pub(super) fn check(chart: &Chart) -> Result<()> {
    let [helm, _] = &chart.helms;
    for Meaning { pattern, is_there, args } in MEANINGS {
        let made = chart.template(helm, "syscallmon", args)?;
        let found = Regex::new(pattern).with_context(|| format!("{pattern} is no regular expression"))?.find(&made);
        ensure!(
            found.is_some() == *is_there,
            "the manifests {} {pattern} with {args:?}: mend the chart, or the table in xtask/generate/src/manifests/meaning.rs",
            if *is_there { "lack" } else { "have" },
        );
    }
    Ok(())
}
