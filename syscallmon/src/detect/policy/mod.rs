//! Policies: which calls are expected of a workload, as written and as compiled.

mod collection;
mod compiled;
mod entry;
pub(super) mod essential;
mod explain;
mod extends;
mod file_share;
mod matching;
mod mistake;
mod node;
mod reading;
mod resolve;
mod severity;
mod spec;
#[cfg(test)]
mod tests;

pub(in crate::detect) use self::collection::BUILT_IN_ORIGIN;
pub use self::{
    collection::{BUILT_IN_YAML, Policies, PolicyFile, PolicyList, PolicyMistake, Source},
    compiled::{Policy, Unexpected},
    entry::{PolicyEntry, PolicyEntryError, Unprefixed},
    explain::{DecidingList, Decision, PolicySummary},
    file_share::{FileSize, MAX_EXPRESSIONS, MAX_POLICIES, file_to_refuse},
    matching::Match,
    mistake::{MAX_MISTAKES, Mistake, Mistakes},
    node::{Node, Position},
    reading::policy as read_policy,
    severity::Severity,
    spec::{
        BUILT_IN, DeclaredPolicy, ExceptionSpec, Extends, Learn, PolicyError, PolicyItem, PolicyName, PolicySpec,
        ProfilePath,
    },
};
