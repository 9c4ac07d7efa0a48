//! Which line of which policy decides about a call.

use std::{fmt, sync::Arc};

use super::{
    compiled::{Listing, Policy},
    node::Position,
    spec::PolicyItem,
};
use crate::{
    detect::{Learn, Severity, Unprefixed},
    syscalls::{Call, CallId, CallTable},
    workload::Labels,
};

/// The part of a policy that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidingList {
    /// An item of an exception.
    Exceptions,
    /// An item of `allow`.
    Allow,
    /// A seccomp profile.
    Seccomp,
    /// An item of `deny`.
    Deny,
    /// An item of `critical`.
    Critical,
    /// The key `severity`, or its default.
    Severity,
    /// No list of the policy or of those that it extends has the call.
    None,
    /// The kernel lets the C library make the call, so no policy judges it.
    Kernel,
}

/// A line of a policy that decides about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The policy with the line: the workload's own one, or one that it extends.
    pub policy: Arc<str>,
    /// Its file.
    pub origin: Arc<str>,
    /// The line.
    pub at: Position,
    /// The part of the policy.
    pub list: DecidingList,
    /// The item of the list, as written.
    pub item: Option<String>,
}

/// What a policy says in total, with the policies that it extends.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySummary {
    /// Its name.
    pub name: Arc<str>,
    /// Its file.
    pub origin: Arc<str>,
    /// Its position in the file.
    pub at: Position,
    /// The policies that it extends, the nearest first.
    pub extends: Vec<Arc<str>>,
    /// Number of calls of the native ABI.
    pub native: usize,
    /// Number of native calls that are expected.
    pub allowed: usize,
    /// Number of native calls in `deny` lists that no nearer policy allows.
    pub denied: usize,
    /// Number of native calls that are critical if unexpected.
    pub critical: usize,
    /// Number of exceptions.
    pub exceptions: usize,
    /// Severity of other unexpected calls.
    pub severity: Severity,
    /// How it learns, if it does.
    pub learn: Option<Learn>,
}

impl PolicySummary {
    /// Returns a line for people: name, place, and the policies that it extends.
    #[must_use]
    pub fn title(&self) -> String {
        let Self { name, origin, at, extends, .. } = self;
        let extends: Vec<&str> = extends.iter().map(AsRef::as_ref).collect();
        let extends =
            if extends.is_empty() { String::new() } else { format!(", which extends {}", extends.join(" -> ")) };
        format!("{name} ({origin}:{}){extends}", at.line)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, origin, at, list, item } = self;
        let item = item.as_deref().unwrap_or_default();
        match list {
            DecidingList::Exceptions => write!(formatter, "an exception allows {item}"),
            DecidingList::Allow => write!(formatter, "allow has {item}"),
            DecidingList::Seccomp => write!(formatter, "the seccomp profile {item} allows it"),
            DecidingList::Deny => write!(formatter, "deny has {item}"),
            DecidingList::Critical => write!(formatter, "critical has {item}"),
            DecidingList::Severity => write!(formatter, "severity is {item}"),
            DecidingList::None => formatter.write_str("no list has it"),
            DecidingList::Kernel => return formatter.write_str("the kernel makes programs call it"),
        }?;
        write!(formatter, " (policy {policy}, {origin}:{at})")
    }
}

impl Policy {
    /// Returns the line that decides whether a call of a workload is expected.
    #[must_use]
    pub fn decision(&self, metadata: &Labels, id: CallId, table: &CallTable) -> Decision {
        let call = table.call(id);
        if self.is_never_unexpected(id) {
            return self.decided(DecidingList::Kernel, self.spec.at, None);
        }
        for policy in self.chain() {
            if let Some(number) = policy.exception_for(metadata, id) {
                let allow = &policy.spec.exceptions[number].allow;
                return policy.by_item(DecidingList::Exceptions, allow, call, table);
            }
            match policy.own_listing(id) {
                Listing::Denied => return policy.by_item(DecidingList::Deny, &policy.spec.deny, call, table),
                Listing::AllowedByName => {
                    let single = |item: &&PolicyItem| item.entry.is_single();
                    let items: Vec<PolicyItem> = policy.spec.allow.iter().filter(single).cloned().collect();
                    return policy.by_item(DecidingList::Allow, &items, call, table);
                }
                Listing::Allowed | Listing::Unlisted => {}
            }
        }
        match self.chain().find(|policy| policy.own_listing(id) == Listing::Allowed) {
            Some(policy) => policy.by_set(call, id, table),
            None => self.decided(DecidingList::None, self.spec.at, None),
        }
    }

