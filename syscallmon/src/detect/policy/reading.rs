//! Reads a policy, and reports every mistake in it, not only the first.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    mistake::Mistakes,
    node::{Node, Position, Value},
    spec::{DeclaredPolicy, ExceptionSpec, Extends, Learn, PolicyItem, PolicyName, PolicySpec, ProfilePath},
};
use crate::{
    detect::{Match, Severity},
    syscalls::names::nearest,
};

/// Keys of a policy.
const KEYS: [&str; 10] =
    ["name", "extends", "match", "severity", "allow", "seccomp", "deny", "critical", "exceptions", "learn"];

/// Keys by which calls can be expected.
const EXPECTING: [&str; 4] = ["allow", "seccomp", "learn", "extends"];

/// Shortest and longest time of learning.
const LEARN_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(365 * 24));

/// Entries of a map by key.
struct Keys {
    at: Position,
    entries: BTreeMap<&'static str, Node>,
    /// Keys that were probably meant by unknown ones.
    meant: Vec<&'static str>,
}

/// Reads a value that is refused if it has a mistake. The error has all of them.
pub(super) fn read_whole<T, E: serde::de::Error>(read: impl FnOnce(&mut Mistakes) -> Option<T>) -> Result<T, E> {
    let mut mistakes = Mistakes::default();
    let value = read(&mut mistakes);
    let is_right = mistakes.count() == 0;
    let all = || mistakes.into_found().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    value.filter(|_| is_right).ok_or_else(|| E::custom(all()))
}

/// Reads a policy. Of a policy with a mistake, returns what other policies need to know, if its name is known.
///
/// # Errors
///
/// When it has a mistake.
pub fn policy(node: Node, mistakes: &mut Mistakes) -> Result<PolicySpec, Option<DeclaredPolicy>> {
    let before = mistakes.count();
    let at = node.at;
    mistakes.within(name_in(&node));
    let read = Keys::of(node, "a policy", &KEYS, mistakes).map(|keys| parts(keys, at, mistakes));
    mistakes.within(None);
    match read {
        Some((_, Some(spec))) if mistakes.count() == before => Ok(spec),
        Some((declared, _)) => Err(declared),
        None => Err(None),
    }
}

/// Returns the name of a policy before anything else is read, for messages.
fn name_in(node: &Node) -> Option<PolicyName> {
    let Value::Map(entries) = &node.value else { return None };
    let (_, name) = entries.iter().find(|(key, _)| key.text() == Some("name"))?;
    PolicyName::try_from(name.text()?.to_owned()).ok()
}

/// Reads all keys of a policy. Without a mistake, both results are there.
fn parts(mut keys: Keys, at: Position, mistakes: &mut Mistakes) -> (Option<DeclaredPolicy>, Option<PolicySpec>) {
    keys.require("name", "a policy", mistakes);
    keys.require("match", "a policy", mistakes);
    let has_one = |of: &[&str]| of.iter().any(|key| keys.has_or_means(key));
    if !has_one(&EXPECTING) || (keys.are_empty_lists(&["allow", "seccomp"]) && !has_one(&["learn", "extends"])) {
        let remedy = "set allow, seccomp, learn or extends (allow: [\"*:*\"] if only deny is required)";
        mistakes.add(at, format_args!("allows no calls: {remedy}"));
    }
    let name = keys.take("name").and_then(|node| name(&node, "name", mistakes));
    let extends = keys.take("extends").and_then(|node| extends(&node, mistakes));
    let declared = name.clone().map(|name| DeclaredPolicy { name, at, extends: extends.clone() });
    let selects = keys.take("match").and_then(|node| Match::read(&node, mistakes));
    let severity = keys.take("severity").and_then(|node| severity(&node, mistakes));
    let allow = keys.items("allow", mistakes).unwrap_or_default();
    let seccomp = keys.take("seccomp").map(|node| profiles(node, mistakes)).unwrap_or_default();
    let deny = keys.items("deny", mistakes).unwrap_or_default();
    let critical = keys.items("critical", mistakes);
    let exceptions = keys.take("exceptions").map(|node| exceptions(node, mistakes)).unwrap_or_default();
    let learn = keys.take("learn").and_then(|node| learn(node, mistakes));
    let spec = name.zip(selects).map(|(name, selects)| PolicySpec {
        at,
        name,
        extends,
        selects,
        severity,
        allow,
        seccomp,
        deny,
        critical,
        exceptions,
        learn,
    });
    (declared, spec)
}

