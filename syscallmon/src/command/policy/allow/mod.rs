//! `syscallmon policy allow`: the narrowest exception for a violation, as YAML to paste.

mod selector;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::selector::{Selector, labels};
use super::{Format, OTHER_VERSION, PolicyRow, pretty};
use crate::{
    command::daemon::Daemon,
    detect::{BUILT_IN, BaselineKey},
    process::printable,
    stable_id::StableId,
    syscalls::UNKNOWN,
};

/// Maximum length of the name of a new policy, without what makes it unique. Names of policies have at most 63.
const MAX_NAME: usize = 40;

/// A violation, as from the API.
#[derive(Clone, Debug, Deserialize)]
struct Violation {
    id: String,
    metadata: BTreeMap<String, String>,
    abi: String,
    syscall: String,
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

/// One exception: calls of one workload under one policy.
#[derive(Debug, Serialize)]
struct Exception {
    policy: String,
    /// The file of the policy, or `built in`.
    origin: String,
    /// Whether the built-in policy has reported the calls, so that the exception is a policy of its own.
    is_new_policy: bool,
    /// The selector, as YAML.
    #[serde(rename = "match")]
    selector: String,
    /// Calls with their ABI, as in a policy.
    allow: BTreeSet<String>,
    violations: BTreeSet<String>,
    /// What a person should know, one line each.
    remarks: BTreeSet<String>,
    #[serde(skip)]
    name: String,
    /// Whether the policy denies one of the calls.
    #[serde(skip)]
    is_denied: bool,
    /// Lines for the baseline's file, if the policy learns, and the name of that file.
    #[serde(skip)]
    learned: Option<(BTreeSet<String>, String)>,
    #[serde(skip)]
    workload: String,
}

/// Returns the text to print for these violations of a daemon.
pub(super) async fn text(daemon: &Daemon, ids: &[StableId], output: Format) -> Result<String> {
    let answer = daemon.ask(Method::GET, VIOLATIONS).await?;
    let violations = chosen(ids, serde_json::from_value(answer).context(OTHER_VERSION)?)?;
    let answer = daemon.ask(Method::GET, "/api/v1/policies").await?;
    let Policies { policies } = serde_json::from_value(answer).context(OTHER_VERSION)?;
    let exceptions = exceptions(&violations, &policies)?;
    if output == Format::Json {
        return pretty(&serde_json::to_value(exceptions)?);
    }
    Ok(yaml(&exceptions))
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

/// Returns the exceptions for these violations, one for each policy and selector.
fn exceptions(violations: &[Violation], policies: &[PolicyRow]) -> Result<Vec<Exception>> {
    let mut exceptions: BTreeMap<(String, String), Exception> = BTreeMap::new();
    for violation in violations {
        let exception = exception(violation, policies)?;
        match exceptions.get_mut(&(exception.policy.clone(), exception.selector.clone())) {
            Some(known) => known.merge(exception),
            None => drop(exceptions.insert((exception.policy.clone(), exception.selector.clone()), exception)),
        }
    }
    let mut exceptions: Vec<Exception> = exceptions.into_values().collect();
    let mut names: BTreeSet<String> = policies.iter().map(|policy| policy.name.clone()).collect();
    for exception in exceptions.iter_mut().filter(|exception| exception.is_new_policy) {
        // One more than there are names.
        let free = (1..names.len() + 2).map(|number| numbered(&exception.name, number));
        exception.name = free.into_iter().find(|name| !names.contains(name)).expect("one name of them is free");
        names.insert(exception.name.clone());
    }
    Ok(exceptions)
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

fn exception(violation: &Violation, policies: &[PolicyRow]) -> Result<Exception> {
    let Violation { id, metadata, abi, syscall, policy, reason } = violation;
    let Some(row) = policies.iter().find(|row| row.name == *policy) else {
        bail!(
            "violation {id}: its policy {} is not in force any more, so there is nothing to allow (see syscallmon policy list)",
            printable(policy)
        );
    };
    let metadata = labels(metadata);
    let Some(Selector { yaml, remark }) = Selector::of(&metadata) else {
        bail!("violation {id}: its workload is not known by name, so no policy can select it alone");
    };
    let call = format!("{abi}:{syscall}");
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_word(abi) || !is_word(syscall) {
        bail!(OTHER_VERSION);
    }
    let kind = BaselineKey::of(&metadata);
    let is_denied = reason == "deny_list";
    let mut remarks: BTreeSet<String> = remark.map(|remark| format!("Note: {remark}.")).into_iter().collect();
    if syscall == UNKNOWN {
        remarks.insert(format!("Note: {call} allows every number that the ABI does not have."));
    }
    let is_new_policy = policy == BUILT_IN && row.is_built_in();
    let learning: Vec<&str> = policies.iter().filter(|row| row.learn.is_some()).map(|row| row.name.as_str()).collect();
    if is_new_policy && !learning.is_empty() {
        remarks.insert(format!(
            "Note: if a policy that learns ({}) selects this workload, add the exception to that policy instead.",
            printable(&learning.join(", "))
        ));
    }
    let learned = kind.as_ref().filter(|_| row.learn.is_some() && !is_denied);
    let learned = learned.map(|kind| ([format!("\"{abi}/{syscall}\": \"\",")].into(), kind.file_name()));
    let workload = kind.map_or_else(|| metadata.to_string(), |kind| kind.to_string());
    Ok(Exception {
        name: name_of(&workload, id),
        policy: policy.clone(),
        origin: row.origin.clone(),
        is_new_policy,
        selector: yaml,
        allow: [call].into(),
        violations: [id.clone()].into(),
        remarks,
        is_denied,
        learned,
        workload,
    })
}

/// Returns a name for a policy: of the workload, and of the violation if that is not plain.
fn name_of(workload: &str, id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = workload.chars().map(plain).collect();
    let words = std::iter::once("allow").chain(words.split('-').filter(|word| !word.is_empty()));
    let name = words.collect::<Vec<_>>().join("-");
    if name.len() <= MAX_NAME && workload.is_ascii() {
        return name;
    }
    let short: String = name.chars().take(MAX_NAME).collect();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{}-{}", short.trim_end_matches('-'), digits.to_ascii_lowercase())
}

impl Exception {
    fn merge(&mut self, other: Self) {
        self.allow.extend(other.allow);
        self.violations.extend(other.violations);
        self.remarks.extend(other.remarks);
        self.is_denied |= other.is_denied;
        self.learned = self.learned.take().zip(other.learned).map(|((mut lines, file), (more, _))| {
            lines.extend(more);
            (lines, file)
        });
    }

    /// Returns what it allows for which workload, in lines of a comment.
    fn head(&self) -> String {
        let list = |items: &BTreeSet<String>| items.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (calls, ids) = (list(&self.allow), list(&self.violations));
        let mut head = format!("# {}: {calls}. Violation {}.\n", printable(&self.workload), printable(&ids));
        for remark in &self.remarks {
            let _ = writeln!(head, "# {remark}");
        }
        head
    }

    fn calls(&self) -> String {
        let calls: Vec<String> = self.allow.iter().map(|call| selector::quoted(call)).collect();
        format!("[{}]", calls.join(", "))
    }

    /// Returns an item of `exceptions`, for a policy in a list.
    fn item(&self) -> String {
        format!("      - match: [{}]\n        allow: {}\n", self.selector, self.calls())
    }

    /// Returns a policy of its own, without the key above it.
    fn new_policy(&self) -> String {
        let mut text = format!("  - name: {}\n    extends: {BUILT_IN}\n    match: [{}]\n", self.name, self.selector);
        if self.is_denied {
            // An exception allows calls that the built-in policy denies, too.
            text + "    exceptions:\n" + &self.item()
        } else {
            let _ = writeln!(text, "    allow: {}", self.calls());
            text
        }
    }
}

/// Returns the text for people: exceptions of own policies first, then one file with new policies.
fn yaml(exceptions: &[Exception]) -> String {
    let (new, own): (Vec<_>, Vec<_>) = exceptions.iter().partition(|exception| exception.is_new_policy);
    let mut parts: Vec<String> = own.into_iter().map(addition).collect();
    if !new.is_empty() {
        let mut text =
            "# A file for --policy.directory, or for `policies` in the configuration file.\npolicies:\n".to_owned();
        for exception in new {
            text += &exception.head().lines().fold(String::new(), |text, line| text + "  " + line + "\n");
            text += &exception.new_policy();
        }
        parts.push(text);
    }
    parts.join("\n")
}

/// Returns the addition to an own policy.
fn addition(exception: &Exception) -> String {
    let (policy, origin) = (printable(&exception.policy), printable(&exception.origin));
    let mut text = exception.head();
    let _ = writeln!(
        text,
        "# Add this to the policy {policy} in {origin}. If the policy has exceptions, add only the item."
    );
    if let Some((lines, file)) = &exception.learned {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let _ = writeln!(text, "# Or add to \"calls\" in {file}, below baselines/ in the state directory:");
        let _ = writeln!(text, "#   {}", lines.join(" "));
    }
    text + "    exceptions:\n" + &exception.item()
}
