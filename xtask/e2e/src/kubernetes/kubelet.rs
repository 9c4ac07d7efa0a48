//! The kubelet, and the kernel settings that it requires.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use syscallmon_testkit::Process;

use super::{ADDRESS, ETC, NODE, certificates::kubeconfig_path};
use crate::{containerd, directories::Directories, namespaces::Namespaces};

/// Directory of pods, inside; on a disk, because the kubelet reports its free space.
pub(crate) const ROOT: &str = "/var/lib/kubelet";
const CONFIG: &str = "/etc/kubernetes/kubelet.json";

/// The kubelet sets these values for the whole machine, unless they are set already.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Starts the kubelet.
pub(super) fn start(namespaces: &Namespaces, directories: &Directories, binaries: &Path) -> Result<Process> {
    pretend_settings(namespaces)?;
    namespaces.write(CONFIG, configuration())?;
    launch(namespaces, directories, binaries)
}

/// Starts it again, after it has ended.
pub(super) fn launch(namespaces: &Namespaces, directories: &Directories, binaries: &Path) -> Result<Process> {
    let mut command = namespaces.command(binaries.join("kubelet"));
    // Without this, the kubelet asks the cloud for its location.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.arg(format!("--config={CONFIG}")).arg(format!("--kubeconfig={}", kubeconfig_path("kubelet")));
    command.arg(format!("--root-dir={ROOT}")).args(["--cert-dir=/run/kubernetes/kubelet", "--v=2"]);
    command.args(["--hostname-override", NODE, "--node-ip", ADDRESS, "--container-runtime=remote"]);
    command.arg(format!("--container-runtime-endpoint=unix://{}", containerd::SOCKET));
    Process::start("kubelet", &mut command, &directories.logs)
}

/// Mounts files with the expected values over the kernel's files, instead of changing the machine.
fn pretend_settings(namespaces: &Namespaces) -> Result<()> {
    for (name, value) in SETTINGS {
        let file = format!("/run/kubernetes/sysctl/{}", name.replace('/', "."));
        namespaces.write(&file, format!("{value}\n"))?;
        namespaces.run("mount", &["--bind", &file, &format!("/proc/sys/{name}")])?;
    }
    Ok(())
}

/// Returns the configuration. JSON is YAML.
fn configuration() -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{ETC}/pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": false,
        "protectKernelDefaults": true,
        "readOnlyPort": 0,
        "healthzPort": 10248,
        "resolvConf": "",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "runtimeRequestTimeout": "2m",
        "nodeStatusUpdateFrequency": "2s",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    })
    .to_string()
}
