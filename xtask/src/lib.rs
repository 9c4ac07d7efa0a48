//! The tasks of developers: `verbs` has one file for each verb of `cargo xtask`.
//!
//! The crates below have the shared code of verbs (`support`), generated files (`generate`), tests of real environments
//! (`e2e`), benchmarks (`bench`), and the shared code of tests and benchmarks (`kit`).

pub mod verbs;
