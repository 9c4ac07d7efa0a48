//! What is expected of a workload, and what was not. Pure: no I/O, no clock.
//!
//! A [`PolicySpec`] is what was written; a [`Policy`], what judges. [`Policies`] are all of them, of which a workload has one.

mod compiled;
mod entry;
mod matching;
mod policies;
mod seccomp;
mod severity;
mod spec;
#[cfg(test)]
mod tests;
mod violation;
mod violations;

pub use self::{
    compiled::{Policy, Unexpected},
    entry::{Entry, EntryError, Unprefixed},
    matching::Match,
    policies::{Policies, PolicyList, Source},
    seccomp::Profile,
    severity::Severity,
    spec::{BUILT_IN, ExceptionSpec, Learn, PolicyError, PolicyName, PolicySpec},
    violation::{Ancestor, Process, Reason, Violation},
    violations::{Counted, Told, Violations},
};
