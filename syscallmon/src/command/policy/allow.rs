//! `syscallmon policy allow`: the narrowest exception for violations of a daemon, as YAML to paste.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{Format, OTHER_VERSION, PolicyRow, pretty};
use crate::{
    command::daemon::Daemon,
    detect::{ExceptionError, PolicyInForce, ReportedCall, exceptions, exceptions_yaml},
    stable_id::StableId,
    workload::{Label, Labels},
};

/// A violation, as from the API.
#[derive(Clone, Debug, Deserialize)]
struct Violation {
    id: String,
    metadata: BTreeMap<String, String>,
    abi: String,
    syscall: String,
    /// The class of its arguments, if the call is judged by them.
    #[serde(default)]
    argument: String,
    policy: String,
    reason: String,
}

/// The daemon keeps at most 4,096 violations.
const VIOLATIONS: &str = "/api/v1/violations?limit=5000";

#[derive(Deserialize)]
struct Violations {
    violations: Vec<Value>,
    /// Whether some of them did not fit.
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct Policies {
    policies: Vec<PolicyRow>,
}

/// Returns the text to print for these violations of a daemon.
pub(super) async fn text(daemon: &Daemon, ids: &[StableId], output: Format) -> Result<String> {
    let answer = daemon.ask(Method::GET, VIOLATIONS).await?;
    let violations = chosen(ids, serde_json::from_value(answer).context(OTHER_VERSION)?)?;
    let answer = daemon.ask(Method::GET, "/api/v1/policies").await?;
    let Policies { policies } = serde_json::from_value(answer).context(OTHER_VERSION)?;
    let violations: Vec<ReportedCall> = violations.into_iter().map(Violation::reported).collect();
    let policies: Vec<PolicyInForce> = policies.into_iter().map(PolicyRow::in_force).collect();
    let exceptions = exceptions(&violations, &policies).map_err(|error| match error {
        ExceptionError::NotACall { .. } => anyhow::anyhow!(OTHER_VERSION),
        _ => error.into(),
    })?;
    if output == Format::Json {
        return pretty(&serde_json::to_value(exceptions)?);
    }
    Ok(exceptions_yaml(&exceptions))
}

/// Returns the violations with these ids, each once.
fn chosen(ids: &[StableId], answer: Violations) -> Result<Vec<Violation>> {
    let Violations { violations, truncated } = answer;
    let mut chosen = Vec::new();
    for id in ids.iter().copied().collect::<BTreeSet<_>>() {
        let has_id = |violation: &&Value| violation["id"].as_str().and_then(|id| id.parse().ok()) == Some(id);
        let mut found = violations.iter().filter(has_id);
        match (found.next(), found.next()) {
            (Some(one), None) => chosen.push(serde_json::from_value(one.clone()).context(OTHER_VERSION)?),
            (Some(_), Some(_)) => {
                bail!("violation {id} is ambiguous: write the exception by hand (see /api/v1/violations)")
            }
            (None, _) if truncated => bail!("violation {id} is not among those that fit into one answer of the daemon"),
            (None, _) => bail!(
                "the daemon has no violation {id}: it keeps them for a day, and each node has its own (see /api/v1/violations)"
            ),
        }
    }
    Ok(chosen)
}

impl Violation {
    fn reported(self) -> ReportedCall {
        let Self { id, metadata, abi, syscall, argument, policy, reason } = self;
        let syscall = if argument.is_empty() { syscall } else { format!("{syscall}({argument})") };
        let is_denied = reason == "deny_list";
        ReportedCall { id, metadata: labels(&metadata), abi, syscall, policy, is_denied }
    }
}

/// Returns the labels of an answer of the API. Labels of a newer daemon are left out.
fn labels(metadata: &BTreeMap<String, String>) -> Labels {
    let known = metadata.iter().filter_map(|(name, value)| Some((name.parse::<Label>().ok()?, value.as_str().into())));
    Labels::new(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_judged_by_its_arguments_is_allowed_with_these_only() {
        let call = |argument: Option<&str>| {
            let mut violation = serde_json::json!({"id": "0123456789abcdef", "metadata": {}, "abi": "x86_64",
                "syscall": "socket", "policy": "web", "reason": "not_allowed"});
            if let Some(argument) = argument {
                violation["argument"] = argument.into();
            }
            serde_json::from_value::<Violation>(violation).unwrap().reported().syscall
        };
        assert_eq!([call(Some("AF_ALG")), call(None)], ["socket(AF_ALG)", "socket"]);
    }

    #[test]
    fn an_unknown_or_ambiguous_id_is_an_error_and_one_that_is_given_twice_is_not() {
        let id: StableId = "0123456789abcdef".parse().unwrap();
        let known = serde_json::json!({"id": "0123456789ABCDEF", "metadata": {"pod": "a"}, "abi": "x86_64", "syscall": "mount",
            "policy": "web", "reason": "not_allowed", "count": 7});
        let chosen = |violations: Vec<Value>, truncated| {
            chosen(&[id, id], Violations { violations, truncated }).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(vec![known.clone()], false).unwrap().len(), 1);
        let ambiguous = chosen(vec![known.clone(), known], false).unwrap_err();
        assert!(ambiguous.contains("is ambiguous"), "{ambiguous}");
        assert!(chosen(vec![], false).unwrap_err().contains("has no violation 0123456789abcdef"));
        assert!(chosen(vec![], true).unwrap_err().contains("not among those that fit"));
        assert!(
            chosen(vec![serde_json::json!({"id": id.to_string()})], false).unwrap_err().contains("another version")
        );
    }
}
