//! The JSON API.

pub(super) mod baselines;
pub(super) mod builders;
pub(super) mod json;
pub(super) mod local;
pub(super) mod query;
pub(super) mod violations;
pub(super) mod workloads;
