//! The narrowest selector of a workload that stays true when the workload restarts, as YAML.

use std::fmt::Write as _;

use crate::workload::{Label, Labels};

/// Letters and digits of the suffixes that Kubernetes generates (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Length of the last generated part of a pod's name, and the possible lengths of the hash before it.
const SUFFIX: usize = 5;
const HASH: std::ops::RangeInclusive<usize> = 6..=10;

/// A selector, with a remark if it is not as narrow or as lasting as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    /// As YAML in one line: `{namespace: "shop", container: "web"}`.
    pub(super) yaml: String,
    pub(super) remark: Option<&'static str>,
}

impl Selector {
    /// Returns the selector of a workload with these metadata; `None` without a label that tells it from others.
    pub(super) fn of(metadata: &Labels) -> Option<Self> {
        let get = |label| metadata.get(label).map(AsRef::<str>::as_ref);
        let exact = |label| (label, exact(get(label).unwrap_or_default()));
        let (labels, remark) = if let (Some(_), Some(pod)) = (get(Label::Namespace), get(Label::Pod)) {
            let owner = get(Label::Owner).zip(get(Label::OwnerKind)).is_some();
            let (of_pod, remark) = match lasting_name(pod) {
                _ if owner => (vec![exact(Label::Owner), exact(Label::OwnerKind)], None),
                Some(pattern) => (vec![(Label::Pod, pattern)], Some("the owner of the pod is not known")),
                None => (vec![exact(Label::Pod)], None),
            };
            // A pod's own cgroup has no container.
            ([vec![exact(Label::Namespace)], of_pod, vec![exact(Label::Container)]].concat(), remark)
        } else if get(Label::Container).is_some() {
            let runtime = get(Label::Runtime).map(|_| exact(Label::Runtime));
            (runtime.into_iter().chain([exact(Label::Container)]).collect(), None)
        } else if get(Label::ContainerId).is_some() {
            (vec![exact(Label::ContainerId)], Some("the container has no name, so this ends with the container"))
        } else {
            get(Label::Cgroup)?;
            (vec![exact(Label::Cgroup)], None)
        };
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{}: {value}", label.name())).collect();
        Some(Self { yaml: format!("{{{}}}", labels.join(", ")), remark })
    }
}

/// Returns the pattern that matches only this value.
fn exact(value: &str) -> String {
    // In a name, these would be wildcards.
    if value.contains(['*', '?', '[']) { regex(&regex::escape(value)) } else { quoted(value) }
}

fn regex(expression: &str) -> String {
    format!("{{regex: {}}}", quoted(expression))
}

/// Returns a pattern for the pods of a controller, if the name of this one has generated parts.
fn lasting_name(pod: &str) -> Option<String> {
    let is_generated = |part: &str| part.chars().all(|c| GENERATED.contains(c));
    let (stem, _) = pod.rsplit_once('-').filter(|(_, suffix)| suffix.len() == SUFFIX && is_generated(suffix))?;
    let of_hash = stem.rsplit_once('-').filter(|(_, hash)| HASH.contains(&hash.len()) && is_generated(hash));
    let suffix = format!("-[{GENERATED}]{{{SUFFIX}}}");
    Some(regex(&match of_hash {
        Some((stem, _)) => {
            format!("{}-[{GENERATED}]{{{},{}}}{suffix}", regex::escape(stem), HASH.start(), HASH.end())
        }
        None => format!("{}{suffix}", regex::escape(stem)),
    }))
}

