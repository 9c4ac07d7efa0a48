//! What is expected of a workload, and what was not. Pure: no I/O, no clock.

mod severity;
mod violation;
mod violations;

pub use self::{
    severity::Severity,
    violation::{Ancestor, Process, Reason, Violation},
    violations::{Counted, Told, Violations},
};
