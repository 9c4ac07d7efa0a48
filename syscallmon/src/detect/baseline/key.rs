//! Kinds of workloads, which share a baseline, and their names in files, in the API and on the command line.

use std::{fmt, str::FromStr, sync::Arc};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{
    stable_id::StableId,
    workload::{Label, Labels},
};

/// A kind of workloads, by its text:
///
/// | workload | text |
/// |---|---|
/// | container of a pod | `shop/Deployment/web/httpd`: namespace, kind and name of the owner, container |
/// | container of a pod without an owner | `shop/pod/web-0/httpd`; kinds of the API are never lowercase |
/// | pod, outside its containers | `shop/Deployment/web` |
/// | container without a pod | `docker:web`: runtime and name |
/// | anything else | `unit:/system.slice/nginx.service`: path of the cgroup |
///
/// Characters that would make it ambiguous, or unreadable, are written as `%2F`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BaselineKey(Arc<str>);

/// Prefix of kinds by path. `docker:unit` has no `/` after its colon.
const UNIT: &str = "unit:";

/// Below this path, users make units, each in a slice of their own.
const USERS: &str = "/user.slice/";

/// Stands for the kind of the owner, for a pod without an owner.
const BARE_POD: &str = "pod";

/// Maximum length of the text in the name of a file.
const MAX_SLUG: usize = 120;

/// A text that is not a kind of workload.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a kind of workload: expected the form shop/Deployment/web/httpd, docker:web or unit:/system.slice/nginx.service"
)]
pub struct BaselineKeyError {
    text: String,
}

impl BaselineKey {
    /// Returns the kind of a workload by its metadata; `None` without metadata.
    #[must_use]
    pub fn of(metadata: &Labels) -> Option<Self> {
        let get = |label| metadata.get(label).map(AsRef::<str>::as_ref);
        let container = get(Label::Container);
        if let (Some(namespace), Some(pod)) = (get(Label::Namespace), get(Label::Pod)) {
            let owner = get(Label::OwnerKind).zip(get(Label::Owner));
            let (kind, name) = owner.unwrap_or((BARE_POD, pod));
            let parts = [Some(namespace), Some(kind), Some(name), container];
            return Some(Self::new(&parts.into_iter().flatten().map(escaped).collect::<Vec<_>>().join("/")));
        }
        if let Some(container) = container {
            let runtime = get(Label::Runtime).unwrap_or("container");
            return Some(Self::new(&format!("{}:{}", escaped(runtime), escaped(container))));
        }
        get(Label::Cgroup).map(|path| Self::new(&format!("{UNIT}{}", escaped_path(path))))
    }

    fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns it as a text that [`str::parse`] reads.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its id, for paths that cannot have the text.
    #[must_use]
    pub fn id(&self) -> StableId {
        StableId::of("baseline", [self.as_str()])
    }

    /// Returns the scope that shares capacity: the namespace, the container runtime, or the slice of a unit; for users,
    /// the slice of the user.
    #[must_use]
    pub fn scope(&self) -> &str {
        let end_of = |separators: usize| self.0.match_indices('/').nth(separators).map_or(self.0.len(), |(end, _)| end);
        match (self.0.strip_prefix(UNIT).is_some_and(|path| path.starts_with('/')), self.0.split_once(':')) {
            (true, _) if self.0[UNIT.len()..].starts_with(USERS) => &self.0[..end_of(2)],
            (true, _) => &self.0[..end_of(1)],
            (false, Some((runtime, _))) => runtime,
            (false, None) => &self.0[..end_of(0)],
        }
    }

    /// Returns the name of its file: readable if the text is plain, and unique by a hash of the whole text. Never
    /// hidden, and never a path.
    #[must_use]
    pub fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let slug: String = self.0.trim_start_matches('.').chars().map(plain).take(MAX_SLUG).collect();
        let hash = digest(&SHA256, self.0.as_bytes());
        let hash = hash.as_ref().iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte));
        format!("{slug}-{hash:016x}.json")
    }
}

/// A part of a kind, escaped.
fn escaped(part: &str) -> String {
    escape(part, |c| c == '/' || c == ':')
}

/// A path, escaped except for its slashes.
fn escaped_path(path: &str) -> String {
    escape(path, |_| false)
}

