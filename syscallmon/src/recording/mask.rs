//! Pseudonyms for names. A name has the same pseudonym within a recording, and cannot be found from it.

use std::fmt::Write;

use ring::{hmac, rand};

use crate::{
    process::Process,
    workload::{Label, RUNTIMES},
};

/// Suffixes of names of systemd's units, which are kept.
const UNITS: [&str; 3] = [".slice", ".service", ".scope"];

/// Suffix of the path of a removed executable, which is kept.
const DELETED: &str = " (deleted)";

/// Bytes of the hash in a pseudonym.
const HASH_BYTES: usize = 8;

/// Replaces a text of another program, which may contain names.
pub(super) const MASKED: &str = "(masked)";

/// Makes pseudonyms. The key is random, is never written, and ends with this value.
pub(super) struct Mask(hmac::Key);

impl Mask {
    /// Returns a mask with a new key; `None` if the system has no random numbers.
    pub(super) fn new() -> Option<Self> {
        Some(Self(hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok()?))
    }

    /// Returns the pseudonym of a name; an empty name stays empty.
    pub(super) fn word(&self, name: &str) -> String {
        let mut text = String::new();
        if !name.is_empty() {
            text.push('m');
            for byte in &hmac::sign(&self.0, name.as_bytes()).as_ref()[..HASH_BYTES] {
                write!(text, "{byte:02x}").expect("a string takes everything");
            }
        }
        text
    }

    /// Returns a path with a pseudonym for each component. Suffixes of units, and ` (deleted)`, are kept.
    pub(super) fn path(&self, path: &str) -> String {
        let (path, deleted) = path.strip_suffix(DELETED).map_or((path, ""), |path| (path, DELETED));
        let component = |name: &str| {
            let unit = UNITS.into_iter().find(|unit| name.ends_with(unit)).unwrap_or("");
            self.word(&name[..name.len() - unit.len()]) + unit
        };
        path.split('/').map(component).collect::<Vec<_>>().join("/") + deleted
    }

    /// Masks the value of a label. Names of runtimes and of Kubernetes' own kinds are kept.
    pub(super) fn label(&self, name: &str, value: &str) -> String {
        let is_runtime = |text: &str| RUNTIMES.iter().any(|runtime| runtime.name == text);
        match name.parse() {
            Ok(Label::Cgroup) => self.path(value),
            Ok(Label::Runtime) if is_runtime(value) => value.to_owned(),
            Ok(Label::OwnerKind) if is_kubernetes_own(value) => value.to_owned(),
            Ok(Label::ContainerId) => match value.split_once("://") {
                Some((runtime, id)) if is_runtime(runtime) => format!("{runtime}://{}", self.word(id)),
                _ => self.word(value),
            },
            _ => self.word(value),
        }
    }

    /// Returns a process with numbers only.
    pub(super) fn process(&self, process: &mut Process) {
        let path = |exe: &mut Option<String>| *exe = exe.take().map(|exe| self.path(&exe));
        process.comm = self.word(&process.comm);
        path(&mut process.exe);
        for argument in process.command_line.iter_mut().flatten() {
            *argument = self.word(argument);
        }
        for parent in &mut process.parents {
            parent.comm = self.word(&parent.comm);
            path(&mut parent.exe);
        }
    }
}

/// Kubernetes' own kinds that make pods. Other kinds have names that users chose.
fn is_kubernetes_own(kind: &str) -> bool {
    let kinds =
        ["CronJob", "DaemonSet", "Deployment", "Job", "Node", "ReplicaSet", "ReplicationController", "StatefulSet"];
    kinds.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_pseudonym_within_a_recording_only() {
        let (mask, other) = (Mask::new().unwrap(), Mask::new().unwrap());
        assert_eq!(mask.word("shop"), mask.word("shop"));
        assert_ne!(mask.word("shop"), mask.word("shop2"));
        assert_ne!(mask.word("shop"), other.word("shop"));
        assert_eq!(mask.word(""), "");
    }

    #[test]
    fn paths_keep_their_shape() {
        let mask = Mask::new().unwrap();
        let parts = [mask.word("kubepods") + ".slice", mask.word("secret"), mask.word("a") + ".scope"];
        assert_eq!(mask.path("/kubepods.slice/secret/a.scope"), format!("/{}", parts.join("/")));
        assert_eq!((mask.path("/"), mask.path("/a (deleted)")), ("/".to_owned(), mask.path("/a") + " (deleted)"));
    }

    #[test]
    fn what_is_no_name_is_kept() {
        let mask = Mask::new().unwrap();
        assert_eq!(
            (mask.label("runtime", "containerd"), mask.label("owner_kind", "Job")),
            ("containerd".into(), "Job".into())
        );
        assert!(mask.label("container_id", "docker://abcdef").starts_with("docker://m"));
        for (label, value) in
            [("owner_kind", "Rollout.corp.example"), ("runtime", "ours"), ("image", "corp/app:1"), ("node", "n")]
        {
            assert_eq!(mask.label(label, value), mask.word(value));
        }
    }
}