    /// Returns the line that decides how severe a call is, if it is unexpected.
    #[must_use]
    pub fn severity_decision(&self, id: CallId, table: &CallTable, built_in: Option<&Self>) -> Decision {
        let call = table.call(id);
        if self.is_critical(id) {
            for policy in self.chain().chain(built_in) {
                let items = policy.spec.critical.as_deref().unwrap_or_default();
                if let Some(item) = naming(items, call, table, Unprefixed::Every) {
                    return policy.decided(DecidingList::Critical, item.at, Some(item.entry.text().to_owned()));
                }
            }
        }
        let by = self.chain().find(|policy| policy.spec.severity.is_some()).unwrap_or(self);
        let severity = by.spec.severity.unwrap_or_default();
        by.decided(DecidingList::Severity, by.spec.at, Some(severity.to_string()))
    }

    /// Returns what the policy says in total.
    #[must_use]
    pub fn summary(&self, table: &CallTable) -> PolicySummary {
        let native = || table.iter().filter(|(_, call)| call.abi == table.native_abi()).map(|(id, _)| id);
        PolicySummary {
            name: Arc::clone(self.name()),
            origin: Arc::clone(&self.origin),
            at: self.spec.at,
            extends: self.ancestors().map(|policy| Arc::clone(policy.name())).collect(),
            native: native().count(),
            allowed: native().filter(|&id| !self.may_object(id)).count(),
            denied: native().filter(|&id| self.listing(id) == Listing::Denied).count(),
            critical: native().filter(|&id| self.is_critical(id)).count(),
            exceptions: self.chain().map(|policy| policy.spec.exceptions.len()).sum(),
            severity: self.severity(),
            learn: self.learn().copied(),
        }
    }

    /// Returns an item of `allow` that has a call, or a seccomp profile.
    fn by_set(&self, call: Call, id: CallId, table: &CallTable) -> Decision {
        if naming(&self.spec.allow, call, table, Unprefixed::Native).is_some() {
            return self.by_item(DecidingList::Allow, &self.spec.allow, call, table);
        }
        let profile = self.profile_of(id).and_then(|number| self.spec.seccomp.get(number));
        let (at, path) = profile.map_or((self.spec.at, None), |profile| (profile.at, Some(&profile.path)));
        self.decided(DecidingList::Seccomp, at, path.map(|path| path.display().to_string()))
    }

    fn by_item(&self, list: DecidingList, items: &[PolicyItem], call: Call, table: &CallTable) -> Decision {
        let unprefixed = if list == DecidingList::Deny { Unprefixed::Every } else { Unprefixed::Native };
        let item = naming(items, call, table, unprefixed);
        let at = item.map_or(self.spec.at, |item| item.at);
        self.decided(list, at, item.map(|item| item.entry.text().to_owned()))
    }

    fn decided(&self, list: DecidingList, at: Position, item: Option<String>) -> Decision {
        Decision { policy: Arc::clone(self.name()), origin: Arc::clone(&self.origin), at, list, item }
    }
}

fn naming<'a>(
    items: &'a [PolicyItem],
    call: Call,
    table: &CallTable,
    unprefixed: Unprefixed,
) -> Option<&'a PolicyItem> {
    items.iter().find(|item| item.entry.names(call, table.native_abi(), unprefixed))
}
