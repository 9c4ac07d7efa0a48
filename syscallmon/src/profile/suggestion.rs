//! A profile with more allowed calls: what `profile check --suggest` writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::format::Comparison;
use crate::syscalls::{
    arguments::{comparisons, with_details},
    split_argument,
};

/// Returns the rules that allow these classes of arguments, by call; none for calls of which a filter cannot tell them
/// from others.
pub(super) fn rules_of_classes(classes: &BTreeSet<&'static str>) -> BTreeMap<&'static str, Vec<Value>> {
    let mut by_call = BTreeMap::<&'static str, BTreeSet<&'static str>>::new();
    for (call, argument) in classes.iter().map(|class| split_argument(class)) {
        by_call.entry(call).or_default().insert(argument);
    }
    let rule = |call, list: &Vec<_>| {
        let args: Vec<Comparison> = list.iter().map(Comparison::from).collect();
        json!({"names": [call], "action": "SCMP_ACT_ALLOW", "args": args})
    };
    let of_call = |(call, classes)| {
        let lists = comparisons(call, &with_details(call, classes))?;
        Some((call, lists.iter().map(|list| rule(call, list)).collect()))
    };
    by_call.into_iter().filter_map(of_call).collect()
}

/// Returns the profile with more allowed calls, and classes of arguments as `socket(AF_UNIX)`. All other keys and rules
/// stay.
#[must_use]
pub fn with_allowed(mut profile: Value, names: &BTreeSet<&'static str>) -> Value {
    // An object of the operator has the profile under `spec`.
    let is_object = profile.get("kind").is_some();
    let content = if is_object { profile.get_mut("spec") } else { Some(&mut profile) };
    let Some(content) = content.and_then(Value::as_object_mut).filter(|_| !names.is_empty()) else { return profile };
    let rules = content.entry("syscalls").or_insert(Value::Null);
    if rules.is_null() {
        *rules = json!([]);
    }
    let Some(rules) = rules.as_array_mut() else { return profile };
    let (calls, classes): (BTreeSet<&str>, BTreeSet<&str>) =
        names.iter().partition(|name| split_argument(name).1.is_empty());
    let is_new = |name: &Value| name.as_str().is_none_or(|name| !calls.contains(name));
    rules.retain_mut(|rule| {
        let has_old_name = rule.get("name").is_some_and(|name| !is_new(name));
        let Some(listed) = rule.get_mut("names").and_then(Value::as_array_mut) else { return !has_old_name };
        listed.retain(is_new);
        !listed.is_empty()
    });
    if !calls.is_empty() {
        rules.push(json!({"names": calls, "action": "SCMP_ACT_ALLOW"}));
    }
    rules.extend(rules_of_classes(&classes).into_values().flatten());
    profile
}