impl Keys {
    /// Returns the known keys of a map. `what` says what the map is.
    fn of(node: Node, what: &str, known: &[&'static str], mistakes: &mut Mistakes) -> Option<Self> {
        let list = || known.join(", ");
        let at = node.at;
        let Value::Map(entries) = node.value else {
            let found = node.describe();
            mistakes.add(at, format_args!("expected {what} with keys of {}, not {found}", list()));
            return None;
        };
        let mut keys = Self { at, entries: BTreeMap::new(), meant: Vec::new() };
        for (key, value) in entries {
            if mistakes.are_too_many() {
                break;
            }
            let typed = key.text().unwrap_or_default();
            let Some(known) = known.iter().find(|known| **known == typed) else {
                let meant = nearest(typed, known.iter().copied());
                let suggestion = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
                keys.meant.extend(meant.and_then(|meant| known.iter().find(|known| **known == meant)));
                let found = key.describe();
                mistakes.add(key.at, format_args!("unknown key {found}{suggestion}: expected one of {}", list()));
                continue;
            };
            if keys.entries.contains_key(known) {
                mistakes.add(key.at, format_args!("the key {known} is there twice: put both values into one"));
                continue;
            }
            if matches!(value.value, Value::Null) {
                mistakes.add(key.at, format_args!("{known} has no value: remove the key, or write its value"));
            }
            keys.entries.insert(known, value);
        }
        Some(keys)
    }

    /// Whether a key is there, or was meant by an unknown one.
    fn has_or_means(&self, key: &str) -> bool {
        self.entries.contains_key(key) || self.meant.contains(&key)
    }

    /// Whether one of the keys is there, and the values of all that are there are empty lists.
    fn are_empty_lists(&self, keys: &[&str]) -> bool {
        let is_empty = |node: &&Node| matches!(&node.value, Value::List(items) if items.is_empty());
        let values: Vec<&Node> = keys.iter().filter_map(|key| self.entries.get(key)).collect();
        !values.is_empty() && values.iter().all(is_empty) && !keys.iter().any(|key| self.meant.contains(key))
    }

    fn require(&self, key: &str, what: &str, mistakes: &mut Mistakes) {
        if !self.has_or_means(key) {
            mistakes.add(self.at, format_args!("{what} requires the key {key}"));
        }
    }

    /// Takes the value of a key. A key without a value is a mistake already.
    fn take(&mut self, key: &str) -> Option<Node> {
        self.entries.remove(key).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Takes a list of calls.
    fn items(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<Vec<PolicyItem>> {
        let nodes = list(self.take(key)?, key, mistakes);
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            if mistakes.are_too_many() {
                break;
            }
            match text(&node, key, "a system call or a set, such as openat or @file-system", mistakes).map(str::parse) {
                Some(Ok(entry)) => items.push(PolicyItem { entry, at: node.at }),
                Some(Err(error)) => {
                    let error: super::PolicyEntryError = error;
                    mistakes.add(node.at, format_args!("{key}: {error}"));
                }
                None => {}
            }
        }
        Some(items)
    }
}

/// Returns the items of a list.
fn list(node: Node, key: &str, mistakes: &mut Mistakes) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Text(text) if text.len() < 100 => {
            mistakes.add(node.at, format_args!("{key}: expected a list (did you mean [{text}]?)"));
            Vec::new()
        }
        _ => {
            mistakes.add(node.at, format_args!("{key}: expected a list, not {}", node.describe()));
            Vec::new()
        }
    }
}

