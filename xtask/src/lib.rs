//! The tasks of a developer: `verbs` has one file for each verb of `cargo xtask`, `support` what they share.

pub mod support;
pub mod verbs;
