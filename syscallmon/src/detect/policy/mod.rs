//! Policies: which calls are expected of a workload, as written and as compiled.

mod collection;
mod compiled;
mod entry;
pub(super) mod essential;
mod file_share;
mod matching;
mod severity;
mod spec;
#[cfg(test)]
mod tests;

pub use self::{
    collection::{Policies, PolicyFile, PolicyList, Source},
    compiled::{Policy, Unexpected},
    entry::{PolicyEntry, PolicyEntryError, Unprefixed},
    file_share::{FileSize, MAX_EXPRESSIONS, MAX_POLICIES, file_to_refuse},
    matching::Match,
    severity::Severity,
    spec::{BUILT_IN, ExceptionSpec, Learn, PolicyError, PolicyName, PolicySpec},
};