/// Returns the text of a value.
fn text<'a>(node: &'a Node, key: &str, expected: impl fmt::Display, mistakes: &mut Mistakes) -> Option<&'a str> {
    let text = node.text();
    if text.is_none() {
        mistakes.add(node.at, format_args!("{key}: expected {expected}, not {}", node.describe()));
    }
    text
}

fn name(node: &Node, key: &str, mistakes: &mut Mistakes) -> Option<PolicyName> {
    let name = text(node, key, "the name of one policy", mistakes)?;
    PolicyName::try_from(name.to_owned()).map_err(|error| mistakes.add(node.at, format_args!("{key}: {error}"))).ok()
}

fn extends(node: &Node, mistakes: &mut Mistakes) -> Option<Extends> {
    Some(Extends { name: name(node, "extends", mistakes)?, at: node.at })
}

fn severity(node: &Node, mistakes: &mut Mistakes) -> Option<Severity> {
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    let typed = text(node, "severity", "info, warning or critical", mistakes)?;
    let severity = all.into_iter().find(|severity| severity.name() == typed);
    if severity.is_none() {
        let meant = nearest(typed, all.into_iter().map(Severity::name));
        let suggestion = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
        mistakes.add(node.at, format_args!("severity: {typed:?}{suggestion}: expected info, warning or critical"));
    }
    severity
}

fn profiles(node: Node, mistakes: &mut Mistakes) -> Vec<ProfilePath> {
    let mut profiles = Vec::new();
    for node in list(node, "seccomp", mistakes) {
        if mistakes.are_too_many() {
            break;
        }
        let path = text(&node, "seccomp", "the path of a seccomp profile", mistakes);
        profiles.extend(path.map(|path| ProfilePath { path: path.into(), at: node.at }));
    }
    profiles
}

fn exceptions(node: Node, mistakes: &mut Mistakes) -> Vec<ExceptionSpec> {
    let mut exceptions = Vec::new();
    for node in list(node, "exceptions", mistakes) {
        if mistakes.are_too_many() {
            break;
        }
        let at = node.at;
        let Some(mut keys) = Keys::of(node, "an exception", &["match", "allow"], mistakes) else { continue };
        keys.require("match", "an exception", mistakes);
        keys.require("allow", "an exception", mistakes);
        if keys.are_empty_lists(&["allow"]) {
            mistakes.add(at, "an exception requires allow with a call");
        }
        let selects = keys.take("match").and_then(|node| Match::read(&node, mistakes));
        let allow = keys.items("allow", mistakes);
        exceptions.extend(selects.zip(allow).map(|(selects, allow)| ExceptionSpec { at, selects, allow }));
    }
    exceptions
}

fn learn(node: Node, mistakes: &mut Mistakes) -> Option<Learn> {
    const LEARN_KEYS: [&str; 3] = ["quiet_for", "at_least", "at_most"];
    let mut keys = Keys::of(node, "learn", &LEARN_KEYS, mistakes)?;
    let at = keys.at;
    let mut learn = Learn::default();
    let before = mistakes.count();
    for (key, value) in LEARN_KEYS.into_iter().zip([&mut learn.quiet_for, &mut learn.at_least, &mut learn.at_most]) {
        let Some(node) = keys.take(key) else { continue };
        let Some(typed) = text(&node, key, "a duration such as 1h", mistakes) else { continue };
        match humantime::parse_duration(typed) {
            Ok(duration) if (LEARN_RANGE.0..=LEARN_RANGE.1).contains(&duration) => *value = duration,
            Ok(_) => mistakes.add(node.at, format_args!("learn.{key} is out of range: expected 1s to 365days")),
            Err(error) => {
                let typed: String = typed.chars().take(50).collect();
                mistakes.add(node.at, format_args!("learn.{key}: {typed:?} is not a duration such as 1h: {error}"));
            }
        }
    }
    let longer = [("quiet_for", learn.quiet_for), ("at_least", learn.at_least)];
    for (key, _) in longer.into_iter().filter(|(_, duration)| *duration > learn.at_most) {
        if mistakes.count() == before {
            mistakes.add(at, format_args!("learn.at_most must not be shorter than learn.{key}"));
        }
    }
    Some(learn)
}
