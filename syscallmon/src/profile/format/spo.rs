//! `SeccompProfile` of the security-profiles-operator: YAML for `kubectl apply`.
//!
//! `v1` is cluster-scoped, `v1beta1` is namespaced. Neither has a `defaultErrnoRet`: the default answer is EPERM, and
//! ENOSYS is a rule. The annotation with the coverage has the operator's own form.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Details, FormatError, comment,
    name::{check_name, check_namespace},
    oci,
};
use crate::profile::{Plan, Provenance};

/// Version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1beta1,
}

/// Maximum length of a name (RFC 1123).
const MAX_NAME: usize = 253;

/// The annotation `spo.x-k8s.io/syscall-coverage`.
#[derive(Serialize)]
struct Coverage<'a> {
    version: u32,
    total: usize,
    syscalls: &'a std::collections::BTreeMap<&'static str, usize>,
}

pub(super) fn write(
    version: Version,
    plan: &Plan,
    provenance: &Provenance,
    details: &Details,
) -> Result<String, FormatError> {
    check_name(&details.name, "a SeccompProfile (--name)", MAX_NAME)?;
    let api = match version {
        Version::V1 => "v1",
        Version::V1beta1 => "v1beta1",
    };
    let coverage = Coverage { version: 1, total: provenance.replicas, syscalls: &provenance.coverage };
    // JSON is YAML: strings stay in one line, whatever is in them.
    let coverage = serde_json::to_string(&serde_json::to_string(&coverage)?)?;
    let mut text = comment(plan, provenance);
    let _ = write!(
        text,
        "apiVersion: security-profiles-operator.x-k8s.io/{api}\nkind: SeccompProfile\nmetadata:\n  name: {}\n",
        details.name
    );
    if let Some(namespace) = details.namespace.as_ref().filter(|_| version == Version::V1beta1) {
        check_namespace(namespace)?;
        let _ = writeln!(text, "  namespace: {namespace}");
    }
    let _ = writeln!(text, "  annotations:\n    spo.x-k8s.io/syscall-coverage: {coverage}");
    let _ = writeln!(text, "spec:\n  defaultAction: {}\n  architectures:", oci::DEFAULT_ACTION);
    for architecture in oci::architectures(plan) {
        let _ = writeln!(text, "    - {architecture}");
    }
    text += "  syscalls:\n";
    for rule in oci::rules(plan) {
        let _ = writeln!(text, "    - action: {}", rule.action);
        if let Some(errno) = rule.errno_ret {
            let _ = writeln!(text, "      errnoRet: {errno}");
        }
        text += "      names:\n";
        for name in rule.names {
            let _ = writeln!(text, "        - {name}");
        }
        if !rule.args.is_empty() {
            // JSON is YAML.
            let _ = writeln!(text, "      args: {}", serde_json::to_string(&rule.args)?);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::{
        Format,
        tests::{HOSTILE, evidence, text},
    };
    use crate::seccomp::Profile;

    #[test]
    fn the_object_has_the_profile_and_the_coverage() {
        for (format, version) in [(Format::Spo, "/v1"), (Format::SpoV1beta1, "/v1beta1")] {
            let object: serde_json::Value = serde_saphyr::from_str(&text(format, &evidence(HOSTILE))).unwrap();
            assert!(object["apiVersion"].as_str().unwrap().ends_with(version));
            let annotations = &object["metadata"]["annotations"];
            let coverage = annotations["spo.x-k8s.io/syscall-coverage"].as_str().unwrap();
            let coverage: serde_json::Value = serde_json::from_str(coverage).unwrap();
            assert_eq!((&coverage["total"], &coverage["syscalls"]["openat"]), (&1.into(), &1.into()));
            assert!(object["spec"].get("defaultErrnoRet").is_none(), "the operator's schema has none");
            let profile = Profile::from_value(object["spec"].clone()).unwrap();
            assert!(profile.decide("x86_64", "x86_64", "openat", &[0; 6]).allows());
            assert!(profile.decide("x86_64", "x86_64", "statx", &[0; 6]).is_nonexistent());
        }
    }
}
