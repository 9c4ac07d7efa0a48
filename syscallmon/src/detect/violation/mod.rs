//! Unexpected calls: one record for each workload, policy and call.

mod collection;
mod record;

pub use self::{
    collection::{LastingViolation, RecordedViolation, ViolationKey, Violations, ViolationsView},
    record::{CallClass, Reason, Violation},
};