fn escape(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '%' || c.is_control() || is_special(c) {
            let mut bytes = [0; 4];
            escaped.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Returns the text before escaping; `None` if it is not an escaped text.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

impl FromStr for BaselineKey {
    type Err = BaselineKeyError;

    fn from_str(text: &str) -> Result<Self, BaselineKeyError> {
        let is = |text: &str, escaped: fn(&str) -> String| unescaped(text).is_some_and(|plain| escaped(&plain) == text);
        let is_part = |part: &str| !part.is_empty() && is(part, escaped);
        let is_kind = match text.strip_prefix(UNIT).filter(|path| path.starts_with('/')) {
            Some(path) => is(path, escaped_path),
            None => match text.split_once(':') {
                Some((runtime, name)) => is_part(runtime) && is_part(name),
                None => matches!(text.split('/').count(), 3 | 4) && text.split('/').all(is_part),
            },
        };
        if is_kind { Ok(Self::new(text)) } else { Err(BaselineKeyError { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for BaselineKey {
    type Error = BaselineKeyError;

    fn try_from(text: String) -> Result<Self, BaselineKeyError> {
        text.parse()
    }
}

impl fmt::Display for BaselineKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn metadata(labels: &[(Label, &str)]) -> Labels {
        Labels::new(labels.iter().map(|&(label, value)| (label, value.into())))
    }

    fn key(labels: &[(Label, &str)]) -> String {
        BaselineKey::of(&metadata(labels)).unwrap().to_string()
    }

    const POD: [(Label, &str); 3] =
        [(Label::Namespace, "shop"), (Label::Pod, "web-7d4b-x2k"), (Label::Cgroup, "/kubepods/pod1/abc")];

    #[test]
    fn pods_of_an_owner_are_one_kind_and_each_other_pod_is_its_own() {
        let owned = [(Label::OwnerKind, "Deployment"), (Label::Owner, "web"), (Label::Container, "httpd")];
        assert_eq!(key(&[&POD[..], &owned].concat()), "shop/Deployment/web/httpd");
        assert_eq!(key(&[&POD[..], &owned[..2]].concat()), "shop/Deployment/web");
        assert_eq!(key(&[&POD[..], &owned[2..]].concat()), "shop/pod/web-7d4b-x2k/httpd");
        let by_pod = [(Label::OwnerKind, "Pod"), (Label::Owner, "web-7d4b-x2k"), (Label::Container, "httpd")];
        assert_ne!(key(&[&POD[..], &by_pod].concat()), key(&[&POD[..], &owned[2..]].concat()));
    }

    #[test]
    fn a_job_is_no_cron_job_whatever_its_name_is() {
        let owned =
            |kind_of_owner, name| key(&[&POD[..], &[(Label::OwnerKind, kind_of_owner), (Label::Owner, name)]].concat());
        assert_eq!(owned("CronJob", "backup"), "shop/CronJob/backup");
        assert_eq!(owned("Job", "backup-29103845"), "shop/Job/backup-29103845");
        assert_eq!(owned("Rollout.argoproj.io", "web"), "shop/Rollout.argoproj.io/web");
    }

    #[test]
    fn containers_without_a_pod_are_distinguished_by_runtime_and_units_by_path() {
        let named =
            [(Label::Container, "web"), (Label::Runtime, "docker"), (Label::Cgroup, "/system.slice/docker-1.scope")];
        assert_eq!(key(&named), "docker:web");
        assert_eq!(key(&[(Label::Cgroup, "/system.slice/nginx.service")]), "unit:/system.slice/nginx.service");
        assert_eq!(BaselineKey::of(&metadata(&[(Label::Node, "a")])), None);
    }

    #[test]
    fn no_two_workloads_have_one_text() {
        let container = |runtime, name| key(&[(Label::Runtime, runtime), (Label::Container, name)]);
        assert_eq!(container("unit", "/a"), "unit:%2Fa");
        assert_ne!(container("unit", "/a"), key(&[(Label::Cgroup, "/a")]));
        let pod = |namespace, pod| key(&[(Label::Namespace, namespace), (Label::Pod, pod)]);
        assert_ne!(pod("a/pod/b", "c"), pod("a", "b/pod/c"));
    }

    #[test]
    fn what_one_tenant_makes_shares_its_room() {
        for (text, scope) in [
            ("shop/Deployment/web/httpd", "shop"),
            ("docker:web", "docker"),
            ("unit:/system.slice/nginx.service", "unit:/system.slice"),
            ("unit:/system.slice", "unit:/system.slice"),
            ("unit:/user.slice/user-1000.slice/session-3.scope", "unit:/user.slice/user-1000.slice"),
            ("unit:/", "unit:/"),
        ] {
            assert_eq!(text.parse::<BaselineKey>().unwrap().scope(), scope);
        }
    }

    #[test]
    fn what_is_no_kind_is_refused() {
        for text in [
            "",
            "web",
            "a/b",
            "a//c",
            "a/b/c/d/e",
            "docker:",
            ":web",
            "docker:a/b",
            "a/b/%2f",
            "a/b/%",
            "a/b/%FF",
            "a/b/c\n",
        ] {
            assert!(text.parse::<BaselineKey>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_kind_is_read_as_it_was_written_and_its_file_is_in_the_directory(
            namespace in "\\PC{0,5}|\\.\\.", pod in ".{0,9}|\\.\\./\\.\\.", container in ".{0,300}", cgroup in "/.{0,9}"
        ) {
            let labels = [
                (Label::Namespace, namespace.as_str()),
                (Label::Pod, &pod),
                (Label::Container, &container),
                (Label::Cgroup, &cgroup),
            ];
            let key = BaselineKey::of(&metadata(&labels)).unwrap();
            prop_assert_eq!(&key.as_str().parse::<BaselineKey>().unwrap(), &key);
            let name = key.file_name();
            let parts: Vec<Component<'_>> = Path::new(&name).components().collect();
            let is_name = matches!(parts[..], [Component::Normal(_)]) && !name.starts_with('.');
            prop_assert!(is_name && name.len() < 200, "{}", name);
        }
    }
}
