//! Which policy another one extends: names, chains, and what is wrong with them. Compiles nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    compiled::Policy,
    spec::{BUILT_IN, DeclaredPolicy, PolicyError, PolicyName},
};
use crate::syscalls::names::nearest;

/// Maximum policies of a chain, the built-in one included.
pub(super) const MAX_DEPTH: usize = 8;

/// Maximum policies of a chain that are looked at. A longer cycle counts as a long chain.
const MAX_WALK: usize = 64;

/// Maximum names of a cycle in a message.
const MAX_CYCLE_NAMES: usize = 10;

/// Maximum length of names that are compared with a name that no policy has. Comparing takes time.
const MAX_COMPARED: usize = 2000;

/// A policy that a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    /// A policy of a file that is read now.
    New(&'a DeclaredPolicy),
    /// A policy of a file that is read now, with a mistake.
    Invalid,
    /// A policy that stays in force from before.
    Older(&'a Arc<Policy>),
}

/// The policy that another one extends.
pub(super) enum Parent<'a> {
    BuiltIn,
    Named(Named<'a>),
    Missing,
}

/// Names of all policies and their files. Of equal names, the first one counts.
#[derive(Debug, Default)]
pub(super) struct Names<'a>(BTreeMap<&'a str, (Named<'a>, &'a Arc<str>)>);

impl<'a> Names<'a> {
    /// Adds a policy of a file.
    ///
    /// # Errors
    ///
    /// Contains the file of the policy with the same name.
    pub(super) fn add(&mut self, name: &'a str, named: Named<'a>, origin: &'a Arc<str>) -> Result<(), Arc<str>> {
        if let Some((_, other)) = self.0.get(name) {
            return Err(Arc::clone(other));
        }
        self.0.insert(name, (named, origin));
        Ok(())
    }

    /// Whether a name stands for this policy that stays in force from before.
    pub(super) fn is_older(&self, policy: &Arc<Policy>) -> bool {
        matches!(self.0.get(policy.name().as_ref()), Some((Named::Older(named), _)) if Arc::ptr_eq(named, policy))
    }

    /// Returns the policy that a policy means by the name of another one. The built-in policy's name means a policy of
    /// this name in a file that is in force. In that policy, it means the built-in one.
    pub(super) fn parent(&self, name: &PolicyName, parent: &PolicyName) -> Parent<'a> {
        let is_built_in = parent.text().as_ref() == BUILT_IN;
        match self.0.get(parent.text().as_ref()) {
            _ if is_built_in && name == parent => Parent::BuiltIn,
            Some((Named::Invalid, _)) | None if is_built_in => Parent::BuiltIn,
            Some((named, _)) => Parent::Named(*named),
            None => Parent::Missing,
        }
    }

    /// Returns what is wrong with the chain of policies that a policy extends.
    pub(super) fn chain_error(&self, policy: &DeclaredPolicy) -> Option<PolicyError> {
        let name = || policy.name.clone();
        let mut current = policy;
        let mut path: Vec<&PolicyName> = vec![&policy.name];
        let mut seen = BTreeSet::from([&policy.name]);
        let first = policy.extends.as_ref()?;
        let invalid = || Some(PolicyError::InvalidParent { name: name(), parent: first.name.clone() });
        let depth = loop {
            let Some(extends) = current.extends.as_ref().filter(|_| path.len() < MAX_WALK) else { break path.len() };
            match self.parent(&current.name, &extends.name) {
                Parent::BuiltIn => break path.len() + 1,
                Parent::Named(Named::Older(older)) => break path.len() + older.depth(),
                Parent::Missing if path.len() == 1 => {
                    let suggestion = self.suggestion(extends.name.text());
                    return Some(PolicyError::NoParent { name: name(), parent: extends.name.clone(), suggestion });
                }
                Parent::Missing | Parent::Named(Named::Invalid) => return invalid(),
                Parent::Named(Named::New(next)) if next.name == policy.name => {
                    return Some(PolicyError::Cycle { name: name(), cycle: cycle(&path) });
                }
                // A cycle without this policy.
                Parent::Named(Named::New(next)) if !seen.insert(&next.name) => return invalid(),
                Parent::Named(Named::New(next)) => {
                    path.push(&next.name);
                    current = next;
                }
            }
        };
        (depth > MAX_DEPTH).then(|| PolicyError::TooDeep { name: name() })
    }

    fn suggestion(&self, typed: &str) -> String {
        let names = self.0.keys().copied().take(MAX_COMPARED).chain([BUILT_IN]);
        nearest(typed, names).map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
    }
}

fn cycle(path: &[&PolicyName]) -> String {
    let mut names: Vec<String> = path.iter().take(MAX_CYCLE_NAMES).map(ToString::to_string).collect();
    if path.len() > MAX_CYCLE_NAMES {
        names.push("...".to_owned());
    }
    names.push(path[0].to_string());
    names.join(" -> ")
}
