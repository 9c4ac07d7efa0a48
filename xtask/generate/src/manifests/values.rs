//! Values for the chart: files in its `ci/` that must work, and a table of values that the chart must reject.

use std::{num::NonZeroUsize, path::Path, thread};

use anyhow::{Context, Result, ensure};
use xtask_support::parallel;

use super::{
    Deploy,
    chart::{Chart, Helm, KUBERNETES, OLDEST},
    documents::Judge,
};

const DIRECTORY: &str = "helm/syscallmon/ci";
const ENDING: &str = "-values.yaml";

/// A part of the error message, and values that the chart must reject.
const BAD: &[(&str, &str)] = &[
    ("capabilites", "{capabilites: [BPF]}"),
    ("web.txt", "{policies: {web.txt: {policies: []}}}"),
    ("policies", "{policies: {web.yaml: {policy: []}}}"),
    ("hostPath", "{state: {hostPath: var/lib}}"),
    ("cri", "{cri: {sockt: /run/a}}"),
    ("port", "{port: 99999}"),
    ("port", "{port: '9778; rm'}"),
    ("capabilities", "{capabilities: [CAP_BPF]}"),
    ("type", "{seccomp: {type: localhost}}"),
    ("localhostProfile", "{seccomp: {localhostProfile: ../../etc/cron.d/x}}"),
    ("kubeletDir", "{kubeletDir: var/lib/kubelet}"),
    ("repository", "{image: {repository: 'a b'}}"),
    ("digest", "{image: {digest: 'sha256:12'}}"),
    ("pullPolicy", "{image: {pullPolicy: Sometimes}}"),
    ("mountPropagation", "{cri: {mountPropagation: Bidirectional}}"),
    ("app.kubernetes.io/name", "{commonLabels: {app.kubernetes.io/name: other}}"),
    ("extraArgs", "{extraArgs: ['rm -rf /']}"),
    ("neither a flag", "{extraArgs: [--log.level=debug, debug]}"),
    ("set cri", "{extraArgs: ['--names.cri=off']}"),
    ("set port", "{extraArgs: [--web.listen-address, ':1']}"),
    ("has --log.level twice", "{extraArgs: ['--log.level=debug', --log.format, json, '--log.level=info']}"),
    ("wait", "{test: {wait: soon}}"),
    ("updateMode", "{verticalPodAutoscaler: {enabled: true, updatePolicy: {updateMode: Always}}}"),
    ("controlledResources", "{verticalPodAutoscaler: {enabled: true, controlledResources: [disk]}}"),
    ("imagePullSecrets", "{imagePullSecrets: [{secret: a}]}"),
    ("imageRegistry", "{global: {imageRegistry: 'https://registry.example'}}"),
    ("namespaceOverride", "{namespaceOverride: 'a b'}"),
    ("dnsPolicy", "{dnsPolicy: Cluster}"),
    ("type", "{service: {type: ExternalName}}"),
    ("no alert SyscallmonDwn", "{prometheusRule: {enabled: true, disabled: [SyscallmonDwn]}}"),
    ("attachMetadata", "{podMonitor: {enabled: true, attachMetadata: {pod: true}}}"),
    ("podLabels", "{podLabels: {a: {b: c}}}"),
    ("kubernetes", "{names: {kubernetes: perhaps}}"),
    ("config", "{config: 'probe: {}'}"),
    ("telemetry", "{config: {web: {telemetry: /m}}}"),
    ("alerts", "{config: {alerts: {}}}"),
    ("latency", "{config: {probe: {latency: sometimes}}}"),
    ("series", "{config: {capacity: {series: 0}}}"),
    ("url", "{config: {alert: {alertmanager: {url: 'http://a:9093'}}}}"),
    ("privileged", "{privileged: true}"),
    ("interval", "{podMonitor: {enabled: true, interval: soon}}"),
    ("apiServerPorts", "{networkPolicy: {enabled: true, apiServerPorts: []}}"),
    ("listen_address", "{config: {web: {listen_address: [':1']}}}"),
    ("cri.socketDir", "{cri: {socket: /run/crio/crio.sock}}"),
    (
        "maxSurge",
        "{hostNetwork: true, updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}}",
    ),
    ("needs state.enabled", "{pin: {enabled: true}}"),
    (
        "pin.enabled",
        "{pin: {enabled: true}, state: {enabled: true}, updateStrategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}}",
    ),
    ("hostPath", "{pin: {hostPath: sys/fs/bpf}}"),
    ("lease", "{pin: {lease: long}}"),
    ("set pin", "{extraArgs: ['--pin.directory=/sys/fs/bpf/other']}"),
    ("twice", "{podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}"),
    ("service.enabled", "{serviceMonitor: {enabled: true}, service: {enabled: false}}"),
];

/// Checks that Kubernetes accepts the manifests of every file in `ci/`, with each helm and with the oldest and newest
/// Kubernetes.
pub(super) fn good(deploy: &Deploy, chart: &Chart, judge: &Judge) -> Result<()> {
    let files = deploy.list(DIRECTORY, "yaml")?;
    for file in &files {
        ensure!(file.ends_with(ENDING), "deploy/{DIRECTORY}/{file}: helm's tools look for *{ENDING} only: rename it");
    }
    ensure!(!files.is_empty(), "deploy/{DIRECTORY} has no files *{ENDING}");
    let tries = files.iter().flat_map(|file| chart.helms.iter().map(move |helm| (file, helm))).collect();
    all(tries, |(file, helm)| {
        good_file(&deploy.path(DIRECTORY).join(file), helm, chart, judge)
            .with_context(|| format!("deploy/{DIRECTORY}/{file} with {}", helm.name))
    })
}

fn good_file(file: &Path, helm: &Helm, chart: &Chart, judge: &Judge) -> Result<()> {
    let values = format!("--values={}", file.display());
    for version in [KUBERNETES, OLDEST] {
        let version = format!("--kube-version={version}.0");
        let made = chart.template(helm, "release", &["--namespace=ns", &version, &values])?;
        judge.check(&made).context(version)?;
    }
    chart.lint(helm, &[&values])
}

/// Checks that the chart rejects all values in the table, with a message that names the cause.
pub(super) fn bad(chart: &Chart) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let tries =
        BAD.iter().enumerate().flat_map(|(i, bad)| chart.helms.iter().map(move |helm| (i, bad, helm))).collect();
    all(tries, |(i, &(expected, values), helm)| {
        let file = work.path().join(format!("{i}-{}.yaml", helm.name));
        std::fs::write(&file, values).with_context(|| format!("cannot write {}", file.display()))?;
        let refusal = chart.refusal(helm, &[&format!("--values={}", file.display())])?;
        let refusal = refusal
            .with_context(|| format!("{} takes {values}: mend values.schema.json or the templates", helm.name))?;
        ensure!(
            refusal.contains(expected),
            "{} refuses {values} without naming {expected}: mend values.schema.json or the templates: {}",
            helm.name,
            refusal.trim()
        );
        Ok(())
    })
}

/// Runs all tries, as many in parallel as there are CPUs. Returns the first failure.
fn all<T: Send>(tries: Vec<T>, work: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let jobs = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    parallel::map(jobs, tries, work).into_iter().collect()
}
