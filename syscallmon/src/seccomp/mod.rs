//! Seccomp profiles, as container runtimes read them: the JSON of the OCI runtime specification (`linux.seccomp`), with
//! Docker's extension.
//!
//! [`Profile`] parses a profile and decides about calls as libseccomp's filter would. It does no I/O.

mod architecture;
mod comparison;
mod decision;
mod document;
mod filter;
mod multiplexed;
mod rule;

pub use self::{
    architecture::{Architecture, architecture},
    decision::Decision,
    document::{Profile, ProfileError},
};
