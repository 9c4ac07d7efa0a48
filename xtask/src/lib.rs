//! The tasks of a developer: `verbs` has one file for each verb of `cargo xtask`.
//!
//! What verbs share is in the crates below: `support`, generated files in `generate`, tests of real environments in
//! `e2e`, benchmarks in `bench`, and what tests and benchmarks share in `kit`.

pub mod verbs;
