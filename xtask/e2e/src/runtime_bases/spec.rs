//! Specifications of containers for the OCI runtimes, with the settings that change the calls of a runtime.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syscallmon::syscalls::{CallTable, UNKNOWN};

use super::CGROUP;

/// A program that ends at once, with status 0. It makes one call.
pub(super) const EXIT: &str = "/exit";
/// A program that waits for ever. It makes one call.
pub(super) const PAUSE: &str = "/pause";
/// The calls of both programs.
pub(super) const PROGRAM_CALLS: [&str; 2] = ["exit_group", "pause"];

const CAPABILITIES: [&str; 5] = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];

/// Paths that container engines hide. runc opens /proc in other ways if something is mounted over it.
const MASKED: [&str; 5] = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Settings of a container that change the calls of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) no_new_privileges: bool,
    pub(super) is_root: bool,
    pub(super) has_terminal: bool,
}

impl Settings {
    /// Returns both kinds of users, without a terminal.
    pub(super) fn of(no_new_privileges: bool) -> [Self; 2] {
        [true, false].map(|is_root| Self { no_new_privileges, is_root, has_terminal: false })
    }

    /// Returns the same settings with a terminal.
    pub(super) fn with_terminal(self) -> Self {
        Self { has_terminal: true, ..self }
    }
}

/// What a filter does with calls that it does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// They fail with EPERM.
    Error,
    /// They kill the process.
    Kill,
}

impl Denial {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "SCMP_ACT_ERRNO",
            Self::Kill => "SCMP_ACT_KILL_PROCESS",
        }
    }

    /// Returns runc's number of the action, which its files contain.
    pub(super) fn number_of_runc(self) -> u64 {
        match self {
            Self::Error => 2,
            Self::Kill => 9,
        }
    }
}

/// A seccomp profile: the allowed calls, and what happens to others.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) allowed: BTreeSet<&'static str>,
    pub(super) denial: Denial,
}

impl Profile {
    /// Returns a profile that allows every known call except this one.
    pub(super) fn without(call: Option<&str>) -> Self {
        let table = CallTable::x86_64();
        let calls = table.iter().map(|(_, call)| call).filter(|call| call.abi == "x86_64" && call.syscall != UNKNOWN);
        let allowed = calls.map(|call| call.syscall).filter(|&name| Some(name) != call).collect();
        Self { allowed, denial: Denial::Error }
    }

    /// Returns a profile that allows only these calls, and the calls of the programs.
    pub(super) fn only(calls: &BTreeSet<&'static str>, denial: Denial) -> Self {
        Self { allowed: calls.iter().copied().chain(PROGRAM_CALLS).collect(), denial }
    }
}

/// Returns the specification of a container's process.
pub(super) fn process(settings: Settings, program: &str) -> Value {
    // As containerd does: only root has capabilities in effect.
    let capabilities = |has_them: bool| if has_them { json!(CAPABILITIES) } else { json!([]) };
    let (id, groups) = if settings.is_root { (0, json!([])) } else { (1000, json!([1001, 1002])) };
    json!({
        "terminal": settings.has_terminal,
        "user": {"uid": id, "gid": id, "additionalGids": groups},
        "args": [program],
        "env": ["PATH=/"],
        "cwd": if settings.is_root { "/" } else { "/home" },
        "capabilities": {
            "bounding": capabilities(true),
            "effective": capabilities(settings.is_root),
            "permitted": capabilities(settings.is_root),
        },
        "noNewPrivileges": settings.no_new_privileges,
    })
}

/// Returns the specification of a container.
pub(super) fn container(id: &str, hostname: &str, settings: Settings, program: &str, profile: &Profile) -> Value {
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": process(settings, program),
        "root": {"path": "/tmp/rootfs", "readonly": false},
        "hostname": hostname,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666"],
            },
        ],
        "linux": {
            "cgroupsPath": format!("/{CGROUP}/{id}"),
            "namespaces": namespaces,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": {
                "defaultAction": profile.denial.name(),
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": profile.allowed, "action": "SCMP_ACT_ALLOW"}],
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_lacks_only_the_call_that_was_taken_away() {
        let (all, less) = (Profile::without(None), Profile::without(Some("openat2")));
        assert!(all.allowed.len() > 300 && all.allowed.contains("openat2"));
        let difference: Vec<_> = all.allowed.difference(&less.allowed).collect();
        assert_eq!(difference, [&"openat2"]);
    }

    #[test]
    fn specification_has_the_settings() {
        let settings = Settings { no_new_privileges: true, is_root: false, has_terminal: false };
        let profile = Profile::only(&["close"].into(), Denial::Kill);
        let spec = container("a", "b", settings, EXIT, &profile);
        assert_eq!(spec["process"]["noNewPrivileges"], true);
        assert_eq!(spec["process"]["user"]["uid"], 1000);
        assert_eq!(spec["linux"]["seccomp"]["syscalls"][0]["names"], json!(["close", "exit_group", "pause"]));
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_KILL_PROCESS");
    }
}
