//! The tasks of a developer: `verbs` has one file for each verb of `cargo xtask`. What they share is in the crates
//! below: `support`, the tests of real environments in `e2e`, benchmarks in `bench`, generated files in `generate`.

pub mod verbs;
