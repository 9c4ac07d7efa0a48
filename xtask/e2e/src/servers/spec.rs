//! Specifications of containers for the OCI runtimes, as container engines write them.

use serde_json::{Value, json};
use syscallmon::syscalls::runtime_default::CAPABILITIES;

use super::Server;

/// What differs between containers of a server.
pub(crate) struct Settings {
    pub(crate) no_new_privileges: bool,
    /// Path of the network namespace.
    pub(crate) network: String,
    /// Path of the file system.
    pub(crate) rootfs: String,
}

/// Returns the specification of a container.
pub(crate) fn container(cgroup: &str, server: &Server, settings: &Settings, seccomp: Option<&Value>) -> Value {
    let in_effect = if server.user == 0 { json!(CAPABILITIES) } else { json!([]) };
    let tmpfs = |path: &str, mode: &str| {
        let mode = format!("mode={mode}");
        json!({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", mode]})
    };
    let mut namespaces = vec![json!({"type": "network", "path": settings.network})];
    namespaces.extend(["pid", "ipc", "uts", "mount"].map(|kind| json!({"type": kind})));
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": server.user, "gid": server.user},
            "args": server.command,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": in_effect, "permitted": in_effect},
            "noNewPrivileges": settings.no_new_privileges,
        },
        "root": {"path": settings.rootfs, "readonly": false},
        "hostname": "server",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            tmpfs("/dev/shm", "1777"),
            tmpfs("/tmp", "1777"),
            tmpfs("/run", "755"),
        ],
        "linux": {"cgroupsPath": cgroup, "namespaces": namespaces},
    });
    if let Some(seccomp) = seccomp {
        spec["linux"]["seccomp"] = seccomp.clone();
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::{super::named, *};

    #[test]
    fn profile_and_privileges_are_in_the_specification() {
        let settings = |no_new_privileges| Settings { no_new_privileges, network: "/n".into(), rootfs: "/r".into() };
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO"});
        let spec = container("/a", named("postgres"), &settings(true), Some(&profile));
        assert_eq!(spec["linux"]["seccomp"], profile);
        assert_eq!(spec["process"]["noNewPrivileges"], true);
        assert_eq!(spec["process"]["capabilities"]["effective"], json!([]));
        let spec = container("/a", named("nginx"), &settings(false), None);
        assert!(spec["linux"]["seccomp"].is_null());
        assert_eq!(spec["process"]["capabilities"]["effective"][13], "CAP_SYS_CHROOT");
    }
}