/// Returns a text in double quotes, as YAML. Only printable ASCII stays as it is, so the text is one line and changes
/// nothing in a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            ' '..='~' => write!(quoted, "{c}"),
            _ => write!(quoted, "\\U{:08X}", u32::from(c)),
        };
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::Match;

    fn metadata(labels: &[(Label, &str)]) -> Labels {
        Labels::new(labels.iter().map(|&(label, value)| (label, value.into())))
    }

    fn yaml(labels: &[(Label, &str)]) -> String {
        Selector::of(&metadata(labels)).unwrap().yaml
    }

    fn selects(yaml: &str, labels: &[(Label, &str)]) -> bool {
        serde_saphyr::from_str::<Match>(&format!("[{yaml}]")).unwrap().selects(&metadata(labels))
    }

    const POD: [(Label, &str); 6] = [
        (Label::Namespace, "shop"),
        (Label::Pod, "web-7d4b9c8f6d-x2k4q"),
        (Label::Container, "httpd"),
        (Label::ContainerId, "containerd://12"),
        (Label::PodUid, "u-1"),
        (Label::Cgroup, "/kubepods/pod1/12"),
    ];

    #[test]
    fn a_pod_is_selected_by_its_owner_and_never_by_its_own_name() {
        let owned = [&POD[..], &[(Label::Owner, "web"), (Label::OwnerKind, "Deployment")]].concat();
        let expected = r#"{namespace: "shop", owner: "web", owner_kind: "Deployment", container: "httpd"}"#;
        assert_eq!(yaml(&owned), expected);
    }

    #[test]
    fn without_an_owner_the_generated_parts_of_the_name_are_a_pattern() {
        let selector = Selector::of(&metadata(&POD)).unwrap();
        assert!(selector.remark.is_some());
        let with_pod = |pod| [&[(Label::Pod, pod)][..], &POD[..1], &POD[2..]].concat();
        assert!(selects(&selector.yaml, &with_pod("web-6c9f8d7b5b-zzzzz")));
        for other in ["web", "web-7d4b9c8f6d-aaaaa", "web2-7d4b9c8f6d-x2k4q", "web-7d4b9c8f6d-x2k4q-x2k4q", "db-0"] {
            assert!(!selects(&selector.yaml, &with_pod(other)), "{other}");
        }
        assert!(yaml(&with_pod("agent-x2k4q")).contains(r#"pod: {regex: "agent-["#));
        assert!(yaml(&with_pod("web-0")).contains(r#"pod: "web-0""#));
    }

    #[test]
    fn other_workloads_are_selected_by_what_lasts() {
        let docker = [(Label::Runtime, "docker"), (Label::Container, "web"), (Label::ContainerId, "docker://1")];
        assert_eq!(yaml(&docker), r#"{runtime: "docker", container: "web"}"#);
        assert_eq!(yaml(&[(Label::Cgroup, "/system.slice/a.service")]), r#"{cgroup: "/system.slice/a.service"}"#);
        let unnamed = Selector::of(&metadata(&[(Label::ContainerId, "x://1"), (Label::Cgroup, "/a/1")])).unwrap();
        assert!(unnamed.remark.is_some() && unnamed.yaml == r#"{container_id: "x://1"}"#);
        assert_eq!(Selector::of(&metadata(&[(Label::Node, "a")])), None);
        let sessions = "/user.slice/user-1000.slice/session-*.scope";
        assert!(selects(&yaml(&[(Label::Cgroup, sessions)]), &[(Label::Cgroup, sessions)]));
        let one = [(Label::Cgroup, "/user.slice/user-1000.slice/session-3.scope")];
        assert!(!selects(&yaml(&[(Label::Cgroup, sessions)]), &one));
    }

    proptest! {
        #[test]
        fn whatever_the_names_are_the_workload_alone_is_selected(
            values in prop::array::uniform3("([a-z]{1,4}|[\\PC\n\r\t\u{85}\u{1b}\u{202e}\u{2028}\"'\\\\{}\\[\\]*?:#&!|>%@`,-]{1,12})"),
            others in prop::array::uniform3("([a-z]{1,4}|[\\PC\n*?\\[\\]]{1,6})"),
        ) {
            let labels = [Label::Runtime, Label::Container, Label::ContainerId];
            let of = |values: &[String; 3]| {
                Labels::new(labels.into_iter().zip(values.iter().map(|value| value.as_str().into())))
            };
            let (known, other) = (of(&values), of(&others));
            let yaml = Selector::of(&known).unwrap().yaml;
            prop_assert!(yaml.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{yaml}");
            let selects: Match = serde_saphyr::from_str(&format!("[{yaml}]")).unwrap();
            prop_assert!(selects.selects(&known), "{yaml}");
            prop_assert_eq!(selects.selects(&other), values[..2] == others[..2]);
        }
    }
}
